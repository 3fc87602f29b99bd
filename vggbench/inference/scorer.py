"""From rescaled images to posteriors: which views go through the network together, and in what size of batch."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.errors import NumericsError, UsageError
from vggbench.inference.backend import Backend
from vggbench.inference.transfer import Fetch, Transfer, transfer_to
from vggbench.inference.views import Batch, Views
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol, View

_MANY = 3
"""Views of an image from which on it is normalised as a whole."""
_Place = tuple[int, int]
"""Of an image, and of a view among its views."""


class Scorer:
    """One protocol on one backend; `batch_size` counts 224 x 224 views and is halved where memory does not suffice.

    `shared` is the number of stages that the crops of an image share; None until the first image decided it.
    """

    def __init__(
        self,
        protocol: Protocol,
        backend: Backend,
        batch_size: int,
        shared: int | None = None,
        transfer: Transfer | None = None,
    ) -> None:
        self._protocol, self.backend, self.batch_size, self.shared = protocol, backend, batch_size, shared
        self._transfer = transfer or transfer_to(backend.device)
        self._checked = False

    def posteriors(self, images: Sequence[Tensor], advance: Callable[[int], None]) -> Fetch:
        """The posteriors (n, K) of (3, H, W) uint8 images: the mean over views of softmax(mean over positions).

        The device is asked for them, and what comes back waits for it. The images lie on the device, or are brought
        there one by one. `advance` hears of every so many views. Raises UsageError for a network whose outputs are not
        the model's classes; to wait raises NumericsError for a NaN.
        """
        model, protocol, device = self.backend.model, self._protocol, self.backend.device
        with torch.inference_mode():
            there = [image if image.device == device else self._transfer.up(image) for image in images]
            shape = (len(images), protocol.view_count, model.identity.classes)
            wide = torch.float32 if device.type == "mps" else torch.float64
            found = torch.empty(shape, dtype=wide, device=device)
            for places, scores in self._scores(there):
                if scores.shape[1] != model.identity.classes:
                    raise UsageError(
                        f"{model.identity.name} gives {scores.shape[1]} scores an image: expected "
                        f"{model.identity.classes}, one for each of its class names."
                    )
                averaged = (scores.softmax(1) if protocol.softmax_first else scores).mean((2, 3)).to(wide)
                _put(found, places, averaged if protocol.softmax_first else averaged.softmax(1))
                advance(len(places))
            total = found[:, 0].clone()
            for view in range(1, protocol.view_count):  # in their order, whatever the device: the same bits each time
                total += found[:, view]
            fetch = self._transfer.back((total / protocol.view_count).to(torch.float32))
        return lambda: self._without_nan(fetch())

    def _without_nan(self, posteriors: NDArray[np.float32]) -> NDArray[np.float32]:
        if np.isnan(posteriors).any():
            raise NumericsError(
                f"{self.backend.model.identity.name} by {self._protocol} gives NaN: its weights or input statistics "
                f"are broken, or {self.backend.precision} overflows. Expected posteriors between 0 and 1; try "
                "--precision fp32, and check --input."
            )
        return posteriors

    def _scores(self, images: Sequence[Tensor]) -> Iterator[tuple[list[_Place], Tensor]]:
        """Score maps (n, K, h, w), and whose each is."""
        views = Views(images, self.backend, many=self._protocol.view_count >= _MANY)
        each = [list(enumerate(self._protocol.views(image.shape[1], image.shape[2]))) for image in images]
        if self._protocol.grid == 8:
            for index, own in enumerate(each):
                yield from self._grid(index, own, views)
        else:
            for places, batch in _batches(each):
                yield from self._batched(places, batch, views)

    def _grid(self, index: int, own: list[tuple[int, View]], views: Views) -> Iterator[tuple[list[_Place], Tensor]]:
        """All crops of one image, which share what they can where that is quicker."""
        places = [(index, place) for place, _ in own]
        scores = self._shared_scores(index, [view for _, view in own], views)
        if scores is None:
            yield from self._batched(places, [(index, view) for _, view in own], views)
        else:
            yield places, scores

    def _shared_scores(self, index: int, own: Sequence[View], views: Views) -> Tensor | None:
        """Those of crops that share stages; None where plain crops are quicker, or memory suffices for them alone."""
        if self.shared == 0:
            return None
        try:
            pixels = views.whole(index)
            if self.shared is None:
                self.shared = self.backend.stages_to_share(pixels, own[: len(own) // 2])
            if not self.shared:
                return None
            scores = self.backend.grid(pixels, own, self.shared, check=not self._checked)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self.shared = 0
            return None
        self._checked = True
        return scores

    def _batched(self, places: list[_Place], all_views: Batch, views: Views) -> Iterator[tuple[list[_Place], Tensor]]:
        """Views of one size, as many at once as the batch size and memory allow."""
        start, area = 0, all_views[0][1].height * all_views[0][1].width
        while start < len(all_views):
            batch = all_views[start : start + max(1, self.batch_size * CROP * CROP // area)]
            try:
                scores = self.backend.score(views.of(batch), check=not self._checked)
            except RuntimeError as error:
                if not is_out_of_memory(error) or len(batch) == 1:
                    raise
                self.batch_size = max(1, min(self.batch_size, len(batch) * area // (CROP * CROP)) // 2)
                continue
            self._checked = True
            yield places[start : start + len(batch)], scores
            start += len(batch)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device, or the machine, had no memory left: the only error after which a smaller batch is tried."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _batches(each: Sequence[list[tuple[int, View]]]) -> list[tuple[list[_Place], Batch]]:
    """Views of equal size together, always in the same way for the same images."""
    by_size: dict[tuple[int, int], tuple[list[_Place], Batch]] = {}
    for index, own in enumerate(each):
        for place, view in own:
            places, batch = by_size.setdefault((view.height, view.width), ([], []))
            places.append((index, place))
            batch.append((index, view))
    return list(by_size.values())


def _put(found: Tensor, places: Sequence[_Place], values: Tensor) -> None:
    """Write `values` (n, K) into `found` (images, views, K), as many at once as lie in a row there."""
    rows, views = found.flatten(0, 1), found.shape[1]
    flat = [image * views + view for image, view in places]
    start = 0
    for end in range(1, len(flat) + 1):
        if end == len(flat) or flat[end] != flat[end - 1] + 1:
            rows[flat[start] : flat[start] + end - start] = values[start:end]
            start = end

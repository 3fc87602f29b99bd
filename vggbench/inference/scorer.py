"""From rescaled images to posteriors: which views go through the network together, and in what size of batch."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.errors import NumericsError, UsageError
from vggbench.inference.backend import Backend
from vggbench.inference.shared_crops import is_worth_sharing
from vggbench.inference.transfer import Fetch, Transfer, transfer_to
from vggbench.inference.views import Views
from vggbench.nets.memory import is_out_of_memory, make_room
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol, View

_Scored = tuple[Sequence[int], Tensor]
"""Numbers of views, and their score maps (n, K, h, w)."""


class Scorer:
    """One protocol on one backend; `batch_size` counts 224 x 224 views and is halved where memory runs out.

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
        self._by_image = protocol.grid == 8 or (protocol.name == "multicrop" and backend.shares)
        self._numbers = backend.model.identity.classes
        self._wide = torch.float32 if backend.device.type == "mps" else torch.float64
        self._checked = False

    def posteriors(self, images: Sequence[Tensor]) -> NDArray[np.float32]:
        """The posteriors (n, K) of (3, H, W) uint8 images: the mean over views of softmax(mean over positions).

        Raises UsageError for a network whose outputs are not the model's classes, and NumericsError for a NaN.
        """
        return self.begin(images, lambda views: None)()

    def begin(self, images: Sequence[Tensor], advance: Callable[[int], None]) -> Fetch:
        """Ask the device for the posteriors; what comes back waits for them. `advance` hears of every so many views.

        The images lie on the device, or are brought there one by one. Raises as `posteriors`, for a NaN where it is
        waited for.
        """
        with torch.inference_mode():
            views = Views(self._on_device(images), self._protocol, self.backend)
            shape = (len(images), self._protocol.view_count, self._numbers)
            found = torch.empty(shape, dtype=self._wide, device=self.backend.device)
            for numbers, maps in self._scores(views, len(images)):
                put(found.flatten(0, 1), numbers, self._of_views(maps))
                advance(len(numbers))
            fetch = self._transfer.back(mean_of_views(found))
        return lambda: self._sound(fetch())

    def _of_views(self, scores: Tensor) -> Tensor:
        """Score maps (n, K, h, w) -> posteriors (n, K)."""
        identity = self.backend.model.identity
        if scores.shape[1] != identity.classes:
            raise UsageError(
                f"{identity.name} gives {scores.shape[1]} scores per image: expected {identity.classes}, one for each "
                "of its class names."
            )
        averaged = (scores.softmax(1) if self._protocol.softmax_first else scores).mean((2, 3)).to(self._wide)
        return averaged if self._protocol.softmax_first else averaged.softmax(1)

    def _on_device(self, images: Sequence[Tensor]) -> list[Tensor]:
        """The images; those that lie elsewhere are brought there."""
        return [image if image.device == self.backend.device else self._transfer.up(image) for image in images]

    def _sound(self, posteriors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The posteriors, none of them NaN."""
        if np.isnan(posteriors).any():
            raise NumericsError(
                f"{self.backend.model.identity.name} by {self._protocol} gives NaN: its weights or preprocessing are "
                f"wrong, or {self.backend.precision} overflows. Expected posteriors between 0 and 1; try --precision "
                "fp32, and check --input."
            )
        return posteriors

    def _scores(self, views: Views, images: int) -> Iterator[_Scored]:
        if self._by_image:
            for index in range(images):
                scores = self._shared_scores(views, index)
                own = views.of_image(index)
                yield from self._batched(own, views) if scores is None else [(own, scores)]
        else:
            for numbers in views.batches():
                yield from self._batched(numbers, views)

    def _shared_scores(self, views: Views, index: int) -> Tensor | None:
        """Those of crops that share layers; None where plain crops are quicker, or memory suffices for them alone."""
        own = [views[number] for number in views.of_image(index)]
        try:
            scores = self._on_grid(views, index, own) if self._protocol.grid == 8 else self._anywhere(views, index, own)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            make_room(error, self.backend.device)
            self.shared = 0
            return None
        self._checked = self._checked or scores is not None
        return scores

    def _on_grid(self, views: Views, index: int, own: Sequence[View]) -> Tensor | None:
        if self.shared == 0:
            return None
        pixels = views.whole(index)
        if self.shared is None:
            self.shared = self.backend.stages_to_share(pixels, own[: len(own) // 2])
        return self.backend.grid(pixels, own, self.shared, check=not self._checked) if self.shared else None

    def _anywhere(self, views: Views, index: int, own: Sequence[View]) -> Tensor | None:
        if self.shared == 0 or not is_worth_sharing(*views.size(index), own):
            return None
        return self.backend.crops(views.whole(index), own, check=not self._checked)

    def _batched(self, numbers: Sequence[int], views: Views) -> Iterator[_Scored]:
        """Views of one size, as many at once as the batch size and memory allow."""
        start, area = 0, views[numbers[0]].height * views[numbers[0]].width
        while start < len(numbers):
            batch = numbers[start : start + max(1, self.batch_size * CROP * CROP // area)]
            try:
                scores = self.backend.score(views.pixels(batch), check=not self._checked)
            except Exception as error:
                if not is_out_of_memory(error) or len(batch) == 1:
                    raise
                make_room(error, self.backend.device)
                self.batch_size = max(1, min(self.batch_size, len(batch) * area // (CROP * CROP)) // 2)
                continue
            self._checked = True
            yield batch, scores
            start += len(batch)


def mean_of_views(found: Tensor) -> Tensor:
    """(n, views, K) -> (n, K) in float32; added in their order, whatever the device: the same bits each time."""
    total = found[:, 0].clone()
    for view in range(1, found.shape[1]):
        total += found[:, view]
    return (total / found.shape[1]).to(torch.float32)


def put(rows: Tensor, places: Sequence[int], values: Tensor) -> None:
    """Write `values` (n, K) to these rows, as many at once as follow one another."""
    start = 0
    for end in range(1, len(places) + 1):
        if end == len(places) or places[end] != places[end - 1] + 1:
            rows[places[start] : places[start] + end - start] = values[start:end]
            start = end

"""From rescaled images to posteriors: which views go through the network together, and in what size of batch."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.errors import NumericsError, UsageError
from vggbench.images.pixels import take
from vggbench.inference.backend import Backend
from vggbench.inference.memory import is_out_of_memory, make_room
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol, View

_Batch = list[tuple[int, View]]
"""Views of one size, each with the index of its image."""
_Scored = tuple[list[int], Tensor]
"""Score maps (n, K, h, w) or their means (n, K), and the index of each one's image."""


class Scorer:
    """One protocol on one backend; `batch_size` counts 224 x 224 views and is halved where memory does not suffice.

    `shared` is the number of stages that the crops of an image share; None until the first image decided it.
    """

    def __init__(self, protocol: Protocol, backend: Backend, batch_size: int, shared: int | None = None) -> None:
        self._protocol, self.backend, self.batch_size, self.shared = protocol, backend, batch_size, shared
        self._checked = False

    def posteriors(self, images: Sequence[Tensor], advance: Callable[[int], None]) -> NDArray[np.float32]:
        """The posteriors (n, K) of (3, H, W) uint8 images: the mean over views of softmax(mean over positions).

        `advance` hears of every so many views. Raises NumericsError for a NaN, and UsageError for a network whose
        outputs are not the model's classes.
        """
        model, protocol = self.backend.model, self._protocol
        totals = np.zeros((len(images), model.identity.classes))
        waiting = list[_Scored]()  # one batch behind: a GPU computes the next while it is fetched

        def add(indices: list[int], scores: Tensor) -> None:
            found = scores.cpu().double()
            np.add.at(totals, indices, (found if protocol.softmax_first else found.softmax(1)).numpy())
            advance(len(indices))

        for indices, scores in self._scores(images):
            if scores.shape[1] != model.identity.classes:
                raise UsageError(
                    f"{model.identity.name} gives {scores.shape[1]} scores an image: expected "
                    f"{model.identity.classes}, one for each of its class names."
                )
            averaged = scores.softmax(1) if protocol.softmax_first else scores
            waiting.append((indices, averaged.mean((2, 3))))
            if len(waiting) > 1:
                add(*waiting.pop(0))
        for batch in waiting:
            add(*batch)
        if np.isnan(totals).any():
            raise NumericsError(
                f"{model.identity.name} by {protocol} gives NaN: its weights or input statistics are broken, or "
                f"{self.backend.precision} overflows. Expected posteriors between 0 and 1; try --precision fp32, and "
                "check --input."
            )
        return (totals / protocol.view_count).astype(np.float32)

    def _scores(self, images: Sequence[Tensor]) -> Iterator[_Scored]:
        if self._protocol.grid == 8:
            for index, image in enumerate(images):
                yield from self._grid(index, image, images)
        else:
            for batch in _batches([(i, view) for i, image in enumerate(images) for view in self._views(image)]):
                yield from self._batched(batch, images)

    def _views(self, image: Tensor) -> tuple[View, ...]:
        return self._protocol.views(image.shape[1], image.shape[2])

    def _grid(self, index: int, image: Tensor, images: Sequence[Tensor]) -> Iterator[_Scored]:
        """All crops of one image, which share what they can where that is quicker."""
        views = self._views(image)
        scores = self._shared_scores(image, views)
        if scores is None:
            yield from self._batched([(index, view) for view in views], images)
        else:
            yield [index] * len(views), scores

    def _shared_scores(self, image: Tensor, views: Sequence[View]) -> Tensor | None:
        """Those of crops that share stages; None where plain crops are quicker, or memory suffices for them alone."""
        try:
            if self.shared is None:
                self.shared = self.backend.stages_to_share(image, views[: len(views) // 2])
            if not self.shared:
                return None
            scores = self.backend.grid(image, views, self.shared, check=not self._checked)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            make_room(error, self.backend.device)
            self.shared = 0
            return None
        self._checked = True
        return scores

    def _batched(self, views: _Batch, images: Sequence[Tensor]) -> Iterator[_Scored]:
        """Views of one size, as many at once as the batch size and memory allow."""
        start, area = 0, views[0][1].height * views[0][1].width
        while start < len(views):
            at_once = max(1, self.batch_size * CROP * CROP // area)
            batch = views[start : start + at_once]
            try:
                pixels = torch.stack([take(images[index], view) for index, view in batch])
                scores = self.backend(pixels, check=not self._checked)
            except Exception as error:
                if not is_out_of_memory(error) or len(batch) == 1:
                    raise
                make_room(error, self.backend.device)
                self.batch_size = max(1, min(self.batch_size, len(batch) * area // (CROP * CROP)) // 2)
                continue
            self._checked = True
            yield [index for index, _ in batch], scores
            start += len(batch)


def _batches(views: _Batch) -> list[_Batch]:
    """Views of equal size together, always in the same way for the same block."""
    by_size: dict[tuple[int, int], _Batch] = {}
    for index, view in views:
        by_size.setdefault((view.height, view.width), []).append((index, view))
    return list(by_size.values())

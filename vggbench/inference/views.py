"""Views of images as a network takes them, cut where the images lie."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vggbench.errors import DataError
from vggbench.images.pixels import take
from vggbench.inference.backend import Backend
from vggbench.paper.protocols import View

Batch = list[tuple[int, View]]
"""Views of one size, each with the index of its image."""


class Views:
    """Views of (3, H, W) uint8 images for one backend.

    Where few are taken of an image they are cut and then normalised; where many are, the image and its mirror are
    normalised once, and the views cut from these. Either way each pixel's value is the same.
    """

    def __init__(self, images: Sequence[Tensor], backend: Backend, *, many: bool) -> None:
        self._images, self._backend, self._many = images, backend, many
        self._last: tuple[int, Tensor, Tensor] | None = None

    def of(self, batch: Batch) -> Tensor:
        """(N, 3, h, w) as `Backend.score` takes it."""
        if not self._many:
            cut = [take(self._images[index], view).permute(1, 2, 0) for index, view in batch]
            return self._backend.prepared(torch.stack(cut).movedim(3, 1))
        windows = torch.stack([self._window(*each) for each in batch])
        return windows.movedim(3, 1) if self._backend.pixelwise else windows

    def whole(self, index: int) -> Tensor:
        """(1, 3, H, W): an image as `Backend.score` takes it."""
        return self._backend.prepared(self._images[index][None])

    def _window(self, index: int, view: View) -> Tensor:
        """(h, w, 3) where the backend takes images pixel by pixel, else (3, h, w)."""
        if self._last is None or self._last[0] != index:
            image, pixelwise = self.whole(index), self._backend.pixelwise
            both = (image[0], image.flip(3)[0])
            self._last = index, *((one.movedim(0, 2) for one in both) if pixelwise else both)
        _, image, mirror = self._last
        height, width = self._images[index].shape[1:]
        left = width - view.left - view.width if view.mirror else view.left
        if not 0 <= left <= width - view.width or not 0 <= view.top <= height - view.height:
            raise DataError(f"View {view} does not fit an image of {height} x {width}.")
        rows, columns = slice(view.top, view.top + view.height), slice(left, left + view.width)
        whole = mirror if view.mirror else image
        return whole[rows, columns] if self._backend.pixelwise else whole[:, rows, columns]

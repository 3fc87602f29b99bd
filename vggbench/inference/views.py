"""Views of images as a network takes them, cut where the images lie."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from vggbench.errors import DataError
from vggbench.images.pixels import take
from vggbench.inference.backend import Backend
from vggbench.paper.protocols import Protocol, View

_MANY = 3
"""Views of an image from which on it is normalised as a whole."""


class Views:
    """All views of (3, H, W) uint8 images by a protocol, numbered from 0: those of the first image, of the second, ...

    Where few are taken of an image they are cut and then normalised; where many are, the image and its mirror are
    normalised once, and the views cut from these. Either way each pixel's value is the same.
    """

    def __init__(self, images: Sequence[Tensor], protocol: Protocol, backend: Backend) -> None:
        self._images, self._backend, self._count = images, backend, protocol.view_count
        self._views = [protocol.views(image.shape[1], image.shape[2]) for image in images]
        self._last: tuple[int, Tensor, Tensor] | None = None

    def batches(self) -> list[Sequence[int]]:
        """Numbers of views of equal size together, always in the same way for the same images."""
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, views in enumerate(self._views):
            by_size.setdefault((views[0].height, views[0].width), []).append(index)
        if len(by_size) == 1:
            return [range(len(self._images) * self._count)]
        return [[n for index in some for n in self.of_image(index)] for some in by_size.values()]

    def of_image(self, index: int) -> range:
        """The numbers of an image's views."""
        return range(index * self._count, (index + 1) * self._count)

    def __getitem__(self, number: int) -> View:
        index, place = divmod(number, self._count)
        return self._views[index][place]

    def pixels(self, numbers: Sequence[int]) -> Tensor:
        """(N, 3, h, w) of these as `Backend.score` takes them."""
        if self._count < _MANY:
            cut = [take(self._images[number // self._count], self[number]).permute(1, 2, 0) for number in numbers]
            return self._backend.prepared(torch.stack(cut).movedim(3, 1))
        cut = []
        for index, own in groupby(numbers, lambda number: number // self._count):
            cut += self._windows(index, [self[number] for number in own])
        windows = torch.stack(cut)
        return windows.movedim(3, 1) if self._backend.pixelwise else windows

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of an image."""
        return self._images[index].shape[1], self._images[index].shape[2]

    def whole(self, index: int) -> Tensor:
        """(1, 3, H, W): an image as `Backend.score` takes it."""
        return self._backend.prepared(self._images[index][None])

    def _windows(self, index: int, views: Sequence[View]) -> Iterator[Tensor]:
        """(h, w, 3) each where the backend takes images pixel by pixel, else (3, h, w)."""
        if self._last is None or self._last[0] != index:
            image = self.whole(index)
            self._last = index, image[0], image.flip(3)[0]
        _, image, mirror = self._last
        _, height, width = image.shape
        (channel, row, column), start = image.stride(), image.storage_offset()
        for view in views:
            left = width - view.left - view.width if view.mirror else view.left
            if not 0 <= left <= width - view.width or not 0 <= view.top <= height - view.height:
                raise DataError(f"View {view} does not fit an image of {height} x {width}.")
            whole, first = mirror if view.mirror else image, start + view.top * row + left * column
            if self._backend.pixelwise:
                yield whole.as_strided((view.height, view.width, 3), (row, column, channel), first)
            else:
                yield whole.as_strided((3, view.height, view.width), (channel, row, column), first)

"""Images as an evaluation reads them: decoded once, rescaled once for each Q, uint8, several in one block of memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor

from vggbench.data import ImageFile
from vggbench.images.headers import NotAnImage, read_whole
from vggbench.images.pixels import decode_by, decode_listening, rescale, take
from vggbench.images.preprocessing import Rescale, Wanted
from vggbench.paper.protocols import Protocol

_NO_PIXELS = torch.empty(0, dtype=torch.uint8)
_FEWEST, _MOST = 8, 32
_MOST_BYTES = 2**24


class Request(NamedTuple):
    """An image, by its place in the data set, and the Qs to rescale it to."""

    position: int
    wanted: tuple[Wanted, ...]

    @classmethod
    def of(cls, position: int, wanted: Iterable[Wanted]) -> Self:
        """Each once, and no centre of an image that is wanted whole."""
        each = dict.fromkeys(wanted)
        return cls(position, tuple(want for want in each if want.crop is None or want.whole() not in each))

    @classmethod
    def plain(cls, position: int, scales: Iterable[int]) -> Self:
        """At several Qs, rescaled as all images of the data set are."""
        return cls(position, tuple(Wanted(scale) for scale in scales))


class Loaded(NamedTuple):
    """One image's original size and its pixels at each Q, or why there are none."""

    position: int
    height: int
    width: int
    sizes: dict[Wanted, tuple[int, int]]
    """(height, width) of each."""
    problem: str | None = None
    doubt: str | None = None
    """What libjpeg complained of while it decoded on."""
    pixels: Tensor | None = None
    """uint8, pixel by pixel as decoders give them, all Qs in a row; None where they are elsewhere."""

    def at(self, wanted: Wanted | int) -> Tensor:
        """(3, H, W) uint8 at this Q; the whole image where it was read for others too and its centre is wanted."""
        wanted = Wanted(wanted) if isinstance(wanted, int) else wanted
        wanted = wanted if wanted in self.sizes else wanted.whole()
        assert self.pixels is not None
        start = 0
        for other, (height, width) in self.sizes.items():
            if other == wanted:
                return self.pixels[start : start + 3 * height * width].view(height, width, 3).permute(2, 0, 1)
            start += 3 * height * width
        raise KeyError(wanted)


@dataclass(frozen=True)
class Pack:
    """Images that one process read; each tensor that crosses processes costs a file descriptor and a wake-up."""

    images: tuple[Loaded, ...]
    """Without their pixels."""
    pixels: Tensor
    """uint8, those of all images in a row."""

    def pin_memory(self) -> Self:
        """The same where a GPU fetches it without waiting; what PyTorch's loader calls, in a thread of its own."""
        return replace(self, pixels=self.pixels.pin_memory())

    def unpacked(self, up: Callable[[Tensor], Tensor] = lambda pixels: pixels) -> Iterator[Loaded]:
        """The images with their pixels, which go `up` all at once."""
        pixels, start = up(self.pixels), 0
        for image in self.images:
            end = start + sum(3 * height * width for height, width in image.sizes.values())
            yield image._replace(pixels=pixels[start:end])
            start = end


class Images:
    """Images by request: read and decoded once, rescaled once for each Q."""

    def __init__(self, images: Sequence[ImageFile], how: Rescale) -> None:
        self._images, self._how = images, how

    def __getitem__(self, requests: Sequence[Request]) -> Pack:
        images = [self.one(request) for request in requests]
        pixels = [image.pixels for image in images if image.pixels is not None]
        return Pack(tuple(image._replace(pixels=None) for image in images), torch.cat([_NO_PIXELS, *pixels]))

    def one(self, request: Request) -> Loaded:
        """A single image, with its pixels."""
        image = self._images[request.position]
        try:
            data = read_whole(image)
            pixels, doubt = decode_listening(data)
            found = self._rescaled(data, pixels, request.wanted)
        except NotAnImage as reason:
            return Loaded(request.position, 0, 0, {}, str(reason))
        shapes = {want: (rescaled.shape[1], rescaled.shape[2]) for want, rescaled in found.items()}
        flat = torch.cat([rescaled.permute(1, 2, 0).flatten() for rescaled in found.values()])
        return Loaded(request.position, pixels.shape[1], pixels.shape[2], shapes, doubt=doubt, pixels=flat)

    def _rescaled(self, data: bytes, pixels: Tensor, wanted: Iterable[Wanted]) -> dict[Wanted, Tensor]:
        """What is wanted of an image, whose pixels are of the usual decoder; each other one decodes it once."""
        decoded, found = {Rescale().decoder: pixels}, dict[Wanted, Tensor]()
        for want in wanted:
            how = want.how or self._how
            if how.decoder not in decoded:
                decoded[how.decoder] = decode_by(how.decoder, data)
            found[want] = _seen(rescale(decoded[how.decoder], want.scale, how), want)
        return found


def images_of_pack(bytes_each: float, images: int, workers: int) -> int:
    """How many a pack has: enough that handing it over costs little; few enough that `images` occupy all workers."""
    fair = min(_MOST, max(_FEWEST, -(-images // max(1, workers))))
    return max(1, min(fair, int(_MOST_BYTES // max(1.0, bytes_each))))


def in_packs(requests: Sequence[Request], size: int) -> list[Sequence[Request]]:
    """The requests, `size` at a time."""
    return [requests[first : first + size] for first in range(0, len(requests), size)]


def _seen(rescaled: Tensor, wanted: Wanted) -> Tensor:
    """What is wanted of a rescaled image."""
    if wanted.crop is None:
        return rescaled
    (view,) = Protocol("center", crop=wanted.crop).views(rescaled.shape[1], rescaled.shape[2])
    return take(rescaled, view)

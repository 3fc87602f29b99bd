"""The worst errors of a net: which images, what they are, and what it took them for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vggbench.data import ImageFile
from vggbench.images.thumbnails import thumbnail
from vggbench.store.per_image import PerImage

WORST = 24
"""Images shown of each net at most."""
_SIDE = 160
"""Pixels of a thumbnail's longer side."""


@dataclass(frozen=True)
class Said:
    """A class and its probability in percent."""

    name: str
    percent: float


@dataclass(frozen=True)
class Mistake:
    """An image that a net got wrong, and what it said."""

    image: str
    truth: str
    rank: int
    loss: float
    said: tuple[Said, ...]
    thumbnail: bytes | None
    """A JPEG; None where the image can no longer be read."""


@dataclass(frozen=True)
class Gallery:
    """The worst mistakes of one net."""

    title: str
    mistakes: tuple[Mistake, ...]
    wrong: int
    images: int


def gallery(title: str, found: PerImage, names: Sequence[str], images: Mapping[str, ImageFile]) -> Gallery:
    """The wrong images of highest loss, the worst first; `images` by their ids."""
    wrong = [place for place in range(len(found.images)) if found.ranks[place] > 0]
    worst = sorted(wrong, key=lambda place: (-found.losses[place], place))[:WORST]
    mistakes = tuple(_mistake(found, place, names, images[found.images[place]]) for place in worst)
    return Gallery(title, mistakes, len(wrong), len(found.images))


def _mistake(found: PerImage, place: int, names: Sequence[str], image: ImageFile) -> Mistake:
    guesses = zip(found.classes[place], found.probabilities[place], strict=True)
    return Mistake(
        image=found.images[place],
        truth=names[found.labels[place]],
        rank=int(found.ranks[place]) + 1,
        loss=float(found.losses[place]),
        said=tuple(Said(names[guess], 100 * float(probability)) for guess, probability in guesses),
        thumbnail=thumbnail(image, _SIDE),
    )

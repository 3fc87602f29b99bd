"""What a data set is made of, counted: classes, modes, formats, sizes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np

from vggbench.data import DataSet
from vggbench.data.archive import Archive
from vggbench.images.inspection import Inspection

_EDGES = (0, 64, 128, 224, 256, 320, 384, 448, 512, 768, 1024, 2048)
"""Edges of the bins of the shorter side, in pixels: Q, and what lies around it."""


@dataclass(frozen=True)
class PerClass:
    """How many classes have images, the fewest and the most of one and its name, and the median."""

    classes: int
    fewest: tuple[int, str]
    most: tuple[int, str]
    median: float


@dataclass(frozen=True)
class Pixels:
    """What the headers that were read say."""

    modes: Counter[str]
    formats: Counter[str]
    turned: int
    """The images whose EXIF asks for them to be turned."""
    sizes: Counter[tuple[int, int]]
    """Images by width and height."""
    shorter_sides: tuple[int, int, float]
    """Least, most and median."""
    bins: tuple[tuple[int, int | None, int], ...]
    """The shorter sides in bins: the first pixel, the last, and how many; without empty bins at either end."""


@dataclass(frozen=True)
class Census:
    """An inspection, counted."""

    data: DataSet
    looked: int
    decoded: int
    verified: bool
    problems: tuple[str, ...]
    """Image and reason."""
    images: Mapping[str, int]
    """The number of images by class."""
    unknown_wnids: tuple[str, ...]
    per_class: PerClass
    pixels: Pixels | None
    """None where no header could be read."""
    is_read: bool = False
    """Whether every image was read."""
    digest: str | None = None
    """The digest of the bytes of all images; None if they were not read, or not all could be."""
    archive: Archive | None = None


def census(found: Inspection) -> Census:
    """Count what was found."""
    return Census(
        data=found.data,
        looked=len(found.looked),
        decoded=found.decoded,
        verified=found.verified,
        problems=tuple(f"{image} {problem}" for image, problem in found.problems),
        images=found.per_class,
        unknown_wnids=tuple(found.unknown_wnids),
        per_class=_per_class({name: count for name, count in found.per_class.items() if count}),
        pixels=_pixels(found) if found.headers else None,
        is_read=found.is_read,
        digest=found.digest,
        archive=found.archive,
    )


def _per_class(counts: Mapping[str, int]) -> PerClass:
    fewest, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    return PerClass(len(counts), (counts[fewest], fewest), (counts[most], most), median(counts.values()))


def _pixels(found: Inspection) -> Pixels:
    sides = found.shorter_sides
    return Pixels(
        modes=Counter(header.mode for header in found.headers),
        formats=Counter(header.format for header in found.headers),
        turned=sum(header.oriented for header in found.headers),
        sizes=Counter((header.width, header.height) for header in found.headers),
        shorter_sides=(int(sides.min()), int(sides.max()), float(np.median(sides))),
        bins=_bins(np.histogram(sides, bins=[*_EDGES, np.inf])[0].tolist()),
    )


def _bins(counts: list[int]) -> tuple[tuple[int, int | None, int], ...]:
    filled = [place for place, count in enumerate(counts) if count]
    ends = [*(edge - 1 for edge in _EDGES[1:]), None]
    return tuple((_EDGES[place], ends[place], counts[place]) for place in range(filled[0], filled[-1] + 1))

"""How other libraries rescale, in closed form: (H, W, 3) levels from 0 to 255 -> the same of another size.

OpenCV's bilinear rule for bytes is its `resize.cpp`'s, of weights in eleven bits and two passes of integers;
TensorFlow's are those of its `image_resizer_state.h`, whose results nobody rounds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.floating[Any]]
Size = tuple[int, int]
Rule = Callable[[int, int], Pixels]
Resizer = Callable[[Pixels, Size], Pixels]
_WEIGHT = 1 << 11


def half_pixel(side: int, target: int) -> Pixels:
    """Where each target's middle lies in the source: everybody's rule today."""
    return (np.arange(target) + 0.5) * (side / target) - 0.5


def corner(side: int, target: int) -> Pixels:
    """Targets begin where sources do: TensorFlow's rule before 2.0."""
    return np.arange(target) * (side / target)


def aligned(side: int, target: int) -> Pixels:
    """The first and the last of both lie upon each other: `align_corners`."""
    return np.arange(target) * ((side - 1) / max(target - 1, 1))


def linear(pixels: Pixels, size: Size, rule: Rule = half_pixel) -> Pixels:
    """Bilinear between the nearest samples, whatever the scale: no antialias, not rounded."""
    for axis, target in enumerate(size):
        low, high, share = _between(rule(pixels.shape[axis], target), pixels.shape[axis])
        share = _along(share, axis)
        pixels = np.take(pixels, low, axis) * (1 - share) + np.take(pixels, high, axis) * share
    return pixels


def opencv(pixels: Pixels, size: Size, rule: Rule = half_pixel) -> Pixels:
    """`cv2.resize` of bytes, INTER_LINEAR: columns, then rows, in integers."""
    whole = np.rint(pixels).astype(np.int64)
    (top, bottom, down), (left, right, across) = (
        _between(rule(side, target).astype(np.float32), side) for side, target in zip(whole.shape, size, strict=False)
    )
    first, second = (np.rint(share * _WEIGHT).astype(np.int64)[None, :, None] for share in (1 - across, across))
    rows = whole[:, left] * first + whole[:, right] * second
    upper, lower = (np.rint(share * _WEIGHT).astype(np.int64)[:, None, None] for share in (1 - down, down))
    summed = ((upper * (rows[top] >> 4)) >> 16) + ((lower * (rows[bottom] >> 4)) >> 16)
    found: Pixels = ((summed + 2) >> 2).clip(0, 255).astype(np.float64)
    return found


def opencv_area(pixels: Pixels, size: Size) -> Pixels:
    """`cv2.resize` of bytes, INTER_AREA: means over the source's area, or where it enlarges a rule of its own."""
    if any(target > side for side, target in zip(pixels.shape, size, strict=False)):
        return opencv(pixels, size, _enlarged_area)
    for axis, target in enumerate(size):
        pixels = np.moveaxis(np.tensordot(_shares(pixels.shape[axis], target), pixels, (1, axis)), 0, axis)
    return np.rint(pixels)


def nearest_corner(pixels: Pixels, size: Size) -> Pixels:
    """The sample in which a target begins: OpenCV's, PyTorch's nearest, and TensorFlow's before 2.0."""
    for axis, target in enumerate(size):
        pixels = np.take(pixels, np.floor(corner(pixels.shape[axis], target)).astype(int), axis)
    return pixels


def _between(places: Pixels, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Pixels]:
    """The samples before and after each place, and how near it is to the latter."""
    inside = places.clip(0, side - 1)
    low = np.floor(inside).astype(np.int64)
    return low, np.minimum(low + 1, side - 1), inside - low


def _along(values: Pixels, axis: int) -> Pixels:
    return values.reshape([-1 if place == axis else 1 for place in range(3)])


def _shares(side: int, target: int) -> Pixels:
    """(target, side): how much of each target's area each sample is."""
    edges = np.arange(target + 1) * (side / target)
    samples = np.arange(side)
    covered = np.minimum(edges[1:, None], samples + 1) - np.maximum(edges[:-1, None], samples)
    covered = covered.clip(0)
    found: Pixels = covered / covered.sum(1, keepdims=True)
    return found


def _enlarged_area(side: int, target: int) -> Pixels:
    """Where INTER_AREA samples as it enlarges: between two samples in the last part of a source's area alone."""
    scale = side / target
    start = np.floor(np.arange(target) * scale)
    share = (np.arange(target) + 1) - (start + 1) / scale
    found: Pixels = start + np.where(share <= 0, 0, share - np.floor(share))
    return found

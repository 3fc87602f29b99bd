"""Somebody's dump: arrays by the names of stages, read without unpickling, and what each may be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import DataError, WeightsError
from vggbench.weights.npz import read_npz

Array = NDArray[np.floating[Any]]
PIXELS = ("decoded", "resized", "cropped")
"""Stages whose values are levels of pixels."""
INPUT, LOGITS, POSTERIOR = "input", "logits", "posterior"
_SHOWN = 4


@dataclass(frozen=True)
class Given:
    """One array of a dump, as it stands there."""

    name: str
    values: Array
    is_half: bool = False
    """Whether it is of 16 bits, which round more."""
    is_whole: bool = False
    """Whether all values are integers."""


@dataclass(frozen=True)
class Reading:
    """One way to read an array: in our own order of axes, and what that takes."""

    values: Array
    how: str = ""
    """`HWC`, `BGR`, `0-1`: what is no fault by itself."""
    is_bgr: bool = False


def read_dump(path: Path, layers: Sequence[str]) -> dict[str, Given]:
    """The arrays of an `.npz`. Raises DataError for names that stand for nothing here, and what is no plain numbers."""
    try:
        held = read_npz(path).tensors
        unknown = [name for name in held if name not in (*PIXELS, INPUT, LOGITS, POSTERIOR, *layers)]
        if unknown or not held:
            found = ", ".join(repr(name[:40]) for name in unknown[:_SHOWN]) or "nothing"
            raise DataError(f"{path} holds {found}: expected arrays named {_understood(layers)}.")
        return {name: _given(name, tensor.read().numpy()) for name, tensor in held.items()}
    except WeightsError as error:
        raise DataError(str(error)) from error


def _given(name: str, values: NDArray[Any]) -> Given:
    wide: Array = values.astype(np.float64 if values.size < 10**6 else np.float32)
    is_whole = bool(values.dtype.kind in "iub" or np.array_equal(wide, np.rint(wide)))
    return Given(name, wide, values.dtype == np.float16, is_whole)


def _understood(layers: Sequence[str]) -> str:
    shown = f", or after a layer: {layers[0]} ... {layers[-1]}" if layers else ""
    return f"{', '.join(PIXELS)} (H x W x 3 or 3 x H x W), input, logits, posterior{shown}"


def pixel_readings(given: Given, stage: str) -> Iterator[Reading]:
    """As (H, W, 3) levels, the likeliest first. Raises DataError for what has not three channels."""
    values = _without_batch(given.values, 3)
    layouts = [values] if values.ndim == 3 and values.shape[2] == 3 else []
    layouts += [values.transpose(1, 2, 0)] if values.ndim == 3 and values.shape[0] == 3 else []
    if not layouts:
        raise DataError(
            f"{stage} is of shape {given.values.shape}: expected H x W x 3 or 3 x H x W, or one such image."
        )
    is_share = values.max(initial=0) <= 1 and values.min(initial=0) >= 0 and not given.is_whole
    for pixels in layouts:
        levels = pixels * 255 if is_share else pixels
        yield Reading(levels, "0-1" if is_share else "")
        yield Reading(levels[..., ::-1], "BGR, 0-1" if is_share else "BGR", is_bgr=True)


def input_readings(given: Given, side: int) -> list[Reading]:
    """As (3, side, side). Raises DataError."""
    values = _without_batch(given.values, 3)
    found = [Reading(values)] if values.shape == (3, side, side) else []
    found += [Reading(values.transpose(2, 0, 1), "HWC")] if values.shape == (side, side, 3) else []
    if not found:
        raise DataError(
            f"input is of shape {given.values.shape}: expected 1 x 3 x {side} x {side} or 1 x {side} x {side} x 3, "
            "what the network takes."
        )
    return found


def layer_readings(given: Given, ours: tuple[int, ...]) -> list[Reading]:
    """As our own axes (without the batch's) of what a layer gives. Raises DataError for what cannot be that layer's."""
    values = _without_batch(given.values, len(ours))
    if len(ours) == 3:
        found = [Reading(values)] if values.ndim == 3 and values.shape[0] == ours[0] else []
        if values.ndim == 3 and values.shape[2] == ours[0]:
            found.append(Reading(values.transpose(2, 0, 1), "HWC"))
        if values.ndim < 3 and values.size == np.prod(ours):
            flat = values.reshape(-1)
            found = [Reading(flat.reshape(ours), "flat")]
            found.append(Reading(flat.reshape(*ours[1:], ours[0]).transpose(2, 0, 1), "flat, HWC"))
    else:
        found = [Reading(values.reshape(ours))] if values.size == np.prod(ours) else []
    if not found:
        shape = " x ".join(map(str, (1, *ours)))
        raise DataError(f"{given.name} is of shape {given.values.shape}: expected {shape}, or channels last.")
    return found


def class_readings(given: Given, classes: int) -> list[Reading]:
    """As (K,) or, with a class for the background, (K + 1,). Raises DataError."""
    if given.values.size not in (classes, classes + 1):
        raise DataError(f"{given.name} is of shape {given.values.shape}: expected {classes} values, one a class.")
    return [Reading(given.values.reshape(-1))]


def _without_batch(values: Array, axes: int) -> Array:
    while values.ndim > axes and values.shape[0] == 1:
        values = values[0]
    return values

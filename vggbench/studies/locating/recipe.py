"""Our recipe, step by step, and how each step may be taken otherwise: bytes -> pixels -> input; scores -> posterior."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vggbench.evaluation.jobs import Job
from vggbench.images.pixels import decode_by, rescale_to
from vggbench.images.preprocessing import DecoderName, Input, Rescale
from vggbench.paper.protocols import rescaled_size
from vggbench.studies.locating import resizers
from vggbench.studies.locating.network import Altered

Array = NDArray[np.floating[Any]]
Size = tuple[int, int]


@dataclass(frozen=True)
class Recipe:
    """One way from bytes to a posterior; all defaults are ours."""

    decoder: DecoderName = "torchvision"
    resizer: str = ""
    """A key of `RESIZERS`."""
    side: str = ""
    """`rounded`: the longer side; `square`: Q x Q; `crop`: a square as large as the crop."""
    offset: tuple[int, int] = (0, 0)
    """By how many rows and columns the crop is moved."""
    mirror: str = ""
    """`cropped` or `input`: the step in which it happens."""
    misread: str = ""
    """The step, and which way: `cropped`, `cropped inverse`, `input`, `input late` ..."""
    bgr: str = ""
    """`pixels`: swapped before the mean is subtracted; `input`: after it."""
    unit: tuple[float, bool] = (1.0, False)
    """By what the pixels are multiplied, and whether the mean is as well."""
    mean: str = ""
    """`reversed` or `none`."""
    std: str = ""
    """`reversed` or `none`."""
    altered: Altered = field(default_factory=Altered)
    scores: str = ""
    """`softmax` or `log-softmax` of what are said to be logits."""
    ending: str = ""
    """`twice`, `none` or `log`, of the softmax."""
    classes: tuple[str, str] = ("", "")
    """`logits` or `posterior`, where it shows; `up`, `down`, `background`, `appended` or `order`."""


def _by(how: Rescale) -> resizers.Resizer:
    def resize(pixels: Array, size: Size) -> Array:
        whole = torch.from_numpy(np.rint(pixels).clip(0, 255).astype(np.uint8)).permute(2, 0, 1)
        return rescale_to(whole, size, how).permute(1, 2, 0).numpy().astype(np.float64)

    return resize


RESIZERS: dict[str, resizers.Resizer] = {
    "Pillow": _by(Rescale(library="Pillow")),
    "Pillow bicubic": _by(Rescale("bicubic", library="Pillow")),
    "PyTorch": _by(Rescale()),
    "PyTorch bicubic": _by(Rescale("bicubic")),
    "no antialias": _by(Rescale(antialias=False)),
    "OpenCV": resizers.opencv,
    "OpenCV area": resizers.opencv_area,
    "half pixel": resizers.linear,
    "corner": partial(resizers.linear, rule=resizers.corner),
    "aligned": partial(resizers.linear, rule=resizers.aligned),
    "Pillow nearest": _by(Rescale("nearest", library="Pillow")),
    "PyTorch nearest": _by(Rescale("nearest")),
    "nearest corner": resizers.nearest_corner,
}
UNROUNDED = ("half pixel", "corner", "aligned")
"""Resizers that give no whole levels."""


class Steps:
    """The steps before the network, of one image."""

    def __init__(self, data: bytes, job: Job, how: Rescale) -> None:
        self._data, self._scale, self._how = data, job.scale, job.rescale or how
        self._crop, self._input = job.protocol.crop, job.model.input
        self._decoded: dict[DecoderName, Array] = {}
        self._resized: dict[tuple[int, str, str], Array] = {}

    def walk(self, recipe: Recipe, start: str | None, value: Array | None, stop: str) -> Array:
        """What a recipe gives at `stop`, from the value at `start` on, or from the bytes."""
        steps: dict[str, Callable[[Any, Recipe], Array]] = {
            "decoded": self._decode, "resized": self._resize, "cropped": self._cut, "input": self._normalise,
        }  # fmt: skip
        names = list(steps)
        first = 0 if start is None else names.index(start) + 1
        for name in names[first : names.index(stop) + 1]:
            value = steps[name](value, recipe)
        assert value is not None
        return value

    def _decode(self, nothing: Any, recipe: Recipe) -> Array:
        if recipe.decoder not in self._decoded:
            pixels = decode_by(recipe.decoder, self._data)
            self._decoded[recipe.decoder] = pixels.permute(1, 2, 0).numpy().astype(np.float64)
        return self._decoded[recipe.decoder]

    def _resize(self, pixels: Array, recipe: Recipe) -> Array:
        key = id(pixels), recipe.resizer, recipe.side
        if key not in self._resized:
            resize = RESIZERS[recipe.resizer] if recipe.resizer else _by(self._how)
            self._resized[key] = resize(pixels, self._size(pixels.shape, recipe.side))
        return self._resized[key]

    def _size(self, shape: tuple[int, ...], side: str) -> Size:
        height, width = shape[:2]
        if side in ("square", "crop"):
            return (self._scale, self._scale) if side == "square" else (self._crop, self._crop)
        if side == "rounded":
            longer = round(self._scale * max(height, width) / min(height, width))
            return (self._scale, longer) if height <= width else (longer, self._scale)
        if side == "proportional":
            return rescaled_size(height, width, self._scale)
        return self._how.size(height, width, self._scale)

    def _cut(self, pixels: Array, recipe: Recipe) -> Array:
        height, width = (max(side, self._crop) for side in pixels.shape[:2])
        if (height, width) != pixels.shape[:2]:
            return np.full((self._crop, self._crop, 3), np.nan)  # nothing that anybody could have cropped
        places = (round((side - self._crop) / 2) for side in (height, width))
        top, left = (
            min(max(place + moved, 0), side - self._crop)
            for place, moved, side in zip(places, recipe.offset, (height, width), strict=True)
        )
        return _otherwise(pixels[top : top + self._crop, left : left + self._crop], recipe, "cropped")

    def _normalise(self, pixels: Array, recipe: Recipe) -> Array:
        pixels = _otherwise(pixels, recipe, "input")
        found = normalised(pixels, self._input, recipe)
        if recipe.misread.startswith("input late"):
            found = _misread(found.transpose(1, 2, 0), recipe.misread.endswith("inverse")).transpose(2, 0, 1)
        return found


def normalised(pixels: Array, expected: Input, recipe: Recipe) -> Array:
    """(H, W, 3) levels in RGB -> (3, H, W), as a network expects them but for what the recipe does otherwise."""
    mean, std = (np.array(values, dtype=np.float64) for values in (expected.mean, expected.std))
    mean = mean[::-1] if recipe.mean == "reversed" else mean * (recipe.mean != "none")
    std = std[::-1] if recipe.std == "reversed" else std if recipe.std != "none" else np.ones(3)
    is_swapped = (expected.channels == "BGR") != (recipe.bgr == "pixels")
    values = pixels[..., ::-1] if is_swapped else pixels
    factor, with_mean = recipe.unit
    values = values / (255 / expected.range) * factor - mean * (factor if with_mean else 1)
    found: Array = (values / std).transpose(2, 0, 1)
    return found[::-1] if recipe.bgr == "input" else found


def ended(scores: Array, ending: str) -> Array:
    """The posterior of (K,) scores, or what stands in its place."""
    if ending == "none":
        return scores
    posterior = softmax(scores)
    with np.errstate(divide="ignore"):
        return np.log(posterior) if ending == "log" else softmax(posterior) if ending == "twice" else posterior


def softmax(scores: Array) -> Array:
    """The softmax of (K,) scores."""
    powers = np.exp(scores - scores.max())
    found: Array = powers / powers.sum()
    return found


def reordered(ours: Array, how: str, theirs: Array, *, are_shares: bool) -> Array:
    """(K,) values in another order of classes, or (K + 1,) with theirs for the background."""
    if how == "order":
        found = np.empty_like(ours)
        if theirs.shape == ours.shape:
            found[np.argsort(theirs, kind="stable")] = np.sort(ours)
        return found if theirs.shape == ours.shape else ours
    if how in ("up", "down"):
        return np.roll(ours, 1 if how == "up" else -1)
    if theirs.size != ours.size + 1:
        return ours
    own = theirs[0] if how == "background" else theirs[-1]
    rest = ours * (1 - own) if are_shares else ours
    return np.append(own, rest) if how == "background" else np.append(rest, own)


def _otherwise(pixels: Array, recipe: Recipe, step: str) -> Array:
    if recipe.mirror == step:
        pixels = pixels[:, ::-1]
    if recipe.misread in (step, f"{step} inverse"):
        pixels = _misread(pixels, recipe.misread.endswith("inverse"))
    return pixels


def _misread(pixels: Array, is_inverse: bool) -> Array:
    """(H, W, 3): its values in a row, taken for those of three planes one after the other, or the other way round."""
    height, width = pixels.shape[:2]
    if is_inverse:
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)).reshape(height, width, 3)
    return np.ascontiguousarray(pixels).reshape(3, height, width).transpose(1, 2, 0)

"""What may be done otherwise, as rows: a word of the vocabulary, where it first shows, and what it changes."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from vggbench.images.pixels import has_other_decoders
from vggbench.studies.locating.network import Altered
from vggbench.studies.locating.recipe import Recipe

UNKNOWN = "unknown"
STEPS = ("decoded", "resized", "cropped", "input", "network", "logits", "posterior")
"""In their order; `network` is all layers."""
VOCABULARY: dict[str, str] = {
    "decoder-fast-dct": "libjpeg's fast DCT",
    "decoder-plain-upsampling": "JPEGs' chroma is not smoothed as it is enlarged",
    "bgr": "red and blue are swapped",
    "range-0-1": "values 255 times too small",
    "range-0-255": "values 255 times too large",
    "mean-order": "the mean, or the deviation, of red is taken for blue's and the reverse",
    "no-mean": "no mean is subtracted",
    "no-std": "nothing is divided by the deviation",
    "chw-as-hwc": "values of one layout of axes are read as the other's",
    "resize-pillow": "rescaled by Pillow",
    "resize-pytorch": "rescaled by PyTorch",
    "resize-bilinear": "bilinear, and not by the recipe's filter",
    "resize-bicubic": "bicubic, and not by the recipe's filter",
    "resize-opencv": "OpenCV's bilinear rule, without antialias",
    "resize-opencv-area": "OpenCV's INTER_AREA",
    "resize-tensorflow": "TensorFlow's bilinear rule, half-pixel centres, without antialias, unrounded",
    "resize-tensorflow-v1": "TensorFlow's bilinear rule before 2.0, without half-pixel centres",
    "resize-align-corners": "bilinear with align_corners",
    "resize-nearest": "nearest neighbour",
    "no-antialias": "bilinear samples alone",
    "side-rounded": "the longer side is rounded, not truncated",
    "square": "warped to a square, proportions lost",
    "not-square": "proportions kept where the recipe warps to a square",
    "crop-offset": "the crop is off by a pixel",
    "mirror": "mirrored",
    "flatten-order": "the maps before fc6 are flattened in another order than its weights are in",
    "ceil-pooling": "pooled sizes are rounded up",
    "floor-pooling": "pooled sizes are rounded down",
    "bn-epsilon": "another epsilon in batch normalisation",
    "padding": "convolutions see other than zeros beyond the border, or as many on other sides",
    "softmax-twice": "a softmax of a softmax",
    "no-softmax": "scores instead of probabilities",
    "log-softmax": "logarithms instead of probabilities or scores",
    "class-shift": "the list of classes is shifted by one",
    "class-order": "the same values in another order of classes",
    UNKNOWN: "none of these, nor two of them",
}
"""All that `causes` may say."""


@dataclass(frozen=True)
class Candidate:
    """One thing done otherwise: `field` of a `Recipe`, or of its `Altered`, becomes `value`."""

    name: str
    step: str
    """The stage where it first shows."""
    field: str
    value: Any

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe with it."""
        if self.field in _ALTERED:
            return replace(recipe, altered=replace(recipe.altered, **{self.field: self.value}))
        return replace(recipe, **{self.field: self.value})

    def is_taken(self, recipe: Recipe) -> bool:
        """Whether the recipe does otherwise already in what this changes."""
        own, usual = (getattr(one.altered if self.field in _ALTERED else one, self.field) for one in (recipe, Recipe()))
        return bool(own != usual)


_ALTERED = {item.name for item in fields(Altered)}
_RESIZERS = {
    "Pillow": "resize-pillow", "OpenCV": "resize-opencv", "no antialias": "no-antialias",
    "half pixel": "resize-tensorflow", "corner": "resize-tensorflow-v1", "aligned": "resize-align-corners",
    "OpenCV area": "resize-opencv-area", "Pillow nearest": "resize-nearest",
    "PyTorch nearest": "resize-nearest", "nearest corner": "resize-nearest",
    "PyTorch bicubic": "resize-bicubic", "Pillow bicubic": "resize-bicubic",
}  # fmt: skip
_MOVES = [(0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)]
_EPSILONS = (1e-3, 1e-4, 1e-5, 1e-6, 2e-5, 0.0)


def candidates(filter_name: str) -> list[Candidate]:
    """All rows for a recipe that rescales by this filter."""
    return [*_of_pixels(filter_name), *_of_input(), *_of_network(), *_of_scores()]


def _of_pixels(filter_name: str) -> Iterator[Candidate]:
    if has_other_decoders():
        yield Candidate("decoder-fast-dct", "decoded", "decoder", "fast DCT")
        yield Candidate("decoder-plain-upsampling", "decoded", "decoder", "plain upsampling")
    names = dict(_RESIZERS)
    if filter_name != "bilinear":
        names |= {"Pillow": "resize-bilinear", "PyTorch": "resize-bilinear"}
        names |= {"Pillow bicubic": "resize-pillow", "PyTorch bicubic": "resize-pytorch"}
    else:
        names |= {"PyTorch": "resize-pytorch"}
    yield from (Candidate(name, "resized", "resizer", resizer) for resizer, name in names.items())
    yield Candidate("side-rounded", "resized", "side", "rounded")
    yield Candidate("square", "resized", "side", "square")
    yield Candidate("square", "resized", "side", "crop")
    yield Candidate("not-square", "resized", "side", "proportional")
    yield from (Candidate("crop-offset", "cropped", "offset", move) for move in _MOVES)


def _of_input() -> Iterator[Candidate]:
    for step in ("cropped", "input"):
        yield Candidate("mirror", step, "mirror", step)
        yield Candidate("chw-as-hwc", step, "misread", step)
        yield Candidate("chw-as-hwc", step, "misread", f"{step} inverse")
    yield Candidate("chw-as-hwc", "input", "misread", "input late")
    yield Candidate("chw-as-hwc", "input", "misread", "input late inverse")
    yield Candidate("bgr", "input", "bgr", "pixels")
    yield Candidate("bgr", "input", "bgr", "input")
    for with_mean in (False, True):
        yield Candidate("range-0-1", "input", "unit", (1 / 255, with_mean))
        yield Candidate("range-0-255", "input", "unit", (255.0, with_mean))
    yield Candidate("mean-order", "input", "mean", "reversed")
    yield Candidate("mean-order", "input", "std", "reversed")
    yield Candidate("no-mean", "input", "mean", "none")
    yield Candidate("no-std", "input", "std", "none")


def _of_network() -> Iterator[Candidate]:
    yield Candidate("flatten-order", "network", "flatten", "HWC")
    yield Candidate("flatten-order", "network", "flatten", "inverse")
    yield Candidate("ceil-pooling", "network", "pooling", "ceil")
    yield Candidate("floor-pooling", "network", "pooling", "floor")
    yield from (Candidate("bn-epsilon", "network", "epsilon", epsilon) for epsilon in _EPSILONS)
    yield from (
        Candidate("padding", "network", "padding", mode) for mode in ("same", "replicate", "reflect", "circular")
    )


def _of_scores() -> Iterator[Candidate]:
    yield Candidate("softmax-twice", "logits", "scores", "softmax")
    yield Candidate("log-softmax", "logits", "scores", "log-softmax")
    yield Candidate("softmax-twice", "posterior", "ending", "twice")
    yield Candidate("no-softmax", "posterior", "ending", "none")
    yield Candidate("log-softmax", "posterior", "ending", "log")
    for way in ("up", "down", "background", "appended", "order"):
        name = "class-order" if way == "order" else "class-shift"
        yield from (Candidate(name, step, "classes", (step, way)) for step in ("logits", "posterior"))

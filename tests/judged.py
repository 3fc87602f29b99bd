"""Whether a file of weights is read right, refused, or gives another number than an interpreter of its description."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from naive import TABLE_1
from numpy.typing import NDArray
from torch import Tensor

from vggbench import LoadOptions, Model, ModelSpec, load_model
from vggbench.errors import UsageError, WeightsError
from vggbench.inference.choice import start

CLOSE = 1e-4
"""The largest difference that is right, in units of the largest score."""
Interpreter = Callable[[Tensor], Tensor]
"""(N, 3, H, W) uint8 RGB -> scores (N, K) or a score map (N, K, h, w); raises where the net cannot be run."""


def pictures(height: int = 224, width: int = 224, count: int = 1) -> Tensor:
    """(N, 3, H, W) uint8 RGB, smooth."""
    coarse = torch.randint(0, 255, (count, 3, 9, 9), generator=torch.Generator().manual_seed(1)).float()
    return F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255).to(torch.uint8)


SQUARE, LARGER = pictures(), pictures(226, 250)
"""A larger picture's sides are halved to odd numbers, where rounding and padding of a pooling show."""


@dataclass(frozen=True)
class Verdict:
    """What became of one file: `kind` is right, refused or wrong."""

    kind: str
    says: str


def loaded(path: Path, config: str, asked: str | None) -> Model:
    """The model of a file."""
    return load_model(ModelSpec.parse(f"{config}@{path}"), LoadOptions(input=asked), ())


def judge(path: Path, config: str, asked: str | None, interpreter: Interpreter, illegal: type[Exception]) -> Verdict:
    """Load a file and compare it with its description."""
    try:
        model = loaded(path, config, asked)
    except (WeightsError, UsageError) as error:
        return Verdict("refused", str(error))
    run = start("pytorch", model, torch.device("cpu"), "fp32")
    for images in (SQUARE, LARGER):
        try:
            expected = interpreter(images)
        except illegal as error:
            if images is SQUARE:
                return Verdict("wrong", f"it is read, and cannot be run: {error}")
            continue
        if images is LARGER and expected.ndim == 2:
            continue  # it flattens maps: another size is another net
        found = run(images)
        expected = expected[:, :, None, None] if expected.ndim == 2 else expected
        if found.shape != expected.shape:
            return Verdict("wrong", f"score map {tuple(found.shape)} for {tuple(expected.shape)}")
        difference = float((found - expected).abs().max() / expected.abs().max())
        if not difference <= CLOSE:
            return Verdict("wrong", f"scores differ by {difference:.2g}")
    return Verdict("right", "")


@dataclass(frozen=True)
class Part:
    """One layer of a VGG, weights as PyTorch has them; `norm` is scale, shift, mean, variance."""

    name: str
    kind: str
    """conv, lrn, pool or fc."""
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    norm: tuple[NDArray[np.float32], ...] = ()


CLASSES, _NARROWER, _HIDDEN = 5, 32, 128
_NOTHING = np.zeros(0, np.float32)


def parts(config: str, *, norm: bool = False) -> list[Part]:
    """A VGG at width 1/32 whose every weight shows in its scores; pixels are of 0-255 minus a mean."""
    draw, found, channels, stage, number = np.random.default_rng(3), [], 3, 1, 0
    for token in TABLE_1[config]:
        if token == "M":
            found.append(Part(f"pool{stage}", "pool", _NOTHING, _NOTHING))
            stage, number = stage + 1, 0
        elif token == "L":
            found.append(Part(f"norm{stage}", "lrn", _NOTHING, _NOTHING))
        else:
            side, out, number = (3 if int(token) > 0 else 1), abs(int(token)) // _NARROWER, number + 1
            found.append(_part(draw, f"conv{stage}_{number}", "conv", (out, channels, side, side), norm=norm))
            channels = out
    sizes = (channels * 49, _HIDDEN, _HIDDEN, CLASSES)
    return found + [_part(draw, f"fc{place + 6}", "fc", (sizes[place + 1], sizes[place])) for place in range(3)]


def _part(draw: np.random.Generator, name: str, kind: str, shape: tuple[int, ...], *, norm: bool = False) -> Part:
    gain, out = (1 / 64 if name == "conv1_1" else 1.5), shape[:1]
    weight = draw.normal(0, gain / np.sqrt(np.prod(shape[1:])), shape).astype("f4")
    bias = draw.normal(0.2, 0.1, out).astype("f4")
    if not norm:
        return Part(name, kind, weight, bias)
    ranges = ((0.5, 1.5), (-0.2, 0.4), (-0.3, 0.3), (0.5, 1.5))
    return Part(name, kind, weight, bias, tuple(draw.uniform(*bounds, out).astype("f4") for bounds in ranges))

"""Which views of an image are taken: pure geometry, no pixels.

A protocol takes views of an image that was rescaled isotropically until its shorter
side is Q (paper, section 3.2); the posterior of the image is the mean over views of
softmax(mean over positions of the score map).
"""

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

from vggbench.errors import UsageError
from vggbench.paper.configs import CROP

ProtocolName = Literal["center", "tencrop", "dense", "multicrop"]
MAX_SCALE = 2048
MODERN_SCALE = 256
"""Q of the modern single-crop baseline, and of a network whose S is unknown."""
COMBINATION = "dense+multicrop"
_UNMIRRORED, _SOFTMAXED = "-unmirrored", "-softmaxed"


@dataclass(frozen=True)
class View:
    """A window of the rescaled image, in pixels, possibly mirrored; prints as `224x224+top+left[m]`."""

    height: int
    width: int
    top: int = 0
    left: int = 0
    mirror: bool = False

    def __str__(self) -> str:
        return f"{self.height}x{self.width}+{self.top}+{self.left}{'m' if self.mirror else ''}"

    @classmethod
    def parse(cls, spec: str) -> Self:
        """Read what `str` wrote; raises UsageError."""
        match = re.fullmatch(r"(\d+)x(\d+)\+(\d+)\+(\d+)(m?)", spec, re.ASCII)
        if match is None:
            raise UsageError(f"{spec!r} is no view: expected HEIGHTxWIDTH+TOP+LEFT, with m for mirrored.")
        height, width, top, left = (int(match[i]) for i in range(1, 5))
        return cls(height, width, top, left, bool(match[5]))


@dataclass(frozen=True)
class Protocol:
    """Center, tencrop, dense, multicrop or multicrop8, as a value that prints as its name.

    `explain` also departs from the paper: `dense-unmirrored`, `dense-softmaxed`.
    """

    name: ProtocolName
    grid: Literal[1, 8] = 1
    """Pixels that the offsets of `multicrop` are multiples of."""
    mirror: bool = True
    """Whether mirrors are taken as well; of `center` none are."""
    softmax_first: bool = False
    """Whether the posteriors of positions are averaged, rather than their scores."""

    def __post_init__(self) -> None:
        if self.name not in get_args(ProtocolName) or self.grid not in (1, 8):
            raise UsageError(f"No protocol {self.name!r} on a grid of {self.grid}.")
        if self.grid != 1 and self.name != "multicrop":
            raise UsageError(f"--grid is for multicrop; {self.name} has no grid.")

    def __str__(self) -> str:
        grid = "" if self.grid == 1 else str(self.grid)
        mirror, first = "" if self.mirror else _UNMIRRORED, _SOFTMAXED if self.softmax_first else ""
        return f"{self.name}{grid}{mirror}{first}"

    @classmethod
    def parse(cls, spec: str) -> Self:
        """Read what `str` wrote; raises UsageError."""
        plain = spec.removesuffix(_SOFTMAXED)
        bare = plain.removesuffix(_UNMIRRORED)
        for name in get_args(ProtocolName):
            if bare in (name, f"{name}8"):
                return cls(name, 8 if bare.endswith("8") else 1, bare == plain, plain != spec)
        raise UsageError(f"Unknown protocol {spec!r}: expected {', '.join(get_args(ProtocolName))} or multicrop8.")

    @property
    def combines(self) -> bool:
        """Whether several Qs, and dense with multicrop, are averaged (the paper's protocols are)."""
        return self.name in ("dense", "multicrop")

    @property
    def view_count(self) -> int:
        """Views of one image at one Q."""
        windows = {"center": 1, "tencrop": 5, "dense": 1, "multicrop": 25}[self.name]
        return windows if self.name == "center" or not self.mirror else 2 * windows

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - protocols are few, and values
    def views(self, height: int, width: int) -> tuple[View, ...]:
        """The views of a rescaled image of this size, in pixels; every mirror follows the unmirrored ones."""
        windows = self._windows(height, width)
        if self.name == "center" or not self.mirror:
            return windows
        mirrors = tuple(View(w.height, w.width, w.top, w.left, mirror=True) for w in windows)
        return windows + mirrors

    def _windows(self, height: int, width: int) -> tuple[View, ...]:
        if self.name == "dense":
            return (View(height, width),)
        centre = (_centre(height), _centre(width))
        if self.name == "center":
            return (View(CROP, CROP, *centre),)
        if self.name == "tencrop":
            corners = [(top, left) for top in (0, height - CROP) for left in (0, width - CROP)]
            return tuple(View(CROP, CROP, *offset) for offset in [*corners, centre])
        tops, lefts = (_grid(side, self.grid) for side in (height, width))
        return tuple(View(CROP, CROP, top, left) for top in tops for left in lefts)


def _centre(side: int) -> int:
    """Offset of the central crop, rounded to even as torchvision's CenterCrop rounds."""
    return round((side - CROP) / 2)


def _grid(side: int, step: int) -> list[int]:
    """Five offsets, step * floor(i * floor((side - 224) / step) / 4 + 1/2)."""
    room = (side - CROP) // step
    return [step * ((2 * i * room + 4) // 8) for i in range(5)]


def rescaled_size(height: int, width: int, scale: int) -> tuple[int, int]:
    """Size after isotropic rescaling to a shorter side of `scale`; the longer side is truncated, as in torchvision."""
    if height <= width:
        return scale, int(scale * width / height)
    return int(scale * height / width), scale


@dataclass(frozen=True)
class TrainScale:
    """S: the shorter side of the training images, fixed (`256`) or jittered (`256-512`)."""

    low: int
    high: int

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"

    @classmethod
    def parse(cls, spec: str) -> Self:
        """Read `256`, `256-512` or the paper's `[256;512]`; raises UsageError."""
        bare = re.sub(r"^\[(\d+);(\d+)\]$", r"\1-\2", spec.strip())
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", bare, re.ASCII)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not CROP <= low <= high <= MAX_SCALE:
            raise UsageError(
                f"S {spec!r} is no training scale: expected 256, 384 or 256-512, between {CROP} and {MAX_SCALE}."
            )
        return cls(low, high)

    @property
    def single(self) -> int:
        """The paper's single test scale: S, or the middle of a jittered S."""
        return (self.low + self.high) // 2

    @property
    def multi(self) -> tuple[int, int, int]:
        """The paper's three test scales (section 4.2)."""
        if self.low == self.high:
            return self.low - 32, self.low, self.low + 32
        return self.low, self.single, self.high


ANY_SCALE = TrainScale(256, 512)
"""To see whether the words of --scales can be right, before S is known."""


def resolve_scales(specs: Sequence[str], train_scale: TrainScale | None) -> tuple[int, ...]:
    """The Qs that `--scales` asks for, ascending: `single`, `multi`, numbers, or sweeps `224:512:32`.

    Raises UsageError for what is none of these, for a Q under 224, and for `multi` where S is unknown.
    """
    scales: set[int] = set()
    for spec in specs or ("single",):
        scales |= set(_scales(spec, train_scale))
    for scale in scales:
        if not CROP <= scale <= MAX_SCALE:
            raise UsageError(f"--scales {scale}: Q must lie between {CROP}, the crop's side, and {MAX_SCALE}.")
    return tuple(sorted(scales))


def is_scale(text: str) -> bool:
    """Whether `text` is written like a value of --scales."""
    return text in ("single", "multi") or re.fullmatch(r"\d{1,5}(:\d{1,5}:\d{1,5})?", text, re.ASCII) is not None


def _scales(spec: str, train_scale: TrainScale | None) -> Iterable[int]:
    if spec == "single":
        return [train_scale.single if train_scale else MODERN_SCALE]
    if spec == "multi":
        if train_scale is None:
            raise UsageError(
                "--scales multi needs S, which this file does not state: pass --train-scale, or the Qs as numbers."
            )
        return train_scale.multi
    if not is_scale(spec):
        raise UsageError(f"--scales {spec!r}: expected single, multi, numbers such as 256 384 512, or 224:512:32.")
    first, *rest = (int(number) for number in spec.split(":"))
    if not rest:
        return [first]
    last, step = rest
    if step == 0 or last < first:
        raise UsageError(f"--scales {spec}: a sweep is FIRST:LAST:STEP with LAST from FIRST up and STEP from 1 up.")
    return range(first, min(last, MAX_SCALE + step) + 1, step)

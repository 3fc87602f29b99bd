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

from vggbench.errors import UsageError, did_you_mean
from vggbench.paper.configs import CROP

ProtocolName = Literal["center", "tencrop", "dense", "multicrop", "own", "imported"]
MAX_SCALE = 2048
MODERN_SCALE = 256
"""Q of the modern single-crop baseline, and of a network whose S is unknown: 224 is 7/8 of it."""
OWN: Literal["own"] = "own"
"""The protocol by which a network's publisher evaluates it: one central crop after a rescaling of its own."""
IMPORTED: Literal["imported"] = "imported"
"""In place of a protocol, of what another tool predicted: which views it took is not known here."""
PROTOCOLS: tuple[ProtocolName, ...] = ("center", "tencrop", "dense", "multicrop", "own")
"""Those that can be asked for."""
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
            raise UsageError(f"{spec!r} is not a view: expected HEIGHTxWIDTH+TOP+LEFT, with m for mirrored.")
        height, width, top, left = (int(match[i]) for i in range(1, 5))
        return cls(height, width, top, left, bool(match[5]))


@dataclass(frozen=True)
class Protocol:
    """Center, tencrop, dense, multicrop, multicrop8 or own, as a value that prints as its name.

    `explain` also departs from the paper: `dense-unmirrored`, `dense-softmaxed`.
    """

    name: ProtocolName
    grid: Literal[1, 8] = 1
    """Pixels that the offsets of `multicrop` are multiples of."""
    mirror: bool = True
    """Whether mirrors are taken as well; of `center` none are."""
    softmax_first: bool = False
    """Whether the posteriors of positions are averaged, rather than their scores."""
    crop: int = CROP
    """Side of the crops: what the network takes, 224 but for networks that are not VGGs. `dense` crops nothing."""

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
        known = (*PROTOCOLS, "multicrop8")
        raise UsageError(
            f"Unknown protocol {spec!r}: expected {', '.join(PROTOCOLS)} or multicrop8.{did_you_mean(spec, known)}"
        )

    @property
    def combines(self) -> bool:
        """Whether several Qs, and dense with multicrop, are averaged (the paper's protocols are)."""
        return self.name in ("dense", "multicrop")

    @property
    def is_central(self) -> bool:
        """Whether it takes the central crop alone."""
        return self.name in ("center", OWN)

    @property
    def view_count(self) -> int:
        """Views of one image at one Q."""
        windows = {"center": 1, "own": 1, "imported": 0, "tencrop": 5, "dense": 1, "multicrop": 25}[self.name]
        return windows if self.is_central or not self.mirror else 2 * windows

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - protocols are few, and values
    def views(self, height: int, width: int) -> tuple[View, ...]:
        """The views of a rescaled image of this size, in pixels; every mirror follows the unmirrored ones."""
        windows = self._windows(height, width)
        if self.is_central or not self.mirror:
            return windows
        mirrors = tuple(View(w.height, w.width, w.top, w.left, mirror=True) for w in windows)
        return windows + mirrors

    def _windows(self, height: int, width: int) -> tuple[View, ...]:
        if self.name == "dense":
            return (View(height, width),)
        crop = self.crop
        centre = (_centre(height, crop), _centre(width, crop))
        if self.is_central:
            return (View(crop, crop, *centre),)
        if self.name == "tencrop":
            corners = [(top, left) for top in (0, height - crop) for left in (0, width - crop)]
            return tuple(View(crop, crop, *offset) for offset in [*corners, centre])
        tops, lefts = (_grid(side, self.grid, crop) for side in (height, width))
        return tuple(View(crop, crop, top, left) for top in tops for left in lefts)


def _centre(side: int, crop: int) -> int:
    """Offset of the central crop, rounded to even as torchvision's CenterCrop rounds."""
    return round((side - crop) / 2)


def _grid(side: int, step: int, crop: int) -> list[int]:
    """Five offsets, step * floor(i * floor((side - crop) / step) / 4 + 1/2)."""
    room = (side - crop) // step
    return [step * ((2 * i * room + 4) // 8) for i in range(5)]


def modern_scale(crop: int) -> int:
    """Q of the modern single-crop baseline for crops of this side: they are 7/8 of it, rounded down (224: 256)."""
    return crop * MODERN_SCALE // CROP


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
                f"S {spec!r} is not a training scale: expected 256, 384 or 256-512, between {CROP} and {MAX_SCALE}."
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


def resolve_scales(specs: Sequence[str], train_scale: TrainScale | None, crop: int = CROP) -> tuple[int, ...]:
    """The Qs that `--scales` asks for, ascending: `single`, `multi`, numbers, or sweeps `224:512:32`.

    Raises UsageError for what is none of these, for a Q under 224, and for `multi` where S is unknown.
    """
    scales: set[int] = set()
    for spec in specs or ("single",):
        scales |= set(_scales(spec, train_scale, crop))
    for scale in scales:
        if not min(crop, CROP) <= scale <= MAX_SCALE:
            least = min(crop, CROP)
            side = ", the crop's side," if least == CROP else ""
            raise UsageError(f"--scales {scale}: Q must lie between {least}{side} and {MAX_SCALE}.")
    return tuple(sorted(scales))


def is_scale(text: str) -> bool:
    """Whether `text` is written like a value of --scales."""
    return text in ("single", "multi") or re.fullmatch(r"\d{1,5}(:\d{1,5}:\d{1,5})?", text, re.ASCII) is not None


def _scales(spec: str, train_scale: TrainScale | None, crop: int) -> Iterable[int]:
    if spec == "single":
        return [train_scale.single if train_scale else modern_scale(crop)]
    if spec == "multi":
        if train_scale is None:
            raise UsageError(
                "--scales multi needs S, which this file does not state: pass --train-scale, or the Qs as numbers."
            )
        return train_scale.multi
    if not is_scale(spec):
        raise UsageError(
            f"--scales {spec!r}: expected single, multi, numbers such as 256 384 512, or 224:512:32."
            f"{did_you_mean(spec, ('single', 'multi'))}"
        )
    first, *rest = (int(number) for number in spec.split(":"))
    if not rest:
        return [first]
    last, step = rest
    if step == 0 or last < first:
        raise UsageError(f"--scales {spec}: a sweep is FIRST:LAST:STEP with LAST from FIRST up and STEP from 1 up.")
    return range(first, min(last, MAX_SCALE + step) + 1, step)

"""The six columns of the paper's Table 1, its shallow control, and four with the batch normalisation of torchvision."""

import difflib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from vggbench.errors import UsageError

STAGE_CHANNELS = (64, 128, 256, 512, 512)
FC_SIZE = 4096
MAX_WIDTH = 4.0
"""Widest network that is built, in times the paper's: sizes are checked before memory is taken."""
CROP = 224
"""Side of the training crop, and the smallest input that the networks take."""
FC6_KERNEL = 7
"""Side of the last pooled map of a 224 x 224 input: fc6 is a 7 x 7 convolution over it."""


@dataclass(frozen=True)
class Layer:
    """One layer of the convolutional part; `channels` are the paper's output channels at width 1."""

    name: str
    kind: Literal["conv", "lrn", "pool"]
    kernel: int
    channels: int


@dataclass(frozen=True)
class Config:
    """One net, such as a column of Table 1; `table` is its stages, read from left to right.

    5, 3, 1: 5x5, 3x3 or 1x1 convolution and ReLU. LRN: local response
    normalisation. M: 2x2 max-pooling, which ends a stage. With `batch_norm` every convolution
    is followed by batch normalisation, which the paper does not have.
    """

    name: str
    known_as: str | None
    table: str
    batch_norm: bool = False

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers before fc6, named as Oxford names them (conv1_1, pool1)."""
        return tuple(
            _layer(token, stage, convs_so_far, channels)
            for stage, (tokens, channels) in enumerate(zip(self._stages, STAGE_CHANNELS, strict=True), 1)
            for token, convs_so_far in _counted([*tokens, "M"])
        )

    @property
    def convs(self) -> tuple[Layer, ...]:
        """The convolutions alone."""
        return tuple(layer for layer in self.layers if layer.kind == "conv")

    @property
    def _stages(self) -> list[list[str]]:
        return [stage.split() for stage in self.table.split("M")[:-1]]


def _counted(tokens: list[str]) -> list[tuple[str, int]]:
    convs = 0
    counted = []
    for token in tokens:
        convs += token in "135"
        counted.append((token, convs))
    return counted


def _layer(token: str, stage: int, convs_so_far: int, channels: int) -> Layer:
    if token == "M":
        return Layer(f"pool{stage}", "pool", 2, channels)
    if token == "LRN":
        return Layer(f"lrn{stage}", "lrn", 5, channels)
    return Layer(f"conv{stage}_{convs_so_far}", "conv", int(token), channels)


# fmt: off
CONFIGS = {config.name: config for config in (
    #                             64      128     256         512         512
    Config("A",     "VGG-11",    "3     M 3   M   3 3     M   3 3     M   3 3     M"),
    Config("A-LRN", None,        "3 LRN M 3   M   3 3     M   3 3     M   3 3     M"),
    Config("B",     "VGG-13",    "3 3   M 3 3 M   3 3     M   3 3     M   3 3     M"),
    Config("C",     None,        "3 3   M 3 3 M   3 3 1   M   3 3 1   M   3 3 1   M"),
    Config("D",     "VGG-16",    "3 3   M 3 3 M   3 3 3   M   3 3 3   M   3 3 3   M"),
    Config("E",     "VGG-19",    "3 3   M 3 3 M   3 3 3 3 M   3 3 3 3 M   3 3 3 3 M"),
    Config("B-5x5", None,        "5     M 5   M   5       M   5       M   5       M"),
    Config("A-BN",  "VGG-11-BN", "3     M 3   M   3 3     M   3 3     M   3 3     M", batch_norm=True),
    Config("B-BN",  "VGG-13-BN", "3 3   M 3 3 M   3 3     M   3 3     M   3 3     M", batch_norm=True),
    Config("D-BN",  "VGG-16-BN", "3 3   M 3 3 M   3 3 3   M   3 3 3   M   3 3 3   M", batch_norm=True),
    Config("E-BN",  "VGG-19-BN", "3 3   M 3 3 M   3 3 3 3 M   3 3 3 3 M   3 3 3 3 M", batch_norm=True),
)}
# fmt: on
PAPER = {name: CONFIGS[name] for name in ("A", "A-LRN", "B", "C", "D", "E")}
"""The six nets of Table 1. B-5x5 stands apart: B with one 5x5 layer for each pair of 3x3 layers (section 4.1)."""


def config_named(text: str) -> Config:
    """The config called `text`: A, a-lrn, vgg16, VGG-16.

    Raises UsageError with the nearest name.
    """
    names = {config.name: config for config in CONFIGS.values()}
    names |= {config.known_as: config for config in CONFIGS.values() if config.known_as}
    known = {_folded(name): config for name, config in names.items()}
    found = known.get(_folded(text))
    if found is None:
        near = difflib.get_close_matches(_folded(text), known, n=1)
        hint = f" Did you mean {known[near[0]].name}?" if near else ""
        raise UsageError(
            f"Unknown config {text!r}: expected one of {', '.join(PAPER)}, B-5x5 or vgg11, vgg13, vgg16, vgg19 (with "
            f"batch normalisation: D-BN, vgg16_bn and so on).{hint}"
        )
    return found


def scaled(channels: int, width: float) -> int:
    """Channels of a network `width` times as wide as the paper's."""
    return max(1, round(channels * width))


def _folded(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")

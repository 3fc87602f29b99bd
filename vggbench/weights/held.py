"""Tensors in a file: their names, shapes and types are known before any of their values is read."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vggbench.weights.description import StatedInput

_NAMES = "float16 bfloat16 float32 float64 uint8 int8 int16 int32 int64 bool"
DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in _NAMES.split()}
"""The types of tensors that are read, by their names."""


@dataclass(frozen=True)
class Held:
    """One tensor of a file; `read` takes memory for its values and raises WeightsError where they cannot be had."""

    shape: tuple[int, ...]
    itemsize: int
    read: Callable[[], Tensor]
    transposed: bool = False
    """Whether a matrix lies there as its transpose (Fortran's order)."""

    @property
    def values(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    def turned(self, shape: tuple[int, ...], turn: Callable[[Tensor], Tensor]) -> "Held":
        """The same values in another order; `shape` is what `turn` yields."""
        return Held(shape, self.itemsize, lambda: turn(self.read()))


@dataclass(frozen=True)
class Odd:
    """A tensor of a kind that no weights here are in: quantised, sparse, complex."""

    kind: str


def held(tensor: Tensor) -> Held:
    """A tensor that is in memory already."""
    return Held(tuple(tensor.shape), tensor.element_size(), lambda: tensor)


class State(NamedTuple):
    """Tensors by the file's own names, in its order, and what it says besides."""

    tensors: dict[str, Held]
    said: tuple[str, ...] = ()
    """What was taken of several things, and by what convention: sentences without a full stop."""
    description: dict[str, Any] = {}  # noqa: RUF012 - read alone
    ceil_pool: bool | None = None
    kinds: dict[str, str] = {}  # noqa: RUF012
    """The class of each module, `Conv2d`, where a whole network was pickled."""


@dataclass(frozen=True)
class Contents:
    """What a file holds: tensors by torchvision's names, and all that it says of itself."""

    tensors: dict[str, Tensor]
    description: dict[str, Any]
    """What a file that this project wrote says of itself; {} for any other."""
    sha256: str
    """SHA-256 of the file; of the tensors where other files hold some, or where the file's own word changed them."""
    input: StatedInput | None = None
    ceil_pool: bool | None = None
    """How the file itself says that pooled sizes are rounded."""
    class_names: tuple[str, ...] | None = None
    is_described: bool = False
    """Whether it lists its layers: else they are taken in the order of its tensors."""
    said: tuple[str, ...] = ()
    """What was taken of several things, and by what convention."""

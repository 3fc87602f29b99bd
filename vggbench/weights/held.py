"""A tensor in a file: its name, shape and type are known before any of its values is read."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.int8, torch.int16, torch.int32,
        torch.int64, torch.bool,
    )
}  # fmt: skip
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
        """How many."""
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

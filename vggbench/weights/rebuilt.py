"""What a pickle would rebuild by functions of torch and NumPy, made here from the same arguments, without them."""

import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.weights.archives import ITEMSIZES, Archive, Storage
from vggbench.weights.held import DTYPES, Held, Odd
from vggbench.weights.unpickling import Inert

_DICTS = ("collections.OrderedDict", "collections.defaultdict", "collections.Counter")
_PLAIN_TYPES = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")
_NESTED = "torch.storage._load_from_bytes"
_MOST_AXES = 8
_WRAPPED = 4
"""Calls around one another, such as that of a parameter around that of its tensor."""


def tensor_of(value: object, archive: Archive, depth: int = 0) -> Held | Odd | None:
    """The tensor or array that a value of a pickle stands for; None for anything else. Raises WeightsError."""
    if not isinstance(value, Inert) or depth > _WRAPPED:
        return None
    rebuild = _REBUILT.get(value.kind)
    if rebuild is None:
        return Odd(_ODD[value.kind]) if value.kind in _ODD else None
    try:
        return rebuild(value, archive, depth)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError) as error:
        raise WeightsError(_misread(value, archive.path)) from error


def _misread(value: Inert, path: Path) -> str:
    if any(isinstance(part, Inert) and part.kind == _NESTED for part in _arguments(value)):
        return (
            f"{path} was written by pickle.dump, which nests a pickle in each tensor: expected what torch.save writes. "
            f"If you trust the file: torch.save(pickle.load(open({str(path)!r}, 'rb')), 'x.pth')."
        )
    return f"{path} describes a tensor in a way that {value.kind} does not know: expected what torch.save writes."


def mapping_of(value: object) -> dict[Any, Any] | None:
    """The dict that a value is or would be; None for anything else."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, Inert) or not (value.kind in _DICTS or value.pairs):
        return None
    first = _arguments(value)[:1]
    if first and isinstance(first[0], dict):
        return first[0] | value.pairs
    if first and isinstance(first[0], list):  # as Python 2 pickles an OrderedDict
        listed = [tuple(pair) for pair in first[0] if isinstance(pair, list | tuple) and len(pair) == 2]
        return {key: item for key, item in listed if isinstance(key, str)} | value.pairs
    return value.pairs


def _arguments(value: Inert) -> tuple[Any, ...]:
    return value.arguments if isinstance(value.arguments, tuple) else ()


def _strided(value: Inert, archive: Archive, depth: int) -> Held | Odd:
    storage, first, shape, stride, *rest = _arguments(value)
    return _view(archive, storage, storage.dtype, first, (shape, stride), rest[2:])


def _typed(value: Inert, archive: Archive, depth: int) -> Held | Odd:
    """With its own type, over a storage of bytes."""
    storage, first, shape, stride, _, _, dtype, *rest = _arguments(value)
    return _view(archive, storage, dtype.name, first, (shape, stride), rest)


def _view(
    archive: Archive, storage: Storage, dtype: str, first: int, layout: tuple[object, object], marks: list[Any]
) -> Held | Odd:
    if dtype not in DTYPES or any(mapping_of(mark) for mark in marks):  # marks of lazily negated or conjugated values
        return Odd(f"{dtype} tensor" if dtype not in DTYPES else "lazily negated or conjugated tensor")
    shape, stride = _integers(layout[0]), _integers(layout[1])
    size = ITEMSIZES[dtype]
    if len(shape) > _MOST_AXES or min(shape, default=0) < 0:
        raise ValueError("a shape that no tensor has")
    last = first + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
    if min((first, *stride), default=0) < 0 or (
        0 not in shape and (last + 1) * size > storage.elements * ITEMSIZES[storage.dtype]
    ):
        raise WeightsError(
            f"{archive.path} has a tensor of shape {shape} that reaches beyond its storage: expected what torch.save "
            "writes. Do not trust it."
        )
    return Held(shape, size, partial(_read, archive, storage, DTYPES[dtype], first, shape, stride))


def _read(
    archive: Archive, storage: Storage, dtype: torch.dtype, first: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> Tensor:
    """Lies in the mapped file where its alignment allows that."""
    if not math.prod(shape):
        return torch.empty(shape, dtype=dtype)
    content: Any = archive.bytes_of(storage)
    if archive.big_endian:
        content = np.frombuffer(content, np.uint8).reshape(-1, dtype.itemsize)[:, ::-1].copy()
    array = np.frombuffer(content, np.uint8)
    if array.ctypes.data % dtype.itemsize or not array.flags.writeable:
        array = array.copy()
    return torch.as_strided(torch.from_numpy(array).view(dtype), shape, stride, first)


def _integers(value: object) -> tuple[int, ...]:
    if isinstance(value, Inert) and value.kind == "torch.Size":
        (value,) = _arguments(value)
    if not isinstance(value, tuple | list) or not all(type(side) is int for side in value):
        raise ValueError("a shape of other things than integers")
    return tuple(value)


def _parameter(value: Inert, archive: Archive, depth: int) -> Held | Odd | None:
    return tensor_of(_arguments(value)[0], archive, depth + 1)


def _subclass(value: Inert, archive: Archive, depth: int) -> Held | Odd | None:
    """A tensor with attributes of its own, or of a class of its own."""
    rebuild, kind, arguments, *_ = _arguments(value)
    if str(kind) not in _PLAIN_TYPES:
        return Odd(f"{kind} tensor")
    return tensor_of(Inert(rebuild, arguments), archive, depth + 1)


def _array(value: Inert, archive: Archive, depth: int) -> Held | Odd | None:
    """NumPy's, whose values come as its state."""
    if not isinstance(value.state, tuple):
        return None
    _, shape, dtype, is_fortran, content = value.state
    return _of_bytes(archive, content, dtype, shape, "F" if is_fortran else "C")


def _buffer(value: Inert, archive: Archive, depth: int) -> Held | Odd | None:
    """NumPy's, as protocol 5 has it."""
    content, dtype, shape, order = _arguments(value)
    return _of_bytes(archive, content, dtype, shape, order)


def _of_bytes(archive: Archive, content: object, dtype: object, shape: object, order: Any) -> Held | Odd:
    kind, sides = _numpy_type(dtype), _integers(shape)
    if isinstance(content, Inert) and content.kind == "_codecs.encode":
        text, encoding = _arguments(content)
        content = text.encode("latin1") if encoding in ("latin1", "latin-1") else None
    if kind is None or order not in ("C", "F"):
        return Odd("array of other things than numbers")
    if not isinstance(content, bytes | bytearray) or len(content) != math.prod(sides) * kind.itemsize:
        raise ValueError("values of another size than its shape's")
    array = np.frombuffer(content, kind).reshape(sides, order=order)
    return Held(sides, kind.itemsize, lambda: from_numpy(array))


def _numpy_type(value: object) -> np.dtype[Any] | None:
    """NumPy's type of plain numbers that torch has as well; None for any other."""
    if not isinstance(value, Inert) or value.kind != "numpy.dtype":
        return None
    code = _arguments(value)[0]
    order = value.state[1] if isinstance(value.state, tuple) else "="
    plain = isinstance(code, str) and re.fullmatch(r"f[248]|i[1248]|u1|b1", code) and order in ("<", ">", "|", "=")
    return np.dtype(f"{order}{code}") if plain else None


def from_numpy(array: Any) -> Tensor:
    """A tensor with the values of an array of either byte order."""
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))


_TORCH, _NUMPY = "torch._utils.", ("numpy.core.", "numpy._core.")
_REBUILT: dict[str, Callable[[Inert, Archive, int], Held | Odd | None]] = {
    f"{_TORCH}_rebuild_tensor": _strided,
    f"{_TORCH}_rebuild_tensor_v2": _strided,
    f"{_TORCH}_rebuild_tensor_v3": _typed,
    f"{_TORCH}_rebuild_parameter": _parameter,
    f"{_TORCH}_rebuild_parameter_with_state": _parameter,
    f"{_TORCH}_rebuild_device_tensor_from_numpy": _parameter,
    f"{_TORCH}_rebuild_xla_tensor": _parameter,
    "torch._tensor._rebuild_from_type": _subclass,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    **{f"{module}multiarray._reconstruct": _array for module in _NUMPY},
    **{f"{module}numeric._frombuffer": _buffer for module in _NUMPY},
}
_ODD = {
    f"{_TORCH}_rebuild_qtensor": "quantised tensor",
    f"{_TORCH}_rebuild_sparse_tensor": "sparse tensor",
    f"{_TORCH}_rebuild_nested_tensor": "nested tensor",
    f"{_TORCH}_rebuild_meta_tensor_no_storage": "tensor without values (meta)",
    f"{_TORCH}_rebuild_wrapper_subclass": "tensor of a class of its own",
}
"""Kinds that are refused by name."""

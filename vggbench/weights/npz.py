"""NumPy's `.npz`: a zip of arrays, compressed or not; shapes are read first, and values up to their size alone."""

import math
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.weights.held import Held, State
from vggbench.weights.layers import MAX_VALUES, require_affordable, whole
from vggbench.weights.rebuilt import from_numpy

_LONGEST_HEADER = 10_000
_PLAIN = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"}
"""Types that torch has as well."""


class _Header(NamedTuple):
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]


def read_npz(path: Path) -> State:
    """The arrays of a file. Raises WeightsError for one that holds anything but plain numbers."""
    with whole(path, ".npz", "what numpy.savez writes"), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("two arrays of one name")
        headers = {entry.filename: _header(archive, entry, path) for entry in entries}
    values = sum(math.prod(header.shape) for header in headers.values())
    if values > MAX_VALUES:
        raise WeightsError(f"{path} claims {values:,} values: expected at most {MAX_VALUES:,}. Do not trust it.")
    return State({
        name.removesuffix(".npy"): Held(
            header.shape, header.dtype.itemsize, partial(_read, path, name, header), header.is_fortran
        )
        for name, header in headers.items()
    })  # fmt: skip


def _header(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> _Header:
    with archive.open(entry) as file:
        header = _parsed(file)
        start = file.tell()
    require_affordable(header.shape, path, entry.filename[:100])
    if header.dtype.str[1:] not in _PLAIN:
        raise WeightsError(
            f"{path} holds {entry.filename[:80]!r} as {header.dtype}: expected plain numbers; objects are never "
            "unpickled here."
        )
    if entry.file_size != start + math.prod(header.shape) * header.dtype.itemsize:
        raise ValueError(f"{entry.filename[:80]} is of another size than its shape's")
    return header


def _parsed(file: Any) -> _Header:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return _Header(*read(file, max_header_size=_LONGEST_HEADER))


def _read(path: Path, name: str, header: _Header) -> Tensor:
    """The values, no more than the shape has, and with the right check sum."""
    size = math.prod(header.shape) * header.dtype.itemsize
    with whole(path, ".npz", "what numpy.savez writes"), zipfile.ZipFile(path) as archive, archive.open(name) as file:
        _parsed(file)
        content = file.read(size)
        if len(content) != size or file.read(1):
            raise ValueError(f"{name[:80]} is of another size than its shape's")
    array = np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.is_fortran else "C")
    return from_numpy(array)

"""Predictions as NumPy's arrays: an `.npz` of ids and values, or an `.npy` of values and a list of ids beside it.

Headers are read first, and values up to their size alone; nothing is ever unpickled.
"""

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import DataError, first_line, printable
from vggbench.store.predictions.part import MOST_BYTES, MOST_CLASSES, ROWS, Part, reading, some
from vggbench.store.predictions.texts import encoding_of

_IDS = ("image", "images", "filename", "filenames", "ids", "id")
_CLASSES = ("classes", "class_names", "wnids")
_LONGEST_NAME = 4096
_MOST_ARRAYS = 100
_LARGEST_LIST = 64 << 20
"""Bytes of a text of ids."""
_KINDS = "fiuUS"
"""Numbers and text: no objects, no records."""


def open_npz(path: Path, images: int, most: int) -> Part:
    """Read an archive's arrays, each with a row for each of so many images and `most` columns, or with the names of
    more classes. Raises DataError.
    """
    with reading(path, ".npz"), zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
        if len(entries) < len(archive.infolist()) or len(entries) > _MOST_ARRAYS:
            raise DataError(f"{path} is a zip file of something else: expected what numpy.savez writes.")
        names = [*map(_stem, entries)]
        if len({name.lower() for name in names}) < len(names):
            raise DataError(f"{path} has two arrays of one name: expected each once.")
        arrays: dict[str, NDArray[Any]] = {}
        for entry in sorted(entries, key=lambda entry: _stem(entry).lower() not in _CLASSES):  # they say how many
            with archive.open(entry) as file:
                name = _stem(entry)
                arrays[name] = _array(file, path, name, images, most)
            most = max(most, len(arrays[name]) + 1) if name.lower() in _CLASSES else most
    ids = [name for name in names if name.lower() in _IDS]
    stated = [name for name in names if name.lower() in _CLASSES]
    if len(ids) != 1 or len(stated) > 1:
        raise DataError(
            f"{path} holds {some(names)}: expected one array of ids called image or filename, and one of values (N, K)."
        )
    classes = _text(arrays.pop(stated[0]), path) if stated else None
    columns: dict[str, NDArray[Any]] = {"image": np.array(_text(arrays.pop(ids[0]), path)), **arrays}
    return _part(path, columns, tuple(classes) if classes is not None else None)


def open_npy(paths: Sequence[Path], images: int, most: int) -> Part:
    """Read an array of values, and the ids of its rows from the other file. Raises DataError."""
    if len(paths) != 2:
        raise DataError(
            f"{paths[0]} is an array without ids: expected a second FILE beside it, with one id per line in the "
            f"order of "
            f"its rows, and found {len(paths)} in all."
        )
    found = {path: _npy(path, images, most) if is_npy(path) else None for path in paths}
    values = [path for path, array in found.items() if array is not None and array.dtype.kind in "fiu"]
    if len(values) != 1:
        raise DataError(f"{paths[0]} and {paths[1]}: expected one of values and one of ids.")
    beside = next(path for path in paths if path != values[0])
    array = found[beside]
    ids = _lines(beside) if array is None else _text(array, beside)
    scores = found[values[0]]
    assert scores is not None
    return _part(values[0], {"image": np.array(ids), "values": scores}, None)


def is_npy(path: Path) -> bool:
    """Whether it begins as `.npy` files do."""
    with reading(path, ".npy"), path.open("rb") as file:
        return file.read(6) == b"\x93NUMPY"


def _stem(entry: zipfile.ZipInfo) -> str:
    return entry.filename.removesuffix(".npy")


def _npy(path: Path, images: int, most: int) -> NDArray[Any]:
    with reading(path, ".npy"), path.open("rb") as file:
        return _array(file, path, path.name, images, most)


def _array(file: IO[bytes], path: Path, name: str, images: int, most: int) -> NDArray[Any]:
    """Its values, after a look at its header. Raises DataError."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = header(file)
    if dtype.kind not in _KINDS or dtype.itemsize > (_LONGEST_NAME if dtype.kind in "US" else 8):
        raise DataError(
            f"{path} holds {printable(name)[:80]} as {dtype}: expected numbers, or names as text; objects are never "
            "unpickled here. Save names with astype(str)."
        )
    rows, width = (shape[0] if shape else 0), math.prod(shape[1:])
    is_list = len(shape) == 1 and rows <= MOST_CLASSES
    if len(shape) == 2 and rows == images and width > most:
        raise DataError(
            f"{path} holds {width:,} values per image in {printable(name)[:80]}: expected at most {most:,}. Name the "
            "classes of the model, one per line, in a file for --classes."
        )
    if len(shape) not in (1, 2) or not width or not (rows == images or is_list):
        raise DataError(
            f"{path} holds {printable(name)[:80]} of shape {shape}: expected ({images:,}, K), a row for each image of "
            "the data. Name the data that was predicted."
        )
    if math.prod(shape) * dtype.itemsize > MOST_BYTES:
        raise DataError(f"{path} claims {math.prod(shape):,} values: expected fewer. Do not trust it.")
    values: NDArray[Any] = np.empty(math.prod(shape), dtype)
    _fill(file, values.view(np.uint8).data)
    return values.reshape(shape, order="F" if is_fortran else "C")


def _fill(file: IO[bytes], rest: memoryview) -> None:
    while len(rest):
        block = file.read(min(len(rest), 1 << 24))
        if not block:
            raise ValueError("it is cut off")
        rest[: len(block)] = block
        rest = rest[len(block) :]
    if file.read(1):
        raise ValueError("there is more behind its values")


def _text(array: NDArray[Any], path: Path) -> list[str]:
    """Names; numbers as they are written."""
    if array.ndim != 1 or array.dtype.kind == "f":
        raise DataError(f"{path} has names of type {array.dtype}: expected a list of text.")
    try:
        return [name.decode() if isinstance(name, bytes) else str(name) for name in array.tolist()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} has names that are not text ({first_line(error)}): expected UTF-8.") from error


def _lines(path: Path) -> list[str]:
    with reading(path, "a list of ids"):
        if path.stat().st_size > _LARGEST_LIST:
            raise DataError(f"{path} has more than {_LARGEST_LIST:,} bytes: expected one id per line.")
        content = path.read_bytes()
        return [line.strip() for line in content.decode(encoding_of(content)).splitlines() if line.strip()]


def _part(path: Path, columns: Mapping[str, NDArray[Any]], classes: tuple[str, ...] | None) -> Part:
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError(
            f"{path} has {some([f'{len(column):,} of {name}' for name, column in columns.items()])}: expected as many "
            "ids as rows of values."
        )
    are_lists = {name: column.ndim == 2 for name, column in columns.items()}
    return Part(path, are_lists, partial(_tables, columns), classes)


def _tables(columns: Mapping[str, NDArray[Any]], numbers: Sequence[str], others: Sequence[str]) -> Iterator[Any]:
    import pyarrow as pa

    for start in range(0, len(columns["image"]), ROWS):
        chosen = {name: columns[name][start : start + ROWS] for name in (*numbers, *others)}
        yield pa.table({
            name: pa.array(values.astype(values.dtype.newbyteorder("=")))
            if values.ndim == 1
            else pa.FixedSizeListArray.from_arrays(
                pa.array(np.ascontiguousarray(values, values.dtype.newbyteorder("=")).ravel()), values.shape[1]
            )
            for name, values in chosen.items()
        })  # fmt: skip

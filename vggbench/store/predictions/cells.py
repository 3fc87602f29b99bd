"""Cells of a pyarrow.Table as arrays: numbers, lists of them, and names; each row is known by its image in messages."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import DataError, printable
from vggbench.store.predictions.part import MOST_CLASSES, reading, some

_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
"""Names in a list as Python, NumPy and JSON print it."""


def texts(table: Any, name: str, where: str) -> list[str]:
    """(n,) names; numbers as they are written. Raises DataError for an empty cell or one of another kind."""
    import pyarrow as pa

    column = table.column(name).combine_chunks()
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if column.null_count or pa.types.is_floating(kind) or pa.types.is_nested(kind):
        raise DataError(f"{where} has empty cells or {kind} in the column {printable(name)}: expected names.")
    with reading(where, "predictions"):
        return [str(text) for text in column.cast(pa.string()).to_pylist()]


def numbers(table: Any, names: Sequence[str], ids: Sequence[str], where: str) -> NDArray[np.floating]:
    """(n, len(names)), of the narrowest float type that holds all of them. Raises DataError for other cells."""
    columns = [table.column(name).combine_chunks() for name in names]
    for name, column in zip(names, columns, strict=True):
        _require_numbers(column, name, ids, where)
    values = np.empty((len(ids), len(names)), np.result_type(*{_float_type(column.type) for column in columns}))
    for place, column in enumerate(columns):
        values[:, place] = column.to_numpy(zero_copy_only=False)
    return values


def lists(table: Any, name: str, ids: Sequence[str], where: str) -> NDArray[Any]:
    """(n, W), of floats or of names; cells of text are read as they were printed. Raises DataError."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.column(name).combine_chunks()
    if pa.types.is_string(column.type):
        return _printed(column, name, ids, where)
    if not pa.types.is_nested(column.type) or column.null_count:
        raise DataError(f"{where} has cells without a list in the column {printable(name)}: expected one in each.")
    with reading(where, "predictions"):
        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    _require_same(lengths, name, ids, where)
    flat, width = column.flatten(), int(lengths[0])
    if pa.types.is_string(flat.type) and not flat.null_count:
        return np.array(flat.to_pylist(), dtype=object).reshape(len(ids), width)
    _require_numbers(flat, name, ids, where, width)
    values: NDArray[Any] = flat.to_numpy(zero_copy_only=False).astype(_float_type(flat.type), copy=False)
    return values.reshape(len(ids), width)


def _require_same(lengths: NDArray[Any], name: str, ids: Sequence[str], where: str) -> None:
    odd = [image for image, length in zip(ids, lengths.tolist(), strict=True) if length != lengths[0]]
    if odd or not 1 <= lengths[0] <= MOST_CLASSES + 1:
        raise DataError(
            f"{where} has lists of {lengths[0]:,} and of other lengths in the column {printable(name)} "
            f"({some(odd or ids)}): expected a value for each class in every row."
        )


def _require_numbers(column: Any, name: str, ids: Sequence[str], where: str, width: int = 1) -> None:
    """Raise DataError for cells of another type or none; `width` of them are of one image."""
    import pyarrow as pa

    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise DataError(
            f"{where} has cells of type {column.type} in the column {printable(name)}: expected numbers. Write them "
            "with a decimal point."
        )
    if column.null_count:
        empty = list(dict.fromkeys(ids[i // width] for i, lacks in enumerate(column.is_null().to_pylist()) if lacks))
        raise DataError(
            f"{where} has empty cells in the column {printable(name)} ({some(empty)}): expected a number in each. "
            "Predict these images again."
        )


def _float_type(kind: Any) -> Any:
    import pyarrow as pa

    return np.dtype(kind.to_pandas_dtype()) if pa.types.is_floating(kind) else np.dtype(np.float64)


def _printed(column: Any, name: str, ids: Sequence[str], where: str) -> NDArray[Any]:
    """Lists that stand in a CSV as JSON has them, or as NumPy prints them: without commas, over several lines."""
    rows = [_cell(text, name, image, where) for text, image in zip(column.to_pylist(), ids, strict=True)]
    _require_same(np.array([len(row) for row in rows]), name, ids, where)
    if any(isinstance(row, np.ndarray) for row in rows):
        if not all(isinstance(row, np.ndarray) for row in rows):
            raise DataError(f"{where} has lists of numbers and of names in {printable(name)}: expected one of them.")
        return np.stack(rows)
    return np.array(rows, dtype=object).reshape(len(rows), -1)


def _cell(text: str | None, name: str, image: str, where: str) -> "NDArray[np.float64] | list[str]":
    inside = (text or "").strip()
    if inside[:1] != "[" or inside[-1:] != "]":
        raise DataError(
            f"{where} has {printable(inside[:40])!r} for {some([image])} in the column {printable(name)}: expected a "
            "list in brackets."
        )
    if quoted := _QUOTED.findall(inside):
        return [one or other for one, other in quoted]
    try:
        return np.array(inside[1:-1].replace(",", " ").split()).astype(np.float64)
    except ValueError as error:
        raise DataError(
            f"{where} has a list for {some([image])} in the column {printable(name)} with something that is not "
            f"a number: "
            "expected numbers, all of them. Write it as Parquet."
        ) from error

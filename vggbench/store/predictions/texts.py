"""Predictions as CSV: parted by commas, semicolons, tabs or bars, in UTF-8 or UTF-16, as pyarrow reads it."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vggbench.errors import DataError
from vggbench.store.predictions.part import IDS, Part, reading, unique

_DELIMITERS = ",;\t|"
_HEAD = 4 << 20
"""Bytes in which the headings and the first row must lie."""
_BLOCK = 8 << 20
"""Bytes that are parsed at once; no row may be longer."""
_FORM = "CSV"


def encoding_of(head: bytes) -> str:
    """By the mark that a file begins with; UTF-8 without any."""
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def open_csv(path: Path) -> Part:
    """Read the headings, and from the first row which columns hold lists. Raises DataError."""
    with reading(path, _FORM), path.open("rb") as file:
        head = file.read(_HEAD)
        encoding = encoding_of(head)
        text = codecs.getincrementaldecoder(encoding)().decode(head, final=len(head) < _HEAD)
        line, _, rest = re.sub(r"\r\n?", "\n", text).partition("\n")
        delimiter = max(_DELIMITERS, key=lambda char: _likelihood(_row(line, char)))
        names = [name.strip() for name in _row(line, delimiter)]
        first = _row(rest, delimiter)
        unique(names, path)
        if not first:
            raise DataError(f"{path} has no row below its first line: expected headings, and a row for each image.")
    lists = {name: cell.lstrip().startswith("[") for name, cell in zip(names, first, strict=False)}
    return Part(path, {name: lists.get(name, False) for name in names}, partial(_tables, path, delimiter, names))


def _likelihood(names: Sequence[str]) -> tuple[bool, int]:
    """Commas may stand in the name of a class: the delimiter is the one that leaves a column of ids."""
    return any(name.strip().lower() in IDS for name in names), len(names)


def _row(text: str, delimiter: str) -> list[str]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return next((row for row in rows if row), [])


def _tables(
    path: Path, delimiter: str, names: Sequence[str], numbers: Sequence[str], others: Sequence[str]
) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow

    with reading(path, _FORM), path.open("rb") as file:
        encoding = encoding_of(file.read(2))
    with reading(path, _FORM), pa.OSFile(str(path)) as source:
        reader = arrow.open_csv(
            source,
            read_options=arrow.ReadOptions(
                column_names=list(names), skip_rows=1, block_size=_BLOCK, encoding=encoding.removesuffix("-sig")
            ),
            parse_options=arrow.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(numbers, pa.float64()) | dict.fromkeys(others, pa.string()),
                include_columns=[*numbers, *others],
                strings_can_be_null=False,
            ),
        )
        with reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])

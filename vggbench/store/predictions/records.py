"""Predictions as JSON: one object a line, a list of them, or what pandas' `to_json` and timm's inference.py write."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from vggbench.errors import DataError, first_line, printable
from vggbench.store.predictions.part import IDS, MOST_CLASSES, Part, reading, some, unique
from vggbench.store.predictions.texts import encoding_of

_LONGEST_LINE = MOST_CLASSES * 60
"""Characters."""
_LARGEST = 128 << 20
"""Bytes of a file that is not JSON lines and so must be read as a whole."""
_FORM = "JSON"
_AT_ONCE = 256
Record = Mapping[str, Any]


def open_json(path: Path) -> Part:
    """Read the first record. Raises DataError."""
    with reading(path, _FORM):
        records = partial(_lines, path) if _has_lines(path) else _whole(path)
        first = next(iter(records()), None)
    if not first:
        raise DataError(f"{path} holds no records: expected one for each image.")
    columns = {name: isinstance(value, list) for name, value in first.items()}
    unique(list(columns), path)
    return Part(path, columns, partial(_tables, path, records, list(columns)))


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return encoding_of(file.read(2))


def _has_lines(path: Path) -> bool:
    """Whether the first line is a record by itself."""
    with path.open(encoding=_encoding(path)) as file:
        line = file.readline(_LONGEST_LINE)
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and any(
        name.lower() in IDS and not isinstance(value, list | dict) for name, value in record.items()
    )


def _lines(path: Path) -> Iterator[Record]:
    with path.open(encoding=_encoding(path)) as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), ""), start=1):
            if len(line) == _LONGEST_LINE:
                raise DataError(f"Line {number} of {path} is longer than {_LONGEST_LINE:,} characters: expected a row.")
            if line.strip():
                record = json.loads(line, object_pairs_hook=_once)
                if not isinstance(record, dict):
                    raise DataError(f"Line {number} of {path} is {line[:40]!r}: expected an object for each image.")
                yield record


def _whole(path: Path) -> Callable[[], list[Record]]:
    size = path.stat().st_size
    if size > _LARGEST:
        raise DataError(
            f"{path} has {size:,} bytes of JSON, which must be read as a whole: expected at most {_LARGEST:,}. Write "
            "it as Parquet, CSV or JSON lines."
        )
    found = list(_records(json.loads(path.read_text(encoding=_encoding(path)), object_pairs_hook=_once), path))
    return lambda: found


def _records(content: Any, path: Path) -> Iterable[Record]:
    """A list of records, or an object of them by image, or `columns` and `data`, or an object of columns."""
    if isinstance(content, dict) and {"columns", "data"} <= set(content) <= {"columns", "data", "index"}:
        names = [str(name) for name in content["columns"]]
        unique(names, path)
        return (dict(zip(names, row, strict=True)) for row in content["data"])
    if isinstance(content, dict) and any(name.lower() in IDS for name in content):
        if all(isinstance(column, list) for column in content.values()):
            return (dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True))
    elif isinstance(content, dict) and content and all(isinstance(record, dict) for record in content.values()):
        if any(name.lower() in IDS for record in content.values() for name in record):
            raise DataError(f"{path} names its images twice, as keys and in records: expected them once.")
        return ({"filename": name} | record for name, record in content.items())
    elif isinstance(content, list) and all(isinstance(record, dict) for record in content):
        return content
    raise DataError(
        f"{path} is JSON of another form: expected a list of objects with an image each, one object a line, or what "
        "pandas writes with orient='records', 'index' or 'split'."
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        doubled = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        raise ValueError(f"{some(doubled)} occurs twice in one object")
    return found


def _tables(
    path: Path,
    records: Callable[[], Iterable[Record]],
    names: Sequence[str],
    numbers: Sequence[str],
    others: Sequence[str],
) -> Iterator[Any]:
    import pyarrow as pa

    with reading(path, _FORM):
        rest, expected = iter(records()), set(names)
        while chunk := list(itertools.islice(rest, _AT_ONCE)):
            for record in chunk:
                if record.keys() != expected:
                    raise DataError(
                        f"{path} has a record with {some(sorted(set(record) ^ expected))} more or less than the first: "
                        "expected the same columns in each."
                    )
            cells = zip(*map(itemgetter(*numbers, *others), chunk), strict=True)  # two or more: ids and values
            columns = zip((*numbers, *others), cells, strict=True)
            yield pa.table({name: _column(column, name, path) for name, column in columns})


def _column(cells: Sequence[Any], name: str, path: Path) -> Any:
    import pyarrow as pa

    try:
        return pa.array(cells)
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise DataError(
            f"{path} has cells of several kinds in the column {printable(name)[:80]} ({printable(first_line(error))}): "
            "expected numbers, or names, in all rows. Predict these images again."
        ) from error

"""A file of predictions as a stream of tables, whatever its format."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggbench.errors import DataError, VggbenchError, first_line, printable

IDS = ("image", "filename")
"""What the column of images is called, in any case."""
ROWS = 1024
"""Images that are taken from a file at once."""
MOST_CLASSES = 25_000
"""ImageNet-21k has 21,843."""
MOST_BYTES = 8 << 30
"""The most bytes that the values of one file may have, unpacked."""
FORMATS = "CSV, Parquet, JSON, JSON lines or .npz, or .npy with a second file of ids"


@dataclass(frozen=True)
class Part:
    """One file: its columns, and how its rows are read."""

    path: Path
    columns: Mapping[str, bool]
    """Each name, and whether its cells hold lists."""
    tables: Callable[[Sequence[str], Sequence[str]], Iterator[Any]]
    """From names of columns of single numbers, and of others: `pyarrow.Table`s, in order."""
    class_names: tuple[str, ...] | None = None
    """The classes that the values in a list are for, in order, where the file says it."""


@contextlib.contextmanager
def reading(path: Path | str, form: str) -> Iterator[None]:
    """Turn whatever a library raises over a broken file into a DataError."""
    try:
        yield
    except (VggbenchError, AssertionError):
        raise
    except OSError as error:
        why = printable(error.strerror or first_line(error))
        raise DataError(f"{path} cannot be read as {form} ({why}): expected a whole file of predictions.") from error
    except Exception as error:  # Arrow, json and zipfile raise nearly anything for a damaged file
        raise DataError(
            f"{path} cannot be read as {form} ({printable(first_line(error))}): expected one row per image, each with "
            "the same columns. Correct that line or write the file again."
        ) from error


def some(names: Sequence[str]) -> str:
    """Up to five of them, for messages."""
    return ", ".join(printable(name)[:80] for name in names[:5]) + (", ..." if len(names) > 5 else "")


def unique(names: Sequence[str], path: Path) -> dict[str, None]:
    """The names of columns in order; raises DataError for one that occurs twice."""
    seen: dict[str, None] = {}
    doubled = [name for name in names if name in seen or seen.setdefault(name, None)]
    if doubled:
        raise DataError(
            f"{path} has two columns of the name {some(doubled)}: expected each class once. Remove or rename one."
        )
    if len(names) > MOST_CLASSES + 100:
        raise DataError(f"{path} has {len(names):,} columns: expected one per class, at most {MOST_CLASSES:,}.")
    return seen

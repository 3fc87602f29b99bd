"""Posteriors of all images in a file for other tools: `image`, `label`, and one column a class."""

import contextlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import UsageError
from vggbench.files import written_whole
from vggbench.store.predictions.part import IDS, some

_Write = Callable[[Sequence[str], Sequence[str], NDArray[np.float32]], None]


def write_predictions(
    images: Sequence[str],
    labels: NDArray[np.integer],
    class_names: Sequence[str],
    batches: Iterable[NDArray[np.floating]],
    path: Path,
) -> None:
    """Write posteriors, (n, K) at a time for N `images`, so that `read_predictions` finds the same float32 bits.

    `labels` are (N,) places among the K classes. By the ending: .parquet, .csv or .jsonl, a row per image, or .npz
    with the arrays image, label, classes and posteriors (N, K), float32. The file is there whole or not at all, and no
    more than a batch is held. Raises UsageError for another ending or a class called as another column is, and
    VggbenchError where it cannot be written.
    """
    opened = _WRITERS.get(path.suffix.lower())
    if opened is None:
        raise UsageError(f"{path}: expected a file that ends in {', '.join(_WRITERS)}.")
    taken = [name for name in class_names if name.lower() in (*IDS, "label")]
    if taken:
        raise UsageError(f"{some(taken)} is a class's name and a column's: expected names of classes alone.")
    names = np.array(class_names, dtype=object)
    start = 0
    with written_whole(path) as partial, opened(partial, class_names, images, labels) as write:
        for batch in batches:
            rows = slice(start, start + len(batch))
            write(images[rows], names[labels[rows]].tolist(), np.ascontiguousarray(batch, np.float32))
            start += len(batch)
    assert start == len(images) == len(labels), "one image and one label for every posterior"


@contextlib.contextmanager
def _parquet(
    path: Path, classes: Sequence[str], images: Sequence[str], labels: NDArray[np.integer]
) -> Iterator[_Write]:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, _schema(classes)) as writer:
        yield lambda *rows: writer.write_table(_table(classes, *rows))


@contextlib.contextmanager
def _csv(path: Path, classes: Sequence[str], images: Sequence[str], labels: NDArray[np.integer]) -> Iterator[_Write]:
    """Arrow prints the fewest digits, nine at most, that are read as the same float32."""
    from pyarrow import csv

    with csv.CSVWriter(path, _schema(classes)) as writer:
        yield lambda *rows: writer.write_table(_table(classes, *rows))


@contextlib.contextmanager
def _json_lines(
    path: Path, classes: Sequence[str], images: Sequence[str], labels: NDArray[np.integer]
) -> Iterator[_Write]:
    import pyarrow as pa

    keys = [json.dumps(name) for name in ("image", "label", *classes)]

    def write(file: IO[str], ids: Sequence[str], named: Sequence[str], rows: NDArray[np.float32]) -> None:
        digits = pa.array(rows.ravel()).cast(pa.string()).to_pylist()
        for number, (image, label) in enumerate(zip(ids, named, strict=True)):
            cells = [json.dumps(image), json.dumps(label), *digits[number * len(classes) : (number + 1) * len(classes)]]
            file.write("{" + ", ".join(f"{key}: {cell}" for key, cell in zip(keys, cells, strict=True)) + "}\n")

    with path.open("w", encoding="utf-8") as file:
        yield lambda *rows: write(file, *rows)


@contextlib.contextmanager
def _npz(path: Path, classes: Sequence[str], images: Sequence[str], labels: NDArray[np.integer]) -> Iterator[_Write]:
    names = np.array(classes, dtype=str)
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(images), len(classes))}
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in {"image": np.array(images, dtype=str), "label": names[labels], "classes": names}.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        with archive.open("posteriors.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, header)
            yield lambda ids, named, rows: _append(file, rows)


def _append(file: IO[bytes], rows: NDArray[np.float32]) -> None:
    file.write(rows.astype("<f4").tobytes())


def _schema(classes: Sequence[str]) -> Any:
    import pyarrow as pa

    text = [("image", pa.string()), ("label", pa.string())]
    return pa.schema(text + [(name, pa.float32()) for name in classes])


def _table(classes: Sequence[str], ids: Sequence[str], named: Sequence[str], rows: NDArray[np.float32]) -> Any:
    import pyarrow as pa

    columns = [pa.array(ids), pa.array(named), *(pa.array(column) for column in np.ascontiguousarray(rows.T))]
    return pa.table(columns, schema=_schema(classes))


_WRITERS: dict[
    str,
    Callable[
        [Path, Sequence[str], Sequence[str], NDArray[np.integer]], contextlib.AbstractContextManager[_Write]
    ],
] = {".parquet": _parquet, ".csv": _csv, ".jsonl": _json_lines, ".npz": _npz}  # fmt: skip
ENDINGS = tuple(_WRITERS)
"""The endings of files that can be written."""

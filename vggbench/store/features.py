"""A file of image descriptors: Parquet that pandas, DuckDB and scikit-learn read, and that says what made it.

One row an image, in the order of the data: `image` (string), `label` (int32: a place among the classes, -1 without
labels), `descriptor` (a fixed-size list of D float32 or float16). The key `vggbench` of the schema's metadata holds
JSON: what `ABOUT` lists.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vggbench.errors import DataError, first_line
from vggbench.files import OUTPUT, written_whole
from vggbench.store.blocks import rows_of_group

FORMAT = 1
KIND = "features"
ABOUT: dict[str, type | tuple[type, ...]] = {
    "models": list,
    "weights": list,
    "layer": str,
    "after_relu": bool,
    "pool": str,
    "views": str,
    "scales": list,
    "over_scales": (str, type(None)),
    "l2": bool,
    "input": dict,
    "classes": (list, type(None)),
    "data": str,
    "signatures": list,
    "vggbench": str,
}
"""What a file says of itself besides `kind` and `format`: the nets and the sha256 of their weights, what was taken of
them, the Qs and how they became one, each net's input, the names of the classes, the hash of the images, the short
signatures of the runs. It may say more."""
MOST_NUMBERS = 1 << 24
"""The most numbers that one descriptor may have."""
_INFLATES = 16
"""How many times as large as its file a table of descriptors may be, since they hardly compress."""
_METADATA, _METADATA_SHA256 = b"vggbench", b"vggbench.sha256"
_SHOWN = 60


@dataclass(frozen=True)
class Features:
    """The descriptors of N images, (N, D) float32, and what they are of."""

    images: tuple[str, ...]
    """Ids, each once."""
    labels: NDArray[np.int32]
    """(N,), places among the classes; -1 where the data has no labels."""
    classes: tuple[str, ...] | None
    """The names of the data's classes, in order; None where it has no labels."""
    descriptors: NDArray[np.float32]
    about: Mapping[str, Any]
    """What the file says of itself: see `ABOUT`."""

    @property
    def title(self) -> str:
        """The nets, the layer and the Qs, as tables show them."""
        scales = ", ".join(map(str, self.about["scales"]))
        return f"{' + '.join(self.about['models'])} {self.about['layer']} Q={scales}"


def write_features(
    path: Path,
    images: Sequence[str],
    labels: NDArray[np.integer],
    batches: Iterable[NDArray[np.floating]],
    about: Mapping[str, Any],
    *,
    half: bool = False,
) -> None:
    """Write the descriptors of N `images`, (n, D) at a time, with their (N,) labels; `half` rounds them to float16.

    The file is there whole or not at all, and no more than a row group is held beside a batch. Raises VggbenchError
    where it cannot be written.
    """
    kept = json.dumps(dict(about) | {"kind": KIND, "format": FORMAT}).encode()
    start = 0
    with written_whole(path, OUTPUT._replace(failures=(OSError, pa.ArrowException))) as partial:
        writer = None
        try:
            for batch in batches:
                rows = slice(start, start + len(batch))
                table = _table(images[rows], labels[rows], batch.astype(np.float16 if half else np.float32), kept)
                writer = writer or pq.ParquetWriter(
                    partial, table.schema, use_dictionary=False, compression="none", write_page_checksum=True
                )
                writer.write_table(table, row_group_size=rows_of_group(batch.shape[1], 2 if half else 4))
                start += len(batch)
        finally:
            if writer:
                writer.close()
        assert start == len(images) == len(labels), "one image and one label for every descriptor"


def _table(images: Sequence[str], labels: NDArray[np.integer], rows: NDArray[np.floating], about: bytes) -> pa.Table:
    values = pa.array(np.ascontiguousarray(rows).reshape(-1))
    return pa.table(
        {
            "image": pa.array(list(images), pa.string()),
            "label": pa.array(labels, pa.int32()),
            "descriptor": pa.FixedSizeListArray.from_arrays(values, rows.shape[1]),
        },
        metadata={_METADATA: about, _METADATA_SHA256: _sha256(about)},
    )


def read_features(path: str | Path) -> Features:
    """Read a file that `write_features` wrote. Sizes are checked before memory is taken.

    Raises DataError for one that is damaged or no such file, for images that occur twice, for a value that is not
    finite, and for a label beyond the classes.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"There is no file {path}: expected descriptors, as `vggbench features` writes them.")
    try:
        with pq.ParquetFile(path) as file:
            about = _about(file.schema_arrow, path)
            numbers = _numbers(file.schema_arrow, path)
            _require_size(file, numbers, path)
        # a name that stands in many rows takes memory once until it is known how long all are
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=["image"]) as file:
            return _read(file, numbers, about, path)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet ({first_line(error)}): expected descriptors, as `vggbench features` "
            "writes them. Write it again."
        ) from error


def _about(schema: pa.Schema, path: Path) -> dict[str, Any]:
    kept = schema.metadata or {}
    text = kept.get(_METADATA)
    if text is not None and kept.get(_METADATA_SHA256, b"") not in (b"", _sha256(text)):
        raise DataError(
            f"{path} says of itself what was not written: expected its notes as they were. Compute it again."
        )
    try:
        about = json.loads(text) if text is not None else {}
    except (ValueError, RecursionError):
        about = {}
    if not isinstance(about, dict) or about.get("kind") != KIND:
        raise DataError(
            f"{path} is not a file of descriptors: expected what `vggbench features` writes, whose metadata says so. "
            "Another tool that writes Parquet again must keep the metadata."
        )
    if about.get("format") != FORMAT:
        raise DataError(
            f"{path} is of format {str(about.get('format'))[:_SHOWN]}: expected {FORMAT}. Read it with the vggbench "
            f"that wrote it ({str(about.get('vggbench'))[:_SHOWN]}), or compute it again."
        )
    odd = next((name for name, kind in ABOUT.items() if name not in about or not isinstance(about[name], kind)), None)
    odd = odd or next((name for name in ("models", "classes") if not _is_of_texts(about[name] or [])), None)
    odd = odd or next((name for name, is_right in _CHECKS.items() if not is_right(about)), None)
    if odd:
        raise DataError(f"{path} says nothing right of its {odd}: expected what was written. Compute it again.")
    return about


_CHECKS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "models": lambda about: len(about["models"]) > 0,
    "weights": lambda about: len(about["weights"]) == len(about["models"]) and _are_texts(about["weights"]),
    "scales": lambda about: len(about["scales"]) > 0 and all(type(q) is int and q > 0 for q in about["scales"]),
    "signatures": lambda about: _are_texts(about["signatures"]),
}
"""What must hold of values whose type is right."""


def _sha256(about: bytes) -> bytes:
    return hashlib.sha256(about).hexdigest().encode()


def _is_of_texts(found: list[Any]) -> bool:
    """Each once."""
    return _are_texts(found) and len(set(found)) == len(found)


def _are_texts(found: list[Any]) -> bool:
    return all(isinstance(text, str) for text in found)


def _numbers(schema: pa.Schema, path: Path) -> int:
    """D; raises DataError for other columns than the three."""
    kinds = {name: schema.field(name).type for name in schema.names if schema.names.count(name) == 1}
    kind = kinds.get("descriptor")
    if (
        kinds.get("image") not in (pa.string(), pa.large_string())
        or kinds.get("label") != pa.int32()
        or kind is None
        or not pa.types.is_fixed_size_list(kind)
        or kind.value_type not in (pa.float32(), pa.float16())
        or not 1 <= kind.list_size <= MOST_NUMBERS
    ):
        found = ", ".join(f"{name} ({schema.field(at).type})" for at, name in enumerate(schema.names[:5]))
        raise DataError(
            f"{path} has the columns {found[:200]}: expected image (string), label (int32) and descriptor (a list of "
            f"1 to {MOST_NUMBERS:,} float32 or float16, fixed in size)."
        )
    return int(kind.list_size)


def _require_size(file: pq.ParquetFile, numbers: int, path: Path) -> None:
    rows, size = file.metadata.num_rows, path.stat().st_size
    if rows < 1:
        raise DataError(f"{path} holds no image: expected one or more.")
    if rows * numbers * 2 > _INFLATES * size:
        raise DataError(
            f"{path} claims {rows:,} descriptors of {numbers:,} numbers in {size:,} bytes: expected at least "
            f"{rows * numbers * 2 // _INFLATES:,}. Do not trust it."
        )


def _read(file: pq.ParquetFile, numbers: int, about: dict[str, Any], path: Path) -> Features:
    rows = file.metadata.num_rows
    descriptors, labels = np.empty((rows, numbers), np.float32), np.empty(rows, np.int32)
    images: list[str] = []
    left = _INFLATES * path.stat().st_size
    for table in _groups(file, path):
        place = slice(len(images), len(images) + table.num_rows)
        left -= _length(table.column("image"))
        if left < 0:
            raise DataError(
                f"{path} has names of images that are over {_INFLATES} times as long as the file: expected names. Do "
                "not trust it."
            )
        descriptors[place] = _values(table.column("descriptor"), numbers)
        labels[place] = np.from_dlpack(table.column("label").combine_chunks())
        images += table.column("image").to_pylist()
    twice = next((image for image, count in Counter(images).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{path} holds {twice[:200]} twice: expected every image once. Compute it again.")
    broken = next((at for at, row in enumerate(descriptors) if not np.isfinite(row).all()), None)
    if broken is not None:
        raise DataError(
            f"{path} holds NaN or infinity in the descriptor of {images[broken][:200]}: expected finite numbers. "
            "Compute it again, with --precision fp32."
        )
    classes = about["classes"]
    if labels.min() < -1 or labels.max() >= len(classes or ()):
        raise DataError(
            f"{path} has labels from {labels.min()} to {labels.max()} and {len(classes or ())} classes: expected "
            "places among these, or -1. Compute it again."
        )
    return Features(tuple(images), labels, None if classes is None else tuple(classes), descriptors, about)


def _groups(file: pq.ParquetFile, path: Path) -> Iterator[pa.Table]:
    """The row groups; raises DataError where a value is missing."""
    met = 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=["image", "label", "descriptor"], use_threads=False)
        met += table.num_rows
        flat = (table.column(name) for name in table.column_names)
        if any(column.null_count for column in flat) or met > file.metadata.num_rows:
            raise DataError(f"{path} lacks a value in row group {group}: expected one in each row. Compute it again.")
        yield table
    if met < file.metadata.num_rows:
        raise DataError(f"{path} holds {met:,} rows of {file.metadata.num_rows:,}: expected all. Compute it again.")


def _length(images: pa.ChunkedArray) -> int:
    """Bytes of the names, which are kept once each until they are read as a list."""
    total = 0
    for chunk in images.chunks:
        lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
        total += pc.sum(lengths.cast(pa.int64())).as_py() or 0
    return total


def _values(column: pa.ChunkedArray, numbers: int) -> NDArray[Any]:
    """(n, D), by no way that imports pandas as `to_numpy` does."""
    flat = column.combine_chunks().flatten()
    if flat.null_count:
        flat = flat.fill_null(float("nan"))  # refused with the other NaN
    return np.from_dlpack(flat).reshape(-1, numbers)

"""A block of a run as a Parquet file: written whole or not at all, and checked when it is read."""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vggbench.data.dataset import CANNOT_BE_READ
from vggbench.errors import StoreError, first_line
from vggbench.files import Refusal, written_whole

_MOST_ROWS, _GROUP_BYTES = 1024, 8 << 20
"""Rows that are read at once, and about how many bytes at most."""
VALUES = ("posterior", "descriptor")
"""The column of what was computed, of a run of posteriors and of one of descriptors."""
_METADATA, _METADATA_SHA256 = b"vggbench", b"vggbench.sha256"
"""The notes, and their hash, since Parquet has checksums of its pages alone; older files have none."""
_TYPES = {"image": pa.string(), "label": pa.int32(), "width": pa.int32(), "height": pa.int32()}
T = TypeVar("T")
_BLOCK_NAME = re.compile(r"(\d{6,})-(\d{6,})\.parquet")


@dataclass(frozen=True)
class Block:
    """What is stored for consecutive images: n rows, (n,) labels and sizes, (n, K) posteriors or descriptors."""

    images: tuple[str, ...]
    labels: NDArray[np.int32]
    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    posteriors: NDArray[np.float32]
    unreadable: dict[str, str] = field(default_factory=dict)
    """Images that gave no posterior, by id, and why."""
    doubtful: dict[str, str] = field(default_factory=dict)
    """Images that were decoded although libjpeg complained, and of what."""
    provenance: Sequence[dict[str, Any]] = ()
    column: str = VALUES[0]
    """What the posteriors are called, which may be descriptors."""


@dataclass(frozen=True)
class BlockFile:
    """The file of one block or of several, found whole; `first` and `last` are the positions of its images."""

    path: Path
    first: int
    last: int
    unreadable: dict[str, str]
    doubtful: dict[str, str]
    provenance: list[dict[str, Any]]
    schema: pa.Schema

    @property
    def values(self) -> str:
        """The column of what was computed."""
        return _values_of(self.schema)

    @property
    def may_pass(self) -> bool:
        """Whether the file system refused an image, which may pass, rather than the image being broken."""
        return any(why.startswith(CANNOT_BE_READ) for why in self.unreadable.values())

    def column(self, name: str) -> Iterator[NDArray[Any]]:
        """The values of a column, a row group at a time; raises StoreError for a file that is damaged inside."""
        return self._read([name], lambda table: _array(table.column(name).combine_chunks()))

    @property
    def images(self) -> list[str]:
        """Ids of the images that have a posterior."""
        found = self._read(["image"], lambda table: table.column("image").to_pylist())
        return [image for group in found for image in group]

    def tables(self) -> Iterator[pa.Table]:
        """The row groups; raises StoreError for a file that is damaged inside."""
        return self._read(None, lambda table: table)

    def _read(self, columns: list[str] | None, convert: Callable[[pa.Table], T]) -> Iterator[T]:
        """The row groups, checked against their checksums; a damaged file is set aside, with a StoreError."""
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as parquet:
                for group in range(parquet.num_row_groups):
                    table = parquet.read_row_group(group, columns=columns)
                    rows = parquet.metadata.row_group(group).num_rows
                    if table.num_rows != rows or any(column.null_count for column in table.columns):
                        raise ValueError("a value is missing")
                    yield convert(table)
        except Exception as error:  # of a damaged file Arrow raises whatever it meets
            with contextlib.suppress(OSError):
                self.path.replace(self.path.parent.parent / f".{self.path.name}.damaged")
            raise StoreError(
                f"{self.path} is damaged inside ({first_line(error)}): expected what was written. It was set aside; "
                "run the command again, and its images are computed again."
            ) from error

    @classmethod
    def open(cls, path: Path, expected: tuple[str, ...] | None = None) -> Self:
        """Check that a file is whole and holds as many images as its name says; where those are known, those images.

        Raises StoreError.
        """
        try:
            return cls._checked(path, expected)
        except Exception as error:  # of a damaged file Arrow and json raise whatever they meet
            raise StoreError(
                f"{path} is damaged ({first_line(error)}): expected what was written. Repeat the command that began "
                "its run; its images are computed again."
            ) from error

    @classmethod
    def _checked(cls, path: Path, expected: tuple[str, ...] | None) -> Self:
        match = _BLOCK_NAME.fullmatch(path.name)
        if match is None:
            raise ValueError("its name is no block's")
        first, last = int(match[1]), int(match[2])
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            schema = parquet.schema_arrow
            notes = _notes(schema)
            rows = sum(parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups))
            images = parquet.read(columns=["image"]).column("image").to_pylist() if expected is not None else []
        if rows != last + 1 - first - len(notes["unreadable"]):
            raise ValueError(f"it holds {rows} images")
        if expected is not None and images != [
            image for image in expected[first : last + 1] if image not in notes["unreadable"]
        ]:
            raise ValueError("it holds other images")
        return cls(path, first, last, notes["unreadable"], notes.get("doubtful", {}), notes["provenance"], schema)


def disjoint(files: Iterable[BlockFile]) -> dict[int, BlockFile]:
    """The files by the position of their first image, without those that repeat images of another.

    A kill may leave blocks beside the file that joins them.
    """
    found: dict[int, BlockFile] = {}
    end = -1
    for file in sorted(files, key=lambda file: (file.first, -file.last)):
        if file.first > end:
            found[file.first], end = file, file.last
    return found


def block_path(folder: Path, first: int, last: int) -> Path:
    """Where the images at these positions are stored."""
    return folder / f"{first:06d}-{last:06d}.parquet"


def write_block(path: Path, block: Block) -> None:
    """Store one block: it is there whole or not at all. Raises StoreError, for instance when the disk is full."""
    table = _table(block)
    _write(path, iter([table]), table.schema)


def join_blocks(path: Path, files: Sequence[BlockFile]) -> None:
    """Store what several files hold as one; raises StoreError."""
    doubtful = {image: why for file in files for image, why in file.doubtful.items()}
    notes = _metadata({}, doubtful, merged(entry for file in files for entry in file.provenance))
    _write(path, _grouped(files), files[0].schema.with_metadata(notes))


def _write(path: Path, tables: Iterator[pa.Table], schema: pa.Schema) -> None:
    folder = path.parent.parent
    refusal = Refusal(
        StoreError,
        f"room and permission in {folder}. Finished blocks are kept; run the command again when there is room.",
        failures=(OSError, pa.ArrowException),
    )
    with (
        written_whole(path, refusal, beside=folder) as partial,
        partial.open("wb") as file,
        pq.ParquetWriter(file, schema, use_dictionary=False, compression="none", write_page_checksum=True) as writer,
    ):
        rows = rows_of_group(schema.field(_values_of(schema)).type.list_size)
        for table in tables:
            writer.write_table(table.cast(schema), row_group_size=rows)


def rows_of_group(numbers: int, width: int = 4) -> int:
    """Rows of `numbers` values of `width` bytes that are written and read together."""
    return max(1, min(_MOST_ROWS, _GROUP_BYTES // (numbers * width)))


def merged(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry for all blocks made in the same way, with their seconds added up."""
    seconds: dict[str, float] = {}
    for entry in entries:
        circumstances = json.dumps({k: v for k, v in entry.items() if k != "seconds"}, sort_keys=True)
        seconds[circumstances] = seconds.get(circumstances, 0.0) + entry.get("seconds", 0.0)
    return [json.loads(circumstances) | {"seconds": total} for circumstances, total in seconds.items()]


def rechunked(arrays: Iterator[NDArray[Any]], size: int) -> Iterator[NDArray[Any]]:
    """The same rows, `size` at a time."""
    held: list[NDArray[Any]] = []
    for array in arrays:
        held.append(array)
        if sum(map(len, held)) >= size:
            rows = np.concatenate(held) if len(held) > 1 else held[0]
            while len(rows) >= size:
                yield rows[:size]
                rows = rows[size:]
            held = [rows] if len(rows) else []
    if held:
        yield np.concatenate(held)


def _table(block: Block) -> pa.Table:
    classes = block.posteriors.shape[1]
    values = pa.array(np.ascontiguousarray(block.posteriors, dtype=np.float32).reshape(-1))
    return pa.table(
        {
            "image": pa.array(block.images, pa.string()),
            "label": pa.array(block.labels, pa.int32()),
            "width": pa.array(block.widths, pa.int32()),
            "height": pa.array(block.heights, pa.int32()),
            block.column: pa.FixedSizeListArray.from_arrays(values, classes),
        },
        metadata=_metadata(block.unreadable, block.doubtful, block.provenance),
    )


def _metadata(
    unreadable: dict[str, str], doubtful: dict[str, str], provenance: Sequence[dict[str, Any]]
) -> dict[bytes, bytes]:
    notes = json.dumps({"unreadable": unreadable, "doubtful": doubtful, "provenance": list(provenance)}).encode()
    return {_METADATA: notes, _METADATA_SHA256: hashlib.sha256(notes).hexdigest().encode()}


def _notes(schema: pa.Schema) -> dict[str, Any]:
    """What a file says of its images; raises what Arrow and json do, or ValueError where it is not as written."""
    if any(schema.field(name).type != own for name, own in _TYPES.items()):
        raise ValueError("its columns are of other types")
    computed = schema.field(_values_of(schema)).type
    if not pa.types.is_fixed_size_list(computed) or computed.value_type != pa.float32() or computed.list_size < 1:
        raise ValueError(f"its {_values_of(schema)}s are of another type")
    text = schema.metadata[_METADATA]
    if schema.metadata.get(_METADATA_SHA256, b"") not in (b"", hashlib.sha256(text).hexdigest().encode()):
        raise ValueError("its notes are not what was written")
    notes: dict[str, Any] = json.loads(text)
    return notes


def _values_of(schema: pa.Schema) -> str:
    """Raises ValueError where there is no such column, or both."""
    (name,) = (name for name in VALUES if name in schema.names)
    return name


def _array(column: pa.Array) -> NDArray[Any]:
    """Its values, by no way that imports pandas as `to_numpy` does."""
    if pa.types.is_fixed_size_list(column.type):
        return np.from_dlpack(column.flatten()).reshape(-1, column.type.list_size)
    return np.from_dlpack(column)


def _grouped(files: Iterable[BlockFile]) -> Iterator[pa.Table]:
    """The blocks' tables, joined into row groups."""
    held: list[pa.Table] = []
    for file in files:
        rows = rows_of_group(file.schema.field(file.values).type.list_size)
        for table in file.tables():
            held.append(table.replace_schema_metadata())
            if sum(table.num_rows for table in held) >= rows:
                yield pa.concat_tables(held)
                held = []
    if held:
        yield pa.concat_tables(held)

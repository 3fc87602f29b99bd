"""The store: posteriors once per model, protocol, Q and image, in blocks that survive a kill.

A run is a folder that reads by itself:

    D-oxford-dense-Q384-1f2e3d4c/
        run.json                           its signature, and what it was asked for
        posteriors/000000-000031.parquet   a block; a finished run is one file

`posteriors/` holds nothing but Parquet, so that it opens in pandas, Polars and DuckDB as it is.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vggbench.errors import StoreError
from vggbench.metrics import ranks

BLOCK = 32
"""Images of one block."""
CANNOT_BE_READ = "cannot be read"
_ROW_GROUP = 1024
_METADATA = b"vggbench"
_BLOCK_NAME = re.compile(r"(\d{6,})-(\d{6,})\.parquet")
_SAFE = re.compile(r"[^A-Za-z0-9._+-]+")


class Scores(Protocol):
    """The posteriors of some images, in order: a run, or a fusion of runs."""

    @property
    def images(self) -> tuple[str, ...]:
        """Ids."""

    @property
    def title(self) -> str:
        """For messages."""

    def batches(self) -> Iterator[NDArray[np.floating]]:
        """The posteriors, (n, K) at a time, at most 1,024 rows."""


@dataclass(frozen=True)
class Block:
    """What is stored for consecutive images: n rows, (n,) labels and sizes, (n, K) posteriors."""

    images: tuple[str, ...]
    labels: NDArray[np.int32]
    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    posteriors: NDArray[np.float32]
    unreadable: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _File:
    """A block file that was found whole."""

    path: Path
    first: int
    last: int
    unreadable: dict[str, str]
    provenance: list[dict[str, Any]]


@dataclass
class Run:
    """The posteriors of one model, protocol and Q on one data set; `expected` are all its image ids, in order."""

    folder: Path
    signature: dict[str, Any]
    expected: tuple[str, ...]
    damaged: list[Path] = field(default_factory=list)
    _files: dict[int, _File] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def block_count(self) -> int:
        """Blocks of the whole run."""
        return -(-len(self.expected) // BLOCK)

    def block_range(self, block: int) -> range:
        """Positions of the block's images."""
        return range(block * BLOCK, min((block + 1) * BLOCK, len(self.expected)))

    def missing(self, *, accept_unreadable: bool = False) -> list[int]:
        """Blocks that are still to be computed; a block with unreadable images counts as missing unless accepted."""
        there = {
            position // BLOCK
            for file in self._files.values()
            if not file.unreadable or (accept_unreadable and not _transient(file.unreadable))
            for position in range(file.first, file.last + 1, BLOCK)
        }
        return [block for block in range(self.block_count) if block not in there]

    @property
    def unreadable(self) -> dict[str, str]:
        """Images that gave no posterior, and why."""
        return {image: why for file in self._ordered for image, why in file.unreadable.items()}

    @property
    def images(self) -> tuple[str, ...]:
        """Ids of the images that have a posterior."""
        without = self.unreadable
        return tuple(
            image
            for file in self._ordered
            for image in self.expected[file.first : file.last + 1]
            if image not in without
        )

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """Versions, device, threads, and the seconds spent under each."""
        return _merged(entry for file in self._ordered for entry in file.provenance)

    def batches(self) -> Iterator[NDArray[np.float32]]:
        """The posteriors, (n, K) at a time; raises StoreError for a file that is damaged inside."""
        return _rechunked(self._stored("posterior"), _ROW_GROUP)

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each image's original."""
        heights, widths = (np.concatenate(list(self._stored(name))) for name in ("height", "width"))
        return list(zip(heights.tolist(), widths.tolist(), strict=True))

    def write(self, number: int, block: Block) -> None:
        """Store a block: it is there whole or not at all. Raises StoreError, for instance when the disk is full."""
        self.create()
        positions = self.block_range(number)
        table = _table(block)
        path = self._blocks / f"{positions[0]:06d}-{positions[-1]:06d}.parquet"
        self._write_file(path, iter([table]), table.schema)
        self._files[positions[0]] = _opened(path, self.expected)

    def compact(self) -> None:
        """Turn the blocks of a finished run into one file; a run with unreadable images keeps its blocks."""
        if len(self._files) < 2:
            return
        self._files = Run.open(self.folder, self.signature, self.expected)._files  # another process may be ahead
        if len(self._files) < 2 or self.missing():
            return
        blocks = self._ordered
        schema = pq.read_schema(blocks[0].path).with_metadata(_metadata({}, self.provenance))
        path = self._blocks / f"{0:06d}-{len(self.expected) - 1:06d}.parquet"
        self._write_file(path, _grouped(file.path for file in blocks), schema)
        for leftover in self.folder.glob(".*.partial"):
            leftover.unlink(missing_ok=True)
        self._files = {0: _opened(path, self.expected)}
        for file in blocks:
            file.path.unlink(missing_ok=True)

    def create(self) -> None:
        """Make the folder and its record, so that a place that cannot be written is met before any forward pass."""
        record = self.folder / "run.json"
        if record.exists() and self._blocks.exists():
            return
        partial = self.folder / f".run.json.{os.getpid()}.partial"
        try:
            self._blocks.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps({"signature": self.signature, "images": len(self.expected)}, indent=1) + "\n")
            partial.replace(record)
        except OSError as error:
            raise StoreError(
                f"The run folder {self.folder} cannot be made ({error.strerror or error}): expected a place where "
                "this user may write. Name another with --runs."
            ) from error

    @property
    def _blocks(self) -> Path:
        return self.folder / "posteriors"

    @property
    def _ordered(self) -> list[_File]:
        return [self._files[first] for first in sorted(self._files)]

    def _stored(self, column: str) -> Iterator[NDArray[Any]]:
        for file in self._ordered:
            for batch in _whole(file.path, [column]):
                yield _array(batch.column(column).combine_chunks())

    def _write_file(self, path: Path, tables: Iterator[pa.Table], schema: pa.Schema) -> None:
        partial = self.folder / f".{path.name}.{os.getpid()}.partial"
        try:
            with partial.open("wb") as file:
                with pq.ParquetWriter(
                    file, schema, use_dictionary=False, compression="none", write_page_checksum=True
                ) as writer:
                    for table in tables:
                        writer.write_table(table.cast(schema), row_group_size=_ROW_GROUP)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StoreError(
                f"{path} cannot be written ({error.strerror or error}): expected room and permission in "
                f"{self.folder}. Finished blocks are kept; run the command again when there is room."
            ) from error

    @classmethod
    def open(cls, folder: Path, signature: dict[str, Any], expected: Sequence[str]) -> Self:
        """Find what is stored; leftovers of a kill are removed, damaged files are listed and computed again."""
        run = cls(folder, signature, tuple(expected))
        found = []
        for path in sorted(run._blocks.glob("*.parquet")):
            try:
                found.append(_opened(path, run.expected))
            except (pa.ArrowException, OSError, ValueError, KeyError):
                run.damaged.append(path)
        whole = [file for file in found if file.first == 0 and file.last == len(run.expected) - 1]
        run._files = {file.first: file for file in whole or found}
        for leftover in found if whole else []:
            if leftover not in whole:
                with contextlib.suppress(OSError):  # a store that may only be read
                    leftover.path.unlink(missing_ok=True)
        return run


@dataclass(frozen=True)
class Store:
    """A folder of runs."""

    root: Path

    def run(self, name: str, signature: dict[str, Any], expected: Sequence[str]) -> Run:
        """The run with this signature for these images, as far as it is stored; raises StoreError."""
        text = json.dumps(signature, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        folder = self.root / f"{_SAFE.sub('_', name)}-{digest}"
        record = folder / "run.json"
        try:
            stored = json.loads(record.read_text()) if record.exists() else {"signature": json.loads(text)}
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{record} cannot be read ({error}): expected the record of a run. "
                "Delete its folder, or name another store with --runs."
            ) from error
        if not isinstance(stored, dict) or stored.get("signature") != json.loads(text):
            raise StoreError(
                f"{record} does not hold the signature that its folder is named after: it was changed by hand. "
                "Delete its folder, or name another store with --runs."
            )
        return Run.open(folder, signature, expected)


@dataclass(frozen=True)
class Fusion:
    """The mean of several scores of the same images."""

    parts: tuple[Scores, ...]

    @property
    def title(self) -> str:
        """All parts."""
        return " + ".join(part.title for part in self.parts)

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Ids, the same in every part."""
        return self.parts[0].images

    def batches(self) -> Iterator[NDArray[np.float64]]:
        """The mean posteriors, (n, K) at a time, accumulated in float64."""
        for arrays in zip(*(part.batches() for part in self.parts), strict=True):
            total = arrays[0].astype(np.float64)
            for array in arrays[1:]:
                total += array
            yield total / len(arrays)


def fuse(*parts: Scores) -> Fusion:
    """Average posteriors over Qs, over protocols or over models (paper, sections 4.2 to 4.4).

    Raises StoreError unless all parts cover the same images in the same order.
    """
    assert parts
    first = parts[0].images
    for part in parts[1:]:
        if part.images != first:
            strays = sorted(set(first) ^ set(part.images))
            raise StoreError(
                f"{parts[0].title} and {part.title} cover different images ({len(first)} and {len(part.images)}; "
                f"{strays[0] if strays else 'in another order'}): expected the same. "
                "Evaluate both on the same data."
            )
    return Fusion(parts)


def label_ranks(scores: Scores, labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """For each image the classes that stand before its label: (N,) -> (N,), 0 for a correct top-1."""
    found, start = [], 0
    for batch in scores.batches():
        found.append(ranks(batch, labels[start : start + len(batch)]))
        start += len(batch)
    assert start == len(labels), "one label for every posterior"
    return np.concatenate(found)


def posteriors(scores: Scores) -> NDArray[np.floating]:
    """All posteriors at once, (N, K)."""
    return np.concatenate(list(scores.batches()))


def _opened(path: Path, expected: tuple[str, ...]) -> _File:
    """Check that a file is whole and holds the images that its name says; raises what Arrow raises, or ValueError."""
    match = _BLOCK_NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(path.name)
    first, last = int(match[1]), int(match[2])
    with pq.ParquetFile(path) as parquet:
        notes = json.loads(parquet.schema_arrow.metadata[_METADATA])
        images = parquet.read(columns=["image"]).column(0).to_pylist()
    if images != [image for image in expected[first : last + 1] if image not in notes["unreadable"]]:
        raise ValueError(f"{path} holds other images")
    return _File(path, first, last, notes["unreadable"], notes["provenance"])


def _table(block: Block) -> pa.Table:
    classes = block.posteriors.shape[1]
    values = pa.array(np.ascontiguousarray(block.posteriors, dtype=np.float32).reshape(-1))
    return pa.table(
        {
            "image": pa.array(block.images, pa.string()),
            "label": pa.array(block.labels, pa.int32()),
            "width": pa.array(block.widths, pa.int32()),
            "height": pa.array(block.heights, pa.int32()),
            "posterior": pa.FixedSizeListArray.from_arrays(values, classes),
        },
        metadata=_metadata(block.unreadable, [block.provenance]),
    )


def _metadata(unreadable: dict[str, str], provenance: list[dict[str, Any]]) -> dict[bytes, bytes]:
    return {_METADATA: json.dumps({"unreadable": unreadable, "provenance": provenance}).encode()}


def _merged(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry for all blocks made in the same way, with their seconds added up."""
    seconds: dict[str, float] = {}
    for entry in entries:
        circumstances = json.dumps({k: v for k, v in entry.items() if k != "seconds"}, sort_keys=True)
        seconds[circumstances] = seconds.get(circumstances, 0.0) + entry.get("seconds", 0.0)
    return [json.loads(circumstances) | {"seconds": total} for circumstances, total in seconds.items()]


def _array(column: pa.Array) -> NDArray[Any]:
    if pa.types.is_fixed_size_list(column.type):
        values: NDArray[Any] = column.flatten().to_numpy().reshape(-1, column.type.list_size)
        return values
    plain: NDArray[Any] = column.to_numpy()
    return plain


def _rechunked(arrays: Iterator[NDArray[Any]], size: int) -> Iterator[NDArray[Any]]:
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


def _whole(path: Path, columns: list[str] | None) -> Iterator[pa.Table]:
    """The row groups of a file, checked against their checksums; raises StoreError and sets a damaged file aside."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as parquet:
            for group in range(parquet.num_row_groups):
                yield parquet.read_row_group(group, columns=columns)
    except (pa.ArrowException, OSError) as error:
        with contextlib.suppress(OSError):
            path.replace(path.parent.parent / f".{path.name}.damaged")
        raise StoreError(
            f"{path} is damaged inside ({error}): expected what was written. It was set aside; run the command again, "
            "and its images are computed again."
        ) from error


def _transient(unreadable: dict[str, str]) -> bool:
    """Whether the file system refused an image, which may pass, rather than the image being broken."""
    return any(why.startswith(CANNOT_BE_READ) for why in unreadable.values())


def _grouped(paths: Iterable[Path]) -> Iterator[pa.Table]:
    """The blocks' tables, joined into row groups."""
    held: list[pa.Table] = []
    for path in paths:
        held += [table.replace_schema_metadata() for table in _whole(path, None)]
        if sum(table.num_rows for table in held) >= _ROW_GROUP:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)

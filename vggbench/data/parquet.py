"""Parquet shards as Hugging Face publishes ILSVRC: columns `image` (its bytes and file name) and `label` (a number)."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vggbench.data.dataset import ImageFile
from vggbench.data.identity import with_unique_ids
from vggbench.data.imagenet import image_id
from vggbench.data.index import indexed, told_if_large
from vggbench.data.layout import Layout, Place
from vggbench.data.listing import require_text
from vggbench.data.numbers import class_of_number
from vggbench.data.shards import require_all, shards
from vggbench.errors import DataError, first_line

_ENDING = ".parquet"
_LARGEST_GROUP = 1 << 30
"""Bytes of one row group, which is read as a whole."""
_ROWS = 4
"""Rows that are read at a time while the index is made, since each may be large."""


@dataclass(frozen=True)
class ParquetImage(ImageFile):
    """One row of a Parquet file."""

    group: int = 0
    row: int = 0

    def __str__(self) -> str:
        return f"{self.id} in {self.path}"

    def read(self) -> bytes:
        """The encoded image; raises OSError."""
        import pyarrow as pa

        try:
            encoded: bytes = _group(self.path, self.group)[self.row].as_py()
        except pa.ArrowException as error:
            raise OSError(0, f"Parquet is damaged: {first_line(error)}", str(self.path)) from error
        return encoded


@lru_cache(maxsize=2)
def _group(path: Path, group: int) -> Any:
    """The encoded images of one row group."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as parquet:
        return parquet.read_row_group(group, columns=["image.bytes"]).column("image").combine_chunks().field("bytes")


def _shards(place: Place) -> list[Path]:
    if place.path.is_file():
        return [place.path] if place.path.suffix == _ENDING else []
    return shards(place.path, _ENDING, place.split)


def _recognises(place: Place) -> bool:
    """Shards of images; other Parquet, such as features beside class folders, is left alone."""
    found = _shards(place)
    if (
        not found
        or place.path.is_file()
        or not any(path.is_dir() and path.name != "data" for path in place.path.iterdir())
    ):
        return bool(found)
    with contextlib.suppress(DataError), _opened(found[0]) as parquet:
        _require_columns(parquet.schema_arrow, found[0])
        return True
    return False


def _images(place: Place) -> list[ImageFile]:
    images: list[tuple[str, ImageFile]] = []
    for shard in require_all(_shards(place), place.path):
        names = _class_names(shard)
        for name, number, length, group, row in indexed(shard, "parquet", 5, lambda shard=shard: _found(shard)):  # type: ignore[misc]
            class_name = class_of_number(number, name, names, f"{name} in {shard}")
            images.append((name, ParquetImage(image_id(name), shard, length, class_name, group=group, row=row)))
    return with_unique_ids(images)


def _found(shard: Path) -> list[list[Any]]:
    """[name, label, length, group, row] of each image. Raises DataError."""
    with _opened(shard) as parquet:
        _require_columns(parquet.schema_arrow, shard)
        bytes_per_row = shard.stat().st_size / max(parquet.metadata.num_rows, 1)
        numbered = enumerate(row for group in range(parquet.num_row_groups) for row in _rows(parquet, group, shard))
        return [row for _, row in told_if_large(shard, numbered, lambda found: found[0] * bytes_per_row)]


def _rows(parquet: Any, group: int, shard: Path) -> Iterator[list[Any]]:
    import pyarrow.compute as pc

    described = parquet.metadata.row_group(group)
    if described.total_byte_size > _LARGEST_GROUP:
        raise DataError(
            f"{shard} has a row group of {described.total_byte_size:,} bytes, all of which would be read for each "
            f"image: expected at most {_LARGEST_GROUP:,}. Write it again with a row_group_size of 100."
        )
    place = total = 0
    for batch in parquet.iter_batches(_ROWS, row_groups=[group], columns=["image", "label"]):
        image, labels = batch.column("image"), batch.column("label").to_pylist()
        lengths = pc.binary_length(image.field("bytes")).to_pylist()
        for name, label, length in zip(image.field("path").to_pylist(), labels, lengths, strict=True):
            if not name or length is None or label is None:
                lacks = "no name" if not name else "no bytes" if length is None else "no label"
                raise DataError(
                    f"Row {place} of row group {group} in {shard} has {lacks}: expected a file name, its bytes and a "
                    "label, as `datasets` writes them when it embeds the files."
                )
            total += length
            if total > _LARGEST_GROUP:  # values that stand once in the file and many times in the group
                raise DataError(f"{shard} inflates beyond {_LARGEST_GROUP:,} bytes a row group. Do not trust it.")
            yield [name, label, length, group, place]
            place += 1


def _require_columns(schema: Any, shard: Path) -> None:
    import pyarrow as pa

    types = {field.name: field.type for field in schema}
    image, label = types.get("image"), types.get("label")
    fields = [(inner.name, inner.type) for inner in image] if image is not None and pa.types.is_struct(image) else []
    kinds = {name: str(kind).removeprefix("large_") for name, kind in fields}
    if len(types) < len(schema.names) or len(fields) != 2 or kinds != {"bytes": "binary", "path": "string"}:
        found = ", ".join(f"{field.name}: {field.type}"[:60] for field in list(schema)[:10])
        raise DataError(
            f"{shard} has the columns {found or 'none'}: expected image (bytes: binary, path: string) and label, as "
            "Hugging Face's imagenet-1k has them."
        )
    if label is None or not pa.types.is_integer(label):
        raise DataError(
            f"{shard} has {'no label' if label is None else f'a label of type {label}'}: expected whole numbers, the "
            "places of the classes."
        )


def _class_names(shard: Path) -> list[str] | None:
    """The names that `datasets` keeps of the labels, if any."""
    with _opened(shard) as parquet:
        kept = (parquet.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        names = json.loads(kept)["info"]["features"]["label"]["names"]
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            for name in names:
                require_text(name, shard)
            return names
    return None


def _own_names(place: Place) -> tuple[str, ...] | None:
    """The classes in the order of their numbers, unless they are ILSVRC's."""
    names = _class_names(_shards(place)[0])
    used = {image.class_name for image in _images(place)} if names else set()
    return tuple(names) if names and used <= set(names) else None


@contextlib.contextmanager
def _opened(shard: Path) -> Iterator[Any]:
    """An open Parquet file; raises DataError for what Arrow raises on a damaged one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(shard) as parquet:
            yield parquet
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{shard} is no whole Parquet file ({first_line(error)}): expected one to its end. Download it again."
        ) from error


PARQUET = Layout("Parquet shards", "validation-00000-of-00014.parquet", _recognises, _images, _own_names)

"""Parquet shards as Hugging Face publishes ILSVRC: columns `image` (its bytes and file name) and `label` (a number).

An image in memory that `datasets` wrote has no file name: its content says which it is.
"""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from vggbench.data.dataset import ImageFile, with_unique_ids
from vggbench.data.imagenet import image_id
from vggbench.data.index import indexed, told_if_large
from vggbench.data.layout import Layout, Place
from vggbench.data.listing import require_text
from vggbench.data.numbers import class_of_number
from vggbench.data.shards import all_shards, shards_at
from vggbench.errors import DataError, first_line

_ENDING = ".parquet"
_LARGEST_GROUP = 1 << 30
"""Bytes of one row group, which is read as a whole."""
_LABELS = ("label", "labels", "fine_label", "coarse_label", "class", "target", "cls")
"""What a column of labels is called; the first stands before all others."""
_ROWS = 4
"""Rows that are read at a time while the index is made, since each may be large."""


@dataclass(frozen=True)
class ParquetImage(ImageFile):
    """One row of a Parquet file."""

    group: int = 0
    row: int = 0
    column: str = "image"
    is_named: bool = True

    def __str__(self) -> str:
        name = self.id if self.is_named else f"Row {self.row} of row group {self.group}"
        return f"{name} in {self.path}"

    @property
    def place(self) -> tuple[str, int, int]:
        """Its row."""
        return str(self.path), self.group, self.row

    @property
    def read_with(self) -> tuple[str, int] | None:
        """Its row group, which is read as a whole."""
        return str(self.path), self.group

    def read(self) -> bytes:
        """The encoded image; raises OSError."""
        import pyarrow as pa

        try:
            encoded: bytes = _groups.read(self.path, self.column, self.group)[self.row].as_py()
        except pa.ArrowException as error:
            raise OSError(0, f"Parquet is damaged: {first_line(error)}", str(self.path)) from error
        return encoded


class _Groups(threading.local):
    """The row groups that a thread read last: threads that shared them would push each other's out."""

    def __init__(self) -> None:
        self.read = lru_cache(maxsize=2)(_group)


def _group(path: Path, column: str, group: int) -> Any:
    """The encoded images of one row group."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as parquet:
        return parquet.read_row_group(group, columns=[f"{column}.bytes"]).column(column).combine_chunks().field("bytes")


_groups = _Groups()


def _recognises(place: Place) -> bool:
    """Shards of images, of whatever split; other Parquet, such as features beside class folders, is left alone."""
    if place.path.is_file():
        return place.path.suffix == _ENDING
    found = [path for paths in shards_at(place, _ENDING) for path in paths]
    if not found or not any(path.is_dir() and path.name != "data" for path in place.path.iterdir()):
        return bool(found)
    with contextlib.suppress(DataError), _opened(found[0]) as parquet:
        schema = parquet.schema_arrow
        _image_column(schema, found[0])
        return bool(_labels(schema, found[0]))
    return False


def _images(place: Place) -> list[ImageFile]:
    images: list[tuple[str, ImageFile]] = []
    first = None
    met: set[str] = set()
    for shard in all_shards(place, _ENDING):
        columns = _columns(shard, place.label_column)
        first = first or (shard, columns)
        if columns.class_names != first[1].class_names:
            raise DataError(
                f"{shard} and {first[0].name} name different classes: expected the same in all files of a set. "
                f"Remove those of "
                "the other set."
            )
        rows = indexed(shard, f"parquet {columns.image} {columns.label}", 6, partial(_found, shard, columns))
        _require_new(shard, [content for *_, content in rows if content], met)
        for name, number, length, group, row, content in rows:
            where = f"{name or f'Row {row} of row group {group}'} in {shard}"
            class_name = class_of_number(number, name, columns.class_names, where)
            image = ParquetImage(
                image_id(name or content), shard, length, class_name,
                group=group, row=row, column=columns.image, is_named=bool(name),
            )  # fmt: skip
            images.append((name or f"{shard.stem}-{group}-{row}", image))
    return with_unique_ids(images)


def _require_new(shard: Path, contents: list[str], met: set[str]) -> None:
    """Raise DataError for a file most of whose nameless images stand in those before it, and note its own.

    Names would tell a second copy of a file; single pictures do occur twice in some sets.
    """
    twice = sum(content in met for content in contents)
    if 2 * twice > len(contents):
        raise DataError(
            f"{twice:,} of the {len(contents):,} images of {shard} stand in other files beside it too: expected each "
            "once. Remove the second copy."
        )
    met.update(contents)


def _found(shard: Path, columns: "_Columns") -> list[list[Any]]:
    """[name, label, length, group, row, digest of an image without a name] of each image. Raises DataError."""
    with _opened(shard) as parquet:
        bytes_per_row = shard.stat().st_size / max(parquet.metadata.num_rows, 1)
        groups = range(parquet.num_row_groups)
        numbered = enumerate(row for group in groups for row in _rows(parquet, group, shard, columns))
        return [row for _, row in told_if_large(shard, numbered, lambda found: found[0] * bytes_per_row)]


def _rows(parquet: Any, group: int, shard: Path, columns: "_Columns") -> Iterator[list[Any]]:
    import pyarrow.compute as pc

    described = parquet.metadata.row_group(group)
    if described.total_byte_size > _LARGEST_GROUP:
        raise DataError(
            f"{shard} has a row group of {described.total_byte_size:,} bytes, and all would be read for each "
            f"image: expected at most {_LARGEST_GROUP:,}. Write it again with a row_group_size of 100."
        )
    place = total = 0
    for batch in parquet.iter_batches(_ROWS, row_groups=[group], columns=[columns.image, columns.label]):
        image, labels = batch.column(columns.image), batch.column(columns.label).to_pylist()
        lengths = pc.binary_length(image.field("bytes")).to_pylist()
        for at, (name, label, length) in enumerate(zip(image.field("path").to_pylist(), labels, lengths, strict=True)):
            if length is None or label is None:
                lacks = "no bytes" if length is None else "no label"
                raise DataError(
                    f"Row {place} of row group {group} in {shard} has {lacks}: expected an image's bytes and a label, "
                    "as `datasets` writes them when it embeds the files."
                )
            total += length
            if total > _LARGEST_GROUP:  # values that stand once in the file and many times in the group
                raise DataError(f"{shard} inflates beyond {_LARGEST_GROUP:,} bytes a row group. Do not trust it.")
            content = "" if name else hashlib.sha256(image.field("bytes")[at].as_buffer()).hexdigest()[:32]
            yield [name or "", label, length, group, place, content]
            place += 1


@dataclass(frozen=True)
class _Columns:
    """Which columns hold the images and their labels, and the names that `datasets` keeps of these."""

    image: str
    label: str
    class_names: list[str] | None


def _columns(shard: Path, asked: str | None) -> _Columns:
    """Raises DataError where they are not to be told."""
    with _opened(shard) as parquet:
        schema = parquet.schema_arrow
    label = _label_column(schema, shard, asked, _image_column(schema, shard))
    return _Columns(_image_column(schema, shard), label, _class_names(schema, label, shard))


def _image_column(schema: Any, shard: Path) -> str:
    """The one column of embedded images."""
    found: list[str] = [field.name for field in schema if _is_image(field.type)]
    if len(set(schema.names)) < len(schema.names) or len(found) != 1:
        shown = ", ".join(f"{field.name}: {field.type}"[:60] for field in list(schema)[:10])
        raise DataError(
            f"{shard} has the columns {shown or 'none'}: expected one column of images (bytes: binary, path: string), "
            "such as image or img, and a label, as Hugging Face's imagenet-1k has them."
        )
    return found[0]


def _is_image(kind: Any) -> bool:
    import pyarrow as pa

    if not pa.types.is_struct(kind) or len(list(kind)) != 2:
        return False
    fields = {inner.name: inner.type for inner in kind}
    path = fields.get("path")
    is_path = path is not None and (pa.types.is_null(path) or str(path).removeprefix("large_") == "string")
    return is_path and str(fields.get("bytes")).removeprefix("large_") == "binary"


def _label_column(schema: Any, shard: Path, asked: str | None, image: str) -> str:
    import pyarrow as pa

    types = {field.name: field.type for field in schema if field.name != image}
    if asked and asked not in types:
        raise DataError(
            f"There is no file {asked} and no such column in {shard}: expected a ground truth, or a column of labels: "
            f"{', '.join(types) or 'none'}."
        )
    label = asked or _told(schema, types, shard)
    if not pa.types.is_integer(types[label]):
        raise DataError(
            f"{shard} has a {label} of type {types[label]}: expected whole numbers, the places of the classes."
        )
    return label


def _told(schema: Any, types: dict[str, Any], shard: Path) -> str:
    """The column that its name, or what `datasets` keeps of it, says to hold labels."""
    found = _labels(schema, shard)
    if _LABELS[0] in found:
        return _LABELS[0]
    if not found:
        raise DataError(
            f"{shard} has no {_LABELS[0]}: expected a column of labels, whole numbers, and it has "
            f"{' or '.join(types) or 'none'} beside its images."
        )
    if len(found) > 1:
        raise DataError(
            f"{shard} has several columns of labels, {' or '.join(found)}: expected to be told which. Pass its name as "
            "--ground-truth, or write the file again without the others."
        )
    return found[0]


def _labels(schema: Any, shard: Path) -> list[str]:
    return [name for name in schema.names if name in _LABELS or _class_names(schema, name, shard)]


def _class_names(schema: Any, label: str, shard: Path) -> list[str] | None:
    """The names that `datasets` keeps of a column's labels, if any."""
    kept = (schema.metadata or {}).get(b"huggingface", b"{}")
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        names = json.loads(kept)["info"]["features"][label]["names"]
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            for name in names:
                require_text(name, shard)
            return names
    return None


def _own_names(place: Place) -> tuple[str, ...] | None:
    """The classes in the order of their numbers, unless they are ILSVRC's."""
    names = _columns(shards_at(place, _ENDING)[0][0], place.label_column).class_names
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
            f"{shard} is not a complete Parquet file ({first_line(error)}): expected one to its end. Download it again."
        ) from error


PARQUET = Layout("Parquet shards", "validation-00000-of-00014.parquet", _recognises, _images, _own_names)

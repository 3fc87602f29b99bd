"""WebDataset shards as timm publishes ILSVRC: tars in which each image has a `.cls` and perhaps a `.json`."""

import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from vggbench.data.dataset import ImageFile, with_unique_ids
from vggbench.data.imagenet import image_id
from vggbench.data.index import indexed, told_if_large
from vggbench.data.layout import Layout, Place
from vggbench.data.listing import EXTENSIONS, require_text
from vggbench.data.numbers import class_of_number
from vggbench.data.shards import all_shards, shards_at, split_of
from vggbench.data.tar import is_tar, members
from vggbench.errors import DataError

_LONGEST_NOTE = 1 << 20
"""Bytes of a `.cls` or `.json`."""
_LOOKED_AT = 20
"""Members of a tar by which it is recognised."""


def _recognises(place: Place) -> bool:
    found = [path for paths in shards_at(place, ".tar") for path in paths]
    try:
        if not found or not is_tar(found[0]):
            return False
    except DataError:  # compressed: of a folder's files, one that is left alone
        if place.path.is_file():
            raise
        return False
    return any(name.endswith(".cls") for name, *_ in itertools.islice(members(found[0]), _LOOKED_AT))


def _images(place: Place) -> list[ImageFile]:
    images: list[tuple[str, ImageFile]] = []
    if place.label_column not in (None, "cls"):
        raise DataError(
            f"There is no file {place.label_column}, and shards have no such labels: expected a ground truth, or cls."
        )
    found = all_shards(place, ".tar")
    for shard in found:
        rows = indexed(shard, "webdataset", 4, lambda shard=shard: list(_samples(shard)))  # type: ignore[misc]
        for name, number, length, offset in rows:
            class_name = class_of_number(number, name, None, f"{name} in {shard}")
            images.append((name, ImageFile(image_id(name), shard, length, class_name, offset)))
    if place.path.is_dir() and found:
        _require_count(found[0].parent / "nshards.txt", len(found), "files", place)
        _require_count(found[0].parent / "_info.json", len(images), "samples", place)
    return with_unique_ids(images)


def _require_count(notice: Path, count: int, what: str, place: Place) -> None:
    """Raise DataError where a file beside the shards, as CLIP's benchmark and timm put it, says another number."""
    if not notice.is_file() or notice.stat().st_size > _LONGEST_NOTE:
        return
    stated = None
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError, RecursionError):
        said = json.loads(notice.read_text(encoding="utf-8"))
        if isinstance(said, dict):
            of_split = [info for name, info in said["splits"].items() if split_of(name) == place.split]
            said = of_split[0]["num_samples"]
        stated = int(said)
    if stated is not None and stated != count:
        raise DataError(
            f"{place.path} has {count:,} {what} and {notice.name} says {stated:,}: expected as many, since its images "
            "would be missing or count twice. Download it again."
        )


def _samples(shard: Path) -> Iterator[list[Any]]:
    """[name, label, length, offset] of each image."""
    with shard.open("rb") as file:
        found = told_if_large(shard, members(shard), lambda member: member[2])
        for key, group in itertools.groupby(found, key=lambda member: _key(member[0])):
            sample = list(group)
            parts = {_kind(name): (name, length, offset) for name, length, offset in sample}
            pictures = [kind for kind in parts if kind in EXTENSIONS]
            if len(pictures) != 1 or ".cls" not in parts or len(parts) < len(sample):
                kinds = ", ".join(sorted(_kind(name) for name, *_ in sample))
                raise DataError(
                    f"Sample {key} in {shard} has {kinds}: expected one image and its .cls, one after the other, as "
                    "webdataset writes them."
                )
            notes = {kind: _note(file, *parts[kind], shard) for kind in parts if kind in (".cls", ".json")}
            member, length, offset = parts[pictures[0]]
            described, label = _described(notes, member, shard), _label(notes[".cls"], key, shard)
            if described.get("label", label) != label:
                raise DataError(
                    f"The .cls of {key} in {shard} says {label} and its .json {str(described['label'])[:40]!r}: "
                    "expected the same label."
                )
            name = described.get("filename")
            name = name if isinstance(name, str) and name else member
            require_text(name, shard)
            yield [name, label, length, offset]


def _key(name: str) -> str:
    """What members of one sample share: the name up to the first dot of its last part."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _kind(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _note(file: Any, name: str, length: int, offset: int, shard: Path) -> bytes:
    if length > _LONGEST_NOTE:
        raise DataError(f"{name} in {shard} has {length:,} bytes: expected a label or a few lines of JSON.")
    file.seek(offset)
    note: bytes = file.read(length)
    return note


def _label(note: bytes, key: str, shard: Path) -> int:
    text = note.decode("ascii", "replace").strip()
    if not text.isdecimal() or len(text) > 9:
        raise DataError(
            f"The .cls of {key} in {shard} says {text[:40]!r}: expected a whole number, the place of the class."
        )
    return int(text)


def _described(notes: dict[str, bytes], member: str, shard: Path) -> dict[str, Any]:
    """What the JSON says, if there is one."""
    try:
        described = json.loads(notes.get(".json", b"{}"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"The .json of {member} in {shard} cannot be read ({error}): expected JSON.") from error
    return described if isinstance(described, dict) else {}


WEBDATASET = Layout("WebDataset shards", "imagenet1k-validation-00.tar", _recognises, _images)

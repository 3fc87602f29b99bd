"""A tar, read where it lies: found member by member once, then each image by its offset, and nothing is extracted."""

import io
import itertools
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from vggbench.data.imagenet import is_wnid
from vggbench.data.index import indexed, told_if_large
from vggbench.data.listing import Entry, Listing, is_litter, require_text
from vggbench.data.splits import split_of_folder
from vggbench.errors import DataError, first_line

_BLOCK = tarfile.BLOCKSIZE
_MOST_READ = 1 << 20
"""Bytes that one look into a tar may take: its reader asks for headers alone, whatever length they claim."""
_CLASS_TAR = re.compile(r"n\d{8}\.tar")
"""In ILSVRC2012_img_train.tar each class is a tar of its own."""
_COMPRESSED = {b"\x1f\x8b": "gzip -d", b"BZh": "bzip2 -d", b"\xfd7z": "xz -d", b"\x28\xb5\x2f\xfd": "zstd -d"}


def is_tar(path: Path) -> bool:
    """Whether a file begins as a tar does; raises DataError for one that is compressed, and OSError."""
    with path.open("rb") as file:
        head = file.read(_BLOCK)
    if head == bytes(_BLOCK):
        return True  # an empty one
    for magic, command in _COMPRESSED.items():
        if head.startswith(magic):
            raise DataError(
                f"{path} is compressed: expected a plain tar, in which each image can be reached. "
                f"Unpack it first: {command} {path.name}"
            )
    try:
        tarfile.TarInfo.frombuf(head, tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def list_tar(path: Path) -> Listing:
    """The members of a tar, without the folders that all of them lie in; raises DataError and OSError."""
    rows = indexed(
        path, "tar", 3, lambda: [list(row) for row in told_if_large(path, _members(path), lambda row: row[2] or 0)]
    )
    files = sorted(Entry(name, path, length, offset) for name, length, offset in rows if offset is not None)
    for one, other in itertools.pairwise(files):
        if one.name == other.name:
            raise DataError(
                f"{path} has the member {one.name!a} twice: expected each image once. Pack the images again; "
                "tar -r and -u add to an archive without replacing."
            )
    named = {name for name, _, offset in rows if offset is None}
    pruned = {name for name in named if is_litter(name.rpartition("/")[2])}
    folders = named - pruned
    for entry in files:
        folders |= {"/".join(entry.folders[: i + 1]) for i in range(len(entry.folders))}
    return _without_common_folders(Listing(path, tuple(files), frozenset(folders), tuple(sorted(pruned))))


def members(path: Path) -> Iterator[tuple[str, int, int]]:
    """(name, length, offset) of each file in a tar, in the tar's order; raises DataError and OSError."""
    for name, length, offset in _members(path):
        if offset is not None:
            yield name, length, offset


def _members(path: Path) -> Iterator[tuple[str, int, int | None]]:
    """Like `members`, and folders as well, with no offset."""
    with path.open("rb") as file:
        yield from _of(_Window(file, 0, path.stat().st_size), path, "")


def _of(window: "_Window", path: Path, prefix: str) -> Iterator[tuple[str, int, int | None]]:
    try:
        with tarfile.open(fileobj=cast(IO[bytes], window), mode="r:") as tar:
            for member in _each(tar):
                name = _checked(member, path)
                if name == ".":
                    continue
                if not 0 <= member.offset_data <= member.offset_data + member.size <= window.length:
                    raise DataError(_damaged(path, f"{name} ends beyond it"))
                parts = PurePosixPath(name).parts
                if at := next((i for i, part in enumerate(parts, 1) if is_litter(part)), 0):
                    if not parts[at - 1].startswith(".") and (at < len(parts) or member.isdir()):
                        yield prefix + "/".join(parts[:at]), 0, None  # a folder, so that it can be named
                elif member.isdir():
                    yield prefix + name, 0, None
                elif not prefix and _CLASS_TAR.fullmatch(name):
                    inner = window.part(member.offset_data, member.size)
                    yield from _of(inner, path, f"{prefix}{name.removesuffix('.tar')}/")
                else:
                    yield prefix + name, member.size, window.start + member.offset_data
            end = tar.offset
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise DataError(_damaged(path, first_line(error))) from error
    window.seek(end)  # the reader ends at whatever is no header
    rest = window.length - end
    if not _BLOCK <= rest <= _MOST_READ or any(window.read(rest)):
        raise DataError(_damaged(path, f"after byte {window.start + end:,} come {rest:,} that are not a member"))


def _each(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members, without keeping them all."""
    while (member := tar.next()) is not None:
        yield member
        cast(Any, tar).members.clear()


def _checked(member: tarfile.TarInfo, path: Path) -> str:
    """A member's name; raises DataError for what a set of images has not."""
    place = PurePosixPath(member.name)
    kind = "a file"
    if place.is_absolute() or ".." in place.parts:
        kind = "a path that leaves the archive"
    elif not (member.isreg() or member.isdir()) or member.issparse():
        kind = "a link" if member.issym() or member.islnk() else "a device or other special file"
    if kind != "a file":
        raise DataError(
            f"{path} has the member {member.name[:100]!a}, {kind}: expected plain files in folders. Nothing was "
            "extracted. Do not trust this archive, or pack the images again."
        )
    require_text(member.name, path)
    return place.as_posix()


def _damaged(path: Path, why: str) -> str:
    return f"{path} is not a complete tar ({why}): expected one to its end. Download or copy it again."


def _without_common_folders(listing: Listing) -> Listing:
    """The listing below the folders that hold everything, such as the `imagenet/` of a packed folder.

    A folder named after a split stays, since it says which images these are.
    Where all images lie in one folder it is their class, unless they are validation images, whose folder says nothing.
    """
    folders = [entry.folders for entry in listing.images] or [()]
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(min(folders), max(folders), strict=False))
    common = tuple(itertools.takewhile(lambda name: not split_of_folder(name), (name for name, _ in pairs)))
    holds_classes = all(len(entry.folders) > len(common) for entry in listing.images)
    if common and (holds_classes or (listing.is_unsorted_val and not is_wnid(common[-1]))):
        return listing.below("/".join(common))
    return listing


class _Window(io.RawIOBase):
    """A part of a file, as a file that gives a little at a time."""

    def __init__(self, file: IO[bytes], start: int, length: int) -> None:
        self._file, self.start, self.length, self._at = file, start, length, 0

    def part(self, offset: int, length: int) -> "_Window":
        return _Window(self._file, self.start + offset, length)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        assert whence == io.SEEK_SET
        if offset < 0:
            raise tarfile.ReadError("a negative position")
        self._at = offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        count = max(0, min(size, self.length - self._at))
        if size < 0 or size > _MOST_READ:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        self._file.seek(self.start + self._at)
        data = self._file.read(count)
        self._at += len(data)
        return data

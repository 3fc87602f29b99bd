"""A tar, read where it lies: found member by member once, then each image by its offset, and nothing is extracted."""

import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from vggbench.data.imagenet import is_wnid
from vggbench.data.index import indexed, told_if_large
from vggbench.data.listing import Entry, Listing, require_text
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
    rows = indexed(path, "tar", lambda: [list(row) for row in told_if_large(path, _members(path), _reached)])
    files = [Entry(name, path, length, offset) for name, length, offset in rows if offset is not None]
    folders = {name for name, _, offset in rows if offset is None}
    for entry in files:
        folders |= {"/".join(entry.folders[: i + 1]) for i in range(len(entry.folders))}
    return _without_common_folders(Listing(path, tuple(sorted(files)), frozenset(folders)))


def members(path: Path) -> Iterator[tuple[str, int, int]]:
    """(name, length, offset) of each file in a tar, in the tar's order; raises DataError and OSError."""
    for name, length, offset in _members(path):
        if offset is not None:
            yield name, length, offset


def _members(path: Path) -> Iterator[tuple[str, int, int | None]]:
    """As `members`, and folders with no offset."""
    with path.open("rb") as file:
        yield from _of(_Window(file, 0, path.stat().st_size), path, "")


def _reached(row: tuple[str, int, int | None]) -> int:
    return row[2] or 0


def _of(window: "_Window", path: Path, prefix: str) -> Iterator[tuple[str, int, int | None]]:
    try:
        with tarfile.open(fileobj=cast(IO[bytes], window), mode="r:") as tar:
            for member in _each(tar):
                name = _checked(member, path)
                if not 0 <= member.offset_data <= member.offset_data + member.size <= window.length:
                    raise DataError(_damaged(path, f"{name} ends beyond it"))
                if any(part.startswith(".") for part in PurePosixPath(name).parts):
                    continue
                if member.isdir():
                    yield prefix + name, 0, None
                elif _CLASS_TAR.fullmatch(name):
                    inner = window.part(member.offset_data, member.size)
                    yield from _of(inner, path, f"{prefix}{name.removesuffix('.tar')}/")
                else:
                    yield prefix + name, member.size, window.start + member.offset_data
            end = tar.offset
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise DataError(_damaged(path, first_line(error))) from error
    window.seek(end)  # the reader ends at whatever is no header: zeros, unless the file is damaged
    if window.read(_BLOCK) != bytes(_BLOCK):
        raise DataError(_damaged(path, f"no member begins at byte {window.start + end:,}"))


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
    return f"{path} is no whole tar ({why}): expected one to its end. Download or copy it again."


def _without_common_folders(listing: Listing) -> Listing:
    """The listing below the folders that hold everything, such as the `imagenet/val/` of a packed folder."""
    while len(listing.top_folders) == 1 and _only_wraps(listing):
        listing = listing.below(listing.top_folders[0])
    return listing


def _only_wraps(listing: Listing) -> bool:
    """Whether the one topmost folder holds class folders, or validation images, rather than being a class itself."""
    holds_folders = all(len(entry.folders) > 1 for entry in listing.files)
    is_flat = all(len(entry.folders) == 1 for entry in listing.files)
    return holds_folders or (is_flat and listing.is_unsorted_val and not is_wnid(listing.top_folders[0]))


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

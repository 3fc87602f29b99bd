"""The files of a set, in a folder or in a tar: their names below its top, where their bytes are, and the folders."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from vggbench.data.dataset import ImageFile
from vggbench.data.imagenet import image_id, require_stated_class, val_number
from vggbench.errors import DataError

KNOWN_TRUTHS = ("LOC_val_solution.csv", "val.txt", "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12.tar.gz")
"""Names by which a ground truth is found where it lies beside the images."""
EXTENSIONS = (".jpeg", ".jpg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class Entry(NamedTuple):
    """One file; `offset` where it is a part of the file at `path`."""

    name: str
    """Below the top, with slashes."""
    path: Path
    length: int
    offset: int | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders below the top that it lies in."""
        return tuple(self.name.split("/")[:-1])

    @property
    def is_image(self) -> bool:
        """By its ending."""
        return self.name.lower().endswith(EXTENSIONS)

    def image(self, class_name: str) -> ImageFile:
        """As an image of this class; raises DataError where its own name states another."""
        image = ImageFile(image_id(self.name), self.path, self.length, class_name, self.offset)
        require_stated_class(class_name, self.name, image)
        return image


@dataclass(frozen=True)
class Listing:
    """All files below a top, sorted by name, and all folders, empty ones too; nothing whose name begins with a dot."""

    top: Path
    files: tuple[Entry, ...]
    folders: frozenset[str]

    @cached_property
    def top_folders(self) -> tuple[str, ...]:
        """Names of the folders directly below the top, sorted; a devkit is none."""
        return tuple(sorted({name.partition("/")[0] for name in self.folders} - set(KNOWN_TRUTHS)))

    @cached_property
    def images(self) -> tuple[Entry, ...]:
        """The files with an image's ending."""
        return tuple(e for e in self.files if e.is_image and e.name.partition("/")[0] not in KNOWN_TRUTHS)

    @cached_property
    def others(self) -> tuple[Entry, ...]:
        """The other files."""
        return tuple(entry for entry in self.files if not entry.is_image)

    @property
    def is_unsorted_val(self) -> bool:
        """Whether all images are named as ILSVRC's validation images, which say nothing of their class."""
        return bool(self.images) and all(val_number(image_id(entry.name)) for entry in self.images)

    def below(self, folder: str) -> "Listing":
        """What is below one of the folders; messages go on naming the whole."""
        start = f"{folder}/"
        files = tuple(e._replace(name=e.name.removeprefix(start)) for e in self.files if e.name.startswith(start))
        folders = frozenset(name.removeprefix(start) for name in self.folders if name.startswith(start))
        return Listing(self.top, files, folders)

    def where(self, name: str) -> str:
        """A file or folder, for messages."""
        return f"{name} in {self.top}" if self.top.is_file() else str(self.top / name)


def list_folder(top: Path) -> Listing:
    """Everything below a folder; raises OSError, and DataError for a name that is no text."""
    files: list[Entry] = []
    folders: set[str] = set()
    for name, entry in _walk(top, ""):
        if entry.is_dir(follow_symlinks=not name.count("/")):
            folders.add(name)
        else:
            files.append(Entry(name, Path(entry.path), _length(entry)))
    return Listing(top, tuple(sorted(files)), frozenset(folders))


def require_text(name: str, where: object) -> None:
    """Raise DataError for a file name whose bytes are not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"The file name {name!a} in {where} is not UTF-8: expected one that is. Rename the file."
        ) from error


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """A folder that is a link is followed directly below the top alone, so that no loop is entered."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = prefix + entry.name
            require_text(name, folder)
            yield name, entry
            if entry.is_dir(follow_symlinks=not prefix):
                yield from _walk(Path(entry.path), f"{name}/")


def _length(entry: os.DirEntry[str]) -> int:
    """Bytes; 0 for a link to nowhere, which the evaluation then names as unreadable."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return 0
    if not stat.S_ISREG(status.st_mode) and not entry.is_dir():
        raise DataError(f"{entry.path!a} is a device, pipe or socket: expected plain files. Take it away.")
    return status.st_size

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

KNOWN_TRUTHS = (
    "LOC_val_solution.csv", "val.txt", "val_annotations.txt", "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12.tar.gz",
)  # fmt: skip
"""Names by which a ground truth is found where it lies beside the images."""
EXTENSIONS = (
    ".jpeg", ".jpg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jfif", ".jpe",
)  # fmt: skip
_OF_SYSTEMS = frozenset(
    ("@eadir", "#recycle", "#snapshot", "__macosx", "__pycache__", "$recycle.bin", "lost+found",
     "system volume information")
)  # fmt: skip
_THUMBNAILS = frozenset(("thumbs", "thumbnails", "_thumbs"))
"""Left alone inside a class folder; at the top they could be a class."""


def is_image(name: str) -> bool:
    """Whether a file is an image by its ending."""
    return name.lower().endswith(EXTENSIONS)


def is_litter(name: str) -> bool:
    """Whether a file or folder is kept by a system or a program for itself: `._x.jpg`, `@eaDir`, `__MACOSX`."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


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
        """Whether it is an image, by its ending."""
        return is_image(self.name)

    def image(self, class_name: str) -> ImageFile:
        """As an image of this class; raises DataError where its own name states another."""
        image = ImageFile(image_id(self.name), self.path, self.length, class_name, self.offset)
        require_stated_class(class_name, self.name, image)
        return image


@dataclass(frozen=True)
class Listing:
    """All files below a top, sorted by name, and all folders, empty ones too; no litter."""

    top: Path
    files: tuple[Entry, ...]
    folders: frozenset[str]
    pruned: tuple[str, ...] = ()
    """Folders that a system keeps for itself and that were not looked into; hidden ones are not named."""

    @cached_property
    def top_folders(self) -> tuple[str, ...]:
        """Names of the folders directly below the top, sorted; a devkit is none."""
        return tuple(sorted({name.partition("/")[0] for name in self.folders} - set(KNOWN_TRUTHS)))

    @cached_property
    def images(self) -> tuple[Entry, ...]:
        """The files with an image's ending, without thumbnails of others."""
        found = (entry for entry in self.files if entry.is_image and entry.name.partition("/")[0] not in KNOWN_TRUTHS)
        return tuple(entry for entry in found if _thumbnails(entry) is None)

    @cached_property
    def litter(self) -> tuple[str, ...]:
        """The folders whose images, if any, are none of the set."""
        return tuple(sorted({*self.pruned, *filter(None, map(_thumbnails, self.files))}))

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
        pruned = tuple(name.removeprefix(start) for name in self.pruned if name.startswith(start))
        return Listing(self.top, files, folders, pruned)

    def where(self, name: str) -> str:
        """A file or folder, for messages."""
        return f"{name} in {self.top}" if self.top.is_file() else str(self.top / name)


def list_folder(top: Path) -> Listing:
    """Everything below a folder; raises OSError, and DataError for a name that is not text and a folder met twice."""
    files: list[Entry] = []
    folders: set[str] = set()
    litter: list[str] = []
    for name, entry in _walk(top, "", {_place(top): top}, litter):
        if entry.is_dir():
            folders.add(name)
        else:
            files.append(Entry(name, Path(entry.path), _length(entry)))
    return Listing(top, tuple(sorted(files)), frozenset(folders), tuple(sorted(litter)))


def _thumbnails(entry: Entry) -> str | None:
    """The folder of thumbnails below a class that a file lies in."""
    if entry.name.count("/") < 2:
        return None
    at = next((i for i, name in enumerate(entry.folders) if i and name.lower() in _THUMBNAILS), None)
    return "/".join(entry.folders[: at + 1]) if at else None


def require_text(name: str, where: object) -> None:
    """Raise DataError for a file name whose bytes are not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"The file name {name!a} in {where} is not UTF-8: expected one that is. Rename the file."
        ) from error


def _walk(
    folder: Path, prefix: str, met: dict[tuple[int, int], Path], litter: list[str]
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Links to folders are followed, each folder once: a second way to it would count its images twice, or for ever."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if is_litter(entry.name):
                if not entry.name.startswith(".") and entry.is_dir():
                    litter.append(name)
                continue
            require_text(name, folder)
            yield name, entry
            if entry.is_dir():
                path = Path(entry.path)
                first = met.setdefault(_place(path), path)
                if first != path and first.resolve() == path.resolve():  # some file systems number nothing
                    raise DataError(f"{path} is the same folder as {first}: expected each image once. Remove the link.")
                yield from _walk(path, f"{name}/", met, litter)


def _place(folder: Path) -> tuple[int, int]:
    """What two paths to one folder have in common."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _length(entry: os.DirEntry[str]) -> int:
    """Bytes; 0 for a link to nowhere, which the evaluation then names as unreadable."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return 0
    if not stat.S_ISREG(status.st_mode) and not entry.is_dir():
        raise DataError(f"{entry.path!a} is a device, pipe or socket: expected plain files. Remove it.")
    return status.st_size

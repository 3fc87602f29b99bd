"""One folder a class: `<root>/val/<class>/*`, `<root>/<class>/*`."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from vggbench.data.dataset import DataSet, ImageFile
from vggbench.data.imagenet import VAL_PREFIX
from vggbench.errors import DataError

EXTENSIONS = (".jpeg", ".jpg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_WNID_SUFFIX = re.compile(r"_n\d{8}$")


def open_folders(root: Path) -> DataSet:
    """Read the tree below `root`; raises DataError when it is flat, empty, or ambiguous."""
    top = root / "val" if (root / "val").is_dir() else root
    folders = sorted(path for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise DataError(_no_folders(top))
    found: list[ImageFile] = []
    others: list[Path] = []
    for folder in folders:
        before = len(found)
        _refuse_nested(folder)
        for path, length in _files(folder):
            if path.suffix.lower() in EXTENSIONS:
                _refuse_undecodable(path)
                found.append(ImageFile(_WNID_SUFFIX.sub("", path.stem), path, length, folder.name))
            else:
                others.append(path)
        if len(found) == before:
            raise DataError(
                f"Class folder {folder} holds no image: expected files ending in {', '.join(EXTENSIONS[:3])}. "
                "Fill it or remove it, so that every class is measured."
            )
    images = tuple(sorted(_with_unique_ids(found, top), key=lambda image: image.id))
    name = "ilsvrc12-val" if DataSet("", images, len(images)).is_full_ilsvrc_val else _name(root)
    return DataSet(name, images, len(images), _notes(others))


def _refuse_nested(folder: Path) -> None:
    """A folder of folders, such as `train` beside `test`, is no class."""
    entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    if len(entries) > 1 and all(entry.is_dir() for entry in entries):
        raise DataError(
            f"{folder} holds {len(entries)} folders and no image: expected the images of one class. "
            f"If it holds a whole set, pass --data {folder}."
        )


def _refuse_undecodable(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"The file name {path!a} is not UTF-8: expected one that is. Rename the file.") from error


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            yield Path(entry.path), _length(entry)


def _length(entry: os.DirEntry[str]) -> int:
    """Bytes; 0 for a link to nowhere, which the evaluation then names as unreadable."""
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 0


def _with_unique_ids(images: list[ImageFile], top: Path) -> list[ImageFile]:
    """Ids are file names; where two classes use one name, every id is the path below `top` instead."""
    names = Counter(image.id for image in images)
    twice = [image for image in images if names[image.id] > 1]
    if not twice:
        return images
    if twice[0].id.startswith(VAL_PREFIX):
        first, second = [image.path for image in twice if image.id == twice[0].id][:2]
        raise DataError(f"The same image stands twice, as {first} and {second}: remove the wrong one.")
    return [ImageFile(i.path.relative_to(top).as_posix(), i.path, i.length, i.folder) for i in images]


def _notes(others: list[Path]) -> tuple[str, ...]:
    if not others:
        return ()
    return (f"{len(others)} files without an image's ending were left alone, the first {others[0]}",)


def _no_folders(top: Path) -> str:
    files = [path for path in top.iterdir() if path.suffix.lower() in EXTENSIONS]
    if files:
        return (
            f"{top} is a flat folder of {len(files):,} images, which says nothing about their classes: expected one "
            f"folder per class, such as {top.name}/n01440764/{files[0].name}. Sort the images into class folders."
        )
    return f"{top} holds no class folders: expected one folder of images per class, such as n01440764/."


def _name(root: Path) -> str:
    resolved = root.resolve()
    return resolved.parent.name if resolved.name == "val" else resolved.name

"""PASCAL VOC's folders, read as they are: `JPEGImages`, and `ImageSets/Main` for the parts and each class's labels.

`CLASS_PART.txt` holds an image and 1, -1 or 0 on each line. 0 is an image that shows the class in nothing but objects
marked difficult; the devkit's `VOCevalcls.m` counts it neither as right (`gt > 0`) nor as wrong (`gt < 0`). What these
files say is all that classification needs: `Annotations/*.xml` is never opened.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggbench.data.dataset import UNLABELLED, ImageFile
from vggbench.data.layout import Layout, Place
from vggbench.errors import DataError, counted

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The years VOC-2007 to VOC-2012."""
PARTS = ("train", "val", "trainval", "test")
_SETS = Path("ImageSets") / "Main"
_IMAGES = "JPEGImages"
_IMAGE = re.compile(r"[\w-][\w.-]{0,200}")
"""The name of an image in a list: no path, so that none leads out of the folder."""
_LARGEST_LIST = 1 << 23
"""Bytes of one list."""
_LABELS = {"1": 1, "-1": -1, "+1": 1, "0": 0}


@dataclass(frozen=True)
class VocPart:
    """The N images of a part, in the order of its files, and their labels for K classes, (N, K) of 1, -1 or 0."""

    name: str
    images: tuple[str, ...]
    classes: tuple[str, ...]
    labels: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.images)


def is_voc(folder: Path) -> bool:
    """Whether a folder is a VOC of some year."""
    return (folder / _SETS).is_dir() and (folder / _IMAGES).is_dir()


def voc_folder(top: Path) -> Path:
    """The folder itself, or the only VOC in it, as `VOCdevkit/` has it; raises DataError."""
    if is_voc(top):
        return top
    inner = sorted(folder for folder in top.glob("VOC*") if is_voc(folder)) if top.is_dir() else []
    if len(inner) != 1:
        found = f"{' and '.join(folder.name for folder in inner)}" if inner else "no such folder"
        raise DataError(
            f"{top} holds {found}: expected one VOC with {_SETS}/ and {_IMAGES}/, such as VOCdevkit/VOC2007. Name it."
        )
    return inner[0]


def has_labels(folder: Path, part: str) -> bool:
    """Whether the labels of a part are there; those of the test images of 2008 to 2012 are not public, and lists that
    show no image of any class hold none."""
    return bool(class_names(folder, part)) and bool((read_part(folder, part).labels == 1).any())


def class_names(folder: Path, part: str) -> tuple[str, ...]:
    """The classes that have a list for the part, VOC's own twenty in its order, else sorted."""
    ending = f"_{part}.txt"
    found = {path.name.removesuffix(ending) for path in (folder / _SETS).glob(f"*{ending}")} - {""}
    return CLASSES if found == set(CLASSES) else tuple(sorted(found))


def read_part(folder: Path, part: str) -> VocPart:
    """The images of a part and their labels by all its classes.

    Raises DataError for a list that is damaged or names other images than the part's own, and where there is none.
    """
    images = _names(folder / _SETS / f"{part}.txt")
    classes = class_names(folder, part)
    if not classes:
        raise DataError(
            f"{folder / _SETS} has no labels of its part {part}: expected CLASS_{part}.txt for each class, with an "
            "image and 1, -1 or 0 on each line."
        )
    place = {image: at for at, image in enumerate(images)}
    labels = np.zeros((len(images), len(classes)), np.int8)
    for column, name in enumerate(classes):
        path = folder / _SETS / f"{name}_{part}.txt"
        given = _labels(path)
        odd = next(iter(given.keys() ^ place.keys()), None)
        if odd is not None:
            which = "lacks" if odd in place else "names"
            raise DataError(f"{path} {which} {odd}: expected the {counted(len(images), 'image')} of {part}.txt.")
        for image, label in given.items():
            labels[place[image], column] = label
    return VocPart(part, images, classes, labels)


def _names(path: Path) -> tuple[str, ...]:
    names = [words[0] for words in _lines(path)]
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise DataError(f"{path} names {twice} twice: expected each image once.")
    return tuple(names)


def _labels(path: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for words in _lines(path):
        if len(words) != 2 or words[1] not in _LABELS or words[0] in found:
            raise DataError(
                f"{path} has the line {' '.join(words)[:60]!r}: expected an image, each once, and 1, -1 or 0."
            )
        found[words[0]] = _LABELS[words[1]]
    return found


def _lines(path: Path) -> list[list[str]]:
    """The words of each line that has any; the first is the name of an image. Raises DataError."""
    try:
        if path.stat().st_size > _LARGEST_LIST:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes: expected a list of images.")
        lines = [line.split() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise DataError(f"There is no {path}: expected the list of a VOC's part. Name the VOC's folder.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: expected a list of images.") from error
    odd = next((words[0] for words in lines if not _IMAGE.fullmatch(words[0])), None)
    if odd is not None:
        raise DataError(f"{path} names {odd[:60]!r}: expected the name of an image in {_IMAGES}, without its ending.")
    if not lines:
        raise DataError(f"{path} is empty: expected a list of images.")
    return lines


def _all_images(place: Place) -> list[ImageFile]:
    """The images that the lists of the parts name, each once."""
    sets = place.path / _SETS
    lists = [sets / f"{part}.txt" for part in PARTS if (sets / f"{part}.txt").is_file()]
    if not lists:
        raise DataError(f"{sets} holds no {', '.join(f'{part}.txt' for part in PARTS)}: expected one or more.")
    names = dict.fromkeys(name for path in lists for name in _names(path))
    paths = {name: place.path / _IMAGES / f"{name}.jpg" for name in names}
    lacking = [name for name, path in paths.items() if not path.is_file()]
    if lacking:
        raise DataError(
            f"{place.path / _IMAGES} lacks {lacking[0]}.jpg and {len(lacking) - 1:,} more of the {len(names):,} images "
            f"that {_SETS} names: expected all. Unpack the images of every part, or remove the part's list."
        )
    return [ImageFile(name, path, path.stat().st_size, UNLABELLED) for name, path in paths.items()]


def _is_place(place: Place) -> bool:
    return is_voc(place.path)


VOC = Layout("PASCAL VOC", "VOCdevkit/VOC2007/JPEGImages/000001.jpg", _is_place, _all_images)
"""Its images have a label for each class, so that none has a class of its own."""


def require_known(part: VocPart, images: Sequence[str], what: str) -> None:
    """Refuse descriptors that lack an image of a part; raises DataError."""
    known = set(images)
    lacking = [image for image in part.images if image not in known]
    if lacking:
        raise DataError(
            f"{what} lacks {lacking[0]} and {len(lacking) - 1:,} more of the {len(part):,} images of {part.name}: "
            "expected all. Write the features of the whole VOC."
        )

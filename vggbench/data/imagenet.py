"""ILSVRC-2012: its 1,000 classes in the order of every released network, and the labels of its validation images."""

import csv
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import DataError

VAL_IMAGES = 50_000
VAL_PER_CLASS = 50
VAL_PREFIX = "ILSVRC2012_val_"

_PACKAGE = files("vggbench.data")
_VAL_ID = re.compile(rf"{VAL_PREFIX}(\d{{8}})")
_VAL_FILE = re.compile(rf"({VAL_PREFIX}\d{{8}})(?:_(n\d{{8}}))?(?:\.\w{{2,5}})*", re.IGNORECASE)
"""As tools rename the validation images: in lower case, or with an ending of their own after the old one."""
_WNID = re.compile(r"n\d{8}")
_WNID_SUFFIX = re.compile(r"_(n\d{8})$")
_STATED_SUFFIX = re.compile(r"_(n\d{8})(?:\.\w{2,5})*$")
_TRAIN_FILE = re.compile(r"(n\d{8})_\d+(?:\.\w{2,5})*", re.IGNORECASE)


@lru_cache(maxsize=1)
def wnids() -> tuple[str, ...]:
    """The WordNet ids, n01440764 to n15075141, sorted: a network's output i is the i-th of these."""
    return tuple(row["wnid"] for row in _rows())


@lru_cache(maxsize=1)
def class_names() -> dict[str, str]:
    """The name of each wnid, in words."""
    return {row["wnid"]: row["name"] for row in _rows()}


def in_words(names: Sequence[str] | None, classes: int) -> list[str]:
    """A model's classes in words, where they have any; by number where they have no names."""
    known = class_names()
    return [known.get(name, name) for name in names or map(str, range(classes))]


@lru_cache(maxsize=1)
def val_labels() -> NDArray[np.uint16]:
    """The class of each validation image, (50000,) places among `wnids()`, in order of the file names."""
    with _PACKAGE.joinpath("ilsvrc2012_val_labels.npy").open("rb") as file:
        labels: NDArray[np.uint16] = np.load(file, allow_pickle=False)
    return labels


def val_id(number: int) -> str:
    """1 -> ILSVRC2012_val_00000001."""
    return f"{VAL_PREFIX}{number:08d}"


def val_number(image: str) -> int | None:
    """The number, 1 to 50,000, in the id of a validation image; None for any other id."""
    match = _VAL_ID.fullmatch(image)
    return int(match[1]) if match and 1 <= int(match[1]) <= VAL_IMAGES else None


def is_ilsvrc_class(name: str | None) -> bool:
    """Whether a name is one of the 1,000 wnids."""
    return name in _known()


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(wnids())


def is_wnid(name: str) -> bool:
    """Whether a name has a WordNet id's form, of whatever class."""
    return _WNID.fullmatch(name) is not None


def image_id(file_name: str) -> str:
    """A file's name without folders, extension, and the `_n01440764` that some distributions append.

    A validation image of ILSVRC keeps its id whatever a tool made of its case and its endings.
    """
    stem = _stem(file_name)
    if _VAL_ID.fullmatch(stem):
        return stem
    match = _VAL_FILE.fullmatch(stem)
    return f"{VAL_PREFIX}{match[1][-8:]}" if match else _WNID_SUFFIX.sub("", stem)


def named_wnid(file_name: str) -> str | None:
    """The wnid that a file's name itself states: as n01440764_10026 of the training set, or at its end."""
    stem = _stem(file_name)
    if _VAL_ID.fullmatch(stem):
        return None
    if validation := _VAL_FILE.fullmatch(stem):
        return validation[2] and validation[2].lower()
    match = _TRAIN_FILE.fullmatch(stem) or _STATED_SUFFIX.search(stem)
    return match[1].lower() if match else None


def require_stated_class(class_name: str, file_name: str, where: object) -> None:
    """Raise DataError where a file's own name states another of the 1,000 classes than the one it is given."""
    stated = named_wnid(file_name)
    if stated and stated != class_name and is_ilsvrc_class(stated) and is_ilsvrc_class(class_name):
        raise DataError(
            f"{where} is {class_name} by its place and {stated} by its own name: expected the same. Find out which is "
            "right, and move or rename it."
        )


def _stem(file_name: str) -> str:
    """As PurePosixPath's, which takes five times as long: there are a million of these."""
    last = file_name.rpartition("/")[2]
    return last.rpartition(".")[0] or last


def _rows() -> list[dict[str, str]]:
    with _PACKAGE.joinpath("imagenet_synsets.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))

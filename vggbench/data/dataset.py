"""A data set: images in a fixed order, each with the name of its class, and what identifies them."""

import errno
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vggbench.data.imagenet import VAL_IMAGES, VAL_PER_CLASS, val_number, wnids
from vggbench.errors import DataError, UsageError, counted

_OTHERS = "Use a model trained on these classes, or remove them from the data."
_NUMBERS = (
    "Numbers count as outputs by themselves only where all of 0 to 999 are met; say that they are with --ground-truth: "
    "a file of names and numbers or, of shards, the column label or cls."
)
UNLABELLED = ""
"""The class of an image that has none on record."""
CANNOT_BE_READ = "cannot be read"
"""How a reason begins that lies in the file system and may pass, rather than in the image."""
LARGEST_IMAGE = 200_000_000
"""Bytes of an encoded image that are read at most."""


@dataclass(frozen=True)
class ImageFile:
    """One image: a whole file or, where `offset` is given, the `length` bytes of a file from there on."""

    id: str
    """Unique in its data set."""
    path: Path
    length: int
    class_name: str
    offset: int | None = None

    def __str__(self) -> str:
        """Its place, for messages."""
        return str(self.path) if self.offset is None else f"{self.id} in {self.path}"

    @property
    def place(self) -> tuple[str, int, int]:
        """Where its bytes lie: in this order images are read the quickest."""
        return str(self.path), self.offset or 0, 0

    @property
    def read_with(self) -> tuple[str, int] | None:
        """What stands for all images that are read whenever one of them is; None where it is read alone."""
        return None

    def read(self) -> bytes:
        """The encoded image; raises OSError."""
        if self.length > LARGEST_IMAGE:
            raise OSError(errno.EFBIG, f"{self.length:,} bytes, more than any image", str(self.path))
        with self.path.open("rb", buffering=0) as file:
            if self.offset is None:
                return file.read(self.length + 1)  # one more, so that a longer file is noticed
            file.seek(self.offset)
            return file.read(self.length)


@dataclass(frozen=True)
class DataSet:
    """Images sorted by id; `total` counts those of the whole set when this is a subset."""

    name: str
    images: tuple[ImageFile, ...]
    total: int
    notes: tuple[str, ...] = ()
    of_classes: tuple[str, ...] | None = None
    """The classes of the whole set, where this is a subset: labels are places among all of them."""
    empty_classes: frozenset[str] = frozenset()
    """Classes that have a place and no image in the whole set."""
    by_index: bool = False
    """Whether somebody said that the classes are numbers of a model's outputs."""
    is_sample: bool = False
    """Whether these are the built-in drawn pictures; a user's folder of that name is not."""
    layout: str = ""
    """In which form the images were found."""
    labelled_by: str = ""
    """What says which class each image is of."""
    place: str = ""
    """What opens it again: a path, or the name of a split of the sample."""
    whole: str | None = None
    """The fingerprint of the set that this is a part of."""

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes, sorted; those that are all numbers as numbers."""
        return self.of_classes or sorted_classes({image.class_name for image in self.images} - {UNLABELLED})

    @cached_property
    def is_labelled(self) -> bool:
        """Whether every image has a class: either all have one or none."""
        return all(image.class_name != UNLABELLED for image in self.images)

    @property
    def own_labels(self) -> NDArray[np.int32]:
        """The place of each image's class among the data's own, (N,); -1 where the data has no labels."""
        place = {name: index for index, name in enumerate(self.class_names)}
        return np.array([place.get(image.class_name, -1) for image in self.images], dtype=np.int32)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the images' ids and byte lengths, in order; labels do not enter."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(f"{image.id}\0{image.length}\n".encode())
        return digest.hexdigest()

    @cached_property
    def has_ilsvrc_classes(self) -> bool:
        """Whether every class is one of the 1,000 wnids of ILSVRC-2012."""
        return set(self.class_names) - self.empty_classes <= set(wnids())

    @cached_property
    def is_full_ilsvrc_val(self) -> bool:
        """Whether these are exactly the 50,000 validation images of ILSVRC-2012, 50 of each class."""
        if len(self) != VAL_IMAGES or self.class_names != wnids():
            return False
        numbers = {val_number(image.id) for image in self.images}
        per_class = Counter(image.class_name for image in self.images)
        return numbers == set(range(1, VAL_IMAGES + 1)) and set(per_class.values()) == {VAL_PER_CLASS}

    def labels(self, class_names: tuple[str, ...] | None, classes: int) -> NDArray[np.int32]:
        """The label of each image, (N,): the place of its class among the model's `class_names`.

        Without names the data's classes count in sorted order, if there are as many as `classes`; those that
        are known to be numbers of outputs are that. Raises DataError for a class that the model does not know.
        """
        if self.by_index and not set(self.class_names) <= set(class_names or ()):
            return self._indices(classes)
        if class_names is None:
            self._require_count(classes)
            class_names = self.class_names
        place = {name: index for index, name in enumerate(class_names)}
        unknown = [name for name in self.class_names if name not in place and name not in self.empty_classes]
        if unknown:
            raise DataError(
                f"{self.name} has {_some(unknown)} that the model's {counted(classes, 'class')} lack: expected names "
                f"such as {class_names[0]}. {_NUMBERS if all(map(str.isdecimal, unknown)) else _OTHERS}"
            )
        return np.array([place[image.class_name] for image in self.images], dtype=np.int32)

    def _require_count(self, classes: int) -> None:
        if len(self.class_names) != classes:
            empty = f", {len(self.empty_classes)} of them without an image" if self.empty_classes else ""
            raise DataError(
                f"The model has {counted(classes, 'class')} without names and {self.name} has "
                f"{counted(len(self.class_names), 'class')}{empty}: expected as many, or a file that names its classes."
            )

    def _indices(self, classes: int) -> NDArray[np.int32]:
        beyond = next((name for name in self.class_names if not name.isdecimal() or int(name) >= classes), None)
        if beyond is not None:
            raise DataError(
                f"{self.name} has the label {beyond} and the model has {classes} classes: expected 0 to "
                f"{classes - 1}, the number of an output. Numbers that begin with 1 must be lowered by 1."
            )
        return np.array([int(image.class_name) for image in self.images], dtype=np.int32)

    def subset(self, limit: int) -> Self:
        """Every (total / limit)-th image in order of class, so that as many classes as possible are met."""
        if limit < 1:
            raise UsageError(f"--limit {limit}: expected 1 or more images.")
        if limit >= len(self):
            return self
        by_class = sorted(self.images, key=lambda image: (image.class_name, image.id))
        chosen = [by_class[i * len(by_class) // limit] for i in range(limit)]
        return replace(
            self,
            images=tuple(sorted(chosen, key=lambda image: image.id)),
            of_classes=self.class_names,
            whole=self.fingerprint,
        )

    def shuffled(self, seed: int = 0) -> Self:
        """The same images in a random order, which the seed and their ids alone decide."""
        by_id = sorted(self.images, key=lambda image: image.id)
        order = np.random.default_rng(seed).permutation(len(by_id))
        return replace(self, images=tuple(by_id[place] for place in order.tolist()), of_classes=self.class_names)


def sorted_classes(names: set[str]) -> tuple[str, ...]:
    """In the order in which they are a network's outputs: by name, and 2 before 10 where all are numbers."""
    numbered = all(name.isdecimal() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if numbered else 0, name)))


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} class{'es' if len(names) > 1 else ''} ({shown})"


def with_unique_ids(named: Sequence[tuple[str, ImageFile]]) -> list[ImageFile]:
    """The images, given with their whole names; those that share an id get that name instead.

    Raises DataError where even the names are the same, and for a validation image of ILSVRC that occurs twice.
    """
    ids = Counter(image.id for _, image in named)
    if len(ids) < len(named):
        _refuse_twice((image.id, name, image) for name, image in named if val_number(image.id))
        named = [(name, replace(image, id=name) if ids[image.id] > 1 else image) for name, image in named]
        _refuse_twice((image.id, name, image) for name, image in named)
    return [image for _, image in named]


def _refuse_twice(images: Iterable[tuple[str, str, ImageFile]]) -> None:
    seen: dict[str, str] = {}
    for image_id, name, image in images:
        place = str(image.path) if image.path.as_posix().endswith(name) else f"{name} in {image.path}"
        if image_id in seen:
            raise DataError(
                f"The same image, {image_id}, occurs twice, as {seen[image_id]} and {place}: expected each once. "
                "Remove the wrong one."
            )
        seen[image_id] = place

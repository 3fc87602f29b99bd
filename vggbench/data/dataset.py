"""A data set: images in a fixed order, their folders' names as truth, and what identifies them."""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vggbench.data.imagenet import VAL_IMAGES, VAL_PER_CLASS, VAL_PREFIX, wnids
from vggbench.errors import DataError, UsageError


@dataclass(frozen=True)
class ImageFile:
    """One image; `id` is unique in its data set, `folder` names its class."""

    id: str
    path: Path
    length: int
    folder: str

    def read(self) -> bytes:
        """The encoded image; raises OSError."""
        return self.path.read_bytes()


@dataclass(frozen=True)
class DataSet:
    """Images sorted by id; `total` counts those of the whole set when this is a subset."""

    name: str
    images: tuple[ImageFile, ...]
    total: int
    notes: tuple[str, ...] = ()
    of_folders: tuple[str, ...] | None = None
    """The class folders of the whole set, where this is a subset: labels are places among all of them."""
    is_sample: bool = False
    """Whether these are the built-in drawn pictures; a user's folder of that name is not."""

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """The class folders' names, sorted."""
        return self.of_folders or tuple(sorted({image.folder for image in self.images}))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the images' ids and byte lengths, in order; labels do not enter."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(f"{image.id}\0{image.length}\n".encode())
        return digest.hexdigest()

    @cached_property
    def has_ilsvrc_classes(self) -> bool:
        """Whether every class folder is one of the 1,000 wnids of ILSVRC-2012."""
        return set(self.folders) <= set(wnids())

    @cached_property
    def is_full_ilsvrc_val(self) -> bool:
        """Whether these are exactly the 50,000 validation images of ILSVRC-2012, 50 in each class folder."""
        if len(self) != VAL_IMAGES or self.folders != wnids():
            return False
        numbered = {f"{VAL_PREFIX}{number:08d}" for number in range(1, VAL_IMAGES + 1)}
        per_class = Counter(image.folder for image in self.images)
        return {image.id for image in self.images} == numbered and set(per_class.values()) == {VAL_PER_CLASS}

    def labels(self, class_names: tuple[str, ...] | None, classes: int) -> NDArray[np.int32]:
        """The label of each image, (N,): the place of its folder's name among the model's `class_names`.

        Without names the folders count in sorted order, if there are as many as `classes`.
        Raises DataError for a folder that the model does not know.
        """
        if class_names is None:
            if len(self.folders) != classes:
                raise DataError(
                    f"The model has {classes} classes without names and {self.name} has {len(self.folders)} class "
                    "folders: expected as many folders as classes, or a file that names its classes."
                )
            class_names = self.folders
        place = {name: index for index, name in enumerate(class_names)}
        unknown = [folder for folder in self.folders if folder not in place]
        if unknown:
            raise DataError(
                f"{self.name} has {_some(unknown, 'class folder')} that the model's {classes} classes lack: "
                f"expected names such as {class_names[0]}. Use a model trained on these classes, or take "
                "the folders out of the data."
            )
        return np.array([place[image.folder] for image in self.images], dtype=np.int32)

    def subset(self, limit: int) -> Self:
        """Every (total / limit)-th image in order of class, so that as many classes as possible are met."""
        if limit < 1:
            raise UsageError(f"--limit {limit}: expected 1 or more images.")
        if limit >= len(self):
            return self
        by_class = sorted(self.images, key=lambda image: (image.folder, image.id))
        chosen = [by_class[i * len(by_class) // limit] for i in range(limit)]
        return replace(self, images=tuple(sorted(chosen, key=lambda image: image.id)), of_folders=self.folders)


def _some(names: list[str], noun: str) -> str:
    shown = ", ".join(repr(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} {noun}{'s' if len(names) > 1 else ''} ({shown})"

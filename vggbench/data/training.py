"""The two sets of a training: what it learns from, and what says when to lower the rate."""

from dataclasses import replace
from pathlib import Path

from vggbench.data.dataset import DataSet
from vggbench.data.folders import open_folders
from vggbench.errors import DataError

_HELD_OUT = 10
"""Where a folder has no validation images of its own, one image of so many in each class validates."""


def open_training(root: Path) -> tuple[DataSet, DataSet]:
    """The training and the validation images at `root`: `train/` and `val/`, or one set that is divided.

    Raises DataError.
    """
    if (root / "train").is_dir() and (root / "val").is_dir():
        train, val = open_folders(root / "train"), open_folders(root / "val")
        return replace(train, name=f"{root.resolve().name}-train"), val
    if (root / "train").is_dir() or (root / "val").is_dir():
        raise DataError(
            f"{root} holds only one of train/ and val/: expected both, or one folder per class to hold out images from."
        )
    return _divided(open_folders(root))


def _divided(data: DataSet) -> tuple[DataSet, DataSet]:
    """Every tenth image of each class, in order of id, validates and is not trained on."""
    if data.is_full_ilsvrc_val:
        raise DataError(
            "These are the validation images of ILSVRC-2012: expected to train on others, since evaluations measure "
            "on them. Pass a folder with train/ and val/."
        )
    by_class: dict[str, list[int]] = {}
    for index, image in enumerate(data.images):
        by_class.setdefault(image.folder, []).append(index)
    lone = next((name for name, indices in by_class.items() if len(indices) < 2), None)
    if lone:
        raise DataError(f"Class {lone} of {data.name} has one image: expected two or more, to train and to validate.")
    held = {index for indices in by_class.values() for index in indices[1::_HELD_OUT]}
    parts = []
    for name, inside in (("train", False), ("held-out", True)):
        images = tuple(image for index, image in enumerate(data.images) if (index in held) == inside)
        parts.append(DataSet(f"{data.name}-{name}", images, len(images), of_folders=data.folders))
    note = f"{data.name} has no train/ and val/: one image of ten in each class, {len(held):,}, is held out"
    return replace(parts[0], notes=(*data.notes, note)), parts[1]

"""The two sets of a training: what it learns from, and what says when to lower the rate."""

from dataclasses import replace
from pathlib import Path

from vggbench.data.dataset import DataSet
from vggbench.data.layouts import place_of, split_place
from vggbench.data.opening import ILSVRC_VAL, open_place
from vggbench.errors import DataError

_HELD_OUT = 10
"""Where a folder has no validation images of its own, one image of so many in each class validates."""


def open_training(top: Path) -> tuple[DataSet, DataSet]:
    """The training and the validation images at `top`: those of both splits, or one set that is divided.

    Raises DataError and OSError.
    """
    train, val = split_place(top, "train"), split_place(top, "val")
    if train and val:
        opened = _of_full_classes(open_place(top, train, None, trains=True))
        return replace(opened, name=f"{top.resolve().name}-train"), open_place(top, val, None, trains=True)
    if train or val:
        raise DataError(
            f"{top} holds only one of train/ and val/: expected both, or one folder per class to hold out images from."
        )
    return _divided(_of_full_classes(open_place(top, place_of(top, "train"), None, trains=True)))


def _of_full_classes(data: DataSet) -> DataSet:
    """Without the classes that have no image, which nothing could be learnt of."""
    if not data.empty_classes:
        return data
    full = tuple(name for name in data.class_names if name not in data.empty_classes)
    return replace(data, of_classes=full, empty_classes=frozenset())


def _divided(data: DataSet) -> tuple[DataSet, DataSet]:
    """Every tenth image of each class, in order of id, validates and is not trained on."""
    if data.name == ILSVRC_VAL:
        raise DataError(
            "These are the validation images of ILSVRC-2012: expected to train on others, since evaluations measure "
            "on them. Pass a folder with train/ and val/."
        )
    by_class: dict[str, list[int]] = {}
    for index, image in enumerate(data.images):
        by_class.setdefault(image.class_name, []).append(index)
    lone = next((name for name, indices in by_class.items() if len(indices) < 2), None)
    if lone:
        raise DataError(f"Class {lone} of {data.name} has one image: expected two or more, to train and to validate.")
    held = {index for indices in by_class.values() for index in indices[1::_HELD_OUT]}
    parts = []
    for name, inside in (("train", False), ("held-out", True)):
        images = tuple(image for index, image in enumerate(data.images) if (index in held) == inside)
        parts.append(DataSet(f"{data.name}-{name}", images, len(images), of_classes=data.class_names))
    note = f"{data.name} has no train/ and val/: one image in ten of each class, {len(held):,} in all, is held out"
    return replace(parts[0], notes=(*data.notes, note)), parts[1]

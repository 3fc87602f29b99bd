"""From a place to a data set, or to the two of a training: recognise the layout, find, label and order the images."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vggbench.data.dataset import UNLABELLED, DataSet, ImageFile, sorted_classes
from vggbench.data.folders import CLASS_FOLDERS
from vggbench.data.imagenet import VAL_IMAGES, is_ilsvrc_class, val_number, wnids
from vggbench.data.labelling import NO_FILE, beside, labelled
from vggbench.data.layout import Layout, Place
from vggbench.data.layouts import place_of, recognised, split_place
from vggbench.data.listing import KNOWN_TRUTHS
from vggbench.data.numbers import is_thousand
from vggbench.data.parquet import PARQUET
from vggbench.data.splits import WORDS
from vggbench.data.truth import Truth, read_truth
from vggbench.data.webdataset import WEBDATASET
from vggbench.errors import DataError

_INDICES = ("the labels are numbers, taken as places among the model's classes, 0 being the first",)
ILSVRC_VAL = "ilsvrc12-val"
"""The name of the validation images of ILSVRC-2012, in whatever form, and of every part of them."""
_HELD_OUT = 10
"""Where a folder has no validation images of its own, one image of so many in each class validates."""


def open_evaluation(top: Path, ground_truth: str | None, *, may_lack_labels: bool = False) -> DataSet:
    """The validation images at `top`, or all where it names no splits. Raises DataError and OSError."""
    return open_place(top, place_of(top, "val"), ground_truth, may_lack_labels=may_lack_labels)


def open_place(
    top: Path, place: Place, ground_truth: str | None, *, trains: bool = False, may_lack_labels: bool = False
) -> DataSet:
    """The images at `place`, a part of `top`; `ground_truth` is a file, `none`, or None for those beside the images.

    For shards it may also be the column that holds the labels; what only trains reads no file that it
    does not need. `may_lack_labels`: images that nothing labels are welcome. Raises DataError and OSError.
    """
    layout = recognised(place)
    if layout in (PARQUET, WEBDATASET) and _is_column(ground_truth):
        place, ground_truth = replace(place, label_column=ground_truth), None
    found = _in_order_of_numbers(layout.images(place))
    if not found:
        raise DataError(f"{place.path} holds no image ({layout.name}): expected one or more.")
    truths = _truths(top, place, found, ground_truth, trains=trains)
    images, labelled_by = labelled(found, truths, may_lack=may_lack_labels)
    images.sort(key=lambda image: image.id)
    is_val = all(val_number(image.id) for image in images)
    of_classes = None if is_val else layout.class_names(place)
    is_told = bool(truths or place.label_column) and of_classes is None
    by_index = is_told and all(image.class_name.isdecimal() for image in images)
    return DataSet(
        name=ILSVRC_VAL if is_val else _name(top),
        images=tuple(images),
        total=VAL_IMAGES if is_val else len(images),
        notes=(*_notes_of_files(place), *_notes_of_classes(images, layout, place, is_val=is_val), *_INDICES[:by_index]),
        of_classes=of_classes,
        empty_classes=frozenset(layout.empty_classes(place)),
        by_index=by_index,
        layout=layout.name + (" in a tar" if "whole_listing" in vars(place) and place.path.is_file() else ""),
        labelled_by=labelled_by,
    )


def _is_column(ground_truth: str | None) -> bool:
    return ground_truth not in (None, NO_FILE) and not Path(str(ground_truth)).expanduser().exists()


def _truths(
    top: Path, place: Place, images: Sequence[ImageFile], ground_truth: str | None, *, trains: bool
) -> list[Truth]:
    if ground_truth == NO_FILE:
        return []
    if ground_truth is not None:
        path = Path(ground_truth).expanduser()
        if not path.exists():
            raise DataError(f"There is no {path}: expected a ground truth, from --ground-truth.")
        return [read_truth(path)]
    is_val = all(val_number(image.id) for image in images)
    needed = all(image.class_name == UNLABELLED for image in images) and not is_val
    return beside(top, place) if needed or (is_val and not trains) else []


def _in_order_of_numbers(images: list[ImageFile]) -> list[ImageFile]:
    """Classes 0 to 999, as shards may have them, are ILSVRC's."""
    if not is_thousand(image.class_name for image in images):
        return images
    return [replace(image, class_name=wnids()[int(image.class_name)]) for image in images]


def _notes_of_files(place: Place) -> tuple[str, ...]:
    """What was left alone, where files were looked through."""
    if "whole_listing" not in vars(place):
        return ()
    litter = place.listing.litter
    notes: tuple[str, ...] = ()
    if litter:
        more = f"{len(litter):,} folders of thumbnails or a system's own were" if len(litter) > 1 else "a folder was"
        notes = (f"{more} left alone, {'the first ' if len(litter) > 1 else ''}{place.listing.where(litter[0])}",)
    others = [entry.name for entry in place.listing.others if entry.name.partition("/")[0] not in KNOWN_TRUTHS]
    if not others:
        return notes
    what = "1 file" if len(others) == 1 else f"{len(others)} files"
    verb = "was" if len(others) == 1 else "were"
    first = f"{place.listing.where(others[0])}"
    told = f"{what} without an image's ending {verb} left alone, {'' if len(others) == 1 else 'the first '}{first}"
    return (*notes, told)


def _notes_of_classes(images: Sequence[ImageFile], layout: Layout, place: Place, *, is_val: bool) -> tuple[str, ...]:
    """What the number of classes, and empty ones, mean for an error."""
    notes = []
    names = {image.class_name for image in images}
    if empty := layout.empty_classes(place):
        what = f"class {empty[0]} has" if len(empty) == 1 else f"{len(empty):,} classes, the first {empty[0]}, have"
        notes.append(f"{what} no image, so that no error counts {'it' if len(empty) == 1 else 'them'}")
    if len(names) < len(wnids()) and all(map(is_ilsvrc_class, names)):
        notes.append(
            f"the images are of {len(names):,} of ILSVRC's 1,000 classes, and nets choose among all 1,000"
            + ("" if is_val else "; published figures of such sets may be of a choice among these alone")
        )
    if layout is CLASS_FOLDERS and sorted_classes(names) != tuple(sorted(names)):
        notes.append(
            "the class folders are numbers and count in their order, 2 before 10; torchvision's ImageFolder sorts them "
            "as text, 10 before 2"
        )
    return tuple(notes)


def _name(top: Path) -> str:
    resolved = top.resolve()
    if resolved.is_file():
        return resolved.name.removesuffix("".join(resolved.suffixes))
    return resolved.parent.name if resolved.name.lower() in WORDS["val"] else resolved.name


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

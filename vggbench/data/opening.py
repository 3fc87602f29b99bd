"""From a place to a data set: recognise the layout, find the images, label them, and put them in order."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vggbench.data.dataset import DataSet, ImageFile, sorted_classes
from vggbench.data.folders import CLASS_FOLDERS
from vggbench.data.imagenet import VAL_IMAGES, is_ilsvrc_class, val_number, wnids
from vggbench.data.labelling import NO_FILE, beside, labelled
from vggbench.data.layout import UNLABELLED, Layout, Place
from vggbench.data.layouts import place_of, recognised
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


def open_evaluation(top: Path, ground_truth: str | None) -> DataSet:
    """The validation images at `top`, or all where it names no splits. Raises DataError and OSError."""
    return open_place(top, place_of(top, "val"), ground_truth)


def open_place(top: Path, place: Place, ground_truth: str | None, *, trains: bool = False) -> DataSet:
    """The images at `place`, a part of `top`; `ground_truth` is a file, `none`, or None for those beside the images.

    Of shards it may also be the column that holds the labels; what only trains reads no file that it
    does not need. Raises DataError and OSError.
    """
    layout = recognised(place)
    if layout in (PARQUET, WEBDATASET) and _is_column(ground_truth):
        place, ground_truth = replace(place, label_column=ground_truth), None
    found = _in_order_of_numbers(layout.images(place))
    if not found:
        raise DataError(f"{place.path} holds no image ({layout.name}): expected one or more.")
    truths = _truths(top, place, found, ground_truth, trains=trains)
    images, labelled_by = labelled(found, truths)
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

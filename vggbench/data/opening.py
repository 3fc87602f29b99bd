"""From a place to a data set: recognise the layout, find the images, label them, and put them in order."""

from collections.abc import Sequence
from pathlib import Path

from vggbench.data.dataset import DataSet, ImageFile
from vggbench.data.imagenet import VAL_IMAGES, val_number
from vggbench.data.labelling import NO_FILE, beside, labelled
from vggbench.data.layout import Place
from vggbench.data.layouts import recognised, split_place
from vggbench.data.listing import KNOWN_TRUTHS
from vggbench.data.truth import Truth, read_truth
from vggbench.errors import DataError

ILSVRC_VAL = "ilsvrc12-val"
"""The name of the validation images of ILSVRC-2012, in whatever form, and of every part of them."""


def open_evaluation(top: Path, ground_truth: str | None) -> DataSet:
    """The validation images at `top`, or all where it names no splits. Raises DataError and OSError."""
    named = None if top.is_file() else split_place(top, "val")  # in a tar, a place finds its split by itself
    return open_place(top, named or Place(top, "val"), ground_truth)


def open_place(top: Path, place: Place, ground_truth: str | None = NO_FILE) -> DataSet:
    """The images at `place`, a part of `top`; `ground_truth` is a file, `none`, or None for those beside the images.

    Raises DataError and OSError.
    """
    layout = recognised(place)
    found = layout.images(place)
    if not found:
        raise DataError(f"{place.path} holds no image ({layout.name}): expected one or more.")
    truths = _truths(top, place, found, ground_truth)
    images, labelled_by = labelled(found, truths)
    images.sort(key=lambda image: image.id)
    is_val = all(val_number(image.id) for image in images)
    return DataSet(
        name=ILSVRC_VAL if is_val else _name(top),
        images=tuple(images),
        total=VAL_IMAGES if is_val else len(images),
        notes=_notes(place),
        of_classes=None if is_val else layout.class_names(place),
        layout=layout.name + (" in a tar" if "whole_listing" in vars(place) and place.path.is_file() else ""),
        labelled_by=labelled_by,
    )


def _truths(top: Path, place: Place, images: Sequence[ImageFile], ground_truth: str | None) -> list[Truth]:
    if ground_truth == NO_FILE:
        return []
    if ground_truth is not None:
        path = Path(ground_truth).expanduser()
        if not path.exists():
            raise DataError(f"There is no {path}: expected a ground truth, from --ground-truth.")
        return [read_truth(path)]
    return beside(top, place) if all(val_number(image.id) for image in images) else []


def _notes(place: Place) -> tuple[str, ...]:
    """What was left alone, where files were looked through."""
    if "whole_listing" not in vars(place):
        return ()
    others = [entry.name for entry in place.listing.others if entry.name.partition("/")[0] not in KNOWN_TRUTHS]
    if not others:
        return ()
    what = "1 file" if len(others) == 1 else f"{len(others)} files"
    verb = "was" if len(others) == 1 else "were"
    first = f"{place.listing.where(others[0])}"
    return (f"{what} without an image's ending {verb} left alone, {'' if len(others) == 1 else 'the first '}{first}",)


def _name(top: Path) -> str:
    resolved = top.resolve()
    if resolved.is_file():
        return resolved.name.removesuffix("".join(resolved.suffixes))
    return resolved.parent.name if resolved.name == "val" else resolved.name

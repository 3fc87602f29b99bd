"""Give each image its class, and refuse sources that disagree: its place, a ground truth, the labels shipped here."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from vggbench.data.dataset import UNLABELLED, ImageFile
from vggbench.data.imagenet import is_ilsvrc_class, val_labels, val_number, wnids
from vggbench.data.layout import Place
from vggbench.data.listing import KNOWN_TRUTHS
from vggbench.data.splits import KAGGLE_TOP, is_part
from vggbench.data.truth import Truth, read_truth
from vggbench.errors import DataError

_PLACE = "where the images lie"
SHIPPED = "the labels of ILSVRC-2012 val that vggbench ships"
NOBODY = "nothing"
"""What labels images that have no labels."""
NO_FILE = "none"
"""Asks that no ground truth that lies beside the images is looked at."""


def labelled(
    images: Sequence[ImageFile], truths: Sequence[Truth], *, may_lack: bool = False
) -> tuple[list[ImageFile], str]:
    """The images with their classes, and what said them; where labels `may_lack`, without any if nothing says one.

    Raises DataError where two sources disagree, and where some images have a class and others none.
    """
    for truth in truths:
        _require_same_images(images, truth)
    sources, asked = _sources(images, truths), Counter[str]()
    if may_lack and not truths and not any(_says(image, sources) for image in images):
        return list(images), NOBODY
    found = [_of(image, sources, asked) for image in images]
    of_all = len(images)
    return found, ", ".join(
        name if count == of_all else f"{name} ({count:,} of {of_all:,} images)"
        for name in (_PLACE, *(name for name, _ in sources))
        if (count := asked[name])
    )


def beside(top: Path, place: Place) -> list[Truth]:
    """The ground truths that lie with the images or above, by their usual names; raises DataError and OSError."""
    inner = place.path if place.path.is_dir() else place.path.parent
    folders = [folder for folder in (inner, *inner.parents) if folder.is_relative_to(top)] or [inner]
    folders += [top] if top.is_dir() else []
    if is_part(top):  # /data/imagenet/val: the kit lies in /data/imagenet
        folders.append(top.absolute().parent)
    if place.path.parent.name == KAGGLE_TOP:  # ILSVRC/Data/CLS-LOC/val: the solution lies beside ILSVRC
        folders += place.path.absolute().parents[1:4]
    found = {(folder / name).resolve(): folder / name for folder in folders for name in KNOWN_TRUTHS}
    return [read_truth(path) for path in found.values() if path.exists()]


def _sources(images: Sequence[ImageFile], truths: Sequence[Truth]) -> list[tuple[str, dict[str, str]]]:
    shipped = {image.id: wnids()[val_labels()[n - 1]] for image in images if (n := val_number(image.id))}
    return [*((truth.name, truth.classes) for truth in truths), (SHIPPED, shipped)]


def _says(image: ImageFile, sources: Iterable[tuple[str, dict[str, str]]]) -> bool:
    """Whether anything says an image's class."""
    return image.class_name != UNLABELLED or any(image.id in classes for _, classes in sources)


def _of(image: ImageFile, sources: Iterable[tuple[str, dict[str, str]]], asked: Counter[str]) -> ImageFile:
    """The image with its class; `asked` counts the sources that had a say in it."""
    said = [(name, classes[image.id]) for name, classes in sources if image.id in classes]
    if image.class_name != UNLABELLED:
        said.insert(0, (_PLACE, image.class_name))
    if not said:
        raise DataError(
            f"{image} has no class: its place says none, and its name is not one of ILSVRC-2012 val's. Expected one "
            "folder per class, or --ground-truth FILE with a name and a label on each line."
        )
    first, *others = said if is_ilsvrc_class(said[0][1]) else [(name, label) for name, label in said if name != SHIPPED]
    for name, _ in (first, *others):
        asked[name] += 1
    for name, other in others:
        if other != first[1]:
            by = "its place" if first[0] == _PLACE else first[0]
            raise DataError(
                f"{image} is {first[1]} by {by} and {other} by {name}: expected the same. Find out which is "
                f"right and correct the other; --ground-truth {NO_FILE} leaves files beside the images unread."
            )
    return replace(image, class_name=first[1]) if image.class_name == UNLABELLED else image


def _require_same_images(images: Sequence[ImageFile], truth: Truth) -> None:
    ids = {image.id for image in images}
    without = next((image for image in images if image.id not in truth.classes), None)
    if without:
        raise DataError(
            f"{truth.path} has {len(truth.classes):,} labels and none for {without}, one of {len(ids):,} images: "
            f"expected one for each. Give the ground truth of these images, or --ground-truth {NO_FILE}."
        )
    if len(truth.classes) != len(ids):
        lost = next(image for image in truth.classes if image not in ids)
        raise DataError(
            f"{truth.path} has {len(truth.classes):,} labels and there are {len(ids):,} images, without "
            f"{lost} for one: expected the same number. Complete the images, or measure these as a subset "
            f"with --ground-truth {NO_FILE}."
        )

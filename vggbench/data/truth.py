"""Which class each image is of, as files say it: a devkit, Kaggle's solution, Caffe's val.txt, a list of wnids."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vggbench.data.devkit import devkit_classes, is_devkit
from vggbench.data.imagenet import VAL_IMAGES, image_id, is_wnid, val_id, val_labels, val_number, wnids
from vggbench.data.labels_file import Labelled, labelled_names
from vggbench.data.numbers import is_thousand
from vggbench.errors import DataError

_LONGEST_NUMBER = 9
"""Digits of a label."""


@dataclass(frozen=True)
class Truth:
    """The class of each image by its id, and the file that says so."""

    path: Path
    classes: dict[str, str]

    @property
    def name(self) -> str:
        """For captions."""
        return self.path.name


def read_truth(path: Path) -> Truth:
    """The ground truth at `path`: a devkit's folder or `.tar.gz`, or a text file of names and labels.

    A text file has a name and a label on each line, as `labels_file` reads them; a label is a wnid, a model
    index or a class's own name. Or it has a label alone, in order of the validation images: wnids, or numbers
    that agree with the labels shipped here. Raises DataError and OSError.
    """
    if is_devkit(path):
        return Truth(path, {val_id(number): wnid for number, wnid in enumerate(devkit_classes(path), start=1)})
    if path.is_dir():
        raise DataError(f"{path} is not a devkit: expected a folder with data/meta.mat in it, or a file of labels.")
    found = labelled_names(path)
    if found and all(not row.name and row.label.isdecimal() for row in found):
        return Truth(path, _in_order([int(row.label[: _LONGEST_NUMBER + 1]) for row in found], path))
    classes = dict(_classes(found, path))
    if is_thousand(classes.values()):
        classes = {image: wnids()[int(number)] for image, number in classes.items()}
    return Truth(path, classes)


def _in_order(numbers: list[int], path: Path) -> dict[str, str]:
    """The wnids of the validation images by numbers in their order, which do not say themselves what they number.

    As model indices they must be those shipped here; as ILSVRC2012_IDs they must name the same classes by other
    numbers, one for one, over all 50,000 images. Raises DataError.
    """
    shipped = val_labels()[: len(numbers)].tolist()
    renumbered = len(numbers) == VAL_IMAGES and len(set(zip(numbers, shipped, strict=True))) == len(wnids())
    if shipped != numbers and not (renumbered and set(numbers) == set(range(1, len(wnids()) + 1))):
        raise DataError(
            f"{path} has one number a line, which are ILSVRC2012_IDs and no model indices: expected the whole devkit, "
            "whose data/meta.mat says what they mean. Pass its folder or .tar.gz."
        )
    return {val_id(place): wnids()[label] for place, label in enumerate(shipped, start=1)}


def _classes(found: list[Labelled], path: Path) -> Iterator[tuple[str, str]]:
    """(id, class) of each line, each id once."""
    seen: set[str] = set()
    for number, row in enumerate(found, start=1):
        image = image_id(row.name) if row.name else val_id(number)
        if image in seen:
            raise DataError(f"{path} names {image} twice: expected each image once. Remove one of its lines.")
        seen.add(image)
        yield image, _class(row, image, path)
    if not seen:
        raise DataError(f"{path} holds no labels: expected a name and a label on each line.")


def _class(row: Labelled, image: str, path: Path) -> str:
    """A wnid as it is; for a number, with the images of ILSVRC, the wnid at that place."""
    label = row.label
    if label.isdecimal() and len(label) > _LONGEST_NUMBER and not val_number(image):
        row.refuse(path)
    if not val_number(image):
        return label
    if label.isdecimal():
        if len(label) > _LONGEST_NUMBER or int(label) >= len(wnids()):
            raise DataError(
                f"{path} gives {image} the label {label[:20]}: expected a model index from 0 to {len(wnids()) - 1}."
            )
        return wnids()[int(label)]
    if not is_wnid(label):
        row.refuse(path)
    if label not in wnids():
        raise DataError(f"{path} gives {image} the wnid {label}: expected one of the 1,000 of ILSVRC-2012.")
    return label

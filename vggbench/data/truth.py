"""Which class each image is of, as files say it: a devkit, Kaggle's solution, Caffe's val.txt, a list of wnids."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vggbench.data.devkit import devkit_classes, is_devkit
from vggbench.data.imagenet import image_id, is_wnid, val_id, val_number, wnids
from vggbench.errors import DataError

_LONGEST_LINE = 20_000
"""Characters; Kaggle's longest line lists a few dozen boxes."""
_MOST_LINES = 20_000_000
_SEPARATOR = re.compile(r"[,;\s]+")


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

    A text file has a name and a wnid, or a name and a model index, on each line, separated by
    commas or blanks; or a wnid alone, in order of the validation images. Raises DataError and OSError.
    """
    if is_devkit(path):
        classes = dict(enumerate(devkit_classes(path), start=1))
        return Truth(path, {val_id(number): wnid for number, wnid in classes.items()})
    if path.is_dir():
        raise DataError(f"{path} is no devkit: expected a folder with data/meta.mat in it, or a file of labels.")
    return Truth(path, dict(_classes(path)))


def _classes(path: Path) -> Iterator[tuple[str, str]]:
    """(id, class) of each line, each id once."""
    seen: set[str] = set()
    for number, (name, label) in enumerate(_pairs(path), start=1):
        image = image_id(name) if name else val_id(number)
        if image in seen:
            raise DataError(f"{path} names {image} twice: expected each image once. Remove one of its lines.")
        seen.add(image)
        yield image, _class(label, image, path)
    if not seen:
        raise DataError(f"{path} holds no labels: expected a name and a label on each line.")


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    """(name, label) of each line; the name is empty where a line is a wnid alone."""
    for number, line in enumerate(_lines(path)):
        words = [word for word in _SEPARATOR.split(line.strip().replace('"', "")) if word]
        if not words or (number == 0 and len(words) > 1 and not _is_label(words[1])):
            continue  # an empty line, or the headings
        if len(words) == 1 and is_wnid(words[0]):
            yield "", words[0]
        elif len(words) > 1 and _is_label(words[1]):
            yield words[0], words[1]
        elif len(words) == 1 and words[0].isdecimal():
            raise DataError(
                f"{path} has one number a line, which are ILSVRC2012_IDs and no model indices: expected the whole "
                "devkit, whose data/meta.mat says what they mean. Pass its folder or .tar.gz."
            )
        else:
            raise DataError(
                f"Line {number + 1} of {path} is {line.strip()[:60]!r}: expected an image's name and its wnid or model "
                "index, such as ILSVRC2012_val_00000001.JPEG n01751748."
            )


def _is_label(word: str) -> bool:
    return is_wnid(word) or word.isdecimal()


def _class(label: str, image: str, path: Path) -> str:
    """Of a wnid itself; of a number, for the images of ILSVRC, the wnid at that place."""
    if not val_number(image):
        return label
    if label.isdecimal():
        if len(label) > 9 or int(label) >= len(wnids()):
            raise DataError(
                f"{path} gives {image} the label {label[:20]}: expected a model index from 0 to {len(wnids()) - 1}."
            )
        return wnids()[int(label)]
    if label not in wnids():
        raise DataError(f"{path} gives {image} the wnid {label}: expected one of the 1,000 of ILSVRC-2012.")
    return label


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file, none of them longer than any label is. Raises DataError."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for count, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), "")):
                if len(line) == _LONGEST_LINE and not line.endswith("\n"):
                    raise DataError(
                        f"Line {count + 1} of {path} has more than {_LONGEST_LINE:,} characters: expected a name and "
                        "a label on each line."
                    )
                if count == _MOST_LINES:
                    raise DataError(f"{path} has more than {_MOST_LINES:,} lines: expected one for each image.")
                yield line
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text: expected a name and a label on each line.") from error

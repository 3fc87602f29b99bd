"""The files that a set is divided into: which belong to a split, and that none is missing."""

import itertools
import re
from pathlib import Path

from vggbench.errors import DataError

_SPLIT_NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_NUMBER = re.compile(r"(\d+)(?:-of-(\d+))?$")


def shards(folder: Path, ending: str, split: str) -> list[Path]:
    """The files of one split in a folder or its `data/`, in order: those that name it, or all where none names any.

    Raises OSError.
    """
    for place in (folder, folder / "data"):
        found = sorted(path for path in place.glob(f"*{ending}") if not path.name.startswith("."))
        if found:
            splits = {path: split_of(path.name) for path in found}
            if not any(splits.values()):
                return found
            return [path for path, own in splits.items() if own == split]
    return []


def split_of(name: str) -> str | None:
    """The split that a file's name says, by one of its words."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    return next((split for split, names in _SPLIT_NAMES.items() if words & set(names)), None)


def require_all(found: list[Path], place: Path) -> list[Path]:
    """The files found in the folder `place`; raises DataError where one of a numbered series is missing.

    A series is `-00003-of-00014`, or `-03` from 0 or 1 up to the highest. A file that was named alone is taken alone.
    """
    if place.is_dir() and any(split_of(path.name) for path in found):
        for path in found[0].parent.glob(f"*{found[0].suffix}"):
            if split_of(path.name) is None:
                raise DataError(f"{path} names no split and others do: expected all to say train or val, or none.")
    series: dict[str, dict[int, int]] = {}
    for path in found if place.is_dir() else ():
        if match := _NUMBER.search(path.stem):
            series.setdefault(path.stem[: match.start()], {})[int(match[1])] = int(match[2] or 0)
    for start, numbers in series.items():
        stated, first = max(numbers.values()), 0 if 0 in numbers else 1
        count = stated or max(numbers) + 1 - first
        if len(numbers) < count and (stated or len(numbers) > 1):
            lost = next(number for number in itertools.count(first) if number not in numbers)
            raise DataError(
                f"{place} has {len(numbers)} of the {count} files {start}*{found[0].suffix}: number {lost} is "
                "missing, and its images with it. Expected all of them; download it again."
            )
    return found

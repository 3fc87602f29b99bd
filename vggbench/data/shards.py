"""The files that a set is divided into: which belong to a split, and that none is missing."""

import re
from pathlib import Path

from vggbench.data.layout import Place
from vggbench.data.listing import is_litter
from vggbench.data.splits import WORDS, split_of_folder
from vggbench.errors import DataError

_OF = re.compile(r"(\d+)[-_.]of[-_.](\d+)")
"""Such as 00003-of-00014, whatever comes after it."""
_LAST = re.compile(r"(\d+)(?:-[0-9a-f]{16}|-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:-c\d+)?)?(?:\.[a-z]+)?$")
"""A number at the end, or before the hash that some writers append."""


def shards_at(place: Place, ending: str) -> tuple[list[Path], list[Path]]:
    """The files of its split, and those of others where there is nothing else to take; a file is taken as it is."""
    if place.path.is_file():
        return [place.path], []
    found = shards(place.path, ending, place.split)
    return found, [] if found else _other_shards(place.path, ending)


def all_shards(place: Place, ending: str) -> list[Path]:
    """The files of its split; raises DataError where there are others alone, or one of a numbered series lacks."""
    found, others = shards_at(place, ending)
    require_split(others, place)
    return _require_all(found, place.path)


def shards(folder: Path, ending: str, split: str) -> list[Path]:
    """The files of one split in a folder or its `data/`, in order: those that name it, or all where none names any.

    A folder called test/ stands for its test files where there are none of the split. Raises OSError.
    """
    splits = _splits(folder, ending)
    if not any(splits.values()):
        return list(splits)
    wanted = split if split in splits.values() else split_of_folder(folder.resolve().name)
    return [path for path, own in splits.items() if own and own == wanted]


def _other_shards(folder: Path, ending: str) -> list[Path]:
    """The files that name a split, where there is no folder to look into; raises OSError."""
    if any(path.is_dir() and path.name != "data" and not is_litter(path.name) for path in folder.iterdir()):
        return []
    return [path for path, own in _splits(folder, ending).items() if own]


def split_of(name: str) -> str | None:
    """The split that a file's name says, by one of its words."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    return next((split for split, names in WORDS.items() if words & set(names)), None)


def _require_all(found: list[Path], place: Path) -> list[Path]:
    """The files found in the folder `place`; raises DataError where one of a numbered series is missing or twice.

    A series is `-00003-of-00014`, or `-03` from 0 or 1 up to the highest. A file that was named alone is taken alone.
    """
    if not place.is_dir():
        return found
    if any(split_of(path.name) for path in found):
        for path in found[0].parent.glob(f"*{found[0].suffix}"):
            if split_of(path.name) is None and not is_litter(path.name):
                raise DataError(f"{path} names no split and others do: expected all to say train or val, or none.")
    series: dict[str, dict[int, tuple[Path, int]]] = {}
    for path in found:
        if numbered := _numbered(path.stem):
            start, number, count = numbered
            of_series = series.setdefault(start, {})
            first = next(iter(of_series.values()), (path, count))
            twin = of_series.get(number, first)
            if number in of_series or count != first[1]:
                raise DataError(
                    f"{path} and {twin[0].name} are of two series: expected one, since images would count "
                    f"twice. Remove the files "
                    "of the other."
                )
            of_series[number] = (path, count)
    for start, files in series.items():
        _require_whole(f"{start}*{found[0].suffix}", set(files), next(iter(files.values()))[1], place)
    return found


def require_split(others: list[Path], place: Place) -> None:
    """Raise DataError where there are files of other splits alone."""
    if others:
        counted = {own: sum(split_of(path.name) == own for path in others) for own in WORDS}
        told = " and ".join(f"{own} ({count:,})" for own, count in counted.items() if count)
        raise DataError(
            f"{place.path} has files of the split {told} and none of {place.split}: expected names such as "
            f"{_EXAMPLE[place.split]}-00000-of-00014{others[0].suffix}. Fetch that split, or pass a file or a folder "
            "named after its split as --data."
        )


_EXAMPLE = {"val": "validation", "train": "train"}


def _splits(folder: Path, ending: str) -> dict[Path, str | None]:
    for place in (folder, folder / "data"):
        found = sorted(path for path in place.glob(f"*{ending}") if not is_litter(path.name))
        if found:
            return {path: split_of(path.name) for path in found}
    return {}


def _numbered(stem: str) -> tuple[str, int, int] | None:
    """What a file's series is called, its place there, and how many there are; 0 where the name does not say."""
    if match := _OF.search(stem):
        return stem[: match.start()], int(match[1]), int(match[2])
    match = _LAST.search(stem)
    return (stem[: match.start()], int(match[1]), 0) if match else None


def _require_whole(name: str, numbers: set[int], stated: int, place: Path) -> None:
    first = 0 if 0 in numbers else 1
    count = stated or max(numbers) + 1 - first
    lost = sorted(set(range(first, first + count)) - numbers)
    if lost and (stated or len(numbers) > 1):
        raise DataError(
            f"{place} has {len(numbers)} of the {count} files {name}: number {lost[0]} is missing, and its images with "
            "it. Expected all of them; download it again."
        )

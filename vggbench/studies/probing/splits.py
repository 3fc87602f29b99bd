"""Splits of a set into images that train and images that test: drawn by a seed, written for others, and read again."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import DataError, UsageError, counted
from vggbench.files import digest, write_whole

KIND, FORMAT = "splits", 1
_LARGEST_FILE = 1 << 28
"""Bytes of a file of splits that are read at most."""


@dataclass(frozen=True)
class Split:
    """Ids of images."""

    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Drawing:
    """How splits are drawn: images of each class that train, others that test at most (None: all), how often, by what.

    Each class's images in order of id are permuted by NumPy's generator of (seed, number of the split, number of the
    class); the first of them train, the next test.
    """

    train_per_class: int
    test_per_class: int | None
    splits: int
    seed: int

    def as_dict(self) -> dict[str, int | None]:
        """For a file of splits."""
        return {"train_per_class": self.train_per_class, "test_per_class": self.test_per_class, "seed": self.seed}


def draw(how: Drawing, images: Sequence[str], labels: NDArray[np.integer], classes: Sequence[str]) -> list[Split]:
    """Splits of labelled images, in whatever order they are given; raises DataError for a class too small."""
    by_class = [sorted(images[at] for at in np.flatnonzero(labels == place).tolist()) for place in range(len(classes))]
    full = [(place, names) for place, names in enumerate(by_class) if names]
    small = next((place for place, names in full if len(names) <= how.train_per_class), None)
    if small is not None:
        raise DataError(
            f"Class {classes[small]} has {counted(len(by_class[small]), 'image')}: expected more than the "
            f"{how.train_per_class} that train, so that others can test. Lower --train-per-class."
        )
    found = []
    for number in range(how.splits):
        train: list[str] = []
        test: list[str] = []
        for place, names in full:
            order = np.random.default_rng((how.seed, number, place)).permutation(len(names)).tolist()
            most = None if how.test_per_class is None else how.train_per_class + how.test_per_class
            train += [names[at] for at in order[: how.train_per_class]]
            test += [names[at] for at in order[how.train_per_class : most]]
        found.append(Split(tuple(sorted(train)), tuple(sorted(test))))
    return found


def require_disjoint(splits: Sequence[Split], images: Sequence[str], what: str) -> None:
    """Refuse an image that trains and tests in one split, that occurs twice, or that is unknown; raises DataError."""
    known = set(images)
    for number, split in enumerate(splits, start=1):
        several = Counter([*split.train, *split.test])
        image, count = several.most_common(1)[0] if several else ("", 0)
        if count > 1:
            both = "trains and tests" if image in split.train and image in split.test else "occurs twice"
            raise DataError(f"In split {number} of {what} {image} {both}: expected each image once.")
        unknown = next((image for image in several if image not in known), None)
        if unknown is not None:
            raise DataError(
                f"Split {number} of {what} names {unknown[:100]}, which the features lack: expected images of the same "
                "set."
            )
        if not split.train or not split.test:
            raise DataError(f"Split {number} of {what} is empty: expected images that train and images that test.")


def splits_hash(splits: Sequence[Split]) -> str:
    """SHA-256 of the ids that train and test, by which two people can tell whether they used the same splits."""
    return digest(_record(splits))


def _record(splits: Sequence[Split]) -> list[dict[str, list[str]]]:
    return [{"train": list(split.train), "test": list(split.test)} for split in splits]


def write_splits(path: Path, how: Drawing, splits: Sequence[Split]) -> None:
    """Write splits as JSON; raises VggbenchError."""
    record = {"kind": KIND, "format": FORMAT} | how.as_dict() | {"splits": _record(splits)}
    write_whole(path, json.dumps(record, indent=1) + "\n")


def read_splits(path: Path) -> tuple[list[Split], dict[str, Any]]:
    """The splits of a file and what it says of how they were drawn; raises DataError for one that is no such file."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes: expected a file of splits.")
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: expected splits, as `vggbench probe` writes them.") from error
    if not isinstance(record, dict) or (record.get("kind"), record.get("format")) != (KIND, FORMAT):
        raise DataError(f"{path} holds no splits of format {FORMAT}: expected what `vggbench probe` writes.")
    given = record.get("splits")
    if not isinstance(given, list) or not given or not all(map(_is_split, given)):
        raise DataError(f"{path} is damaged: expected splits, each with lists of images called train and test.")
    return [Split(tuple(one["train"]), tuple(one["test"])) for one in given], record


def _is_split(given: Any) -> bool:
    lists = [given.get(name) for name in ("train", "test")] if isinstance(given, dict) else []
    return bool(lists) and all(isinstance(one, list) and all(isinstance(name, str) for name in one) for one in lists)


def require_as_asked(path: Path, record: dict[str, Any], asked: dict[str, int | None], count: int) -> None:
    """Refuse options that say otherwise than a file of splits that is read; raises UsageError."""
    said = record | {"splits": count}
    odd = next((key for key, value in asked.items() if value is not None and said.get(key) != value), None)
    if odd:
        raise UsageError(
            f"--{odd.replace('_', '-')} {asked[odd]}: {path} holds splits of {said.get(odd)}: expected the same, or "
            "another --split-file."
        )

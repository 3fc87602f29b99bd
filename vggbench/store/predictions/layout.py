"""What the columns of a file are: ids, and values of all classes or the best classes alone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vggbench.data.imagenet import is_ilsvrc_class
from vggbench.errors import DataError
from vggbench.store.predictions.classes import STATE, is_background
from vggbench.store.predictions.part import IDS, some

_IGNORED = {
    "", "unnamed: 0", "__index_level_0__", "label", "labels", "target", "targets", "truth", "ground_truth", "gt",
    "y", "y_true", "rank", "loss", "correct", "split", "path", "width", "height",
}  # fmt: skip
"""Columns that are not predictions; the data says what is true."""
_NUMBERED = re.compile(r"(|p|x|c|prob|probs|logit|logits|class|score|output|pred|logprob|log_prob)_?(\d{1,5})")
_TOP_NAMES = re.compile(r"(top|label)_?(\d{1,5})")
_TOP_NUMBERS = re.compile(r"(index)_?(\d{1,5})")
_LIST_OF_NAMES, _LIST_OF_NUMBERS = {"label", "labels"}, {"index", "indices"}
TOP = 5
MORE = (
    "Write all classes (timm's inference.py: --topk 0 --label-type none) or the five best (--topk 5 --include-index)."
)


@dataclass(frozen=True)
class Best:
    """Columns of the best classes, from the best on: one of lists, or several; none where there are no such."""

    names: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    """What they were sorted by."""


@dataclass(frozen=True)
class Layout:
    """Columns by what they hold; one of `named`, `numbered`, `listed` and `best` is there."""

    ids: tuple[str, ...]
    named: tuple[str, ...] = ()
    """A column for each class, called by its name."""
    numbered: tuple[str, ...] = ()
    """A column for each class, by its number."""
    listed: str = ""
    """One column, of lists of a value for each class."""
    best: Best | None = None


def understand(
    columns: Mapping[str, bool], data_classes: Sequence[str], classes: Sequence[str] | None, path: Path
) -> Layout:
    """Tell columns apart, given by name and whether they hold lists. Raises DataError where they leave a choice."""
    ids = tuple(name for name in columns if name.lower() in IDS)
    if not 1 <= len(ids) <= 2 or any(columns[name] for name in ids):
        raise DataError(
            f"{path} has the columns {some(list(columns))}: expected one called image or filename. Rename that of the "
            "images' names."
        )
    rest = {name: is_list for name, is_list in columns.items() if name not in ids}
    named = _named([name for name, is_list in rest.items() if not is_list], data_classes, classes, path)
    if named:
        _refuse_others([name for name in rest if name not in named and not _is_of_best(name)], path)
        return Layout(ids, named=named)
    numbered = _in_row(rest, _NUMBERED, path)
    best = _best(rest, numbered, path)
    return Layout(ids, best=best) if best else _unnamed(ids, rest, numbered, path)


def _named(
    scalars: Sequence[str], data_classes: Sequence[str], classes: Sequence[str] | None, path: Path
) -> tuple[str, ...]:
    """The columns that are named like classes, with a background's; none where they are numbers of places."""
    known = frozenset(data_classes) | frozenset(classes or ())
    found = [name for name in scalars if name in known or is_ilsvrc_class(name)]
    if found and all(map(str.isdecimal, found)):
        if classes is not None and any(name != str(place) for place, name in enumerate(classes)):
            raise DataError(
                f"{path} has columns {some(found)}, and --classes names classes so in another order: expected columns "
                "of one meaning. Rename the columns."
            )
        if classes is not None or set(data_classes) != {name for name in scalars if name.isdecimal()}:
            return ()
    return (*found, *(name for name in scalars if is_background(name, data_classes))) if found else ()


def _unnamed(ids: tuple[str, ...], rest: Mapping[str, bool], numbered: tuple[str, ...], path: Path) -> Layout:
    """Values of all classes whose columns do not name them."""
    lists = [name for name, is_list in rest.items() if is_list]
    if numbered and not lists:
        _refuse_others([name for name in rest if name not in numbered], path)
        if _number(numbered[0]) != 0:
            raise DataError(
                f"{path} has columns {numbered[0]} to {numbered[-1]}, which may be ILSVRC2012_IDs or places raised by "
                "1: expected numbers from 0, or wnids. Rename the columns."
            )
        return Layout(ids, numbered=numbered)
    if len(lists) == 1:
        _refuse_others([name for name in rest if name not in lists], path)
        return Layout(ids, listed=lists[0])
    if lists:
        raise DataError(f"{path} has the lists {some(lists)}: expected one of values. Remove the others.")
    if {name.lower() for name in rest} & (_LIST_OF_NAMES | _LIST_OF_NUMBERS):
        raise DataError(
            f"{path} has the columns {some(list(rest))}, at most the best class of each image: expected five or all. "
            f"{MORE}"
        )
    raise DataError(
        f"{path} has the columns {some([*ids, *rest])} and none that is named like a class of the data: "
        f"expected wnids, "
        f"the data's classes, or numbers from 0 on. {STATE}"
    )


def _best(rest: Mapping[str, bool], numbered: tuple[str, ...], path: Path) -> Best | None:
    """Columns of the best classes, where there are any; raises DataError for fewer than their values."""
    lists = {name: name.lower() for name, is_list in rest.items() if is_list}
    names = _in_row(rest, _TOP_NAMES, path) or tuple(name for name in lists if lists[name] in _LIST_OF_NAMES)
    numbers = _in_row(rest, _TOP_NUMBERS, path) or tuple(name for name in lists if lists[name] in _LIST_OF_NUMBERS)
    if not names and not numbers:
        return None
    values = numbered or tuple(name for name in lists if name not in (*names, *numbers))
    _refuse_others([name for name in rest if name not in (*names, *numbers, *values)], path)
    lengths = {len(columns) for columns in (names, numbers, values) if columns}
    if len(lengths) > 1:
        raise DataError(
            f"{path} has {some([*names, *numbers])} beside {some(values)}, more of one than of the other: expected a "
            "value for each of the best classes. Remove what is not a prediction."
        )
    return Best(names, numbers, values)


def _in_row(rest: Mapping[str, bool], pattern: re.Pattern[str], path: Path) -> tuple[str, ...]:
    """The columns of single cells that are called one word and all numbers from 0 or 1 on, in that order."""
    found = [name for name, is_list in rest.items() if not is_list and pattern.fullmatch(name.lower())]
    if not found:
        return ()
    words = {re.sub(r"_?\d+$", "", name.lower()) for name in found}
    numbers = sorted(map(_number, found))
    if len(words) > 1 or numbers not in (list(range(len(found))), list(range(1, len(found) + 1))):
        raise DataError(
            f"{path} has the columns {some(found)}, which are not one row of numbers from 0 on: expected each number "
            "once behind the same word. Name the columns by wnid, or remove what is not a prediction."
        )
    return tuple(sorted(found, key=_number))


def _number(name: str) -> int:
    return int(re.findall(r"\d+$", name)[0])


def _is_of_best(name: str) -> bool:
    """Whether a column says again what those of all classes say."""
    return re.fullmatch(r"(top|label|index|p|prob)_?\d|index|indices", name.lower()) is not None


def _refuse_others(names: Sequence[str], path: Path) -> None:
    """Raise DataError for columns of unknown meaning: left out in silence, they might be classes."""
    others = [name for name in names if name.lower() not in _IGNORED]
    if others:
        raise DataError(
            f"{path} has columns that are not named like a class of the data or of ILSVRC ({some(others)}): expected "
            "classes alone. Remove these or, if they are classes, name all in a file for --classes."
        )

"""The errors that a user can meet.

    VggbenchError             exit 1   what was found, what was expected, what to do next
    ├── UsageError            exit 2   the command line asks for something that cannot be
    ├── DataError             exit 1   images or labels
    │   └── UnreadableImages  exit 1   files that are no images; all other work is kept
    ├── WeightsError          exit 1   a weights file that does not fit, or is not safe
    ├── StoreError            exit 1   the folder of runs
    └── NumericsError         exit 1   a network that yields NaN, or a count that disagrees

Our own bugs are `assert`s and keep their tracebacks.
"""

import difflib
import functools
import re
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar


class VggbenchError(Exception):
    """A sentence for the user; `exit_code` is the process's."""

    exit_code = 1


class UsageError(VggbenchError):
    """The request itself is wrong."""

    exit_code = 2


class Interrupted(VggbenchError):  # noqa: N818 - not an error of anybody's
    """Somebody stopped it."""

    exit_code = 130


class DataError(VggbenchError):
    """Images or labels are missing, ambiguous or contradictory."""


class UnreadableImages(DataError):  # noqa: N818 - the name says what was found
    """Some files could not be decoded; the others are evaluated and stored."""


class WeightsError(VggbenchError):
    """A weights file is missing, unsafe, or not for this network."""


class StoreError(VggbenchError):
    """The store cannot be read or written."""


class NumericsError(VggbenchError):
    """A figure that cannot be true, such as a NaN posterior."""


def first_line(error: BaseException) -> str:
    """What a library's error says, short enough for a sentence."""
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__


def printable(text: object) -> str:
    """Text without what a terminal would obey, such as an escape sequence in a file's name."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(text))


def counted(number: int, thing: str) -> str:
    """1 run, 2 runs, 2 classes."""
    return f"{number:,} {thing}{'' if number == 1 else 'es' if thing.endswith('s') else 's'}"


_NEAR = 0.6
"""How alike two words are at least, of 1, where one may have been meant by the other."""


def nearest(word: object, known: Iterable[object], most: int = 1) -> list[str]:
    """The known words that resemble `word`, whatever its case, the nearest first."""
    likeness = {str(name): _likeness(str(word).lower(), str(name).lower()) for name in known}
    return sorted((name for name in likeness if likeness[name] >= _NEAR), key=lambda name: -likeness[name])[:most]


def _likeness(one: str, other: str) -> float:
    """From 0 to 1, read from either end: difflib can miss two letters that changed places."""
    ways = ((one, other), (one[::-1], other[::-1]))
    return max(difflib.SequenceMatcher(None, b, a).ratio() for a, b in ways)


def did_you_mean(word: object, known: Iterable[object], before: str = "", most: int = 1) -> str:
    """A sentence that names the nearest of the known words, each with `before` in front; empty where none is near."""
    near = nearest(word, known, most)
    return f" Did you mean {' or '.join(before + name for name in near)}?" if near else ""


_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")
_OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)(?: (?=[-\d'\"A-Z./]|\S+:))?")
"""An option, with the blank before its value if one is told."""


def in_python(call: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
    """Let errors speak of parameters, `grid=4`, where the command line's speak of options, `--grid 4`."""

    @functools.wraps(call)
    def told(*given: _Given.args, **named: _Given.kwargs) -> _Found:
        try:
            return call(*given, **named)
        except VggbenchError as error:
            raise type(error)(_OPTION.sub(_parameter, str(error))) from error

    return told


def _parameter(found: "re.Match[str]") -> str:
    return found[1].replace("-", "_") + ("=" if found[0].endswith(" ") else "")

"""Other judgements of ILSVRC's validation images: ReaL's lists of classes, and the 2014 devkit's blacklist."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vggbench.data.imagenet import VAL_IMAGES, val_id, wnids
from vggbench.errors import DataError

_LARGEST = 20_000_000
"""Bytes of real.json; the published one has 388,478."""


def read_real(path: Path) -> dict[str, tuple[str, ...]]:
    """The wnids of each validation image, by its id, none for an image whose label is unclear (Beyer et al. 2020).

    Raises DataError.
    """
    content = _json(path)
    if not isinstance(content, list) or len(content) != VAL_IMAGES:
        raise DataError(
            f"{path} is {_described(content)}: expected ReaL's real.json, a list of 50,000 lists of model indices."
        )
    return {val_id(number): tuple(_wnids(found, number, path)) for number, found in enumerate(content, start=1)}


def read_blacklist(path: Path) -> frozenset[str]:
    """The ids of the validation images that are left out: their numbers, one per line. Raises DataError."""
    numbers = _text(path).split()
    for word in numbers:
        if len(word) > 9 or not word.isdecimal() or not 1 <= int(word) <= VAL_IMAGES:
            raise DataError(
                f"{path} has {word[:20]!r}: expected numbers of validation images, 1 to {VAL_IMAGES:,}, as in "
                "ILSVRC2014_clsloc_validation_blacklist.txt."
            )
    if not numbers:
        raise DataError(f"{path} names no image: expected numbers of validation images.")
    return frozenset(val_id(int(word)) for word in numbers)


def _wnids(found: Any, number: int, path: Path) -> Iterator[str]:
    if not isinstance(found, list):
        raise DataError(f"Entry {number} of {path} is {_described(found)}: expected a list of model indices.")
    for index in dict.fromkeys(found) if all(isinstance(item, int) for item in found) else found:
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(wnids()):
            raise DataError(f"Entry {number} of {path} has {str(index)[:20]!r}: expected model indices, 0 to 999.")
        yield wnids()[index]


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({str(error)[:80]}): expected ReaL's real.json.") from error


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise DataError(f"{path} has {size:,} bytes: expected at most {_LARGEST:,}.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): expected a file.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text: expected a file of numbers.") from error


def _described(content: Any) -> str:
    return f"a list of {len(content):,}" if isinstance(content, list) else type(content).__name__

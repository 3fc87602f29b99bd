"""The images of a split in a folder or a tar: under the split's name, or in a folder that is alone."""

import contextlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from vggbench.data.imagenet import image_id, is_wnid, val_number
from vggbench.data.listing import KNOWN_TRUTHS, Listing, is_image, is_litter
from vggbench.errors import DataError

WORDS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""What people call each split."""
KAGGLE_TOP = "CLS-LOC"
BELOW = (f"ILSVRC/Data/{KAGGLE_TOP}", f"Data/{KAGGLE_TOP}", KAGGLE_TOP)
"""The place of Kaggle's splits below the folder of the data."""

_CLASSES_TOO = ("train", "valid", "test")
"""Words that are names of classes too: a railway train, a valid and an invalid form."""
_ALL_WORDS = "|".join(sorted((word for words in WORDS.values() for word in words), key=len, reverse=True))
_FOLDER = re.compile(
    rf"(?:(?:ilsvrc|imagenet|images?|img)[\w.-]*?[_-])?({_ALL_WORDS})(?:[-_]?(?:images?|imgs?|set|data|[\dx]+))*",
    re.IGNORECASE,
)
"""Such as ILSVRC2012_img_val, imagenet-val, val_images, train_32x32."""
_OF_IMAGES = re.compile(r"images?|imgs?|jpegimages|pictures", re.IGNORECASE)
"""A folder that is no class, where it is alone."""
_SHARDS = (".parquet", ".tar")
_NUMBERS = frozenset(map(str, range(1000)))
_DEEPEST = 8


class Level(NamedTuple):
    """What lies directly in one folder."""

    folders: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    has_shards: bool = False


Look = Callable[[str], Level]
"""The level at a path below the top, `""` being the top."""


class Spot(NamedTuple):
    """The places to look for a split."""

    inner: str = ""
    """The path below the top, with slashes."""
    is_named: bool = False
    """Whether it lies under the split's name."""
    others: tuple[str, ...] = ()
    """Paths of other splits, where there are such and none of this."""


def is_part(folder: Path) -> bool:
    """Whether a folder's name says that it is a part of the set above it: `val/`, `images/`."""
    return bool(split_of_folder(folder.name) or _OF_IMAGES.fullmatch(folder.name))


def split_of_folder(name: str) -> str | None:
    """The split that a folder's name says, if any."""
    return next((split for split, words in WORDS.items() if _word_of(name) in words), None)


def _word_of(name: str) -> str | None:
    match = _FOLDER.fullmatch(name)
    return match[1].lower() if match else None


def spot_of(look: Look, split: str) -> Spot:
    """The place of the split's images; raises DataError if several folders name it."""
    spot = Spot()
    for _ in range(_DEEPEST):
        named = _named(look, spot.inner)
        if split in named and (not spot.is_named or _holds_all(look, spot.inner, named)):
            spot = Spot(_only(named[split], split, look), is_named=True)
        elif named and not spot.is_named:
            return spot._replace(others=tuple(sorted(path for paths in named.values() for path in paths)))
        elif inner := _wrapped(look, spot.inner):
            spot = spot._replace(inner=inner)
        else:
            break
    return spot


def look_into_folder(top: Path) -> Look:
    """Reads one folder at a time, so that a million training images cost nothing; one that cannot be read is empty."""

    def look(inner: str) -> Level:
        folders, images, has_shards = [], [], False
        with contextlib.suppress(OSError), os.scandir(top / inner) as entries:
            for entry in entries:
                if is_litter(entry.name) or entry.name in KNOWN_TRUTHS:
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif is_image(entry.name):
                    images.append(entry.name)
                has_shards |= entry.name.endswith(_SHARDS)
        return Level(tuple(sorted(folders)), tuple(images), has_shards)

    return look


def look_into_listing(listing: Listing) -> Look:
    """The levels of a listing, as those of a folder."""

    def look(inner: str) -> Level:
        here = listing.below(inner) if inner else listing
        return Level(here.top_folders, tuple(entry.name for entry in here.images if not entry.folders))

    return look


def _named(look: Look, at: str) -> dict[str, list[str]]:
    """The paths that name each split at a level, directly or as in Kaggle's tree; none where these are classes."""
    for below in ("", *BELOW):
        here = _join(at, below)
        level = look(here)
        found: dict[str, list[str]] = {}
        for name in level.folders:
            if split := split_of_folder(name):
                found.setdefault(split, []).append(name)
        if found and not _are_classes(look, here, level, found):
            return {split: [_join(here, name) for name in _exact(names)] for split, names in found.items()}
    return {}


def _holds_all(look: Look, at: str, named: dict[str, list[str]]) -> bool:
    """Whether no folder beside the named ones holds images; within `val/`, those would be its classes."""
    within = {path.removeprefix(f"{at}/").partition("/")[0] for paths in named.values() for path in paths}
    return not any(_holds_images(look, _join(at, name)) for name in look(at).folders if name not in within)


def _exact(names: list[str]) -> list[str]:
    """The names that are nothing but the word of a split, if there are any."""
    return [name for name in names if any(name.lower() in words for words in WORDS.values())] or names


def _are_classes(look: Look, at: str, level: Level, found: dict[str, list[str]]) -> bool:
    """Whether `train` is a class, as beside `bus`: one split is named, its folder holds images, and others do too."""
    named = [name for names in found.values() for name in names]
    if len(found) > 1 or not all(_word_of(name) in _CLASSES_TOO for name in named):
        return False
    images = [image for name in named for image in look(_join(at, name)).images]
    others = (name for name in level.folders if name not in named)
    return bool(images) and not _are_val(images) and any(look(_join(at, name)).images for name in others)


def _only(paths: list[str], split: str, look: Look) -> str:
    full = [path for path in paths if look(path) != Level()] or paths
    if len(full) > 1:
        raise DataError(
            f"{' and '.join(f'{path}/' for path in full)} all name the {split} images: expected one such folder. Pass "
            "the one that is meant as --data, or remove the others."
        )
    return full[0]


def _wrapped(look: Look, at: str, *, is_asked: bool = True) -> str | None:
    """The path of a folder that is alone at its level and is no class, since it holds what only a whole set does."""
    level = look(at)
    if level.images or level.has_shards:
        return None
    alone = level.folders if len(level.folders) == 1 else tuple(filter(_OF_IMAGES.fullmatch, level.folders))
    if len(alone) != 1 or is_wnid(alone[0]):
        return None
    if any(_holds_images(look, _join(at, name)) for name in level.folders if name not in alone):
        return None
    path = _join(at, alone[0])
    return path if _is_set(look, path, alone[0], is_asked=is_asked) else None


def _is_set(look: Look, path: str, name: str, *, is_asked: bool) -> bool:
    """Images alone in `cat/images/` are those of a cat, unless `cat/` is what was asked for."""
    level = look(path)
    of_images = bool(_OF_IMAGES.fullmatch(name))
    if level.images:
        return not level.folders and (_are_val(level.images) or (of_images and is_asked))
    if level.has_shards or _named(look, path) or set(level.folders) == _NUMBERS:
        return True
    if not level.folders:
        return False
    if of_images or split_of_folder(name) or all(map(is_wnid, level.folders)):
        return True
    return _wrapped(look, path, is_asked=False) is not None


def _holds_images(look: Look, path: str, depth: int = 3) -> bool:
    level = look(path)
    return bool(level.images) or (
        depth > 0 and any(_holds_images(look, _join(path, name), depth - 1) for name in level.folders)
    )


def _are_val(names: Iterable[str]) -> bool:
    return all(val_number(image_id(name)) for name in names)


def _join(at: str, name: str) -> str:
    return f"{at}/{name}" if at and name else at or name

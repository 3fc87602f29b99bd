"""All forms in which a data set is recognised, in the order in which they are tried: one row each."""

from pathlib import Path

from vggbench.data.folders import CLASS_FOLDERS, FLAT, KAGGLE, NUMBERED
from vggbench.data.layout import Layout, Place, require_split_of
from vggbench.data.parquet import PARQUET
from vggbench.data.shards import shards, split_of
from vggbench.data.splits import Spot, look_into_folder, spot_of
from vggbench.data.tar import is_tar
from vggbench.data.voc import VOC, is_voc
from vggbench.data.webdataset import WEBDATASET

LAYOUTS: tuple[Layout, ...] = (VOC, PARQUET, WEBDATASET, KAGGLE, FLAT, NUMBERED, CLASS_FOLDERS)
"""The last takes any folder or tar."""


def recognised(place: Place) -> Layout:
    """The layout of what lies at `place`. Raises DataError and OSError."""
    return next(layout for layout in LAYOUTS if layout.recognises(place))


def split_place(top: Path, split: str) -> Place | None:
    """Where `top` holds the images of a split under its name; None where it names no splits."""
    if top.is_file():
        place = Place(top, split)
        return place if is_tar(top) and place.spot.is_named else None
    return _named_place(top, split, spot_of(look_into_folder(top), split))


def place_of(top: Path, split: str) -> Place:
    """Where `top` holds the images of a split, or all its images where it names no splits.

    Raises DataError where it names other splits alone, and OSError.
    """
    if top.is_file():
        return Place(top, split)  # in a tar, a place finds its split by itself
    if is_voc(top):
        return Place(top, split)
    spot = spot_of(look_into_folder(top), split)
    if named := _named_place(top, split, spot):
        return named
    require_split_of(top, spot, split)
    return Place(top / spot.inner, split)


def _named_place(top: Path, split: str, spot: Spot) -> Place | None:
    """A folder, a tar or shards that the split's name stands on."""
    folder = top / spot.inner
    level = look_into_folder(folder)("")
    tar = folder / f"ILSVRC2012_img_{split}.tar"
    if tar.is_file() and not (spot.is_named and (level.images or level.folders)):
        return Place(tar, split)
    if spot.is_named:
        return Place(folder, split)
    for ending in (".parquet", ".tar"):
        if any(split_of(path.name) == split for path in shards(folder, ending, split)):
            return Place(folder, split)
    return None

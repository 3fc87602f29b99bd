"""All forms in which a data set is recognised, in the order in which they are tried: one row each."""

from pathlib import Path

from vggbench.data.flat import FLAT
from vggbench.data.folders import CLASS_FOLDERS
from vggbench.data.kaggle import BELOW, KAGGLE
from vggbench.data.layout import Layout, Place
from vggbench.data.numbered import NUMBERED
from vggbench.data.parquet import PARQUET
from vggbench.data.shards import shards, split_of
from vggbench.data.tar import is_tar
from vggbench.data.webdataset import WEBDATASET

LAYOUTS: tuple[Layout, ...] = (PARQUET, WEBDATASET, KAGGLE, FLAT, NUMBERED, CLASS_FOLDERS)
"""The last takes any folder or tar."""


def recognised(place: Place) -> Layout:
    """The layout of what lies at `place`. Raises DataError and OSError."""
    return next(layout for layout in LAYOUTS if layout.recognises(place))


def split_place(top: Path, split: str) -> Place | None:
    """Where `top` holds the images of a split under its name; None where it names no splits."""
    for folder in (split, *(f"{below}/{split}" for below in BELOW)):
        if (top / folder).is_dir():
            return Place(top / folder, split)
    if top.is_file():
        place = Place(top, split)
        return place if is_tar(top) and split in place.whole_listing.top_folders else None
    if (tar := top / f"ILSVRC2012_img_{split}.tar").is_file():
        return Place(tar, split)
    for ending in (".parquet", ".tar"):
        if any(split_of(path.name) == split for path in shards(top, ending, split)):
            return Place(top, split)
    return None

"""Where images and their labels come from: one file per layout, and one function that recognises which."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from vggbench.data.dataset import DataSet, ImageFile
from vggbench.data.folders import open_folders
from vggbench.data.sample import SAMPLE, sample_folder, sample_split
from vggbench.data.training import open_training
from vggbench.errors import DataError

__all__ = ["SAMPLE", "DataSet", "ImageFile", "is_sample", "open_data", "open_training_data"]

_Opened = TypeVar("_Opened")


def open_data(path: str | Path) -> DataSet:
    """Open the images at `path`, or the built-in `sample`; raises DataError with what was found and expected.

    `sample-train`, `sample-dev` and `sample-heldout` are its other splits; a folder that is itself
    called sample is `./sample`.
    """
    split = sample_split(str(path))
    if split:
        return _sample(split)
    return _opened(path, open_folders)


def is_sample(path: str | Path) -> bool:
    """Whether `path` asks for the built-in sample; raises UsageError for a split that it has not."""
    return sample_split(str(path)) is not None


def open_training_data(path: str | Path) -> tuple[DataSet, DataSet]:
    """What to train on and what to validate on; raises DataError.

    Of the sample these are `train` and `dev`: no training sees the images that evaluations see.
    """
    if str(path) == SAMPLE:
        return _sample("train"), _sample("dev")
    return _opened(path, open_training)


def _sample(split: str) -> DataSet:
    name = SAMPLE if split == "val" else f"{SAMPLE}-{split}"
    return replace(open_folders(sample_folder(split)), name=name, is_sample=True)


def _opened(path: str | Path, reader: Callable[[Path], _Opened]) -> _Opened:
    root = Path(path).expanduser()
    if not root.exists():
        raise DataError(f"There is no {root}: expected a folder of images, one folder per class.")
    if not root.is_dir():
        raise DataError(f"{root} is a file: expected a folder of images, one folder per class.")
    try:
        return reader(root)
    except OSError as error:
        raise DataError(f"{root} cannot be read ({error.strerror}: {error.filename}).") from error

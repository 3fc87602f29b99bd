"""Images and their labels: one file per layout, and one table, `layouts.py`, that recognises the layout."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from vggbench.data.dataset import DataSet, ImageFile
from vggbench.data.labelling import NO_FILE
from vggbench.data.layout import EXPECTED
from vggbench.data.opening import open_evaluation, open_training
from vggbench.errors import DataError, first_line
from vggbench.files import near_path
from vggbench.sample.pictures import SAMPLE, sample_folder, sample_split

__all__ = ["EXPECTED", "SAMPLE", "DataSet", "ImageFile", "is_sample", "open_data", "open_training_data"]

_Opened = TypeVar("_Opened")


def open_data(path: str | Path, ground_truth: str | None = None, *, may_lack_labels: bool = False) -> DataSet:
    """Open the images at `path`, in any layout, or the built-in `sample`.

    `sample-train`, `sample-dev`, `sample-heldout` and `sample-unseen` are its other splits; a folder that is itself
    called sample is `./sample`. `ground_truth` is a devkit or a file of labels that must agree, of
    shards also the column that holds the labels, `none`, or None for those that lie beside the
    images of ILSVRC-2012 or images that nothing else labels. `may_lack_labels`: images without any are
    welcome, as descriptors need none. Raises DataError with what was found and expected.
    """
    split = sample_split(str(path))
    if split:
        return replace(_sample(split), place=str(path))
    found = _opened(path, lambda top: open_evaluation(top, ground_truth, may_lack_labels=may_lack_labels))
    return replace(found, place=str(Path(path).expanduser().absolute()))


def is_sample(path: str | Path) -> bool:
    """Whether `path` asks for the built-in sample; raises UsageError for a split that it has not."""
    return sample_split(str(path)) is not None


def open_training_data(path: str | Path) -> tuple[DataSet, DataSet]:
    """What to train on and what to validate on; raises DataError.

    For the sample these are `train` and `dev`: no training sees the images that evaluations see.
    """
    if str(path) == SAMPLE:
        return _sample("train"), _sample("dev")
    return _opened(path, open_training)


def _sample(split: str) -> DataSet:
    name = SAMPLE if split == "val" else f"{SAMPLE}-{split}"
    return replace(
        open_evaluation(sample_folder(split), NO_FILE), name=name, layout="built-in drawn pictures", is_sample=True
    )


def _opened(path: str | Path, reader: Callable[[Path], _Opened]) -> _Opened:
    try:
        top = Path(path).expanduser()
        if not top.exists():
            raise DataError(f"There is no {top}: expected {EXPECTED}.{near_path(top, (SAMPLE,))}")
        return reader(top)
    except OSError as error:
        why = f"{error.strerror or first_line(error)}: {error.filename}"
        raise DataError(f"{path} cannot be read ({why}): expected a file that this user may read.") from error
    except RuntimeError as error:  # of a home that is nobody's
        raise DataError(f"{path} is not a path ({first_line(error)}): expected {EXPECTED}.") from error

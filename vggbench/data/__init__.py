"""Where images and their labels come from: one file per layout, and one function that recognises which."""

from dataclasses import replace
from pathlib import Path

from vggbench.data.dataset import DataSet, ImageFile
from vggbench.data.folders import open_folders
from vggbench.data.sample import SAMPLE, sample_folder
from vggbench.errors import DataError

__all__ = ["SAMPLE", "DataSet", "ImageFile", "open_data"]


def open_data(path: str | Path) -> DataSet:
    """Open the images at `path`, or the built-in `sample`; raises DataError with what was found and expected.

    A folder that is itself called sample is `./sample`.
    """
    if str(path) == SAMPLE:
        return replace(open_folders(sample_folder()), name=SAMPLE)
    root = Path(path).expanduser()
    if not root.exists():
        raise DataError(f"There is no {root}: expected a folder of images, one folder per class.")
    if not root.is_dir():
        raise DataError(f"{root} is a file: expected a folder of images, one folder per class.")
    try:
        return open_folders(root)
    except OSError as error:
        raise DataError(f"{root} cannot be read ({error.strerror}: {error.filename}).") from error

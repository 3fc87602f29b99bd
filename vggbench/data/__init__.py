"""Where images and their labels come from: one file per layout, and one function that recognises which."""

from pathlib import Path

from vggbench.data.dataset import DataSet, ImageFile
from vggbench.data.folders import open_folders
from vggbench.errors import DataError

__all__ = ["DataSet", "ImageFile", "open_data"]


def open_data(path: str | Path) -> DataSet:
    """Open the images at `path`; raises DataError with what was found and what was expected."""
    root = Path(path).expanduser()
    if not root.exists():
        raise DataError(f"There is no {root}: expected a folder of images, one folder per class.")
    if not root.is_dir():
        raise DataError(f"{root} is a file: expected a folder of images, one folder per class.")
    try:
        return open_folders(root)
    except OSError as error:
        raise DataError(f"{root} cannot be read ({error.strerror}: {error.filename}).") from error

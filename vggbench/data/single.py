"""Single images, of no data set: files, those of a folder, and bytes that come by standard input."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from vggbench.cache import at_home
from vggbench.data.dataset import LARGEST_IMAGE, ImageFile
from vggbench.errors import DataError, counted

STANDARD_INPUT = "-"
_ENDINGS = (".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")


@contextmanager
def single_images(places: Sequence[str], given: BinaryIO) -> Iterator[tuple[list[ImageFile], list[str]]]:
    """Each once: the files, those of folders sorted by name, and for `-` what `given` holds; and notes of the rest.

    Raises DataError.
    """
    with TemporaryDirectory() as folder:
        images: dict[str, ImageFile] = {}
        notes: list[str] = []
        for place in places:
            found = [_from(given, Path(folder))] if place == STANDARD_INPUT else _at(at_home(place), notes)
            images |= {image.id: image for image in found}
        yield list(images.values()), notes


def _from(given: BinaryIO, folder: Path) -> ImageFile:
    encoded = given.read(LARGEST_IMAGE + 1)
    if not encoded:
        raise DataError("Standard input is empty: expected one image, for instance from curl or cat.")
    path = folder / "image"
    path.write_bytes(encoded)
    return ImageFile("standard input", path, len(encoded), "")


def _at(path: Path, notes: list[str]) -> list[ImageFile]:
    try:
        if not path.is_dir():
            return [ImageFile(str(path), path, path.stat().st_size, "")]
        files = [file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.startswith(".")]
        images = [file for file in files if file.suffix.lower() in _ENDINGS]
        if len(images) < len(files):
            notes.append(f"{path} holds {counted(len(files) - len(images), 'other file')}, left alone.")
        if not images:
            raise DataError(f"{path} holds no image: expected files that end in {', '.join(_ENDINGS)}.")
        return [ImageFile(str(file), file, file.stat().st_size, "") for file in images]
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}): expected an image, or a folder of images."
        ) from error

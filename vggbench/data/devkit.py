"""ILSVRC's development kit: the ground truth of the validation images, in ids that are not model indices.

`data/ILSVRC2012_validation_ground_truth.txt` has an ILSVRC2012_ID on each line, one for each image in order of the
file names; `data/meta.mat` says which wnid each ID is. The model index is the place of the wnid in sorted order.
"""

import gzip
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from vggbench.data.imagenet import VAL_IMAGES, wnids
from vggbench.data.matlab import load_mat
from vggbench.errors import DataError, first_line

_META = "data/meta.mat"
_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"
_LONGEST_LINE = 6
"""Characters of an ID and its line's end, with room to spare."""
_LARGEST = 50_000_000
"""Bytes of one of the two files, and of what all of meta.mat inflates to; the real ones have 2 million together."""
_LARGEST_KIT = 100_000_000
"""Bytes that the whole kit inflates to, at most."""


def is_devkit(path: Path) -> bool:
    """Whether `path` is the kit's folder or its `.tar.gz`, by what is in it and by its ending."""
    if path.is_dir():
        return (path / _META).is_file() or (path / Path(_META).name).is_file()
    return path.name.endswith((".tar.gz", ".tgz", ".tar"))


def devkit_classes(path: Path) -> list[str]:
    """The wnid of each validation image, in order of the file names; raises DataError and OSError."""
    meta, truth = _from_folder(path) if path.is_dir() else _from_archive(path)
    names = _wnid_of_id(meta, path)
    lines = truth[: _LONGEST_LINE * VAL_IMAGES].decode("ascii", "replace").split(maxsplit=VAL_IMAGES)[:VAL_IMAGES]
    if len(truth) > _LONGEST_LINE * VAL_IMAGES:
        raise DataError(f"{_TRUTH} in {path} has {len(truth):,} bytes: expected {VAL_IMAGES:,} short lines.")
    for number, word in enumerate(lines, start=1):
        if len(word) > 9 or not word.isdecimal() or int(word) not in names:
            raise DataError(
                f"Line {number} of the ground truth in {path} is {word[:20]!r}: expected an ILSVRC2012_ID from "
                f"{min(names)} to {max(names)}, as {_META} lists them."
            )
    return [names[int(word)] for word in lines]


def _wnid_of_id(meta: bytes, path: Path) -> dict[int, str]:
    """From the rows of `synsets` that are classes, which have no children."""
    name = f"{_META} in {path}"
    try:
        rows = load_mat(meta, _LARGEST, name, DataError)["synsets"].ravel()
        found = {
            int(row["ILSVRC2012_ID"].item()): str(row["WNID"].item())
            for row in rows
            if int(row["num_children"].item()) == 0
        }
    except DataError:
        raise
    except Exception as error:  # SciPy raises nearly anything on a damaged file
        raise DataError(
            f"{name} cannot be read ({first_line(error)}): expected `synsets` with IDs, wnids and children."
        ) from error
    unknown = sorted(set(found.values()) - set(wnids()))
    if unknown or not found:
        raise DataError(
            f"{name} has {f'the class {unknown[0][:40]!r}' if unknown else 'no class'}: expected the 1,000 classes of "
            "ILSVRC-2012. Other years' kits have other classes."
        )
    return found


def _from_folder(path: Path) -> tuple[bytes, bytes]:
    folder = path if (path / _META).is_file() else path.parent
    contents = []
    for name in (_META, _TRUTH):
        file = folder / name
        if not file.is_file():
            raise DataError(f"The devkit {path} has no {name}: expected the kit as ILSVRC publishes it.")
        _require_small(file.stat().st_size, name, path)
        contents.append(file.read_bytes())
    return contents[0], contents[1]


def _from_archive(path: Path) -> tuple[bytes, bytes]:
    """The two files out of the archive, without extracting anything."""
    found: dict[str, bytes] = {}
    try:
        with path.open("rb") as file, tarfile.open(fileobj=cast(IO[bytes], _Bounded(file)), mode="r|") as archive:
            for member in archive:
                name = next((name for name in (_META, _TRUTH) if _ends(member.name, name)), None)
                if name and member.isreg() and (content := archive.extractfile(member)):
                    _require_small(member.size, name, path)
                    found[name] = content.read()
    except (tarfile.TarError, EOFError, zlib.error, ValueError, ArithmeticError, RecursionError) as error:
        raise DataError(
            f"{path} is not a complete devkit ({first_line(error)}): expected ILSVRC2012_devkit_t12.tar.gz. "
            "Download it again."
        ) from error
    for name in (_META, _TRUTH):
        if name not in found:
            raise DataError(f"{path} has no {name}: expected ILSVRC2012_devkit_t12.tar.gz.")
    return found[_META], found[_TRUTH]


def _ends(member: str, name: str) -> bool:
    return PurePosixPath(member).parts[-2:] == PurePosixPath(name).parts


def _require_small(size: int, name: str, path: Path) -> None:
    if size > _LARGEST:
        raise DataError(f"{name} in {path} has {size:,} bytes: expected at most {_LARGEST:,}. Do not use this kit.")


class _Bounded:
    """A file, inflated if it is compressed, that refuses to give more than a kit holds."""

    def __init__(self, file: IO[bytes]) -> None:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        self._file: Any = gzip.GzipFile(fileobj=file) if compressed else file
        self._left = _LARGEST_KIT

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.ReadError(f"it inflates beyond {_LARGEST_KIT:,} bytes")
        return data

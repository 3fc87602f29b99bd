"""ILSVRC-2012's archive of validation images as it was published, and whether a file is that one."""

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vggbench.data.dataset import DataSet
from vggbench.data.imagenet import val_number
from vggbench.errors import DataError, first_line

_READ = 1 << 20


@dataclass(frozen=True)
class Published:
    """A file as its publisher made it."""

    name: str
    length: int
    md5: str
    source: str


VAL_ARCHIVE = Published(
    "ILSVRC2012_img_val.tar", 6_744_924_160, "29b22e2961454d5413ddabcf34fc5622", "torchvision's table of archives"
)
"""The MD5 is that of `torchvision.datasets.imagenet.ARCHIVE_META`."""


@dataclass(frozen=True)
class Archive:
    """A file that may be the published one."""

    path: Path
    length: int
    md5: str | None = None
    """None where its length says already that it is another."""
    published: Published = VAL_ARCHIVE

    @property
    def is_original(self) -> bool:
        """Whether length and MD5 are those published."""
        return (self.length, self.md5) == (self.published.length, self.published.md5)


def archive_of(data: DataSet, published: Published = VAL_ARCHIVE) -> Path | None:
    """The one tar that holds `data`, where it is called as the published archive or holds the images as it does."""
    paths = {image.path for image in data.images}
    if not data.layout.endswith(" in a tar") or len(paths) != 1:
        return None
    (path,) = paths
    is_alike = data.is_full_ilsvrc_val and data.layout.startswith("flat folder")
    is_val = all(val_number(image.id) for image in data.images)
    return path if is_alike or (is_val and path.name.lower() == published.name.lower()) else None


class ArchiveCheck:
    """Finds out in a thread of its own, while others read the file's images, whether it is the published archive.

    A file of another length is another, and is not read. Leaving the context ends the thread, whatever the reason.
    """

    def __init__(self, path: Path | None, published: Published = VAL_ARCHIVE) -> None:
        self._path, self._published = path, published
        self._length = path.stat().st_size if path else 0
        self._thread: threading.Thread | None = None
        self._ends = False
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._failed: OSError | None = None

    def start(self) -> None:
        """Once, and only after the processes that read images: they are forked, which no thread should witness."""
        if self._thread is None and self._path and self._length == self._published.length:
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()

    def _read(self) -> None:
        assert self._path
        try:
            with self._path.open("rb", buffering=0) as file:
                while not self._ends and (part := file.read(_READ)):
                    self._md5.update(part)
        except OSError as error:
            self._failed = error

    def found(self) -> Archive | None:
        """When it is done; None without a file. Raises DataError where it cannot be read."""
        if self._path is None:
            return None
        if self._thread:
            self._thread.join()
        if self._failed:
            raise DataError(
                f"{self._path} cannot be read ({self._failed.strerror or first_line(self._failed)}): expected the "
                "archive to its end. Copy or download it again."
            )
        md5 = self._md5.hexdigest() if self._thread else None
        return Archive(self._path, self._length, md5, self._published)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        if self._thread:
            self._thread.join()

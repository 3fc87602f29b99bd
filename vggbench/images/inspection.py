"""What a data set holds, before a network sees it: modes, sizes, and which files would be refused."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vggbench.data import DataSet, ImageFile
from vggbench.data.archive import Archive, ArchiveCheck, archive_of
from vggbench.data.imagenet import wnids
from vggbench.errors import DataError, UnreadableImages, counted
from vggbench.images.digest import Contents, content_of, packs
from vggbench.images.headers import Header, NotAnImage, header_of, read_whole
from vggbench.images.heap import keep_freed_memory
from vggbench.images.threads import cores, from_threads

if TYPE_CHECKING:
    from vggbench.images.reading import Packed

LOOKED_AT = 1000
"""Images whose headers are read where not every file is verified."""


class Looked(NamedTuple):
    """One image: its header, and what is wrong with it, if anything."""

    position: int
    header: Header | None
    problem: str | None = None
    doubt: bool = False
    """Whether the problem is only a complaint by libjpeg, which went on decoding."""
    content: bytes | None = None
    """What its bytes are known by, where it was read for that."""


@dataclass(frozen=True)
class Inspection:
    """What was found of `data`; with `verified` every image was decoded, else some headers were read."""

    data: DataSet
    looked: tuple[Looked, ...]
    """In order of id; where images were only read for the digest, the broken ones alone."""
    verified: bool
    digest: str | None = None
    """The digest of all bytes; None where they were not read, or not all could be."""
    archive: Archive | None = None
    """The file that holds them, where it may be the one that was published."""
    is_read: bool = False
    """Whether every image was read."""

    @property
    def problems(self) -> list[tuple[ImageFile, str]]:
        """The images that are broken, and how; a complaint of libjpeg counts as one."""
        return [(self.data.images[found.position], found.problem) for found in self.looked if found.problem]

    @property
    def count(self) -> int:
        """How many images were looked at, if only to read their bytes."""
        return len(self.data) if self.is_read else len(self.looked)

    @property
    def decoded(self) -> int:
        """How many images of a `verified` set were decoded, including those with a complaint."""
        return sum(found.doubt or not found.problem for found in self.looked)

    @cached_property
    def headers(self) -> list[Header]:
        """The headers of the images that have one."""
        return [found.header for found in self.looked if found.header]

    @cached_property
    def per_class(self) -> dict[str, int]:
        """Images of each class, in order of class."""
        counted = Counter(image.class_name for image in self.data.images)
        return {name: counted[name] for name in self.data.class_names}

    @cached_property
    def shorter_sides(self) -> NDArray[np.int64]:
        """(N,) pixels."""
        return np.array([min(header.height, header.width) for header in self.headers], dtype=np.int64)

    @property
    def unknown_wnids(self) -> list[str]:
        """Classes that are none of ILSVRC's, in a set where others are: every net of its 1,000 classes refuses them."""
        known = set(wnids())
        full = [name for name, count in self.per_class.items() if count]
        return [name for name in full if name not in known] if known & set(full) else []


class _Files:
    """Images to decode, for processes that read them."""

    def __init__(self, images: "Packed[ImageFile]") -> None:
        self._images = images

    def __getitem__(self, positions: Sequence[int]) -> list[Looked]:
        return [_look(self._images[position], position, decodes=True) for position in positions]


def inspect(data: DataSet) -> Inspection:
    """Read the headers of a thousand images."""
    return Inspection(data, tuple(_look(data.images[position], position) for position in _some(data)), verified=False)


def inspect_all(
    data: DataSet, *, decodes: bool, workers: int | None = None, tell: Callable[[int], None] | None = None
) -> Inspection:
    """Read every image once: to decode it, in `workers` processes, or for the digest alone, in as many threads.

    `tell` hears how many are done. Raises DataError where a worker dies.
    """
    workers = cores() if workers is None else workers
    contents, kept = Contents(data.images), []
    with ArchiveCheck(archive_of(data)) as archive:
        for done, found in enumerate(_decoded(data, workers) if decodes else _read(data, workers), 1):
            archive.start()
            if found.content is not None:
                contents.add(found.position, found.content)
            if decodes or found.header or found.problem:
                kept.append(found._replace(content=None))
            if tell:
                tell(done)
        kept.sort(key=lambda found: found.position)
        return Inspection(data, tuple(kept), decodes, contents.digest(), archive.found(), is_read=True)


def _some(data: DataSet) -> list[int]:
    """The images whose headers are read where not every one is decoded: spread over the set."""
    count = min(LOOKED_AT, len(data))
    return [index * len(data) // count for index in range(count)]


def _decoded(data: DataSet, workers: int) -> Iterator[Looked]:
    from vggbench.images.reading import Packed, from_workers

    for pack in from_workers(_Files(Packed(data.images)), packs(data.images), workers):
        yield from pack


def _read(data: DataSet, threads: int) -> Iterator[Looked]:
    some = frozenset(_some(data))

    def read(positions: Sequence[int]) -> list[Looked]:
        return [_look(data.images[at], at, content=True, header=at in some) for at in positions]

    keep_freed_memory()
    for pack in from_threads(read, packs(data.images), threads):
        yield from pack


def _look(
    image: ImageFile, position: int, *, decodes: bool = False, content: bool = False, header: bool = True
) -> Looked:
    """What is asked for of one image. The digest of its bytes is there even if they are not an image."""
    known = own = doubt = None
    try:
        encoded = read_whole(image)
        if decodes or content:
            known = content_of(encoded)
        if header:
            own = header_of(encoded)
        if decodes:
            from vggbench.images.pixels import decode_listening

            doubt = decode_listening(encoded)[1]
    except NotAnImage as reason:
        return Looked(position, own, str(reason), content=known)
    return Looked(position, own, doubt and f"is damaged: {doubt}", doubt=bool(doubt), content=known)


def require_fit(found: Inspection) -> None:
    """Raise DataError if an evaluation would be refused."""
    problems = found.problems
    if problems:
        image, why = problems[0]
        raise UnreadableImages(
            f"{len(problems):,} of the {found.count:,} images looked at {'is' if len(problems) == 1 else 'are'} "
            f"wrong, the first {image}, which {why}. Expected images that decode without a complaint: copy or download "
            "them again. An evaluation counts those that libjpeg only complains of, and names them; the others it "
            "leaves out with --skip-bad-images."
        )
    if found.unknown_wnids:
        raise DataError(
            f"{counted(len(found.unknown_wnids), 'class')} outside ILSVRC-2012's 1,000, the first "
            f"{found.unknown_wnids[0]!r}: expected those alone, since nets of the 1,000 refuse any other. Remove "
            "the folders."
        )

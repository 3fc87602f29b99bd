"""What a data set holds, before a network sees it: modes, sizes, and which files would be refused."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vggbench.data import DataSet, ImageFile
from vggbench.data.imagenet import wnids
from vggbench.errors import DataError, UnreadableImages, counted
from vggbench.images.headers import Header, NotAnImage, header_of, read_whole

if TYPE_CHECKING:
    from vggbench.images.reading import Packed

LOOKED_AT = 1000
"""Images whose headers are read where not every file is verified."""
_PACK = 16
"""Images that a process decodes before it tells of them."""


class Looked(NamedTuple):
    """One image: its header, and what is wrong with it, if anything."""

    position: int
    header: Header | None
    problem: str | None = None
    doubt: bool = False
    """Whether the problem is but a complaint of libjpeg, which decoded on."""


@dataclass(frozen=True)
class Inspection:
    """What was found of `data`; with `verified` every image was decoded, else some headers were read."""

    data: DataSet
    looked: tuple[Looked, ...]
    verified: bool

    @property
    def problems(self) -> list[tuple[ImageFile, str]]:
        """The images that are broken, and how; a complaint of libjpeg counts as one."""
        return [(self.data.images[found.position], found.problem) for found in self.looked if found.problem]

    @property
    def decoded(self) -> int:
        """How many images were decoded, those with a complaint among them; of `verified` ones."""
        return sum(found.doubt or not found.problem for found in self.looked)

    @cached_property
    def headers(self) -> list[Header]:
        """Of the images that have one."""
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
        return [_look(self._images[position], position, verify=True) for position in positions]


def inspect(
    data: DataSet, *, verify: bool = False, workers: int | None = None, tell: Callable[[int], None] | None = None
) -> Inspection:
    """Read the headers of a thousand images, or decode every one in `workers` processes to `verify`.

    `tell` hears how many are done. Raises DataError where a worker dies.
    """
    count = len(data) if verify else min(LOOKED_AT, len(data))
    positions = [index * len(data) // count for index in range(count)]
    if verify:
        from vggbench.images.reading import Packed, cores, from_workers

        packs = [positions[first : first + _PACK] for first in range(0, count, _PACK)]
        read = from_workers(_Files(Packed(data.images)), packs, cores() if workers is None else workers)
        found = (looked for pack in read for looked in pack)
    else:
        found = (_look(data.images[position], position) for position in positions)
    looked = []
    for image in found:
        looked.append(image)
        if tell:
            tell(len(looked))
    return Inspection(data, tuple(looked), verify)


def _look(image: ImageFile, position: int, *, verify: bool = False) -> Looked:
    header = doubt = None
    try:
        encoded = read_whole(image)
        header = header_of(encoded)
        if verify:
            from vggbench.images.pixels import decode_listening

            doubt = decode_listening(encoded)[1]
    except NotAnImage as reason:
        return Looked(position, header, str(reason))
    return Looked(position, header, doubt and f"is damaged: {doubt}", doubt=bool(doubt))


def require_fit(found: Inspection) -> None:
    """Raise DataError where an evaluation would be refused."""
    problems = found.problems
    if problems:
        image, why = problems[0]
        raise UnreadableImages(
            f"{len(problems):,} of the {len(found.looked):,} images looked at {'is' if len(problems) == 1 else 'are'} "
            f"wrong, the first {image}, which {why}. Expected images that decode without a complaint: copy or download "
            "them again. An evaluation counts those that libjpeg only complains of, and names them; the others it "
            "leaves out with --skip-bad-images."
        )
    if found.unknown_wnids:
        raise DataError(
            f"{counted(len(found.unknown_wnids), 'class')} outside ILSVRC-2012's 1,000, the first "
            f"{found.unknown_wnids[0]!r}: expected those alone, since nets of the 1,000 refuse any other. Take the "
            "folders out."
        )

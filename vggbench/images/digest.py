"""One number for the bytes of a data set, by which two people can tell whether they have the same images.

For each image, in order of id, a line: its id, its length in bytes and the SHA-256 of its bytes, in hexadecimal, parted
by blanks. The digest is the SHA-256 of these lines, in UTF-8, each ended by a line feed. So images are hashed in
whatever order they lie in, several at a time; layouts, labels, folders and times do not enter.
"""

import hashlib
from collections.abc import Sequence
from itertools import groupby

from vggbench.data import ImageFile

_PACK = 16
"""Images that a thread or a process reads before it tells of them."""
_SIZE = hashlib.sha256().digest_size


def content_of(encoded: bytes) -> bytes:
    """What an image's bytes are known by: their SHA-256, 32 bytes."""
    return hashlib.sha256(encoded).digest()


class Contents:
    """What the images of a set are known by, as they are met, in whatever order: 32 bytes each."""

    def __init__(self, images: Sequence[ImageFile]) -> None:
        self._images = images
        self._all, self._met = bytearray(_SIZE * len(images)), 0

    def add(self, position: int, content: bytes) -> None:
        """Take what one image is known by; each image comes once."""
        self._all[_SIZE * position : _SIZE * (position + 1)] = content
        self._met += 1

    def digest(self) -> str | None:
        """The digest in hexadecimal; None where an image was not met, since it could not be read."""
        if self._met < len(self._images):
            return None
        lines = hashlib.sha256()
        for position, image in enumerate(self._images):
            content = self._all[_SIZE * position : _SIZE * (position + 1)].hex()
            lines.update(f"{image.id} {image.length} {content}\n".encode())
        return lines.hexdigest()


def packs(images: Sequence[ImageFile]) -> list[list[int]]:
    """All positions, in the order in which the bytes lie; images that a file gives only together share a list."""
    order = sorted(range(len(images)), key=lambda position: images[position].place)
    found: list[list[int]] = []
    for whole, group in groupby(order, key=lambda position: images[position].read_with):
        positions = list(group)
        size = len(positions) if whole else _PACK
        found.extend(positions[first : first + size] for first in range(0, len(positions), size))
    return found

"""What the bytes of an image say before they are decoded, and why a file is none; imports no torch."""

import contextlib
import io
import math
import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from vggbench.data.dataset import CANNOT_BE_READ, ImageFile
from vggbench.errors import first_line

MAX_PIXELS = 100_000_000
"""Largest image that is decoded; the largest of ILSVRC has 20 million pixels."""
_ORIENTATION, _COMPRESSION, _JPEG_TABLES, _STRIPS, _TILES = 0x0112, 259, 347, (273, 279), (324, 325)
"""Tags of EXIF and TIFF; strips and tiles by their offsets and lengths."""
JPEGS = ("JPEG", "MPO")
"""Pillow's formats whose first picture is a plain JPEG."""
_PROGRAMS = ("EPS",)
"""Pillow's formats that it hands to another program to draw."""
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
"""How a file begins."""
_BESIDE_THE_PIXELS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"gAMA", b"cHRM", b"sRGB", b"pHYs")
"""Chunks of a PNG that Pillow reads without any use for a pixel."""
MAX_RATIO = 50
"""Longest image that is taken, by its sides: the rule knows no Q, so that every Q covers the same images."""
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Matches the marker of a JPEG's next segment, behind the values of a scan."""
_MOST_SCANS = 100
"""The most scans of a JPEG. Encoders write about ten; a scan of a hundred bytes costs a pass over all pixels."""
_LEAST = 5_000
"""Pixels that take as long to decode as it takes to begin with a JPEG."""


class NotAnImage(Exception):  # noqa: N818 - a reason, reported by the evaluation for the file it belongs to
    """Why the bytes of a file yield no pixels."""


def read_whole(image: ImageFile) -> bytes:
    """The encoded image, as it was listed; raises NotAnImage where it cannot be read or has changed."""
    try:
        encoded = image.read()
    except Exception as error:  # Arrow raises nearly anything for shards that have changed
        raise NotAnImage(f"{CANNOT_BE_READ} ({getattr(error, 'strerror', None) or first_line(error)})") from error
    if encoded is None or len(encoded) != image.length:
        raise NotAnImage(f"changed since it was listed with {image.length:,} bytes")
    return encoded


class Header(NamedTuple):
    """What an image says of itself before it is decoded."""

    height: int
    width: int
    mode: str
    """Pillow's: RGB, L for grey, CMYK, P for a palette, I;16 for 16 bits."""
    format: str
    oriented: bool
    """Whether its EXIF asks for it to be turned, which is ignored."""


def header_of(data: bytes) -> Header:
    """The header of an encoded image; raises NotAnImage, also where `decode` would by the header alone."""
    header = opened(data)
    return Header(header.height, header.width, header.mode, str(header.format), _is_turned(data))


def opened(data: bytes) -> Image.Image:
    """The header of an image that may be decoded; raises NotAnImage for any other."""
    with reasons("is no image" if data else "is empty", with_why=False):
        header = _header(data)
    if header.format in _PROGRAMS:
        raise NotAnImage("is a program in PostScript, which nothing here runs")
    width, height = header.size
    if width * height > MAX_PIXELS:
        raise NotAnImage(f"has {width} x {height} pixels, more than {MAX_PIXELS:,}")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise NotAnImage(f"is a sliver of {width} x {height} pixels")
    if header.format in JPEGS and _has_too_many_scans(data):
        raise NotAnImage(f"is a JPEG of more than {_MOST_SCANS} scans")
    if header.mode in ("I", "F"):
        raise NotAnImage(f"has pixels of 32 bits (mode {header.mode}); expected 8 or 16")
    return header


@contextlib.contextmanager
def reasons(what: str, *, with_why: bool = True) -> Iterator[None]:
    """Turn whatever Pillow and libjpeg raise for a file, which is nearly anything, into the reason that it is refused.

    What they warn of touches no pixel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Image.DecompressionBombError as error:
        raise NotAnImage(f"claims far more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            raise NotAnImage(f"{CANNOT_BE_READ} (not enough memory)") from error  # which may pass
        raise NotAnImage(f"{what} ({first_line(error)})" if with_why else what) from error


def _header(data: bytes) -> Image.Image:
    """The header as Pillow reads it, without parts that may be broken, or too long for Pillow, in a sound picture."""
    try:
        return Image.open(io.BytesIO(_without_texts(data) if data.startswith(_PNG) else data))
    except Exception:
        if not data.startswith(_JPEG):
            raise
        return Image.open(io.BytesIO(_without_applications(data)))


def _without_texts(png: bytes) -> bytes:
    """A PNG without its texts, profiles and EXIF."""
    kept, at = [_PNG], len(_PNG)
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")  # length, name, content, checksum
        if png[at + 4 : at + 8] not in _BESIDE_THE_PIXELS:
            kept.append(png[at:end])
        at = end
    return b"".join(kept)


def _without_applications(jpeg: bytes) -> bytes:
    """A JPEG without its EXIF, profiles and lists of further pictures: all of APP1 to APP15 but Adobe's transform."""
    kept, at = [_JPEG], len(_JPEG)
    while jpeg[at : at + 1] == b"\xff" and jpeg[at + 1 : at + 2] != b"\xda":  # SOS
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] == 0xEE or not 0xE1 <= jpeg[at + 1] <= 0xEF:
            kept.append(jpeg[at:end])
        at = end
    return b"".join([*kept, jpeg[at:]])


def _has_too_many_scans(jpeg: bytes) -> bool:
    """Whether the first picture of a file is sent in more passes than anybody's encoder makes."""
    at, scans = len(_JPEG), 0
    while (found := _MARKER.search(jpeg, at)) and scans <= _MOST_SCANS:
        at, marker = found.end(), jpeg[found.end() - 1]
        if marker == 0xD9:  # EOI
            break
        scans += marker == 0xDA  # SOS
        at += int.from_bytes(jpeg[at : at + 2], "big") if marker not in (0x01, 0xD8) else 0
    return scans > _MOST_SCANS


def _is_turned(data: bytes) -> bool:
    """Whether EXIF or XMP before the pixels, where it can be read, asks for the image to be turned."""
    with contextlib.suppress(NotAnImage), reasons("is no image"):
        # Pillow's own method of a PNG decodes all of it first.
        return bool(Image.Image.getexif(Image.open(io.BytesIO(data))).get(_ORIENTATION, 1) != 1)
    return False


def eight_bits(image: Image.Image) -> Image.Image:
    """A grey image of 16 bits by the upper 8, as Pillow itself reads colours of 16 bits; its own conversion clips."""
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def jpegs_inside(header: Image.Image, data: bytes) -> Iterator[bytes]:
    """The JPEGs that a TIFF is made of, as far as decoding them takes no longer than it does an image's pixels.

    Raises whatever a broken one makes Pillow raise.
    """
    tags = getattr(header, "tag_v2", {})
    if header.format != "TIFF" or tags.get(_COMPRESSION) != 7:
        return
    left = MAX_PIXELS
    tables = tags.get(_JPEG_TABLES, b"")[:-2]  # SOI and tables, without EOI
    offsets, lengths = _STRIPS if _STRIPS[0] in tags else _TILES
    for offset, length in zip(tags[offsets], tags[lengths], strict=True):
        part = data[offset : offset + length]
        jpeg = tables + part[2:] if tables else part
        left -= max(math.prod(Image.open(io.BytesIO(jpeg)).size), len(jpeg), _LEAST)
        if left < 0 or _has_too_many_scans(jpeg):
            return
        yield jpeg

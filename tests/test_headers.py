"""Headers: what they say, which files are refused for them, and what is broken beside the pixels harms nothing."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from small_pictures import encoded, noise

from vggbench.data import ImageFile
from vggbench.images.headers import MAX_PIXELS, NotAnImage, header_of, read_whole
from vggbench.images.pixels import decode


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    """Each of which would take as long as the whole picture."""
    jpeg = encoded(noise(), progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    several, many = (jpeg[:-2] + jpeg[last:-2] * count + jpeg[-2:] for count in (20, 200))
    assert decode(several).shape == decode(jpeg).shape
    assert torch.equal(decode(jpeg + many), decode(jpeg)), "what follows a picture is not read"
    for read in (decode, header_of):
        with pytest.raises(NotAnImage, match="more than 100 scans"):
            read(many)


def test_a_huge_header_is_refused_before_memory_is_taken() -> None:
    data = bytearray(encoded(noise()))
    place = data.index(b"\xff\xc0") + 5
    for side, sentence in ((11_000, "has 11000 x 11000 pixels, more than"), (20_000, "claims far more than")):
        data[place : place + 4] = side.to_bytes(2, "big") * 2
        with pytest.raises(NotAnImage, match=rf"{sentence} {MAX_PIXELS:,}"):
            decode(bytes(data))


def test_a_sliver_is_refused_whatever_q() -> None:
    with pytest.raises(NotAnImage, match="sliver of 4000 x 70"):
        decode(encoded(noise(size=(4000, 70))))
    assert decode(encoded(noise(size=(3500, 70)))).shape == (3, 70, 3500)


def test_no_picture_is_handed_to_another_program() -> None:
    """Pillow would run Ghostscript on an EPS, whatever the file is called."""
    file = io.BytesIO()
    Image.new("RGB", (60, 60)).save(file, "EPS")
    for work in (decode, header_of):
        with pytest.raises(NotAnImage, match="program in PostScript"):
            work(file.getvalue())


def test_what_a_header_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert header_of(encoded(noise("L"), exif=exif)) == (47, 61, "L", "JPEG", True)
    assert header_of(encoded(noise("P"), "PNG")) == (47, 61, "P", "PNG", False)


def test_a_broken_exif_block_harms_nothing() -> None:
    broken = encoded(noise(), exif=b"Exif\0\0broken")
    assert not header_of(broken).oriented
    assert decode(broken).shape == (3, 47, 61)


def test_a_header_is_refused_where_decoding_would_be() -> None:
    for data in (encoded(noise("L", (1200, 20))), encoded(Image.fromarray(np.ones((47, 61), np.int32)), "TIFF")):
        with pytest.raises(NotAnImage, match=r"sliver|32 bits"):
            header_of(data)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png_with(*chunks: bytes, mode: str = "RGB", late: bool = False) -> bytes:
    """A PNG with more chunks before its pixels, or behind them."""
    png = encoded(noise(mode), "PNG")
    at = len(png) - 12 if late else 33
    return png[:at] + b"".join(chunks) + png[at:]


_LONG = zlib.compress(bytes(3_000_000))
_NO_TIFF = b"Exif\0\0broken"
_NO_ENTRIES = b"II*\0\x08\0\0\0\xff\xff"


BROKEN_BESIDE_THE_PIXELS = {
    "PNG, EXIF": (encoded(noise(), "PNG", exif=_NO_TIFF), encoded(noise(), "PNG")),
    "PNG, short EXIF": (_png_with(_chunk(b"eXIf", _NO_ENTRIES)), encoded(noise(), "PNG")),
    "PNG, EXIF at the end": (_png_with(_chunk(b"eXIf", b"xx"), late=True), encoded(noise(), "PNG")),
    "PNG, long text": (_png_with(_chunk(b"zTXt", b"k\0\0" + _LONG)), encoded(noise(), "PNG")),
    "PNG, long XMP": (_png_with(_chunk(b"iTXt", b"k\0\1\0\0\0" + _LONG), late=True), encoded(noise(), "PNG")),
    "PNG, much text": (_png_with(*[_chunk(b"tEXt", b"k\0" + bytes(900_000))] * 80), encoded(noise(), "PNG")),
    "PNG, long profile": (_png_with(_chunk(b"iCCP", b"k\0\0" + _LONG), mode="P"), encoded(noise("P"), "PNG")),
    "PNG, wrong checksum": (_png_with(_chunk(b"tEXt", b"k\0v")[:-1] + b"x"), encoded(noise(), "PNG")),
    "PNG, short gamma": (_png_with(_chunk(b"gAMA", b"x")), encoded(noise(), "PNG")),
    "WebP, EXIF": (encoded(noise(), "WEBP", exif=_NO_TIFF), encoded(noise(), "WEBP")),
    "WebP, short EXIF": (encoded(noise(), "WEBP", exif=_NO_ENTRIES), encoded(noise(), "WEBP")),
    "JPEG, EXIF": (encoded(noise(), exif=_NO_TIFF), encoded(noise())),
    "JPEG, short profile": (
        encoded(noise("CMYK")).replace(b"\xff\xee", b"\xff\xe2\0\x0eICC_PROFILE\0\xff\xee", 1),
        encoded(noise("CMYK")),
    ),
    "TIFF, profile": (encoded(noise(), "TIFF", icc_profile=b"broken"), encoded(noise(), "TIFF")),
}


@pytest.mark.parametrize("case", BROKEN_BESIDE_THE_PIXELS)
def test_what_is_broken_beside_the_pixels_harms_nothing(case: str) -> None:
    broken, sound = BROKEN_BESIDE_THE_PIXELS[case]
    assert broken != sound
    assert torch.equal(decode(broken), decode(sound))
    assert header_of(broken) == header_of(sound)


def test_an_orientation_is_found_in_every_format() -> None:
    exif, text = Image.Exif(), PngInfo()
    exif[0x0112] = 6
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>', zip=True)
    assert all(header_of(encoded(noise(), kind, exif=exif)).oriented for kind in ("JPEG", "PNG", "WEBP", "TIFF"))
    assert header_of(encoded(noise(), "PNG", pnginfo=text)).oriented


def test_the_header_of_a_png_is_read_without_its_pixels() -> None:
    png = encoded(noise(), "PNG")
    assert header_of(png[:80]) == header_of(png)


class _Changed(ImageFile):
    """One of a shard that has fewer rows than when it was listed."""

    def read(self) -> bytes:
        raise IndexError("index out of bounds")


def test_whatever_reading_a_file_raises_is_its_reason(tmp_path: Path) -> None:
    with pytest.raises(NotAnImage, match=r"^cannot be read \(index out of bounds\)$"):
        read_whole(_Changed("a", tmp_path, 1, "c"))

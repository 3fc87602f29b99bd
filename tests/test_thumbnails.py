"""Thumbnails: to the eye what an evaluation sees, by Pillow alone, and nothing that it refuses."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_light_imports import heavy_after

from vggbench.data import ImageFile
from vggbench.images.pixels import decode
from vggbench.images.thumbnails import thumbnail

SMOOTH = np.add.outer(np.linspace(0, 120, 600), np.linspace(0, 130, 800)).astype(np.uint8)
COLOURS = np.stack([SMOOTH, SMOOTH[::-1], 250 - SMOOTH], axis=2)


def stored(folder: Path, content: bytes) -> ImageFile:
    path = folder / "image"
    path.write_bytes(content)
    return ImageFile("image", path, len(content), "c")


def encoded(picture: Image.Image, form: str, **how: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **how)
    return file.getvalue()


def turned(picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture, "JPEG", exif=exif)


RGB = Image.fromarray(COLOURS)
FORMS = {
    "JPEG": encoded(RGB, "JPEG"),
    "grey JPEG": encoded(RGB.convert("L"), "JPEG"),
    "CMYK": encoded(RGB.convert("CMYK"), "JPEG", quality=95),
    "progressive": encoded(RGB, "JPEG", progressive=True),
    "turned by EXIF": turned(RGB),
    "PNG": encoded(RGB, "PNG"),
    "16 bits": encoded(Image.fromarray(SMOOTH.astype(np.uint16) * 257), "PNG"),
    "palette": encoded(RGB.convert("P", palette=Image.Palette.ADAPTIVE), "GIF"),
    "TIFF": encoded(RGB, "TIFF", compression="jpeg"),
}


@pytest.mark.parametrize("form", FORMS)
def test_it_is_what_an_evaluation_sees(form: str, tmp_path: Path) -> None:
    small = thumbnail(stored(tmp_path, FORMS[form]), 160)
    assert small
    found = np.asarray(Image.open(io.BytesIO(small)).convert("RGB")).astype(int)
    whole = Image.fromarray(decode(FORMS[form]).permute(1, 2, 0).numpy())
    assert found.shape == (120, 160, 3)
    assert np.abs(found - np.asarray(whole.resize((160, 120), Image.Resampling.BOX))).mean() < 3


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int) -> bytes:
    """By its header; there are no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    ends = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + ends


@pytest.mark.parametrize(
    "content",
    [png_of(20_000, 20_000), png_of(4000, 20), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"", b"no image",
     FORMS["JPEG"][:2000], FORMS["PNG"][:900]],
    ids=["too large", "a sliver", "PostScript", "empty", "text", "half a JPEG", "half a PNG"],
)  # fmt: skip
def test_what_an_evaluation_refuses_has_none(content: bytes, tmp_path: Path) -> None:
    assert thumbnail(stored(tmp_path, content), 160) is None


def test_a_file_that_has_changed_has_none(tmp_path: Path) -> None:
    image = stored(tmp_path, FORMS["JPEG"])
    image.path.write_bytes(FORMS["PNG"])
    assert thumbnail(image, 160) is None


def test_it_needs_no_torch() -> None:
    assert heavy_after("import vggbench.images.thumbnails", heavy=("torch", "torchvision")) == set()

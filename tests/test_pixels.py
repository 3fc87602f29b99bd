"""Pixels: decoding equals Pillow, bad files are reasons, rescaling is torchvision's, views are what they say."""

import io
import json
import os
import platform
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import rescaling
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_pictures import encoded, noise
from torchvision.transforms import v2

from vggbench.errors import DataError, VggbenchError
from vggbench.images.headers import NotAnImage
from vggbench.images.pixels import decode, jpeg_decoder, rescale, signature_of, take
from vggbench.images.preprocessing import Rescale
from vggbench.paper.protocols import View


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("L", "BMP")],
)
def test_decoding_equals_pillow(mode: str, kind: str) -> None:
    data = encoded(noise(mode), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode(data).numpy(), expected)


@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities:DeprecationWarning")
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_the_decoder_is_torchvisions(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the library that holds it or, where that is not to be had, by torchvision's own function."""
    data = torch.frombuffer(bytearray(encoded(noise(mode))), dtype=torch.uint8)
    with monkeypatch.context() as without:
        without.setattr(torch.ops, "image", None)
        fallback = jpeg_decoder.__wrapped__()
    for wanted in (torchvision.io.ImageReadMode.RGB, torchvision.io.ImageReadMode.UNCHANGED):
        if (mode, wanted.name) != ("CMYK", "RGB"):
            expected = torchvision.io.decode_jpeg(data, wanted)
            assert torch.equal(jpeg_decoder()(data, wanted.value), expected)
            assert torch.equal(fallback(data, wanted.value), expected)


def test_a_torchvision_that_cannot_be_imported_is_no_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggbench.images.pixels.jpeg_decoder", jpeg_decoder.__wrapped__)
    monkeypatch.setattr(torch.ops, "image", None)
    monkeypatch.setitem(sys.modules, "torchvision.io", None)
    with pytest.raises(VggbenchError, match=r"^torchvision, which decodes JPEGs, cannot be imported .* Install both"):
        decode(encoded(noise(), "PNG"))


def test_exif_orientation_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(noise(), exif=exif)).shape == (3, 47, 61)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"this is a text file", "is no image"),
        (encoded(noise())[:700], r"cannot be decoded \(Image is incomplete or truncated\)"),
        (encoded(noise(), "MPO", save_all=True, append_images=[noise()])[:1500], "cannot be decoded"),
        (encoded(noise(), "PNG")[:700], "cannot be decoded"),
    ],
)
def test_what_is_no_image_is_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(NotAnImage, match=reason):
        decode(data)


def test_every_way_to_rescale_is_torchvisions() -> None:
    found = rescaling.compared()
    assert found["other"] == 0
    assert found["same"] == 1440


@pytest.mark.thorough
def test_it_is_where_pytorch_does_not_resize_uint8_natively() -> None:
    """As on a CPU without AVX2, where torchvision resizes in float: the signature says which."""
    forced = os.environ | {"ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run([sys.executable, rescaling.__file__], capture_output=True, text=True, check=True, env=forced)
    found = json.loads(done.stdout)
    arm = platform.machine() in ("aarch64", "arm64")
    assert found["cpu"] == "DEFAULT"
    assert found["paths"] == {"bilinear": "native" if arm else "float", "bicubic": "native", "nearest": "native"}
    assert (found["same"], found["other"]) == (1440, 0)


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(224, 300))
def test_rescale_is_torchvisions(height: int, width: int, scale: int) -> None:
    image = torch.arange(3 * height * width).remainder(251).to(torch.uint8).view(3, height, width)
    assert torch.equal(rescale(image, scale, Rescale()), v2.Resize(scale)(image))


def test_a_rescaled_image_lies_as_the_decoded_does() -> None:
    """Pixel by pixel, which takes less than half the time of another order."""
    image = decode(encoded(noise()))
    assert all(found.permute(1, 2, 0).is_contiguous() for found in (image, rescale(image, 224, Rescale())))


def test_filter_and_antialias_change_pixels() -> None:
    image = decode(encoded(noise(size=(600, 500))))
    found = [rescale(image, 256, how) for how in (Rescale(), Rescale("bicubic"), Rescale(antialias=False))]
    assert not any(torch.equal(found[0], other) for other in found[1:])
    assert len({str(signature_of(how)) for how in (Rescale(), Rescale("bicubic"), Rescale(antialias=False))}) == 3


@given(st.integers(0, 20), st.integers(0, 20), st.booleans())
def test_take_and_mirror(top: int, left: int, mirror: bool) -> None:
    image = torch.arange(3 * 50 * 60).remainder(251).to(torch.uint8).view(3, 50, 60)
    found = take(image, View(30, 40, top, left, mirror))
    window = image[:, top : top + 30, left : left + 40]
    assert torch.equal(found, window.flip(2) if mirror else window)
    assert torch.equal(take(found, View(30, 40, mirror=mirror)), window)


def test_a_view_outside_the_image_is_refused() -> None:
    with pytest.raises(DataError, match="does not fit"):
        take(torch.zeros(3, 100, 100, dtype=torch.uint8), View(224, 224))


def test_of_16_bits_the_upper_8_are_taken() -> None:
    values = np.arange(61 * 47, dtype=np.uint16).reshape(47, 61) * 22
    grey = decode(encoded(Image.fromarray(values), "PNG"))
    np.testing.assert_array_equal(grey.numpy(), np.stack([values >> 8] * 3))
    with pytest.raises(NotAnImage, match="pixels of 32 bits"):
        decode(encoded(Image.fromarray(np.ones((47, 61), np.int32)), "TIFF"))


def test_strips_of_a_tiff_take_no_memory_that_the_image_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    tiff = bytearray(encoded(noise(), "TIFF", compression="jpeg"))
    place = tiff.index(b"\xff\xc0") + 5
    tiff[place : place + 4] = (60_000).to_bytes(2, "big") * 2
    monkeypatch.setattr("vggbench.images.pixels._decode_jpeg", lambda data, mode: pytest.fail("it was decoded"))
    with pytest.raises(NotAnImage, match="cannot be decoded"):
        decode(bytes(tiff))


def test_a_tiff_of_very_many_strips_takes_little_time() -> None:
    """All of which are one JPEG of a pixel."""
    jpeg, count = encoded(Image.new("L", (1, 1))), 200_000
    start = 8 + len(jpeg) + len(jpeg) % 2
    where, sizes = start, start + 4 * count
    tags = [
        (256, 1, 1), (257, 1, 1), (258, 1, 8), (259, 1, 7), (262, 1, 1), (273, count, where), (277, 1, 1), (278, 1, 1),
        (279, count, sizes),
    ]  # fmt: skip
    tiff = b"II*\0" + (sizes + 4 * count).to_bytes(4, "little") + jpeg.ljust(start - 8, b"\0")
    tiff += (8).to_bytes(4, "little") * count + len(jpeg).to_bytes(4, "little") * count
    tiff += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, n, value) for tag, n, value in tags)
    started = time.perf_counter()
    assert decode(tiff + bytes(4)).shape == (3, 1, 1)
    assert time.perf_counter() - started < 3


def test_want_of_memory_is_not_the_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise MemoryError

    png = encoded(noise(), "PNG")
    monkeypatch.setattr("PIL.Image.Image.convert", fail)
    with pytest.raises(NotAnImage, match=r"^cannot be read \(not enough memory\)"):
        decode(png)

"""Pixels: decoding equals Pillow, bad files are reasons, views are what their geometry says."""

import io
import os
import struct
import sys
import time
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torchvision.transforms import v2

from vggbench.errors import DataError
from vggbench.images.libjpeg import complaints
from vggbench.images.pixels import (
    MAX_PIXELS,
    NotAnImage,
    decode,
    decode_listening,
    header_of,
    rescale,
    signature_of,
    take,
)
from vggbench.images.preprocessing import INPUTS, Input, Rescale
from vggbench.paper.protocols import View


def _encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _noise(mode: str = "RGB", size: tuple[int, int] = (61, 47)) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("L", "BMP")],
)
def test_decoding_equals_pillow(mode: str, kind: str) -> None:
    data = _encoded(_noise(mode), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode(data).numpy(), expected)


def test_exif_orientation_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(_encoded(_noise(), exif=exif)).shape == (3, 47, 61)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"this is a text file", "is no image"),
        (_encoded(_noise())[:700], r"cannot be decoded \(Image is incomplete or truncated\)"),
        (_encoded(_noise(), "MPO", save_all=True, append_images=[_noise()])[:1500], "cannot be decoded"),
        (_encoded(_noise(), "PNG")[:700], "cannot be decoded"),
    ],
)
def test_what_is_no_image_is_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(NotAnImage, match=reason):
        decode(data)


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    """Each of which would take as long as the whole picture."""
    jpeg = _encoded(_noise(), progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    several, many = (jpeg[:-2] + jpeg[last:-2] * count + jpeg[-2:] for count in (20, 200))
    assert decode(several).shape == decode(jpeg).shape
    assert torch.equal(decode(jpeg + many), decode(jpeg)), "what follows a picture is not read"
    for read in (decode, header_of):
        with pytest.raises(NotAnImage, match="more than 100 scans"):
            read(many)


def test_a_huge_header_is_refused_before_memory_is_taken() -> None:
    data = bytearray(_encoded(_noise()))
    place = data.index(b"\xff\xc0") + 5
    for side, sentence in ((11_000, "has 11000 x 11000 pixels, more than"), (20_000, "claims far more than")):
        data[place : place + 4] = side.to_bytes(2, "big") * 2
        with pytest.raises(NotAnImage, match=rf"{sentence} {MAX_PIXELS:,}"):
            decode(bytes(data))


def test_a_sliver_is_refused_whatever_q() -> None:
    with pytest.raises(NotAnImage, match="sliver of 4000 x 70"):
        decode(_encoded(_noise(size=(4000, 70))))
    assert decode(_encoded(_noise(size=(3500, 70)))).shape == (3, 70, 3500)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(224, 300))
def test_rescale_is_torchvisions(height: int, width: int, scale: int) -> None:
    image = torch.arange(3 * height * width).remainder(251).to(torch.uint8).view(3, height, width)
    assert torch.equal(rescale(image, scale, Rescale()), v2.Resize(scale)(image))


def test_filter_and_antialias_change_pixels() -> None:
    image = decode(_encoded(_noise(size=(600, 500))))
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


def test_torchvisions_input_equals_torchvision() -> None:
    image = decode(_encoded(_noise()))
    steps = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    )
    torch.testing.assert_close(INPUTS["torchvision"].normalise(image[None])[0], steps(image), atol=1e-6, rtol=0)


def test_caffes_input_is_bgr_minus_mean() -> None:
    red = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    red[:, 0] = 200
    found = INPUTS["caffe"].normalise(red).flatten().tolist()
    assert found == pytest.approx([-103.939, -116.779, 200 - 123.68], abs=1e-4)


@pytest.mark.parametrize("name", list(INPUTS))
def test_inputs_travel_as_json(name: str) -> None:
    assert Input.from_dict(INPUTS[name].as_dict()) == INPUTS[name]


@pytest.mark.parametrize("change", [{"channels": "GBR"}, {"range": 2}, {"mean": [1, 2]}, {"std": [1, 0, 1]}])
def test_a_broken_input_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not an input"):
        Input.from_dict(INPUTS["caffe"].as_dict() | change)


def _damaged(mode: str = "RGB") -> bytes:
    """A JPEG whose middle is zeroed, as a bad disk leaves it: libjpeg decodes it without an error."""
    data = bytearray(_encoded(_noise(mode, (240, 180)), quality=90))
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    return bytes(data)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_libjpegs_complaint_of_a_damaged_middle_is_heard(mode: str, capfd: pytest.CaptureFixture[str]) -> None:
    with complaints() as heard:
        assert decode(_damaged(mode)).shape == (3, 180, 240)
    (complaint,) = heard
    assert "Corrupt JPEG data" in complaint
    with complaints() as heard:
        decode(_encoded(_noise(mode, (240, 180))))
    assert heard == []
    assert capfd.readouterr().err == ""


def test_other_words_on_stderr_pass(capfd: pytest.CaptureFixture[str]) -> None:
    with complaints() as heard:
        os.write(2, b"something else\n")
        print("and more", file=sys.stderr)
    assert heard == []
    assert sorted(capfd.readouterr().err.splitlines()) == ["and more", "something else"]


def test_of_16_bits_the_upper_8_are_taken() -> None:
    values = np.arange(61 * 47, dtype=np.uint16).reshape(47, 61) * 22
    grey = decode(_encoded(Image.fromarray(values), "PNG"))
    np.testing.assert_array_equal(grey.numpy(), np.stack([values >> 8] * 3))
    with pytest.raises(NotAnImage, match="pixels of 32 bits"):
        decode(_encoded(Image.fromarray(np.ones((47, 61), np.int32)), "TIFF"))


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
    assert header_of(_encoded(_noise("L"), exif=exif)) == (47, 61, "L", "JPEG", True)
    assert header_of(_encoded(_noise("P"), "PNG")) == (47, 61, "P", "PNG", False)


def test_a_broken_exif_block_harms_nothing() -> None:
    broken = _encoded(_noise(), exif=b"Exif\0\0broken")
    assert not header_of(broken).oriented
    assert decode(broken).shape == (3, 47, 61)


def test_a_header_is_refused_where_decoding_would_be() -> None:
    for data in (_encoded(_noise("L", (1200, 20))), _encoded(Image.fromarray(np.ones((47, 61), np.int32)), "TIFF")):
        with pytest.raises(NotAnImage, match=r"sliver|32 bits"):
            header_of(data)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png_with(*chunks: bytes, mode: str = "RGB", late: bool = False) -> bytes:
    """A PNG with more chunks before its pixels, or behind them."""
    png = _encoded(_noise(mode), "PNG")
    at = len(png) - 12 if late else 33
    return png[:at] + b"".join(chunks) + png[at:]


_LONG = zlib.compress(bytes(3_000_000))
_NO_TIFF = b"Exif\0\0broken"
_NO_ENTRIES = b"II*\0\x08\0\0\0\xff\xff"

BROKEN_BESIDE_THE_PIXELS = {
    "PNG, EXIF": (_encoded(_noise(), "PNG", exif=_NO_TIFF), _encoded(_noise(), "PNG")),
    "PNG, short EXIF": (_png_with(_chunk(b"eXIf", _NO_ENTRIES)), _encoded(_noise(), "PNG")),
    "PNG, EXIF at the end": (_png_with(_chunk(b"eXIf", b"xx"), late=True), _encoded(_noise(), "PNG")),
    "PNG, long text": (_png_with(_chunk(b"zTXt", b"k\0\0" + _LONG)), _encoded(_noise(), "PNG")),
    "PNG, long XMP": (_png_with(_chunk(b"iTXt", b"k\0\1\0\0\0" + _LONG), late=True), _encoded(_noise(), "PNG")),
    "PNG, much text": (_png_with(*[_chunk(b"tEXt", b"k\0" + bytes(900_000))] * 80), _encoded(_noise(), "PNG")),
    "PNG, long profile": (_png_with(_chunk(b"iCCP", b"k\0\0" + _LONG), mode="P"), _encoded(_noise("P"), "PNG")),
    "PNG, wrong checksum": (_png_with(_chunk(b"tEXt", b"k\0v")[:-1] + b"x"), _encoded(_noise(), "PNG")),
    "PNG, short gamma": (_png_with(_chunk(b"gAMA", b"x")), _encoded(_noise(), "PNG")),
    "WebP, EXIF": (_encoded(_noise(), "WEBP", exif=_NO_TIFF), _encoded(_noise(), "WEBP")),
    "WebP, short EXIF": (_encoded(_noise(), "WEBP", exif=_NO_ENTRIES), _encoded(_noise(), "WEBP")),
    "JPEG, EXIF": (_encoded(_noise(), exif=_NO_TIFF), _encoded(_noise())),
    "JPEG, short profile": (
        _encoded(_noise("CMYK")).replace(b"\xff\xee", b"\xff\xe2\0\x0eICC_PROFILE\0\xff\xee", 1),
        _encoded(_noise("CMYK")),
    ),
    "TIFF, profile": (_encoded(_noise(), "TIFF", icc_profile=b"broken"), _encoded(_noise(), "TIFF")),
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
    assert all(header_of(_encoded(_noise(), kind, exif=exif)).oriented for kind in ("JPEG", "PNG", "WEBP", "TIFF"))
    assert header_of(_encoded(_noise(), "PNG", pnginfo=text)).oriented


def test_the_header_of_a_png_is_read_without_its_pixels() -> None:
    png = _encoded(_noise(), "PNG")
    assert header_of(png[:80]) == header_of(png)


@pytest.mark.parametrize(
    ("kind", "mode"), [("MPO", "RGB"), ("MPO", "L"), ("TIFF", "RGB"), ("TIFF", "L"), ("TIFF", "CMYK")]
)
def test_libjpeg_is_heard_in_whatever_file_it_decodes(kind: str, mode: str) -> None:
    picture = _noise(mode, (240, 180))
    options = {"save_all": True, "append_images": [picture]} if kind == "MPO" else {"compression": "jpeg"}
    sound = _encoded(picture, kind, quality=90, **options)
    assert header_of(sound).format == kind
    pixels, complaint = decode_listening(sound)
    expected = np.asarray(Image.open(io.BytesIO(sound)).convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels.numpy(), expected)
    assert complaint is None
    broken = bytearray(sound)
    place = len(broken) // 4  # in the first picture
    broken[place : place + 400] = bytes(400)
    pixels, complaint = decode_listening(bytes(broken))
    assert not np.array_equal(pixels.numpy(), expected)
    assert "Corrupt JPEG data" in str(complaint)


def test_libtiff_is_heard_and_its_words_on_tags_are_not(capfd: pytest.CaptureFixture[str]) -> None:
    fax = bytearray(_encoded(_noise("1", (240, 180)), "TIFF", compression="group4", icc_profile=b"any"))
    assert decode_listening(bytes(fax))[1] is None
    fax[2000:2040] = b"\xff" * 40
    complaint = str(decode_listening(bytes(fax))[1])
    assert complaint.startswith("Fax4Decode: Bad code word at line 29 of strip 0")
    assert "more" in complaint
    assert len(complaint) < 200
    with complaints() as heard:
        os.write(2, b"TIFFFetchNormalTag: Defined set_get_field_type of custom tag 47030.\n")
    assert heard == []
    assert capfd.readouterr().err == ""


def test_strips_of_a_tiff_take_no_memory_that_the_image_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    tiff = bytearray(_encoded(_noise(), "TIFF", compression="jpeg"))
    place = tiff.index(b"\xff\xc0") + 5
    tiff[place : place + 4] = (60_000).to_bytes(2, "big") * 2
    monkeypatch.setattr("vggbench.images.pixels.decode_jpeg", lambda data, mode: pytest.fail("it was decoded"))
    with pytest.raises(NotAnImage, match="cannot be decoded"):
        decode(bytes(tiff))


def test_a_tiff_of_very_many_strips_takes_little_time() -> None:
    """All of which are one JPEG of a pixel."""
    jpeg, count = _encoded(Image.new("L", (1, 1))), 200_000
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

    png = _encoded(_noise(), "PNG")
    monkeypatch.setattr("PIL.Image.Image.convert", fail)
    with pytest.raises(NotAnImage, match=r"^cannot be read \(memory does not suffice\)"):
        decode(png)

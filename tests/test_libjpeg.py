"""Complaints of libjpeg and libtiff are heard, whatever file they decode, and other words on stderr pass."""

import io
import os
import sys

import numpy as np
import pytest
from PIL import Image
from small_pictures import encoded, noise

from vggbench.images.headers import header_of
from vggbench.images.libjpeg import complaints
from vggbench.images.pixels import decode, decode_listening


def _damaged(mode: str = "RGB") -> bytes:
    """A JPEG whose middle is zeroed, as a bad disk leaves it: libjpeg decodes it without an error."""
    data = bytearray(encoded(noise(mode, (240, 180)), quality=90))
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
        decode(encoded(noise(mode, (240, 180))))
    assert heard == []
    assert capfd.readouterr().err == ""


def test_other_words_on_stderr_pass(capfd: pytest.CaptureFixture[str]) -> None:
    with complaints() as heard:
        os.write(2, b"something else\n")
        print("and more", file=sys.stderr)
    assert heard == []
    assert sorted(capfd.readouterr().err.splitlines()) == ["and more", "something else"]


@pytest.mark.parametrize(
    ("kind", "mode"), [("MPO", "RGB"), ("MPO", "L"), ("TIFF", "RGB"), ("TIFF", "L"), ("TIFF", "CMYK")]
)
def test_libjpeg_is_heard_in_whatever_file_it_decodes(kind: str, mode: str) -> None:
    picture = noise(mode, (240, 180))
    options = {"save_all": True, "append_images": [picture]} if kind == "MPO" else {"compression": "jpeg"}
    sound = encoded(picture, kind, quality=90, **options)
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
    fax = bytearray(encoded(noise("1", (240, 180)), "TIFF", compression="group4", icc_profile=b"any"))
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

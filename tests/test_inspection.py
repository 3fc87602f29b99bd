"""`vggbench data`: what was recognised, what it holds, every kind of bad file by name, and when it fails."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forms
import numpy as np
import pytest
from PIL import Image

from vggbench.data import open_data
from vggbench.images.inspection import inspect, inspect_all

BAD = {
    "empty.JPEG": (b"", "is empty"),
    "text.JPEG": (b"<html>404</html>", "is no image"),
    "huge.JPEG": (None, "claims far more than 100,000,000 pixels"),
    "cut.JPEG": (None, "cannot be decoded"),
    "damaged.JPEG": (None, "is damaged: Corrupt JPEG data"),
}


def _jpeg() -> bytearray:
    rng = np.random.default_rng(1)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (200, 260, 3), dtype=np.uint8)).save(file, "JPEG", quality=90)
    return bytearray(file.getvalue())


def _contents(name: str) -> bytes:
    given, data = BAD[name][0], _jpeg()
    if given is not None:
        return given
    if name == "huge.JPEG":
        place = data.index(b"\xff\xc0")
        data[place + 5 : place + 9] = (20_000).to_bytes(2, "big") * 2
    elif name == "cut.JPEG":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    return bytes(data)


@pytest.fixture
def spoiled(pictures: Path, tmp_path: Path) -> Path:
    """Four good pictures and every kind of bad one."""
    root = tmp_path / "spoiled"
    shutil.copytree(pictures, root)
    for name in BAD:
        (root / "apple" / name).write_bytes(_contents(name))
    return root


def test_a_set_is_described(vggbench: Callable[..., Any], tmp_path: Path) -> None:
    forms.write_pictures(tmp_path / "val")
    shown = vggbench("data", tmp_path, "--format", "table")
    assert shown.code == 0
    for fact in ("flat folder", "120 of 50,000, a subset of ILSVRC-2012 val", "RGB 118, grey 1, CMYK 1",
                 "JPEG 119, PNG 1", "5 different; ", "226 to 226 px"):  # fmt: skip
        assert fact in shown.out
    facts = {row["fact"]: row["value"] for row in json.loads(vggbench("data", tmp_path, "--format", "json").out)}
    assert facts["Images"] == 120
    assert facts["Fingerprint"] == open_data(tmp_path).fingerprint
    assert facts["Modes"] == {"RGB": 118, "L": 1, "CMYK": 1}
    assert facts["Sizes"] == {f"{230 + i * 8}x226": 24 for i in range(5)}
    listed = vggbench("data", tmp_path, "--classes", "--format", "csv").out.splitlines()
    assert listed[0] == "class,name,images"
    assert sum(int(line.rpartition(",")[2]) for line in listed[1:]) == 120


@pytest.mark.parametrize("workers", [0, 2])
def test_verify_names_every_bad_file_and_fails(vggbench: Callable[..., Any], spoiled: Path, workers: int) -> None:
    found = inspect_all(open_data(spoiled), decodes=True, workers=workers)
    assert {Path(image.path).name: why for image, why in found.problems}.keys() == BAD.keys()
    for image, why in found.problems:
        assert why.startswith(BAD[Path(image.path).name][1])
    result = vggbench("data", spoiled, "--verify", "--workers", workers, "--format", "json")
    assert result.code == 1
    wrong = [row["value"] for row in json.loads(result.out) if row["fact"] == "Wrong"]
    assert len(wrong) == len(BAD)
    assert "5 of the 9 images looked at are wrong, the first" in result.err


def test_without_verify_headers_alone_are_read(spoiled: Path) -> None:
    found = inspect(open_data(spoiled))
    assert {Path(image.path).name for image, _ in found.problems} == {"empty.JPEG", "text.JPEG", "huge.JPEG"}


def test_an_evaluation_names_all_bad_files_at_its_end(vggbench: Callable[..., Any], spoiled: Path) -> None:
    """The damaged middle alone is counted, since published pipelines count it, and named."""
    common = ("eval", "A@random", "--width", "0.0625", "--center", "--data", spoiled)
    result = vggbench(*common)
    assert result.code == 1
    for name, (_, why) in BAD.items():
        assert (f"{spoiled / 'apple' / name} {why}" in result.err) == (name != "damaged.JPEG")
    assert "4 of 9 images could not be read" in result.err
    skipped = vggbench(*common, "--skip-bad-images", "--format", "table", "--explain-notes")
    assert skipped.code == 0
    said = " ".join(skipped.out.split())
    assert "5 of 9 images (4 unreadable)" in said
    assert "libjpeg complained of 1 image: see vggbench data --verify. The first is damaged (Corrupt JPEG data" in said
    (row,) = json.loads(vggbench(*common, "--skip-bad-images", "--format", "json").out)
    assert (row["images"], row["skipped"], row["doubtful"]) == (5, 4, 1)


def test_247_of_250(vggbench: Callable[..., Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(250):
        path = tmp_path / "data" / f"c{number % 5}" / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 9, 3), dtype=np.uint8)).save(path)
    for number in (3, 77, 249):
        (tmp_path / "data" / f"c{number % 5}" / f"{number:03d}.png").write_bytes(b"broken")
    common = ("eval", "A@random", "--width", "0.015625", "--center", "--scales", "224", "--data", tmp_path / "data")
    result = vggbench(*common)
    assert result.code == 1
    assert "3 of 250 images could not be read" in result.err
    assert all(f"{number:03d}.png is no image" in result.err for number in (3, 77, 249))
    result = vggbench(*common, "--skip-bad-images")
    assert result.code == 0
    assert "247 of 250 images (3 unreadable)" in result.out


def test_a_strange_wnid_among_ilsvrcs_fails(vggbench: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("n01440764", "n99999999"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.JPEG").write_bytes(_jpeg())
    result = vggbench("data", tmp_path)
    assert result.code == 1
    assert "1 class outside ILSVRC-2012's 1,000, the first 'n99999999'" in result.err


def test_an_empty_folder_among_ilsvrcs_is_said_and_fits(vggbench: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "n01440764").mkdir()
    (tmp_path / "n01440764" / "1.JPEG").write_bytes(_jpeg())
    (tmp_path / "annotations").mkdir()
    result = vggbench("data", tmp_path, "--format", "table")
    assert result.code == 0
    said = " ".join(result.out.split())
    assert "1 of ILSVRC's 1,000, and 1 without an image" in said
    assert "class annotations has no image" in said
    listed = {
        row["class"]: row["images"]
        for row in json.loads(vggbench("data", tmp_path, "--classes", "--format", "json").out)
    }
    assert listed == {"annotations": 0, "n01440764": 1}


def test_what_cannot_be_opened_fails_in_a_sentence(vggbench: Callable[..., Any], tmp_path: Path) -> None:
    for arguments in ((tmp_path / "nowhere",), (tmp_path,), (tmp_path, "--workers", -1)):
        result = vggbench("data", *arguments)
        assert result.code in (1, 2)
        assert result.err.startswith("vggbench: ")
        assert result.err.count("\n") == 1


def test_a_files_name_does_not_steer_the_terminal(vggbench: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "\x1b[2Jx.png").write_bytes(b"")
    result = vggbench("data", tmp_path, "--format", "table")
    assert result.code == 1
    assert "\x1b" not in result.out + result.err
    assert "\\x1b[2Jx.png is empty" in result.err.replace(", which", "")

"""Broken images are read or refused in one sentence by every command, and nothing hangs."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fuzz_images
import numpy as np
import pytest
from conftest import Result
from PIL import Image

from vggbench.data import open_data
from vggbench.errors import UnreadableImages
from vggbench.studies.speed import read

NET = ("A@random", "--width", "0.0625", "--center", "--scales", "224", "--device", "cpu")


def test_broken_images_are_read_or_refused() -> None:
    """Some seconds: three commands on 320 files of 20 kinds, each three times decoded."""
    told = fuzz_images.campaign(320, seed=1)
    assert "320 files" in told
    assert all(f"{sound.name} read" in told for sound in fuzz_images.pictures())


@pytest.mark.slow
def test_broken_images_by_the_thousand() -> None:
    """In a process of its own, with a bound on memory, which survives no crash."""
    script = Path(fuzz_images.__file__)
    told = subprocess.run([sys.executable, script, "20000"], check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "20,000 files" in told.stdout


def _encoded(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (180, 240, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    picture.save(file, kind, **options | ({"save_all": True, "append_images": [picture]} if kind == "MPO" else {}))
    return file.getvalue()


@pytest.fixture(scope="module")
def troubled(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sound pictures, two more whose EXIF is broken, a PNG cut in its middle, and a damaged file of two JPEGs."""
    root = tmp_path_factory.mktemp("troubled") / "d"
    shutil.copytree(pictures, root)
    exif = {"exif": b"Exif\0\0broken"}
    png, two = _encoded("PNG"), bytearray(_encoded("MPO", quality=90))
    two[len(two) // 4 : len(two) // 4 + 400] = bytes(400)
    files = {"exif.webp": _encoded("WEBP", **exif), "exif.png": _encoded("PNG", **exif), "two.jpg": bytes(two)}
    for name, content in (files | {"cut.png": png[: len(png) // 2]}).items():
        (root / "boat" / name).write_bytes(content)
    return root


@pytest.mark.parametrize("workers", [0, 2])
def test_data_reads_headers_and_verifies(
    vggbench: Callable[..., Result], troubled: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(troubled.parent)  # so that paths are short, and no name is parted at the end of a line
    looked = vggbench("data", troubled, "--workers", workers, "--format", "json")
    assert looked.code == 0, looked.err
    facts = {row["fact"]: row["value"] for row in json.loads(looked.out)}
    assert facts["Formats"] == {"JPEG": 4, "PNG": 2, "WEBP": 1, "MPO": 1}
    result = vggbench("data", troubled.name, "--verify", "--workers", workers, "--format", "table")
    assert result.code == 1
    assert "7 of 8 decoded, 2 wrong" in result.out
    said = " ".join(result.out.split())
    assert "cut.png cannot be decoded (image file is truncated)" in said
    assert "two.jpg is damaged: Corrupt JPEG data" in said


@pytest.mark.parametrize("workers", [0, 2])
def test_an_evaluation_leaves_out_what_cannot_be_decoded(
    vggbench: Callable[..., Result], troubled: Path, workers: int
) -> None:
    common = ("eval", *NET, "--data", troubled, "--workers", workers, "--format", "json")
    refused = vggbench(*common)
    assert refused.code == 1
    assert "1 of 8 images could not be read" in refused.err
    assert "--skip-bad-images" in refused.err
    done = vggbench(*common, "--skip-bad-images")
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    assert (row["images"], row["skipped"], row["doubtful"]) == (7, 1, 1)


def test_where_nothing_is_left_to_evaluate_no_skipping_is_advised(
    vggbench: Callable[..., Result], troubled: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        shutil.copy(troubled / "boat" / "cut.png", tmp_path / "d" / name / f"{name}.png")
    result = vggbench("eval", *NET, "--data", tmp_path / "d", "--skip-bad-images", "--workers", 0)
    assert result.code == 1
    assert "2 of 2 images could not be read" in result.err
    assert "--skip-bad-images" not in result.err


def test_a_prediction_names_the_unreadable_and_the_doubtful(vggbench: Callable[..., Result], troubled: Path) -> None:
    common = ("predict", "A@sample", "--center", "--device", "cpu", "--workers", 0)
    result = vggbench(*common, troubled / "boat")
    assert result.code == 1
    notes = [line for line in result.err.splitlines() if line.startswith("Note: ")]
    assert len(notes) == 1
    assert "two.jpg is decoded, but libjpeg complained: Corrupt JPEG data" in notes[0]
    assert "1 of 5 images could not be read" in result.err
    assert "cut.png cannot be decoded" in result.err


def test_a_training_names_what_it_cannot_decode(
    vggbench: Callable[..., Result], troubled: Path, tmp_path: Path
) -> None:
    for split in ("train", "val"):
        shutil.copytree(troubled, tmp_path / "d" / split)
    common = (
        "train",
        "A",
        "--width",
        "0.015625",
        "--epochs",
        1,
        "--batch-size",
        8,
        "--device",
        "cpu",
        "--rate",
        "1e-6",
    )
    command = (*common, "--data", tmp_path / "d", "--workers", 1, "--output", tmp_path / "a.safetensors")
    refused = vggbench(*command)
    assert refused.code == 1
    assert "cut.png cannot be decoded" in refused.err
    for split in ("train", "val"):
        (tmp_path / "d" / split / "boat" / "cut.png").unlink()
    done = vggbench(*command)
    assert done.code == 0, done.err
    (note,) = (line for line in done.err.splitlines() if "libjpeg" in line)
    assert note.startswith("Note: libjpeg complained, and the image is trained on as decoded: ")
    assert "two.jpg (Corrupt JPEG data" in note


def test_the_benchmark_of_reading_names_what_it_cannot_decode(troubled: Path) -> None:
    with pytest.raises(UnreadableImages, match=r"cut.png cannot be decoded \(image file is truncated\)"):
        read(open_data(troubled), (224,), workers=1, seconds=0)

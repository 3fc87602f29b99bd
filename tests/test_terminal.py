"""Terminals and machines that can do little: text without UTF-8, homes that cannot be written."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result

from vggbench.errors import counted

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}
Printed = Callable[..., tuple[int, bytes, bytes]]


@pytest.fixture
def in_ascii(vggbench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Printed:
    """Run the command line with streams that take ASCII alone."""

    def run(*arguments: object, encoding: str = "ascii") -> tuple[int, bytes, bytes]:
        streams = [io.BytesIO(), io.BytesIO()]
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            monkeypatch.setattr(sys, name, io.TextIOWrapper(stream, encoding, write_through=True))
        code = vggbench(*arguments).code
        return code, streams[0].getvalue(), streams[1].getvalue()

    return run


@pytest.mark.parametrize("form", ["table", "md", "csv", "json"])
def test_data_in_ascii(form: str, in_ascii: Printed, pictures: Path) -> None:
    """Its bars are blocks, which ASCII has not."""
    code, out, err = in_ascii("data", pictures, "--format", form)
    assert (code, err) == (0, b"")
    assert out.isascii()
    assert form in ("csv", "json") or b"####" in out


def test_a_bar_in_ascii_is_no_border_of_a_markdown_table() -> None:
    """One that is too short for a block is a thin block."""
    code = "from vggbench.cli.terminal import degrade; degrade(); print('\\u258f \\u2588')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env={**os.environ, **ASCII})
    assert done.stdout == b". #\n"


def test_names_beyond_ascii_are_written_in_escapes(in_ascii: Printed, pictures: Path, tmp_path: Path) -> None:
    place = tmp_path / "café" / "poire"
    place.parent.mkdir()
    for name in ("poire", "straße"):
        shutil.copytree(next(pictures.iterdir()), place.with_name(name))
    code, out, err = in_ascii("data", place.parent, "--classes", "--format", "table")
    assert (code, err) == (0, b"")
    assert b"caf\\xe9" in out
    assert b"stra\\xdfe" in out
    code, out, err = in_ascii("data", tmp_path / "thé")
    assert (code, out) == (1, b"")
    assert b"th\\xe9: expected" in err


def test_a_terminal_of_utf_8_loses_nothing(in_ascii: Printed, pictures: Path) -> None:
    assert "█".encode() in in_ascii("data", pictures, encoding="utf-8")[1]


def test_what_typer_refuses_is_said_in_ascii(in_ascii: Printed) -> None:
    code, out, err = in_ascii("eval", "--nö", "D")
    assert (code, out) == (2, b"")
    assert err.isascii()
    assert b"--n\\xf6" in err


def test_numbers_are_the_same_in_ascii() -> None:
    """By both streams of a real process in such a locale."""
    code = (
        "from vggbench.cli.terminal import degrade; degrade()\n"
        "print('24.80 \\xb10.38 \\xd7 2 \\u2026 \\u2713')\n"
        "import sys; print('\\xb11.5', file=sys.stderr)"
    )
    environment = {**os.environ, **ASCII}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    assert (done.stdout, done.stderr) == (b"24.80 +-0.38 x 2 ... \\u2713\n", b"+-1.5\n")


@pytest.mark.thorough
@pytest.mark.parametrize("place", ["HOME", "XDG_CACHE_HOME"])
def test_a_home_that_cannot_be_written_is_not_warned_of(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    there = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "MPLCONFIGDIR": "", place: f"{tmp_path}/file/home"}
    command = [sys.executable, "-m", "vggbench", "params", "D", "--cost", "--plot", str(tmp_path / "plots")]
    done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, **there})
    assert done.returncode == 0
    assert done.stderr.decode().splitlines() == [f"{tmp_path}/plots/: 1 plot, each as PNG and SVG: cost."]


def test_a_cache_that_cannot_be_written_is_one_sentence(
    vggbench: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VGGBENCH_CACHE", str(tmp_path / "file" / "cache"))
    for command in (("data", "sample"), ("eval", "D"), ("weights", "D@oxford")):
        done = vggbench(*command)
        assert done.code == 1
        assert "in $VGGBENCH_CACHE" in done.err
        assert "Traceback" not in done.err


def test_a_user_without_a_home_has_the_root_for_one(
    vggbench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a container's user without a name: Python and Matplotlib would raise, and `~` become a folder's name."""

    def nobody(path: str) -> str:
        return os.environ.get("HOME", "~") if path == "~" else path

    monkeypatch.setattr("os.path.expanduser", nobody)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("VGGBENCH_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert "no readable weights file ~nobody/d.pth" in vggbench("eval", "D@~nobody/d.pth").err
    assert str(Path.home()) == "/"


@pytest.mark.parametrize(
    ("number", "thing", "text"), [(1, "epoch", "1 epoch"), (0, "run", "0 runs"), (2, "class", "2 classes")]
)
def test_nouns_agree_with_their_numbers(number: int, thing: str, text: str) -> None:
    assert counted(number, thing) == text

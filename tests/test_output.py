"""--output, --plot and --map of every command: refused at once, said when something is replaced, never a device."""

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from conftest import Result

from vggbench.cli.main import app
from vggbench.cli.output import require_file
from vggbench.errors import VggbenchError
from vggbench.files import require_folder

CLI = Callable[..., Result]
WRITING = {
    "params": "params D",
    "weights": "weights",
    "data": "data {pictures}",
    "quickstart": "quickstart",
    "eval": "eval A --data {pictures}",
    "compare": "compare A B --data {pictures}",
    "score": "score x.csv --data {pictures}",
    "check": "check A@sample --data {pictures}",
    "explain": "explain A --data {pictures}",
    "locate": "locate A@sample {one} --theirs x.npz",
    "fuse": "fuse A B --data {pictures}",
    "report": "report A --data {pictures}",
    "reproduce": "reproduce 3 --published",
    "predict": "predict A@sample {one}",
    "features": "features A@sample --data {pictures}",
    "probe": "probe x.parquet",
    "speed": "speed A",
    "doctor": "doctor",
    "runs": "runs",
    "train": "train A --data {pictures}",
    "export": "export A@sample --to onnx",
}
"""A command line of each command that has --output."""
PICKY = {"features": ".parquet", "train": ".safetensors", "export": ".onnx", "report": ".html"}
"""Those that write one kind of file, which is no table."""


def filled(command: str, pictures: Path) -> list[str]:
    one = next((pictures / "fish").iterdir())
    return [word.format(pictures=pictures, one=one) for word in command.split()]


def test_every_command_with_output_is_tried() -> None:
    group = typer.main.get_command(app)
    with_output = {
        name
        for name, command in group.commands.items()  # type: ignore[attr-defined]
        if any("--output" in parameter.opts for parameter in command.params)
    }
    assert with_output == set(WRITING)


@pytest.mark.thorough
@pytest.mark.parametrize("command", WRITING)
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("folder{ending}", "expected a file, found a folder"),
        ("file/x{ending}", "expected a f"),
        ("pipe{ending}", "expected a file, found a device"),
        ("x.pdf", "expected"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_else(
    command: str, place: str, said: str, vggbench: CLI, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = PICKY.get(command, ".md")
    (tmp_path / f"folder{ending}").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / f"pipe{ending}").symlink_to("/dev/null")
    # The last one last: what imports it from there while it is replaced would keep the replacement.
    for name in ("evaluation.session.open_data", "train.session.open_training_data", "data.open_data"):
        monkeypatch.setattr(f"vggbench.{name}", _opens)
    done = vggbench(*filled(WRITING[command], pictures), "--output", tmp_path / place.format(ending=ending))
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "--output" in done.err


def _opens(*whatever: object) -> object:
    raise AssertionError("images were listed")


@pytest.mark.parametrize("command", [name for name in WRITING if name not in PICKY])
def test_a_page_of_html_is_the_reports(command: str, vggbench: CLI, pictures: Path, tmp_path: Path) -> None:
    """It was Markdown by the name of a page."""
    done = vggbench(*filled(WRITING[command], pictures), "--output", tmp_path / "p.html")
    assert (done.code, done.out) == (2, "")
    assert "An HTML page is made by `vggbench report`" in done.err
    assert not (tmp_path / "p.html").exists()


@pytest.mark.parametrize("name", ["x.txt", "x", "x.MD", "x.json"])
def test_a_file_that_is_there_is_replaced_and_said(name: str, vggbench: CLI, tmp_path: Path) -> None:
    path = tmp_path / name
    assert vggbench("params", "D", "--output", path).err == ""
    before = path.read_bytes()
    assert vggbench("params", "E", "--output", path).err == f"Note: {path} exists and will be replaced.\n"
    assert path.read_bytes() != before


@pytest.mark.parametrize("command", ["data", "predict", "report", "export", "runs export"])
def test_all_kinds_of_files_that_are_there_are_said(
    command: str, vggbench: CLI, pictures: Path, few_drawn: Path, tmp_path: Path
) -> None:
    line, ending = {
        "data": ("data {pictures} --output", ".csv"),
        "predict": ("predict A@sample {one} --scales 256 --map", ".svg"),
        "report": ("report A --data sample --center --output", ".html"),
        "export": ("export A@sample --to safetensors --output", ".safetensors"),
        "runs export": ("runs export A-sample-center-* --output", ".csv"),
    }[command]
    if command == "runs export":
        assert vggbench("eval", "A", "--center", "--data", "sample").code == 0
    path = tmp_path / f"there{ending}"
    path.touch()
    done = vggbench(*filled(line, pictures), path)
    assert done.code == 0, done.err
    assert done.err.count(f"Note: {path} exists and will be replaced.") == 1
    assert path.stat().st_size


def test_a_training_says_it_before_it_begins(vggbench: CLI, pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.touch()
    done = vggbench("train", "A", "--data", tmp_path / "nowhere", "--output", path)
    assert done.code == 1
    assert done.err.startswith(f"Note: {path} exists and will be replaced.\n")


def test_a_dry_run_replaces_nothing_and_says_nothing_of_it(vggbench: CLI, few_drawn: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.touch()
    done = vggbench("eval", "A", "--data", "sample", "--dry-run", "--output", path)
    assert done.code == 0
    assert "replaced" not in done.err
    assert path.stat().st_size == 0


def test_plots_say_how_many_they_replace(vggbench: CLI, tmp_path: Path) -> None:
    command = ("params", "D", "--cost", "--scales", 224, "--plot", tmp_path / "plots")
    assert "replaced" not in vggbench(*command).err
    assert "2 older files replaced" in vggbench(*command).err


def test_what_the_disk_refuses_is_no_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(VggbenchError, match="expected a folder that this user may write") as error:
        require_file(tmp_path / "new" / "x.md", "--output")
    assert error.value.exit_code == 1
    require_folder(tmp_path, "--runs", to_write=False)


def test_a_name_too_long_is_a_sentence(vggbench: CLI) -> None:
    done = vggbench("params", "--output", "x" * 400 + ".md")
    assert (done.code, done.out) == (2, "")
    assert "File name too long. Expected the name of a file." in done.err

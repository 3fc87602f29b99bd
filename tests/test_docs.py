"""The documents say what the program says."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from conftest import Result

from vggbench import __version__
from vggbench.cli.completion import SOURCES, models, runs
from vggbench.cli.main import app
from vggbench.paper.configs import CONFIGS
from vggbench.weights.released import SOURCES as RELEASED_SOURCES

ROOT = Path(__file__).parent.parent
COMMAND = typer.main.get_command(app)
NAMES = list(COMMAND.commands)  # type: ignore[attr-defined]


def test_the_help_in_the_docs_is_the_helps() -> None:
    command = [sys.executable, "-m", "typer", "vggbench.cli.main", "utils", "docs", "--name", "vggbench"]
    docs = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs" / "commands.md").read_text().strip() == docs.strip(), "stale: make docs"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_an_example_and_is_in_the_readme(name: str) -> None:
    assert "Example: vggbench" in str(COMMAND.commands[name].help)  # type: ignore[attr-defined]
    assert re.search(rf"^\| `{name}[ `]", (ROOT / "README.md").read_text(), re.MULTILINE)


def test_completion_knows_every_source() -> None:
    assert set(SOURCES) - {"sample", "random"} == set(RELEASED_SOURCES) - {"features"}


def test_configs_and_sources_are_completed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vgg16.pth").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "nets").mkdir()
    assert models("") == list(CONFIGS)
    assert models("a") == [name for name in CONFIGS if name.startswith("A")]
    assert models("D@ox") == ["D@oxford"]
    assert models("D@") == [f"D@{source}" for source in (*SOURCES, "nets/", "vgg16.pth")]
    assert models("D@vg") == ["D@vgg16.pth"]


def test_bash_splits_words_at_the_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", "vggbench eval D @ sa")
    monkeypatch.setenv("COMP_CWORD", "4")
    assert models("sa") == ["sample"]
    assert "oxford" in models("@")


def test_runs_are_completed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VGGBENCH_RUNS", str(tmp_path))
    for name in ("D-sample-dense-Q256-00000000", "A-sample-dense-Q256-11111111"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
    (tmp_path / "D-other").mkdir()
    assert runs("D") == ["D-sample-dense-Q256-00000000"]


def test_the_citations_are_of_this_version(vggbench: Callable[..., Result]) -> None:
    out = vggbench("cite").out
    assert f"version = {{{__version__}}}" in out
    assert out.count("@") == 2
    assert out.count("{") == out.count("}")
    assert "eprint = {1409.1556}" in out
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()

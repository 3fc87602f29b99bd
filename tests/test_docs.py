"""The documents say what the program says."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from conftest import Result
from pages import pages

from vggbench import __version__
from vggbench.cli.completion import SOURCES, models, runs
from vggbench.cli.environment import VARIABLES
from vggbench.cli.main import app
from vggbench.paper.configs import CONFIGS
from vggbench.weights.released import SOURCES as RELEASED_SOURCES

ROOT = Path(__file__).parent.parent
COMMAND = typer.main.get_command(app)
_KEYED = sorted((ROOT / "vggbench" / "render" / "tables").glob("*.py"))
_RECORDS = (
    "results/records.py", "evaluation/forecast.py", "studies/checking/check.py", "studies/explanation.py",
    "studies/locating/location.py",
)  # fmt: skip
_NO_KEYS = {"cpu", "csv", "json", "caltech101", "caltech256", "voc2007", "voc2012"}
"""Keys of other dictionaries in files that make records."""
NAMES = list(COMMAND.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_an_example_and_stands_on_a_page(name: str) -> None:
    assert "Example: vggbench" in str(COMMAND.commands[name].help)  # type: ignore[attr-defined]
    shown = re.compile(rf"^\$ (torchrun .* -m )?vggbench {name}\b", re.MULTILINE)
    assert any(shown.search(path.read_text()) for path in pages()), f"no page shows {name}"


def test_the_page_of_variables_is_theirs() -> None:
    text = (ROOT / "docs" / "reference" / "environment.md").read_text()
    assert re.findall(r"^\| `([A-Z_]+)`", text, re.MULTILINE) == [variable.name for variable in VARIABLES]


def test_every_key_of_json_is_on_its_page() -> None:
    text = (ROOT / "docs" / "reference" / "keys.md").read_text()
    package = ROOT / "vggbench"
    found = {
        key
        for path in [*(package / name for name in _RECORDS), *_KEYED]
        for key in re.findall(r'"([a-z][a-z_0-9]+)": ?', path.read_text())
    }
    assert len(found) > 150
    assert not [key for key in sorted(found - _NO_KEYS) if f"`{key}`" not in text]


def test_the_readme_is_a_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.encode()) <= 8_000
    first = text.splitlines()[:25]
    assert max(map(len, first)) <= 80, "as a person sees it at 80 columns"
    assert any("**Not yet:**" in line for line in first)


@pytest.mark.parametrize("path", [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")], ids=str)
def test_links_of_pages_lead_to_files(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)[^):]*\)", path.read_text()):
        assert (path.parent / link).exists(), link


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

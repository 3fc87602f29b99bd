"""`quickstart`: six nets, a table, a picture, and what to type next, with no file of the user's."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Result
from pages import parse
from PIL import Image

from vggbench.cli.questions import NEXT
from vggbench.paper.configs import PAPER


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Computed by the first test that needs it, found by the others."""
    return tmp_path_factory.mktemp("quick")


def test_it_prints_six_nets_and_draws_where_one_sees_a_fish(
    vggbench: Callable[..., Result], few_drawn: Path, store: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "seen.png"
    done = vggbench("quickstart", "--runs", store, "--map", picture, "--format", "json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert [row["network"] for row in rows] == [f"{config}@sample" for config in PAPER]
    assert {(row["protocol"], row["images"], row["data"]) for row in rows} == {("center", 12, "sample-quick")}
    assert f"{picture}: where D@sample sees the fish." in done.err
    assert all(f"  {line}" in done.err.splitlines() for line in NEXT)
    drawn = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    panel = drawn[80:290, 650:1230]
    assert ((panel[..., 0] > 240) & (panel[..., 2] < 200)).sum() > 100, "of the map's brightest colour"


@pytest.mark.thorough
def test_its_figures_are_those_of_compare(
    vggbench: Callable[..., Result], few_drawn: Path, store: Path, tmp_path: Path
) -> None:
    again = vggbench("quickstart", "--runs", store, "--map", tmp_path / "a.svg", "--format", "json", "--quiet")
    assert again.err == ""
    how = ("--data", "sample-quick", "--center", "--backend", "onnxruntime", "--device", "cpu", "--format", "json")
    plain = vggbench("compare", *PAPER, *how, "--quiet")
    for ours, theirs in zip(json.loads(again.out), json.loads(plain.out), strict=True):
        assert (ours["signature"], ours["top1_error"]) == (theirs["signature"], theirs["top1_error"])


def test_what_it_suggests_can_be_typed() -> None:
    assert len(NEXT) == 3
    for line in NEXT:
        program, *words = line.split()
        assert program == "vggbench"
        parse(words)


@pytest.mark.parametrize(("name", "found"), [("map.html", "expected a name that ends in .png"), (".", "a folder")])
def test_a_picture_that_cannot_be_is_refused_before_anything_is_drawn(
    vggbench: Callable[..., Result], few_drawn: Path, tmp_path: Path, name: str, found: str
) -> None:
    done = vggbench("quickstart", "--map", tmp_path / name)
    assert (done.code, done.out) == (2, "")
    assert found in done.err
    assert not list(tmp_path.iterdir())

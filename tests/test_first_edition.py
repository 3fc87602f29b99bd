"""A store that the first edition made is answered from: same runs, same tables to the digit, no forward pass."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Result

from vggbench.sample.drawing import KINDS
from vggbench.sample.pictures import SPLITS, VERSION, encoded

CLI = Callable[..., Result]
FIRST = Path(__file__).parent / "first_edition"
ASKED = ("--data", "sample", "--limit", 12, "--dense", "--center", "--scales", 256, 384)
FUSED = ("fuse", "D-sample-dense-Q384", "E-sample-dense-Q384")
ADDED = {"against_p_holm", "significant", "scored_classes", "uncounted_operators", "crop", "descriptor"}
"""What rows have got since."""
TESTED = "against|Top-1 vs |Paired 95% CI|McNemar's p|Images/s"
"""Cells of a test: `eval` printed it under its table alone, and `fuse` made none."""
PASSING = {"changed", "Age"}
"""What no two copies of a store have in common."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the twelve pictures that `--limit 12` takes; the others are never read, and are no pictures."""
    cache = tmp_path_factory.mktemp("cache")
    for place, kind in enumerate(KINDS):
        folder = cache / f"sample-{VERSION}" / "val" / kind.name
        folder.mkdir(parents=True)
        for number in range(SPLITS["val"]):
            picture = encoded("val", place, 0) if number == 0 else b"none"
            (folder / f"sample_val_{number * len(KINDS) + place + 1:05d}.JPEG").write_bytes(picture)
    return cache


@pytest.fixture
def store(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the old store, where the command line looks for one, in a process whose networks cannot run."""

    def forward(module: torch.nn.Module, *given: Any) -> None:
        raise AssertionError(f"a forward pass of {type(module).__name__}")

    monkeypatch.setenv("VGGBENCH_CACHE", str(drawn))
    monkeypatch.setattr(torch.nn.Module, "__call__", forward)
    return Path(shutil.copytree(FIRST / "store", tmp_path / "runs"))


def _contents(store: Path) -> dict[str, bytes]:
    """All of a store but the counts that are remembered beside the runs."""
    files = [path for path in store.rglob("*") if path.is_file() and path.name != ".errors.json"]
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in files}


def _rows(text: str, form: str) -> list[dict[str, Any]]:
    """The table's rows, cell by cell as they are printed."""
    if form == "json":
        found: list[dict[str, Any]] = json.loads(text)
    elif form == "csv":
        found = list(csv.DictReader(io.StringIO(text)))
    else:
        heads, _, *lines = [line.strip("| \n").split(" | ") for line in text.splitlines() if line.startswith("|")]
        found = [dict(zip(heads, line, strict=True)) for line in lines]
    kept = [{key: value for key, value in row.items() if key not in ADDED | PASSING} for row in found]
    return [{key: value for key, value in row.items() if not re.match(TESTED, key)} for row in kept]


def _around(text: str) -> list[str]:
    """Title and signatures of Markdown."""
    return [line for line in text.splitlines() if line.startswith(("**", "vggbench "))]


def _today(text: str) -> str:
    """The text with N in place of any version."""
    return re.sub(r"vggbench \d+\.\d+\.\d+", "vggbench N", text)


def _require_same(name: str, form: str, printed: str) -> None:
    old, new = _today((FIRST / f"{name}.{form}").read_text()), _today(printed)
    rows = [_rows(text, form) for text in (old, new)]
    assert rows[0]
    if name == "runs":  # in the order of their age
        rows = [sorted(table, key=str) for table in rows]
    assert rows[0] == rows[1][: 1 if name == "fuse" else None], "of a fusion the first row; its nets follow"
    if form == "md" and name != "runs":
        assert _around(old) == _around(new)[: 2 if name == "fuse" else None], "its nets have signatures as well"


@pytest.mark.parametrize("form", ["md", "csv", "json"])
def test_an_old_store_answers_to_the_digit_and_nothing_is_computed(vggbench: CLI, store: Path, form: str) -> None:
    before = _contents(store)
    for net in ("D", "E"):
        done = vggbench("eval", net, *ASKED, "--format", form)
        assert (done.code, done.err) == (0, "")
        _require_same(f"eval-{net}", form, done.out)
    for name, command in (("fuse", FUSED), ("runs", ("runs",))):
        done = vggbench(*command, "--format", form)
        assert (done.code, done.err) == (0, "")
        _require_same(name, form, done.out)
    assert _contents(store) == before, "the same folders, named by the signatures' hashes, and not a byte changed"


def test_a_store_that_lacks_a_run_computes(vggbench: CLI, store: Path) -> None:
    """So that the test above can fail."""
    (run,) = store.glob("D-sample-center-Q256-*")
    shutil.rmtree(run)
    with pytest.raises(AssertionError, match="a forward pass of"):
        vggbench("eval", "D", *ASKED)


def test_another_digit_is_noticed() -> None:
    for form, old, new in (("md", "16.7", "16.8"), ("csv", "16.666", "16.667"), ("json", "16.666", "16.667")):
        text = (FIRST / f"eval-D.{form}").read_text()
        _require_same("eval-D", form, text)
        with pytest.raises(AssertionError):
            _require_same("eval-D", form, text.replace(old, new, 1))

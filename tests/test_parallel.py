"""Several processes over one store: under torchrun, and started by hand; each block once, one table."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import blurred

from vggbench.errors import UsageError
from vggbench.evaluation.shares import is_last, parse_share

EVAL = ("eval", "A@sample", "--center", "--scales", "224", "--format", "json", "--device", "cpu")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """An evaluation of 150 images, which are five blocks."""
    return *EVAL, "--data", str(blurred(150, tmp_path_factory.mktemp("pictures")))


def _posteriors(runs: Path) -> dict[str, np.ndarray]:
    (file,) = runs.glob("*/posteriors/*.parquet")
    table = pq.read_table(file)
    values = table.column("posterior").combine_chunks()
    return dict(
        zip(table.column("image").to_pylist(), values.flatten().to_numpy().reshape(len(table), -1), strict=True)
    )


def _blocks(runs: Path) -> list[str]:
    return sorted(path.name for path in runs.glob("*/posteriors/*.parquet"))


def row_of(text: str) -> dict[str, Any]:
    """The row of a table, but for how fast it was."""
    (row,) = json.loads(text)
    return {name: value for name, value in row.items() if name != "images_per_second"}


@pytest.mark.thorough
def test_two_processes_under_torchrun_equal_one(
    vggbench: Callable[..., Any], tmp_path: Path, command: tuple[str, ...]
) -> None:
    one = vggbench(*command, "--runs", tmp_path / "one")
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "vggbench",
    ]
    done = subprocess.run(
        [*torchrun, *command, "--runs", str(tmp_path / "two")], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    both = [row_of(text) for text in (one.out, done.stdout)]
    assert both[0] == both[1], "one table, the same"
    first, second = (_posteriors(tmp_path / name) for name in ("one", "two"))
    assert list(first) == list(second)
    assert max(np.abs(first[image] - second[image]).max() for image in first) <= 1e-6
    read = [int(count) for count in re.findall(r"Read and decoded (\d+) images", done.stderr)]
    assert read == [86], "the first took blocks 0, 2 and 4, the last of which has 22 images; the other is silent"


@pytest.mark.thorough
def test_processes_by_hand_share_a_store(
    vggbench: Callable[..., Any], tmp_path: Path, command: tuple[str, ...]
) -> None:
    runs = tmp_path / "shared"
    alone = vggbench(*command, "--runs", tmp_path / "alone")
    first = vggbench(*command, "--runs", runs, "--share", "2/2")
    assert (first.code, first.out) == (0, "")
    assert "--share 2/2 is done; the last process to finish its share prints the table." in first.err
    assert _blocks(runs) == ["000032-000063.parquet", "000096-000127.parquet"]
    assert "stored already" not in first.err, "what is left to the other process is not stored"
    again = vggbench(*command, "--runs", runs, "--share", "2/2")
    assert again.out == "", "the same share twice is not the last"
    last = vggbench(*command, "--runs", runs, "--share", "1/2")
    assert row_of(last.out) == row_of(alone.out)
    assert _blocks(runs) == ["000000-000149.parquet"]
    one, other = _posteriors(runs), _posteriors(tmp_path / "alone")
    assert all((one[image] == other[image]).all() for image in one), "byte for byte with as many threads"


def test_blocks_lost_by_another_process_are_noticed(
    vggbench: Callable[..., Any], tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vggbench.evaluation.processes._WAITS", (0.01,))
    runs = tmp_path / "shared"
    vggbench(*command, "--runs", runs, "--share", "2/2")
    (lost,) = runs.glob("*/posteriors/000032*")
    lost.unlink()
    last = vggbench(*command, "--runs", runs, "--share", "1/2")
    assert last.code == 1
    assert "1 block still missing: expected every process to finish its share. Run it again." in last.err
    assert vggbench(*command, "--runs", runs).code == 0
    shutil.rmtree(runs)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", "¹/2"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(UsageError, match="expected I/N"):
        parse_share(text)
    assert parse_share("2/8") == (1, 8)


def test_the_last_is_the_last_whatever_the_order(tmp_path: Path) -> None:
    for order in ([0, 1, 2], [2, 0, 1], [1, 1, 0, 0, 2]):
        answers = [is_last(tmp_path, ["a run"], (share, 3)) for share in order]
        assert answers == [False] * (len(order) - 1) + [True]
    (tmp_path / next(tmp_path.glob(".shares-*.lock")).name.replace("lock", "json")).write_text("broken")
    assert not is_last(tmp_path, ["a run"], (0, 3))

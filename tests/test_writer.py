"""The thread that stores blocks: killed at any moment, a full disk, a store that vanishes, blocks of several sizes."""

import errno
import os
import random
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from children import Child, wait_until
from conftest import CLASSES, Result
from torch import Tensor

from vggbench import INPUTS, Job, Model, Protocol, Run, Settings, open_data, posteriors
from vggbench.data import DataSet
from vggbench.errors import StoreError
from vggbench.evaluation.jobs import Watch
from vggbench.evaluation.loop import evaluate
from vggbench.evaluation.plan import prepare
from vggbench.images import pixels
from vggbench.store.recording import Recording, Store
from vggbench.studies.doctor.subject import repeated

QUICK = Settings(device="cpu", workers=0)


def _colours(images: Tensor, seconds: float = 0) -> Tensor:
    time.sleep(seconds * len(images))
    means = images.mean((2, 3)) * 3
    return torch.cat([means, means[:, :1] * 2], dim=1)


MODEL = Model.wrap("colours", _colours, INPUTS["torchvision"], CLASSES, identity="colours")


def _blocks(store: Path) -> list[str]:
    return sorted(path.name for path in store.glob("*/posteriors/*.parquet"))


def _stored(data: DataSet, job: Job, store: Path) -> Run:
    (run,) = prepare(data, [job], Store(store), QUICK).runs
    assert run.missing() == []
    return run


@pytest.mark.parametrize(
    ("block", "kills"),
    [(32, 3), pytest.param(32, 10, marks=pytest.mark.slow), pytest.param(256, 10, marks=pytest.mark.slow)],
)
def test_killed_at_random_moments_the_next_run_carries_on(
    block: int, kills: int, many_pictures: Path, tmp_path: Path, forked: Callable[..., Child],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Kill -9; the posteriors equal the uninterrupted run's to the last bit."""
    draw, data = random.Random(0), repeated(open_data(many_pictures), block * (3 * kills + 3))
    slowly = partial(_colours, seconds=(seconds := 0.06) / block)
    job = Job(Model.wrap("slow", slowly, INPUTS["torchvision"], CLASSES, identity="slow"), Protocol("center"), 240)
    monkeypatch.setattr(Settings, "block_for", lambda self, images: block)

    def start(store: Path) -> Child:
        return forked(lambda: evaluate(data, [job], store, Settings(device="cpu", workers=1)))

    assert start(tmp_path / "whole").wait() == 0
    for _ in range(kills):
        before, child = _blocks(tmp_path / "killed"), start(tmp_path / "killed")
        wait_until(lambda before=before, child=child: _blocks(tmp_path / "killed") != before or child.code is not None)  # type: ignore[misc]
        time.sleep(draw.random() * seconds)
        assert child.code is None, "killed in the middle"
        child.end()
    assert start(tmp_path / "killed").wait() == 0
    found, expected = (_stored(data, job, tmp_path / name) for name in ("killed", "whole"))
    assert found.block == expected.block == block
    np.testing.assert_array_equal(posteriors(found), posteriors(expected))


def test_a_disk_that_fills_up_keeps_what_was_stored(
    vggbench: Callable[..., Result], many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("eval", "A@random", "--data", many_pictures, "--width", 1 / 64, "--scales", 256, "--center")
    assert vggbench(*command, "--runs", tmp_path / "whole").code == 0
    sync, calls = os.fsync, list[int]()

    def full(number: int) -> None:
        calls.append(number)
        if len(calls) > before:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(number)

    before = 10**6
    monkeypatch.setattr("os.fsync", full)
    write = Recording.write

    def fills(self: Recording, number: int, block: Any) -> None:
        nonlocal before
        if number == 1:
            before = len(calls)
        write(self, number, block)

    monkeypatch.setattr(Recording, "write", fills)
    done = vggbench(*command, "--runs", tmp_path / "full")
    assert (done.code, done.out) == (1, "")
    assert done.err.count("No space left on device") == 1
    assert "Finished blocks are kept; run the command again when there is room." in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert _blocks(tmp_path / "full") == ["000000-000031.parquet"]
    assert [path for path in (tmp_path / "full").rglob("*") if "partial" in path.name] == []
    monkeypatch.undo()
    assert vggbench(*command, "--runs", tmp_path / "full").code == 0
    found, expected = (posteriors(Run.read(next((tmp_path / name).iterdir()))) for name in ("full", "whole"))
    np.testing.assert_array_equal(found, expected)


def test_a_store_that_is_removed_meanwhile_ends_in_one_sentence(
    vggbench: Callable[..., Result], many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("eval", "A@random", "--data", many_pictures, "--width", 1 / 64, "--scales", 256, 320, "--center")
    write = Recording.write

    def removed(self: Recording, number: int, block: Any) -> None:
        if number == 1 and self.signature["scale"] == 256:
            shutil.rmtree(self.folder)
        write(self, number, block)

    monkeypatch.setattr(Recording, "write", removed)
    done = vggbench(*command, "--runs", tmp_path / "runs")
    assert (done.code, done.out) == (1, "")
    assert "cannot be written (No such file or directory)" in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert _blocks(tmp_path / "runs") == ["000000-000031.parquet"], "of the run that is still there"
    monkeypatch.undo()
    assert vggbench(*command, "--runs", tmp_path / "runs").code == 0


def test_what_was_stored_before_an_error_is_told(many_pictures: Path, tmp_path: Path) -> None:
    """The watch fails in the third block; the first two are stored all the same."""

    class Fails(Watch):
        turns = 0

        def turn(self, job: Job) -> None:
            self.turns += 1
            if self.turns == 3:
                raise KeyboardInterrupt

    data, job = open_data(many_pictures), Job(MODEL, Protocol("center"), 240)
    with pytest.raises(KeyboardInterrupt):
        evaluate(data, [job], tmp_path, QUICK, Fails())
    assert _blocks(tmp_path) == ["000000-000031.parquet", "000032-000063.parquet"]


def test_runs_of_several_block_sizes_share_one_pass(
    many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each keeps its own, also where they were begun elsewhere; each image is decoded once."""
    data = open_data(many_pictures)
    jobs = [Job(MODEL, Protocol(name), 240) for name in ("center", "dense")]
    expected = [posteriors(run) for run in evaluate(data, jobs, tmp_path / "one", QUICK)]
    for job, block in zip(jobs, (48, 32), strict=True):
        monkeypatch.setattr(Settings, "block_for", lambda self, images, block=block: block)
        with pytest.raises(StoreError, match="enough"):
            evaluate(data, [job], tmp_path / "two", QUICK, _Until(1))
    assert sorted(_blocks(tmp_path / "two")) == ["000000-000031.parquet", "000000-000047.parquet"]
    decode, decoded = pixels.decode, list[int]()

    def counted(content: bytes) -> Tensor:
        decoded.append(len(content))
        return decode(content)

    monkeypatch.setattr("vggbench.images.pixels.decode", counted)
    runs = evaluate(data, jobs, tmp_path / "two", QUICK)
    assert [run.block for run in runs] == [48, 32]
    assert len(decoded) == len(data) - 32, "those that some run lacks"
    for run, right in zip(runs, expected, strict=True):
        np.testing.assert_allclose(posteriors(run), right, atol=1e-6)


class _Until(Watch):
    """Ends an evaluation after so many blocks."""

    def __init__(self, blocks: int) -> None:
        self._left = blocks

    def turn(self, job: Job) -> None:
        if not self._left:
            raise StoreError("enough")
        self._left -= 1

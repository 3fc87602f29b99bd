"""Batches: smaller ones where memory runs out, and only then; the size is kept; the way is told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vggbench import INPUTS, Job, Model, Protocol, Settings, open_data, posteriors
from vggbench.evaluation.loop import evaluate
from vggbench.evaluation.plan import prepare
from vggbench.store.recording import Store

NAMES = ("apple", "boat", "fish", "house")
QUICK = Settings(device="cpu", workers=0, batch_size=16)
NO_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
                 "to allocate 987654321 bytes. Error code 12 (Cannot allocate memory)"),
    MemoryError("Unable to allocate 7.11 PiB for an array with shape (1000000000000000,) and data type float64"),
)  # fmt: skip


def _model(limit: int, error: Exception, seen: list[int]) -> Model:
    """Mean colours, on a machine that has memory for `limit` views at once."""

    def network(images: Tensor) -> Tensor:
        seen.append(len(images))
        if len(images) > limit:
            raise error
        return torch.cat([images.mean((2, 3)), images[:, :1].amax((2, 3))], dim=1) * 3

    return Model.wrap("colours", network, INPUTS["torchvision"], NAMES, identity="colours")


@pytest.mark.parametrize(
    ("error", "protocol"), [(NO_MEMORY[0], "multicrop8"), (NO_MEMORY[1], "multicrop"), (NO_MEMORY[2], "center")]
)
def test_smaller_batches_where_memory_runs_out(
    protocol: str, error: Exception, many_pictures: Path, tmp_path: Path
) -> None:
    data, seen = open_data(many_pictures).subset(8), list[int]()
    job = Job(_model(5, error, seen), Protocol.parse(protocol), 240)
    (run,) = evaluate(data, [job], tmp_path / "small", QUICK)
    first = 8 if protocol == "center" else 16
    assert (seen[0], seen.count(first)) == (first, 1), "the size that failed is not tried again"
    assert set(seen[2:]) <= {1, 2, 3, 4}
    assert {entry["batch_size"] for entry in run.provenance} == {4}
    (whole,) = evaluate(data, [Job(_model(99, error, []), job.protocol, 240)], tmp_path / "large", QUICK)
    np.testing.assert_allclose(posteriors(run), posteriors(whole), atol=1e-6)


def test_a_run_that_goes_on_keeps_the_size_that_fitted(many_pictures: Path, tmp_path: Path) -> None:
    data, seen = open_data(many_pictures), list[int]()
    job = Job(_model(5, NO_MEMORY[0], seen), Protocol("center"), 240)
    settings = replace(QUICK, batch_size=None)
    (run,) = evaluate(data, [job], tmp_path, settings)
    text = [path.name for path in (run.folder / "posteriors").iterdir()]
    assert len(text) == 1
    plan = prepare(data, [job], Store(tmp_path), settings)
    from vggbench.evaluation.loop import _batch_size

    assert _batch_size(plan.runs[0], settings) == 4
    assert _batch_size(plan.runs[0], QUICK) == 16, "unless another is asked for"


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("x")])
def test_no_other_error_is_tried_again(error: Exception, pictures: Path, tmp_path: Path) -> None:
    seen = list[int]()
    with pytest.raises(type(error), match=str(error)):
        evaluate(open_data(pictures), [Job(_model(2, error, seen), Protocol("center"), 240)], tmp_path, QUICK)
    assert seen == [4]


def test_one_view_that_does_not_fit_is_an_error(pictures: Path, tmp_path: Path) -> None:
    seen = list[int]()
    with pytest.raises(torch.OutOfMemoryError):
        evaluate(open_data(pictures), [Job(_model(0, NO_MEMORY[0], seen), Protocol("center"), 240)], tmp_path, QUICK)
    assert seen == [4, 2, 1]


def test_verbose_says_which_way_was_taken(vggbench: Callable[..., Any], few_drawn: Path) -> None:
    common = ("eval", "A@sample", "--data", "sample", "--limit", 4, "--scales", 256, "--multicrop", "--grid", 8)
    assert "crops share" not in vggbench(*common).err
    said = vggbench(*common, "-v").err
    assert "A@sample multicrop8 Q=256: PyTorch" in said
    assert ", crops share " in said or ", plain crops" in said


def test_crops_that_do_not_fit_together_are_plain(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **options: object) -> Tensor:
        raise NO_MEMORY[0]

    monkeypatch.setattr("vggbench.inference.backend.Backend.stages_to_share", lambda *_: 4)
    monkeypatch.setattr("vggbench.inference.backend.Backend.grid", fails)
    job = Job(_model(99, NO_MEMORY[0], []), Protocol.parse("multicrop8"), 240)
    (run,) = evaluate(open_data(pictures), [job], tmp_path, QUICK)
    assert {entry["shared_stages"] for entry in run.provenance} == {0}
    assert posteriors(run).shape == (4, 4)

"""Every image is counted exactly once: over sizes, blocks, workers, processes, and wherever any of them is killed."""

import contextlib
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from vggbench import INPUTS, Job, Model, Protocol, Run, Settings, error_rates, posteriors
from vggbench.data import DataSet, ImageFile
from vggbench.evaluation.loop import execute
from vggbench.evaluation.plan import prepare
from vggbench.store.blocks import write_block
from vggbench.store.recording import Store

CLASSES = 7
_SEEN: list[float] = []


def _identity(images: Tensor) -> Tensor:
    """The class that an image's colour encodes, and a note of each image that was asked for."""
    level = images[:, 0].mean((1, 2))
    _SEEN.extend(level.tolist())
    return -((level[:, None] * 255 / 8).round() % CLASSES - torch.arange(CLASSES)).abs()


MODEL = Model.wrap(
    "levels", _identity, INPUTS["torchvision"].__class__("RGB", 1, (0.0,) * 3, (1.0,) * 3),
    tuple(f"c{i}" for i in range(CLASSES)), identity="levels",
)  # fmt: skip


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, int]]:
    """Thirty-two small pictures, each of one grey level of its own, and its class."""
    folder = tmp_path_factory.mktemp("levels")
    found = []
    for level in range(32):
        file = io.BytesIO()
        Image.new("RGB", (9, 8), (level * 8,) * 3).save(file, "PNG")
        path = folder / f"{level}.png"
        path.write_bytes(file.getvalue())
        found.append((path, level % CLASSES))
    return found


class _KilledError(Exception):
    """Stands for a kill."""


def _killing(after: int, torn: bool) -> Callable[..., None]:
    """`write_block` that dies at its `after`-th call, leaving half a file where `torn`."""
    left = [after]

    def write(path: Path, block: Any) -> None:
        if left[0] == 0:
            if torn:
                (path.parent.parent / f".{path.name}.1.partial").write_bytes(b"PAR1half")
            raise _KilledError
        left[0] -= 1
        write_block(path, block)

    return write


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 150),
    block=st.integers(1, 64),
    workers=st.sampled_from([0, 0, 0, 1, 2]),
    processes=st.integers(1, 4),
    kills=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), max_size=3),
    seed=st.integers(0, 99),
)
def test_every_image_once(
    count: int, block: int, workers: int, processes: int, kills: list[tuple[int, int, bool]], seed: int,
    levels: list[tuple[Path, int]], tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    root, order = tmp_path_factory.mktemp("store"), random.Random(seed)
    chosen = [levels[order.randrange(len(levels))] for _ in range(count)]
    images = [ImageFile(f"{i:05d}", path, path.stat().st_size, f"c{label}") for i, (path, label) in enumerate(chosen)]
    data = DataSet("levels", tuple(images), count, of_classes=MODEL.identity.class_names)
    job = Job(MODEL, Protocol("center"), 224)

    def process(number: int) -> Run:
        share = Settings(device="cpu", workers=workers, share=(number, processes))
        plan = prepare(data, [job], Store(root), share)
        execute(plan)
        return plan.runs[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vggbench.store.runs.BLOCK", block)
        for number, after, torn in kills:
            patch.setattr("vggbench.store.recording.write_block", _killing(after, torn))
            with contextlib.suppress(_KilledError):
                process(number % processes)
        patch.setattr("vggbench.store.recording.write_block", write_block)
        numbers = list(range(processes))
        order.shuffle(numbers)
        for number in numbers:
            run = process(number)
        again = prepare(data, [job], Store(root), Settings(device="cpu", workers=0))
        _SEEN.clear()
        execute(again)
        stored = len(list((run.folder / "posteriors").iterdir()))
    assert _SEEN == [], "nothing was left to compute"
    assert stored == 1, "the blocks were joined"
    (run,) = again.runs
    assert run.images == tuple(image.id for image in images)
    found = posteriors(run).argmax(1)
    np.testing.assert_array_equal(found, [label for _, label in chosen])
    errors = error_rates(run, data, MODEL)
    assert (errors.top1.images, errors.top1.wrong) == (count, 0)

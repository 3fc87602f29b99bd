"""The forecast: which kinds of work are probed and how, and what it makes of reading and computing."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CLASSES, Result
from torch import Tensor

from vggbench import INPUTS, Job, Model, Protocol, Settings, open_data
from vggbench.evaluation import forecast as module
from vggbench.evaluation.forecast import forecast
from vggbench.evaluation.plan import Plan, prepare
from vggbench.images.packs import Images, Loaded, Request
from vggbench.images.threads import cores
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CONFIGS
from vggbench.store.identity import Identity
from vggbench.store.recording import Store

QUICK = Settings(device="cpu", workers=0)


def _model(config: str = "A") -> Model:
    architecture = Architecture(CONFIGS[config], 4, 1 / 64)
    net = VGG(CONFIGS[config], 4, 1 / 64).eval()
    return Model(Identity(f"{config}@x", INPUTS["caffe"], 4, CLASSES, config, architecture=architecture), net)


def _plan(
    data: Path, store: Path, *jobs: tuple[str, int], settings: Settings = QUICK, model: Model | None = None
) -> Plan:
    found = model or _model()
    return prepare(
        open_data(data), [Job(found, Protocol.parse(name), scale) for name, scale in jobs], Store(store), settings
    )


class Probed:
    """In place of the scorer: the protocol and the images of each call."""

    calls: list[tuple[str, str, list[tuple[int, ...]]]] = []  # noqa: RUF012 # emptied for each test

    def __init__(self, protocol: Protocol, backend: Any, batch_size: int, shared: int | None = None) -> None:
        self._protocol, self._backend = protocol, backend

    def posteriors(self, images: Sequence[Tensor]) -> None:
        time.sleep(0.002)
        assert self._backend.checked_by is None, "a check against PyTorch is no part of the rate"
        self.calls.append((str(self._protocol), self._backend.name, [tuple(image.shape[1:]) for image in images]))


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, list[tuple[int, ...]]]]:
    Probed.calls = []
    monkeypatch.setattr(module, "scorer_of", lambda job, backend, views: Probed(job.protocol, backend, views))
    return Probed.calls


@pytest.mark.parametrize("is_wide", [False, True])
def test_each_kind_of_work_is_probed_on_what_it_does(
    is_wide: bool, probed: list[tuple[str, str, list[tuple[int, ...]]]], pictures: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Each Q of `dense` and, where fifty crops are little work, of multicrop; on this data's images at Q.

    As many views at once as fill a batch; of a wide net crops once, as few as suffice.
    """
    if is_wide:
        monkeypatch.setattr(module, "_MOST_WORK", 1.0)
    monkeypatch.setattr("vggbench.inference.timing.LEAST", 0.05)  # which reads all four
    jobs = (("dense", 256), ("dense", 384), ("center", 256), ("multicrop", 256), ("multicrop", 384), ("tencrop", 256))
    found = forecast(_plan(pictures, tmp_path, *jobs))
    assert list(dict.fromkeys((name, len(images)) for name, _, images in probed)) == (
        [("dense", 1), ("center", 1), ("tencrop", 1)]
        if is_wide
        else [("dense", 9), ("dense", 4), ("center", 32), ("multicrop", 1), ("tencrop", 3)]
    )
    sizes = {name: {size for one, _, images in probed for size in images if one == name} for name, _, _ in probed}
    assert {min(size) for size in sizes["dense"]} == {256, 384}
    assert len(sizes["dense"]) > 2, "the pictures' own sizes"
    assert all(seconds > 0 for seconds in found.each)
    if is_wide:
        small, large, ten = found.each[3], found.each[4], 5 * found.each[5]
        assert small < large < ten, "of fifty views, which share more of a smaller image, and of ten alone"


@pytest.mark.parametrize(
    ("name", "device", "width", "count"),
    [
        ("center", "cpu", 1 / 64, 32),
        ("center", "cpu", 1, 8),
        ("tencrop", "cpu", 1, 1),
        ("dense", "cpu", 1, 2),
        ("center", "cuda", 1, 100),
        ("tencrop", "cuda", 1, 10),
    ],
)
def test_a_batch_is_the_real_one_unless_a_cpu_has_too_long_with_it(
    name: str, device: str, width: float, count: int, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vggbench.inference.devices.views_that_fit", lambda device: 32 if device.type == "cpu" else 100)
    plan = _plan(pictures, tmp_path, (name, 256))
    monkeypatch.setattr(Settings, "torch_device", torch.device(device))
    plan.settings = replace(QUICK)
    (job,) = plan.jobs
    assert job.identity.architecture
    job = replace(job, model=job.model.with_identity(architecture=replace(job.identity.architecture, width=width)))
    assert module._Probes(plan, [])._images_at_once(job, torch.zeros(3, 256, 320)) == count


def test_a_backend_has_its_own_probe(
    probed: list[tuple[str, str, list[tuple[int, ...]]]], pictures: Path, tmp_path: Path
) -> None:
    plan = _plan(pictures, tmp_path, ("multicrop", 256), ("tencrop", 256))
    plan.backends = ["onnxruntime", "pytorch"]
    forecast(plan)
    assert [backend for _, backend, _ in probed[::2]] == ["ONNX Runtime", "PyTorch"]


@pytest.mark.parametrize(
    ("workers", "device", "reading", "computing", "expected"),
    [
        (2, "cuda", 10, 3, 10),
        (2, "cuda", 3, 10, 10),
        (0, "cuda", 3, 10, 13),
        (2, "cpu", 1, 10, max(10, (2 * 1 + 2 * 10) / 2)),
        (2, "cpu", 8, 10, (2 * 8 + 2 * 10) / 2),
        (0, "cpu", 3, 10, 13),
    ],
)
def test_both_go_on_at_once_where_other_processes_read(
    workers: int, device: str, reading: float, computing: float, expected: float,
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """On a CPU they share its two cores."""
    plan = _plan(pictures, tmp_path, ("center", 256))
    monkeypatch.setattr(module, "cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(Plan, "workers", workers)
    monkeypatch.setattr(Settings, "torch_device", torch.device(device))
    plan.settings = replace(QUICK)  # which has not asked for its device yet
    assert module._together(plan, reading, computing) == expected


def test_reading_is_measured_as_one_worker_reads(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, right = list[tuple[Request, int]](), Images.one

    def reads(self: Images, request: Request) -> Loaded:
        asked.append((request, torch.get_num_threads()))
        return right(self, request)

    monkeypatch.setattr(Images, "one", reads)
    monkeypatch.setattr("vggbench.inference.timing.LEAST", 0.1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        images, each = module._read(_plan(pictures, tmp_path, ("center", 256), ("dense", 384)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert {threads for _, threads in asked} == {1}
    assert {tuple(want.scale for want in request.wanted) for request, _ in asked} == {(256, 384)}
    assert {request.position for request, _ in asked} == {0, 1, 2, 3}
    assert 0 < each < 0.1
    assert len(images) == 4
    assert [min(pixels.shape[1:]) for pixels in images[0].values()] == [224, 384]


def test_reading_is_divided_among_the_processes(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_read", lambda plan: ([], 3.0))
    monkeypatch.setattr(module, "cores", lambda: 4)
    monkeypatch.setattr(module._Probes, "_probed", lambda *whatever: 1e-12)
    plan = _plan(pictures, tmp_path, ("center", 256), ("dense", 384))
    for workers, seconds in ((0, 12), (1, 12), (2, 6), (8, 3)):
        monkeypatch.setattr(Plan, "workers", workers)
        assert forecast(plan).reading == seconds, "each of the four images is read once for both runs"


def test_images_that_cannot_be_read_are_no_end(tmp_path: Path, vggbench: Callable[..., Result]) -> None:
    (tmp_path / "images" / "apple").mkdir(parents=True)
    (tmp_path / "images" / "apple" / "x.JPEG").write_bytes(b"none")
    found = forecast(_plan(tmp_path / "images", tmp_path / "runs", ("center", 256)))
    assert found.seconds > 0


def test_the_command_line_says_which_takes_longer(
    vggbench: Callable[..., Result], few_drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ("eval", "A@sample", "--data", "sample", "--center", "--dry-run", "--device", "cpu", "--workers")
    monkeypatch.setattr(module, "_read", lambda plan: ([], 20.0))
    monkeypatch.setattr(module._Probes, "_probed", lambda *whatever: 1e-8)
    alone = vggbench(*common, 0)
    assert "Reading by the main process takes longer: 4 min, computing" in alone.err
    monkeypatch.setattr(module._Probes, "_probed", lambda *whatever: 1.0)
    shared = vggbench(*common, min(2, cores()))
    assert "Computing takes longer: " in shared.err
    assert "at the same time." in shared.err


def test_what_is_left_of_a_forecast_is_what_is_missing(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = forecast(_plan(pictures, tmp_path, ("center", 256)))
    assert (found.views, found.images, len(found.each)) == (1, 4, 1)
    assert found.computing == pytest.approx(4 * found.each[0])
    assert found.rate == pytest.approx(found.gmacs / found.each[0])
    assert found.seconds_on_grid is None
    crops = _plan(pictures, tmp_path, ("multicrop", 384))
    assert forecast(crops).seconds_on_grid is None, "that is soon done"
    monkeypatch.setattr(module, "_LONG", 0)
    assert forecast(crops).seconds_on_grid is not None


def test_another_network_has_no_rate_in_macs(pictures: Path, tmp_path: Path) -> None:
    colours = Model.wrap(
        "colours", lambda images: torch.cat([images.mean((2, 3))] * 2, 1)[:, :4], INPUTS["torchvision"], CLASSES,
        identity="c",
    )  # fmt: skip
    found = forecast(_plan(pictures, tmp_path, ("center", 256), model=colours))
    assert (found.rate, found.gmacs) == (0, 0)
    assert np.isfinite(found.seconds)
    assert found.computing > 0

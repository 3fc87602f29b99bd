"""How long an evaluation will take here: a short probe of the network, and a forecast."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.plan import Plan
from vggbench.inference.backend import Backend
from vggbench.inference.choice import start
from vggbench.inference.shared_crops import CHOICES, crop_maps, in_stages
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol, rescaled_size
from vggbench.weights.unfetched import filled

_PROBE_SECONDS = 1.0
_PROBE_BATCH = 8
_WHOLE_PIXELS, _GRID = Protocol("multicrop"), Protocol("multicrop", 8)
_NARROW = 1 / 64
"""Width of a net that is run to count: each layer's share of the work is nearly that of any width."""


@dataclass(frozen=True)
class Forecast:
    """What an evaluation will cost; `work` in MACs (pixels for networks that are not VGGs)."""

    views: int
    """Of one image, over all jobs."""
    gmacs: float
    """Of one image, over all jobs."""
    images: int
    """Image evaluations that are still missing, over all jobs."""
    seconds: float
    seconds_on_grid: float | None
    """The same with `--grid 8`, where multicrop is on the default grid."""
    disk_bytes: int
    device: str
    threads: int
    rate: float
    """Measured, GMAC/s."""


def forecast(plan: Plan) -> Forecast:
    """Probe each kind of network that still has work to do, for about a second each."""
    rates: dict[object, float] = {}
    seconds = _seconds(plan, plan.jobs, rates)
    rate = max(rates.values(), default=0.0)
    on_grid = [replace(job, protocol=_GRID) if job.protocol == _WHOLE_PIXELS else job for job in plan.jobs]
    each = list(zip(plan.jobs, plan.missing_images, plan.work_per_image, strict=True))
    macs = sum(work for job, _, work in each if job.identity.architecture)
    return Forecast(
        views=sum(job.protocol.view_count for job in plan.jobs),
        gmacs=macs / 1e9,
        images=sum(plan.missing_images),
        seconds=seconds,
        seconds_on_grid=_seconds(plan, on_grid, rates) if on_grid != plan.jobs and not plan.settings.compile else None,
        disk_bytes=sum(images * (job.identity.classes * 4 + 40) for job, images, _ in each),
        device=str(plan.settings.torch_device),
        threads=torch.get_num_threads(),
        rate=rate / 1e9,
    )


def _seconds(plan: Plan, jobs: Sequence[Job], rates: dict[object, float]) -> float:
    """Of the missing work of `jobs`; `rates` keeps what was probed."""
    seconds = 0.0
    for job, work in zip(jobs, plan.missing_work, strict=True):
        if work:
            net = job.identity.architecture
            kind = (net.width if net else id(job.model), plan.settings.backend_for(job))
            if kind not in rates:
                rates[kind] = _rate(job, plan.settings)
            seconds += work * _share_of_work(job, plan) / rates[kind]
    return seconds


def _share_of_work(job: Job, plan: Plan) -> float:
    """The work of crops that share stages over that of plain ones: 1 where they share none.

    Counted by hooks, as the fewest MACs of the convolutions of a narrow net on a black image of a common size.
    """
    if job.protocol.grid == 1 or job.identity.architecture is None:
        return 1.0
    height, width = rescaled_size(*sorted(plan.some_sizes)[len(plan.some_sizes) // 2], job.scale)
    views = [view for view in job.protocol.views(height, width) if not view.mirror]
    features, done = VGG(job.identity.architecture.config, 1, _NARROW).features.eval(), [0]
    for layer in features.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(partial(_count, done))
    stages = in_stages(features, lambda layers: layers)
    found = []
    for shared in CHOICES:
        done[0] = 0
        with torch.inference_mode():
            crop_maps(stages, torch.zeros(1, 3, height, width), views, shared)
        found.append(done[0])
    return min(found) / found[0]


def _count(done: list[int], layer: nn.Module, given: object, maps: torch.Tensor) -> None:
    assert isinstance(layer, nn.Conv2d)
    done[0] += maps.numel() * layer.weight[0].numel()


def _rate(job: Job, settings: Settings) -> float:
    """Work per second on 224 x 224 views."""
    name = settings.backend_for(job)
    backend = start(
        "pytorch" if name == "pytorch+compile" else name, filled(job.model), settings.torch_device, settings.precision
    )
    per_view = Job(job.model, Protocol("center"), CROP).work(CROP, CROP)
    images = torch.full((_PROBE_BATCH, 3, CROP, CROP), 127, dtype=torch.uint8)
    _run(backend, images[:1])
    views, started = 0, time.perf_counter()
    while not views or time.perf_counter() - started < _PROBE_SECONDS:
        _run(backend, images)
        views += len(images)
    return views * per_view / (time.perf_counter() - started)


def _run(backend: Backend, images: torch.Tensor) -> None:
    backend(images).sum().item()  # waits for the device

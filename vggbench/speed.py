"""How long an evaluation will take here: a short probe of the network, and a forecast."""

import time
from dataclasses import dataclass

import torch

from vggbench.backends import TorchBackend
from vggbench.configs import CROP
from vggbench.evaluation import Plan
from vggbench.jobs import Job, Settings
from vggbench.protocols import Protocol
from vggbench.weights import Model

_PROBE_SECONDS = 1.0
_PROBE_BATCH = 4


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
    disk_bytes: int
    device: str
    threads: int
    rate: float
    """Measured, GMAC/s."""


def forecast(plan: Plan) -> Forecast:
    """Probe each kind of network that still has work to do, for about a second each."""
    rates: dict[object, float] = {}
    seconds = 0.0
    for job, work in zip(plan.jobs, plan.missing_work, strict=True):
        if work:
            kind = job.model.net.width if job.model.net else id(job.model)
            if kind not in rates:
                rates[kind] = _rate(job.model, plan.settings)
            seconds += work / rates[kind]
    return Forecast(
        views=sum(job.protocol.view_count for job in plan.jobs),
        gmacs=sum(work for job, work in zip(plan.jobs, plan.work_per_image, strict=True) if job.model.net) / 1e9,
        images=sum(plan.missing_images),
        seconds=seconds,
        disk_bytes=sum(
            images * (job.model.classes * 4 + 40) for job, images in zip(plan.jobs, plan.missing_images, strict=True)
        ),
        device=str(plan.settings.torch_device),
        threads=torch.get_num_threads(),
        rate=max(rates.values(), default=0.0) / 1e9,
    )


def _rate(model: Model, settings: Settings) -> float:
    """Work per second on 224 x 224 views."""
    backend = TorchBackend.start(model, settings.torch_device, settings.precision)
    per_view = Job(model, Protocol("center"), CROP).work(CROP, CROP)
    images = torch.full((_PROBE_BATCH, 3, CROP, CROP), 127, dtype=torch.uint8)
    _run(backend, images[:1])
    views, started = 0, time.perf_counter()
    while not views or time.perf_counter() - started < _PROBE_SECONDS:
        _run(backend, images)
        views += len(images)
    return views * per_view / (time.perf_counter() - started)


def _run(backend: TorchBackend, images: torch.Tensor) -> None:
    backend(images).sum().item()  # waits for the device

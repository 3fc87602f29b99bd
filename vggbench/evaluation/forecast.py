"""How long an evaluation will take here: short probes of reading and of each kind of work, on images of the data."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor, nn

from vggbench.evaluation.jobs import Job
from vggbench.evaluation.loop import scorer_of
from vggbench.evaluation.plan import Plan
from vggbench.images.heap import keep_freed_memory
from vggbench.images.packs import Images, Request
from vggbench.images.pixels import rescale
from vggbench.images.preprocessing import Wanted
from vggbench.images.threads import cores
from vggbench.inference import timing
from vggbench.inference.backend import Backend
from vggbench.inference.choice import start
from vggbench.inference.choices import BackendName
from vggbench.inference.shared_crops import CHOICES, before_pooling, crop_maps, crop_maps_anywhere, in_stages
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol, rescaled_size
from vggbench.weights.unfetched import filled

_MOST_HELD = 16
"""Images whose pixels are kept to probe with."""
_MOST_WORK = 64e9
"""MACs that are probed at once on a CPU, where they take a second; wide nets gain nothing by more."""
_WHOLE_PIXELS, _GRID = Protocol("multicrop"), Protocol("multicrop", 8)
_FEW_CROPS = Protocol("tencrop")
_LONG = 600
"""Seconds that crops must take before the time on the grid of 8 is worth a probe."""
_NARROW = 1 / 64
"""Width of a net that is run to count: each layer's share of the work is nearly that of any width."""
_Pixels = dict[Wanted, Tensor]
"""The pixels of one image at each Q: (3, H, W), uint8."""


@dataclass(frozen=True)
class Forecast:
    """What an evaluation will cost."""

    views: int
    """Views of one image, over all jobs."""
    gmacs: float
    """GMACs for one image, over all jobs."""
    images: int
    """Image evaluations that are still missing, over all jobs."""
    reading: float
    """Seconds in which the plan's worker processes read, decode and rescale the images, if nothing else is done."""
    computing: float
    """Seconds of forward passes, and all that goes with them in the main process."""
    seconds: float
    """The time that all of it takes."""
    seconds_on_grid: float | None
    """The same with `--grid 8`, where multicrop is on the default grid and takes long."""
    each: tuple[float, ...]
    """Seconds of computing that one image takes, for each job; 0 where nothing is missing."""
    disk_bytes: int
    device: str
    threads: int
    rate: float
    """GMAC/s of what VGGs compute, counted plainly; 0 where there are none."""

    def record(self, plan: Plan) -> dict[str, Any]:
        """For JSON: the whole, and each run by itself; keys may be added, never renamed."""
        runs = [
            {
                "run": run.title, "network": job.identity.name, "protocol": str(job.protocol), "scale": job.scale,
                "backend": backend, "images": len(plan.data), "missing": missing,
                "gmacs_per_image": work / 1e9 if job.counts_macs else None, "seconds": missing * each,
            }
            for run, job, backend, missing, work, each in zip(
                plan.runs, plan.jobs, plan.backends, plan.missing_images, plan.work_per_image, self.each, strict=True
            )
        ]  # fmt: skip
        return {
            "data": plan.data.name, "images": len(plan.data), "image_evaluations": self.images,
            "views_per_image": self.views, "gmacs_per_image": self.gmacs, "seconds": self.seconds,
            "seconds_reading": self.reading, "seconds_computing": self.computing,
            "seconds_on_grid_8": self.seconds_on_grid, "disk_bytes": self.disk_bytes, "device": self.device,
            "threads": self.threads, "gmacs_per_second": self.rate or None, "runs": runs,
        }  # fmt: skip


def forecast(plan: Plan) -> Forecast:
    """Probe the reading of images, and each kind of work that is left once, for `timing.LEAST` seconds or little more.

    Raises what an evaluation does for a network that gives NaN, or other scores than its classes.
    """
    images, each_read = _read(plan) if any(plan.missing) else ([], 0.0)
    probes = _Probes(plan, images)
    each = tuple(
        probes.seconds_of_image(plan.jobs[place], plan.backends[place], plan.work_per_image[place]) if blocks else 0.0
        for place, blocks in enumerate(plan.missing)
    )
    reading = _images_to_read(plan) * each_read / max(1, min(plan.workers, cores()))
    counts = plan.missing_images
    computing = sum(count * seconds for count, seconds in zip(counts, each, strict=True))
    own = [place for place, job in enumerate(plan.jobs) if job.counts_macs]
    own_seconds = sum(counts[place] * each[place] for place in own)
    return Forecast(
        views=sum(job.protocol.view_count for job in plan.jobs),
        gmacs=sum(plan.work_per_image[place] for place in own) / 1e9,
        images=sum(counts),
        reading=reading,
        computing=computing,
        seconds=_together(plan, reading, computing),
        seconds_on_grid=_seconds_on_grid(plan, probes, reading, each),
        each=each,
        disk_bytes=sum(n * (job.numbers * 4 + 40) for job, n in zip(plan.jobs, counts, strict=True)),
        device=str(plan.settings.torch_device),
        threads=torch.get_num_threads(),
        rate=sum(plan.missing_work[place] for place in own) / own_seconds / 1e9 if own_seconds else 0.0,
    )


def _together(plan: Plan, reading: float, computing: float) -> float:
    """The larger of both, which go on at the same time; on a CPU no less than the cores need for both."""
    if not plan.workers:
        return reading + computing
    if plan.settings.torch_device.type != "cpu":
        return max(reading, computing)
    processes, threads = min(plan.workers, cores()), min(torch.get_num_threads(), cores())
    return max(reading, computing, (reading * processes + computing * threads) / cores())


def _seconds_on_grid(plan: Plan, probes: "_Probes", reading: float, each: Sequence[float]) -> float | None:
    """Seconds in all if multicrop were on the grid of 8; None where it is already, cannot be, or is soon done."""
    crops = sum(
        images * seconds
        for job, images, seconds in zip(plan.jobs, plan.missing_images, each, strict=True)
        if job.protocol == _WHOLE_PIXELS and not job.descriptor
    )
    if plan.settings.compile or crops < _LONG:
        return None
    computing = 0.0
    for job, images, work, seconds in zip(plan.jobs, plan.missing_images, plan.work_per_image, each, strict=True):
        if images and job.protocol == _WHOLE_PIXELS:
            other = replace(job, protocol=_GRID)
            backend = plan.settings.backend_for(other, measures=False)  # nobody has asked for it
            computing += images * probes.seconds_of_image(other, backend, work, roughly=True)
        else:
            computing += images * seconds
    return _together(plan, reading, computing)


def _images_to_read(plan: Plan) -> int:
    runs = zip(plan.runs, plan.missing, strict=True)
    return len({image for run, blocks in runs for block in blocks for image in run.block_range(block)})


def _read(plan: Plan) -> tuple[list[_Pixels], float]:
    """Some images spread over the data, and the seconds in which one process reads, decodes and rescales one.

    Measured in this process, which does it as a worker process does: on one thread, and keeping freed memory.
    """
    wanted = [job.wanted for job, blocks in zip(plan.jobs, plan.missing, strict=True) if blocks]
    reader, total = Images(plan.data.images, plan.settings.rescale), len(plan.data)
    some = max(1, min(4 * _MOST_HELD, total))
    requests = cycle([Request.of(place * total // some, wanted) for place in range(some)])
    threads, found = torch.get_num_threads(), list[_Pixels]()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        reader.one(next(requests))  # loads the decoder
        started, count = time.perf_counter(), 0
        while not count or time.perf_counter() - started < timing.LEAST:
            loaded = reader.one(next(requests))
            count += 1
            if loaded.problem is None and len(found) < min(_MOST_HELD, total):
                found.append({want: loaded.at(want) for want in wanted})
        each = (time.perf_counter() - started) / count
    finally:
        torch.set_num_threads(threads)
    return found or [_grey(plan, wanted)], each


def _grey(plan: Plan, wanted: Sequence[Wanted]) -> _Pixels:
    """An image of a usual size, where none could be read."""
    height, width = sorted(plan.some_sizes)[len(plan.some_sizes) // 2]
    image = torch.full((3, height, width), 127, dtype=torch.uint8)
    return {want: rescale(image, want.scale, want.how or plan.settings.rescale) for want in wanted}


@dataclass
class _Probes:
    """What was measured of the kinds of work: seconds per unit of `Job.work`."""

    plan: Plan
    images: list[_Pixels]
    found: dict[object, float] = field(default_factory=dict)
    _started: tuple[object, Backend] | None = None
    """Only the last one: the weights of many nets need not fit in memory together."""

    def seconds_of_image(self, job: Job, backend: BackendName, work: float, *, roughly: bool = False) -> float:
        """Seconds for one image of so much work, tried on its own views at its own Q where these are not too many."""
        tried = job.protocol.name == "dense" or job.protocol.is_central or job.identity.architecture is None
        if tried or (work <= _MOST_WORK and not roughly):
            return work * self._seconds_per_work(job, backend)
        crops = replace(job, protocol=_FEW_CROPS)  # of 224 x 224, which are the same at any Q
        return work * self._share_of_work(job) * self._seconds_per_work(crops, backend)

    def _seconds_per_work(self, job: Job, backend: BackendName) -> float:
        at = job.scale if job.protocol.name == "dense" else None
        kind = (job.identity.architecture or job.identity.key, job.descriptor, backend, job.protocol, at)
        if kind not in self.found:
            self.found[kind] = self._probed(job, backend)
        return self.found[kind]

    def _probed(self, probed: Job, backend: BackendName) -> float:
        settings = self.plan.settings
        images = [pixels[probed.wanted] for pixels in self.images]
        count, stream = self._images_at_once(probed, images[0]), cycle(images)
        scorer = scorer_of(probed, self._backend(probed, backend), settings.views_per_batch)

        def run() -> float:
            some = list(islice(stream, count))
            scorer.posteriors(some)
            return sum(_work(probed, pixels) for pixels in some)

        (runs,) = timing.in_turn([run], settings.torch_device)
        done: float = sum(found.result for found in runs)
        return sum(found.seconds for found in runs) / done

    def _images_at_once(self, job: Job, pixels: Tensor) -> int:
        """The number of images whose views fill a batch as in an evaluation; fewer where that takes a CPU too long."""
        settings = self.plan.settings
        area = sum(view.height * view.width for view in job.protocol.views(pixels.shape[1], pixels.shape[2]))
        count = settings.views_per_batch * CROP * CROP // area
        if settings.torch_device.type == "cpu":
            count = min(count, int(_MOST_WORK // _work(job, pixels)))
        return max(1, count)

    def _backend(self, job: Job, name: BackendName) -> Backend:
        key = (*job.identity.weights, job.descriptor, name)
        if self._started is None or self._started[0] != key:
            self._started = None
            settings = self.plan.settings
            plain: BackendName = "pytorch" if name == "pytorch+compile" else name  # it compiles for a minute
            backend = start(plain, filled(job.model), settings.torch_device, settings.precision)
            backend.checked_by = None
            self._started = key, backend
        return self._started[1]

    def _share_of_work(self, job: Job) -> float:
        """The work of crops that share stages over that of plain ones: 1 where they share none.

        Counted by hooks, as the fewest MACs of the convolutions of a narrow net on a black image of a common size.
        """
        net, settings = job.identity.architecture, self.plan.settings
        if job.protocol.name != "multicrop" or net is None or job.descriptor:
            return 1.0
        if job.protocol.grid == 1 and (settings.torch_device.type != "cpu" or settings.compile):
            return 1.0
        sizes = self.plan.some_sizes
        height, width = rescaled_size(*sorted(sizes)[len(sizes) // 2], job.scale)
        views = [view for view in job.protocol.views(height, width) if not view.mirror]
        features, done = VGG(net.config, 1, _NARROW).features.eval(), [0]
        for layer in features.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(partial(_count, done))
        stages, image, found = in_stages(features, lambda layers: layers), torch.zeros(1, 3, height, width), []
        with torch.inference_mode():
            for shared in CHOICES:
                done[0] = 0
                if shared and job.protocol.grid == 1:
                    crop_maps_anywhere(before_pooling(features, lambda layers: layers), image, views)
                else:
                    crop_maps(stages, image, views, shared)
                found.append(done[0])
        return min(found) / found[0]


def _work(job: Job, pixels: Tensor) -> float:
    """The work of a job on one image that is already rescaled."""
    return job.work(pixels.shape[1], pixels.shape[2])


def _count(done: list[int], layer: nn.Module, given: object, maps: Tensor) -> None:
    assert isinstance(layer, nn.Conv2d)
    done[0] += maps.numel() * layer.weight[0].numel()

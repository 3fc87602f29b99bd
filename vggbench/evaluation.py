"""The evaluation loop: one pass over the images serves every job that still lacks a block."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vggbench.backends import Backend, device_name, start
from vggbench.blocks import Block
from vggbench.data import DataSet
from vggbench.data.imagenet import wnids
from vggbench.errors import DataError, StoreError, UnreadableImages, counted
from vggbench.jobs import Job, Settings, Watch
from vggbench.loading import PREFETCH, Images, Loaded, Request, from_workers, read_whole
from vggbench.memory import hold_memory_flat
from vggbench.metrics import ranks
from vggbench.scores import BLOCK, Run, Store
from vggbench.scoring import Scorer
from vggbench.views import NotAnImage, header_of

NUMERICS = 3
"""Raised whenever a change of this code changes a figure, so that old runs are not taken for new ones."""
ILSVRC_CLASSES = "ILSVRC-2012"
"""In a run's record, the 1,000 wnids."""
_SIZE_SAMPLE = 100


@dataclass
class Plan:
    """The runs of some jobs on one data set, each run once, and what of them is missing."""

    data: DataSet
    jobs: list[Job]
    runs: list[Run]
    labels: list[NDArray[np.int32]]
    settings: Settings
    images_read: int = 0

    @cached_property
    def missing(self) -> list[list[int]]:
        """For each job the blocks to compute: of those that lack, this process's share of all."""
        process, processes = self.settings.share
        return [[block for block in self._lacking(run) if block % processes == process] for run in self.runs]

    def run_of(self, job: Job) -> Run:
        """The run of a job that was planned; jobs of one signature share it."""
        wanted = signature(job, self.data, self.settings)
        return next(run for run in self.runs if run.signature == wanted)

    def _lacking(self, run: Run) -> list[int]:
        return run.missing(accept_unreadable=self.settings.skip_unreadable)

    @property
    def damaged(self) -> list[Path]:
        """Block files that were found broken and are computed again."""
        return [path for run in self.runs for path in run.damaged]

    @cached_property
    def some_sizes(self) -> list[tuple[int, int]]:
        """(height, width) of a hundred of the images."""
        return sizes(self.data, min(_SIZE_SAMPLE, len(self.data)))

    @cached_property
    def work_per_image(self) -> list[float]:
        """For each job the mean work of an image, estimated from the sizes of a hundred."""
        some = self.some_sizes
        return [sum(job.work(*size) for size in some) / len(some) for job in self.jobs]

    @cached_property
    def workers(self) -> int:
        """Processes that decode and rescale. Raises UsageError."""
        return self.settings.workers_for(self._bytes_per_image, held=2 * BLOCK, ahead=PREFETCH)

    @cached_property
    def _bytes_per_image(self) -> float:
        """Of its pixels at every Q, estimated as `work_per_image` is."""
        some = self.some_sizes
        wanted = {job.wanted for job in self.jobs}
        usual = self.settings.rescale
        return 3 * sum(math.prod((how or usual).size(*size, q)) for size in some for q, how in wanted) / len(some)

    @property
    def stored_results(self) -> int:
        """Images that have been computed, over all jobs and by any process."""
        return sum(
            len(run.expected) - sum(len(run.block_range(block)) for block in self._lacking(run)) for run in self.runs
        )

    @property
    def missing_images(self) -> list[int]:
        """For each job the images to compute."""
        return [
            sum(len(run.block_range(block)) for block in blocks)
            for run, blocks in zip(self.runs, self.missing, strict=True)
        ]

    @property
    def missing_work(self) -> list[float]:
        """For each job the work that remains."""
        return [images * work for images, work in zip(self.missing_images, self.work_per_image, strict=True)]


def prepare(data: DataSet, jobs: Sequence[Job], store: Store, settings: Settings | None = None) -> Plan:
    """Find what is stored of these jobs, without any forward pass.

    Raises DataError where a model lacks a class of the data, and StoreError.
    """
    settings = settings or Settings()
    ids = [image.id for image in data.images]
    labels: dict[int, NDArray[np.int32]] = {}
    for job in jobs:
        if id(job.model) not in labels:
            labels[id(job.model)] = data.labels(job.model.class_names, job.model.classes)
    planned: dict[Path, tuple[Job, Run]] = {}
    for job in jobs:
        run = store.run(_run_name(job), signature(job, data, settings), ids, _about(job, data))
        planned.setdefault(run.folder, (job, run))
    distinct = [job for job, _ in planned.values()]
    return Plan(
        data, distinct, [run for _, run in planned.values()], [labels[id(job.model)] for job in distinct], settings
    )


def evaluate(
    data: DataSet,
    jobs: Sequence[Job],
    store: Store | str | Path,
    settings: Settings | None = None,
    watch: Watch | None = None,
) -> list[Run]:
    """The run of each job, computing only the blocks that the store lacks, in one pass over the images.

    Raises UnreadableImages at the end, with all other work stored, unless
    `settings.skip_unreadable`; NumericsError for a NaN; StoreError when the disk is full.
    """
    plan = prepare(data, jobs, store if isinstance(store, Store) else Store(Path(store)), settings)
    execute(plan, watch)
    return [plan.run_of(job) for job in jobs]


def execute(plan: Plan, watch: Watch | None = None) -> None:
    """Compute what `plan` misses, and finish its runs unless other processes share them; errors as `evaluate`."""
    if any(plan.missing):
        _compute(plan, watch or Watch())
    if plan.settings.share == (0, 1):
        finish(plan)


def finish(plan: Plan) -> None:
    """Join the blocks of runs that are complete. Raises UnreadableImages, and StoreError where blocks are missing."""
    unreadable = {image: why for run in plan.runs for image, why in run.unreadable.items()}
    if unreadable and not plan.settings.skip_unreadable:
        raise UnreadableImages(
            f"{_named(plan.data, unreadable)}. All other images are evaluated and stored. Repair the files, or pass "
            "--skip-bad-images to leave them out."
        )
    missing = sum(len(run.absent) for run in plan.runs)
    if missing:
        raise StoreError(
            f"{counted(missing, 'block')} still missing: expected every process to finish its share. Run it again."
        )
    if any(not run.images for run in plan.runs):
        raise UnreadableImages(
            f"{_named(plan.data, unreadable)}. Expected at least one that can be: repair the files, or name others."
        )
    if len({run.images for run in plan.runs}) > 1:
        raise DataError(
            f"{len(unreadable)} of the images could be read for some of these runs alone: expected the same "
            "images in every row. Run the command again, without --skip-bad-images if they are whole now."
        )
    for run in plan.runs:
        run.create()  # writes a record that was deleted
        run.compact()


def signature(job: Job, data: DataSet, settings: Settings) -> dict[str, Any]:
    """Everything that can change a run's numbers."""
    model = job.model
    return {
        "config": model.net.config.name if model.net else model.name,
        "width": model.net.width if model.net else 1.0,
        "classes": model.classes,
        "weights": model.weights_hash,
        "input": model.input.as_dict() | {"ceil_pool": model.net.ceil_pool if model.net else False},
        "protocol": str(job.protocol),
        "scale": job.scale,
        "rescale": (job.rescale or settings.rescale).signature(),
        "precision": settings.precision,
        "backend": settings.backend_for(job),
        "data": data.fingerprint,
        "numerics": NUMERICS,
    }


def _compute(plan: Plan, watch: Watch) -> None:
    settings = plan.settings
    scorers = _scorers(plan)
    for run, blocks in zip(plan.runs, plan.missing, strict=True):
        if blocks:
            run.create()
    seen: list[list[NDArray[np.int32]]] = [[] for _ in plan.jobs]
    watch.begin()
    for block, lacking, images in _blocks(plan):
        for index in lacking:
            job, run = plan.jobs[index], plan.runs[index]
            hold_memory_flat(varied_sizes=job.protocol.name == "dense")
            started = time.perf_counter()
            view_work = plan.work_per_image[index] / job.protocol.view_count
            pixels = [image.at(*job.wanted) for image in images if image.problem is None]
            computed = scorers[index].posteriors(pixels, partial(_advance, watch, view_work))
            provenance = _provenance(settings, scorers[index], time.perf_counter() - started)
            stored = _block(plan, index, images, computed, provenance)
            run.write(block, stored)
            if stored.images:
                seen[index].append(ranks(stored.posteriors, stored.labels))
                watch.block(job, np.concatenate(seen[index]))


def _scorers(plan: Plan) -> dict[int, Scorer]:
    """One for each job that lacks a block, by its index; the jobs of a network share its backend."""
    settings, started = plan.settings, dict[tuple[int, str], Backend]()
    scorers = {}
    for index, (job, run) in enumerate(zip(plan.jobs, plan.runs, strict=True)):
        if not plan.missing[index]:
            continue
        name = settings.backend_for(job)
        key = (id(job.model.network), name)
        if key not in started:
            started[key] = start(name, job.model, settings.torch_device, settings.precision)
        scorers[index] = Scorer(job, started[key].of(job.model), _batch_size(run, settings), _shared_stages(run))
    return scorers


def _advance(watch: Watch, view_work: float, views: int) -> None:
    watch.advance(view_work * views)


def _blocks(plan: Plan) -> Iterator[tuple[int, list[int], list[Loaded]]]:
    """Each block that some job lacks, the indices of those jobs, and the block's images."""
    lacking: dict[int, list[int]] = {}
    for index, blocks in enumerate(plan.missing):
        for block in blocks:
            lacking.setdefault(block, []).append(index)
    order = sorted(lacking)
    ranges = {block: plan.runs[0].block_range(block) for block in order}
    requests = [
        Request(position, tuple(dict.fromkeys(plan.jobs[index].wanted for index in lacking[block])))
        for block in order
        for position in ranges[block]
    ]
    dataset = Images(plan.data.images, plan.settings.rescale)
    stream = from_workers(dataset, requests, plan.workers)
    for block in order:
        images = [next(stream) for _ in ranges[block]]
        plan.images_read += len(images)
        yield block, lacking[block], images


def _block(
    plan: Plan,
    index: int,
    images: list[Loaded],
    computed: NDArray[np.float32],
    provenance: dict[str, Any],
) -> Block:
    readable = [image for image in images if image.problem is None]
    positions = [image.position for image in readable]
    return Block(
        images=tuple(plan.data.images[position].id for position in positions),
        labels=plan.labels[index][positions],
        widths=np.array([image.width for image in readable], dtype=np.int32),
        heights=np.array([image.height for image in readable], dtype=np.int32),
        posteriors=computed,
        unreadable={plan.data.images[image.position].id: image.problem for image in images if image.problem},
        doubtful={plan.data.images[image.position].id: image.doubt for image in images if image.doubt},
        provenance=provenance,
    )


def _batch_size(run: Run, settings: Settings) -> int:
    """As asked for; else what the run's stored blocks were computed with, the smallest if memory had run out."""
    before = [entry["batch_size"] for entry in run.provenance]
    return settings.batch_size or min(before, default=settings.views_per_batch)


def _shared_stages(run: Run) -> int | None:
    """As the run's stored blocks: another number may move the last bits. The smallest if memory had run out."""
    before = [entry.get("shared_stages") for entry in run.provenance]
    return min((stages for stages in before if stages is not None), default=None)


def _provenance(settings: Settings, scorer: Scorer, seconds: float) -> dict[str, Any]:
    import PIL
    import torchvision

    from vggbench import __version__

    return {
        "vggbench": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
        "backend": scorer.backend.name,
        "backend_version": scorer.backend.version,
        "device": device_name(settings.torch_device),
        "threads": torch.get_num_threads(),
        "batch_size": scorer.batch_size,
        "shared_stages": scorer.shared,
        "seconds": round(seconds, 3),
    }


def _about(job: Job, data: DataSet) -> dict[str, Any]:
    """What leads from a run back to its model and images, and the words to print it with."""
    names = job.model.class_names
    return {
        "model": job.model.name,
        "spec": job.model.spec,
        "altered": job.model.altered,
        "is_described": job.model.is_described,
        "said": list(job.model.said),
        "averaged": job.model.averaged,
        "train_scale": str(job.model.train_scale) if job.model.train_scale else None,
        "class_names": ILSVRC_CLASSES if names == wnids() else names and list(names),
        "data": data.name,
        "place": data.place,
        "images_total": data.total,
        "is_sample": data.is_sample,
    }


def _run_name(job: Job) -> str:
    return f"{job.model.name.replace('@', '-')[:100]}-{job.protocol}-Q{job.scale}"


def sizes(data: DataSet, count: int) -> list[tuple[int, int]]:
    """(height, width) of `count` images spread over the data, from their headers."""
    found = []
    for index in range(count):
        try:
            header = header_of(read_whole(data.images[index * len(data) // count]))
        except NotAnImage:
            continue  # reported when the evaluation comes to it
        found.append((header.height, header.width))
    return found or [(375, 500)]


def _named(data: DataSet, unreadable: dict[str, str]) -> str:
    """How many images could not be read, the first of them by name."""
    places = {image.id: str(image) for image in data.images}
    named = [f"{places[image]} {why}" for image, why in list(unreadable.items())[:20]]
    more = f" and {len(unreadable) - 20} more" if len(unreadable) > 20 else ""
    return f"{len(unreadable)} of {counted(len(data), 'image')} could not be read: {'; '.join(named)}{more}"

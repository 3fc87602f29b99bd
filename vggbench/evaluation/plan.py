"""What an evaluation has to compute: the runs of its jobs, and the blocks that the store lacks."""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbench.data import DataSet
from vggbench.errors import StoreError
from vggbench.evaluation.jobs import Job, Settings
from vggbench.images.headers import NotAnImage, header_of, read_whole
from vggbench.images.packs import Request, images_of_pack
from vggbench.images.pixels import signature_of
from vggbench.images.reading import AHEAD
from vggbench.inference.choice import possible
from vggbench.inference.choices import BackendName
from vggbench.inference.devices import AUTOCAST
from vggbench.paper.configs import CROP
from vggbench.store.blocks import Block
from vggbench.store.known import Known, merged_blocks
from vggbench.store.recording import Recording, Store, about_of
from vggbench.store.runs import Run

NUMERICS = 3
"""Raised whenever a change of this code changes a figure, so that old runs are not taken for new ones."""
_NUMERICS_OF_LOW_LRN = 4
"""Raised for nets with LRN in bf16 and fp16, whose squares overflowed before."""
_SIZE_SAMPLE = 100


@dataclass
class Plan:
    """The runs of some jobs on one data set, each run once, and what of them is missing."""

    data: DataSet
    jobs: list[Job]
    runs: list[Recording]
    labels: list[NDArray[np.int32]]
    backends: list[BackendName]
    """What runs each job: what the settings ask for, and for `auto` first of all what stored its run."""
    settings: Settings
    images_read: int = 0
    known: list[Known | None] = field(default_factory=list)
    """For each job what `check` has computed of its images already, in an order of its own."""

    @cached_property
    def missing(self) -> list[list[int]]:
        """For each job the blocks that are not stored yet and are in this process's share."""
        process, processes = self.settings.share
        return [[block for block in self._lacking(run) if block % processes == process] for run in self.runs]

    def to_compute(self, job: int, block: int) -> list[int]:
        """The positions of a block's images that no earlier `check` has computed."""
        known, positions = self._known(job), self.runs[job].block_range(block)
        return [at for at in positions if known is None or self.data.images[at].id not in known]

    def with_known(self, job: int, computed: Block, block: int) -> Block:
        """A block with what was computed of it, and what was known of it before."""
        known = self._known(job)
        if known is None:
            return computed
        ids = [self.data.images[at].id for at in self.runs[job].block_range(block)]
        return merged_blocks(ids, computed, known.of_ids([image for image in ids if image in known]))

    def _known(self, job: int) -> Known | None:
        return self.known[job] if self.known else None

    def run_of(self, job: Job) -> Recording:
        """The run of a job that was planned, under the job's own name; jobs of one signature share it."""
        wanted = [signature(job, self.data, self.settings, backend) for backend in dict.fromkeys(self.backends)]
        run = next(run for run in self.runs if run.signature in wanted)
        return run if run.identity == job.identity else replace(run, about=about_of(job.identity, self.data))

    def _lacking(self, run: Recording) -> list[int]:
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
        """For each job the mean work of an image, estimated from the sizes of a hundred where they matter."""
        sizes = {True: self.some_sizes} if any(job.protocol.name == "dense" for job in self.jobs) else {}
        some = [sizes.get(job.protocol.name == "dense", [(CROP, CROP)]) for job in self.jobs]
        return [sum(job.work(*size) for size in own) / len(own) for job, own in zip(self.jobs, some, strict=True)]

    @cached_property
    def workers(self) -> int:
        """Processes that decode and rescale. Raises UsageError."""
        at_once = max(run.block for run in self.runs)
        pack = self.images_of_pack * self.bytes_per_image
        return self.settings.workers_for(pack, held=-(-2 * at_once // self.images_of_pack), ahead=AHEAD)

    @cached_property
    def images_of_pack(self) -> int:
        """Images that a reading process hands over together."""
        at_once = max(run.block for run in self.runs)
        return images_of_pack(self.bytes_per_image, min(at_once, len(self.data)), self.settings.loader_workers)

    @cached_property
    def bytes_per_image(self) -> float:
        """Bytes of an image's pixels at all Qs together, estimated as `work_per_image` is."""
        wanted = Request.of(0, (job.wanted for job in self.jobs)).wanted
        whole, usual = [want for want in wanted if want.crop is None], self.settings.rescale
        some = self.some_sizes if whole else [(CROP, CROP)]
        pixels = [math.prod((want.how or usual).size(*size, want.scale)) for size in some for want in whole]
        return 3 * (sum(pixels) / len(some) + sum(want.crop**2 for want in wanted if want.crop))

    @property
    def stored_results(self) -> int:
        """Images that have been computed, over all jobs and by any process."""
        return sum(
            len(run.expected) - sum(len(run.block_range(block)) for block in self._lacking(run)) for run in self.runs
        )

    @property
    def missing_images(self) -> list[int]:
        """For each job the images to compute."""
        return [sum(len(self.to_compute(job, block)) for block in blocks) for job, blocks in enumerate(self.missing)]

    @property
    def missing_work(self) -> list[float]:
        """For each job the work that remains."""
        return [images * work for images, work in zip(self.missing_images, self.work_per_image, strict=True)]


def prepare(
    data: DataSet, jobs: Sequence[Job], store: Store, settings: Settings | None = None, *, reads_only: bool = False
) -> Plan:
    """Find what is stored for these jobs without a forward pass; for a part of a data set, also in runs of the whole.

    `reads_only`: nothing is taken over, as in a dry run. Raises DataError where a model lacks a class of the data, and
    StoreError.
    """
    settings = settings or Settings()
    ids = [image.id for image in data.images]
    planned: dict[Path, tuple[Job, Recording, BackendName]] = {}
    for job in jobs:
        recorded = cache(partial(_recorded, job, data, ids, store, settings))  # reads what is stored once
        backend = _stored_backend(recorded, job, data, store, settings) or settings.backend_for(job)
        run = recorded(backend)
        planned.setdefault(run.folder, (job, run, backend))
    distinct = [job for job, _, _ in planned.values()]
    classes = [_classes(job) for job in distinct]
    labels = {key: data.labels(*key) if key else data.own_labels for key in dict.fromkeys(classes)}
    runs, backends = [run for _, run, _ in planned.values()], [backend for _, _, backend in planned.values()]
    plan = Plan(data, distinct, runs, [labels[key] for key in classes], backends, settings)
    shuffled = cache(data.shuffled)  # once for all runs, and not at all where none lacks a block
    plan.known = [_known(run, own, data, store, shuffled) for run, own in zip(runs, plan.labels, strict=True)]
    if data.whole and not reads_only:
        _take_from_wholes(plan, store)
    return plan


def _classes(job: Job) -> tuple[tuple[str, ...] | None, int] | None:
    """The classes that labels are places among: the model's names and number; None for descriptors: the data's own."""
    return None if job.descriptor else (job.identity.class_names, job.identity.classes)


def _known(
    run: Recording, labels: NDArray[np.int32], data: DataSet, store: Store, shuffled: Callable[[], DataSet]
) -> Known | None:
    """What `check` has computed of a run that is not finished."""
    if not run.missing():
        return None
    if shuffled().fingerprint == data.fingerprint:
        return None
    checked = store.of_signature(run.signature | {"data": shuffled().fingerprint})
    label_of = {image.id: label for image, label in zip(data.images, labels.tolist(), strict=True)}
    return Known.of(checked, label_of) if checked and checked.images else None


def _recorded(
    job: Job, data: DataSet, ids: Sequence[str], store: Store, settings: Settings, backend: BackendName
) -> Recording:
    """The job's run by this backend, as far as it is stored."""
    what = f"-{job.descriptor}" if job.descriptor else ""
    name = f"{job.identity.name.replace('@', '-')[:100]}{what}-{job.protocol}-Q{job.scale}"
    signed = signature(job, data, settings, backend)
    return store.run(name, signed, ids, about_of(job.identity, data), settings.block_for(len(ids)))


def _stored_backend(
    recorded: Callable[[BackendName], Recording], job: Job, data: DataSet, store: Store, settings: Settings
) -> BackendName | None:
    """What `auto` means for a stored job: the backend of its finished run, else of a begun one. Nothing is measured."""
    if settings.backend != "auto" or settings.compile:
        return None
    able = possible(job.model, settings.torch_device, settings.precision)
    runs: dict[BackendName, Recording] = {name: recorded(name) for name in ("pytorch", "onnxruntime")}
    finished = [name for name, run in runs.items() if _is_answered(run, data, store, settings)]
    begun = [name for name, run in runs.items() if run.folder.exists() and name in able]
    return next(iter([*finished, *begun]), None)


def _is_answered(run: Recording, data: DataSet, store: Store, settings: Settings) -> bool:
    """Whether no image of a run is left to compute, also where a run of the whole data set has them all."""
    return not run.missing(accept_unreadable=settings.skip_unreadable) or _whole(run, data, store) is not None


def _whole(run: Recording, data: DataSet, store: Store) -> Run | None:
    """For a run of a part of a data set, the finished run of the whole; None for a damaged one."""
    with contextlib.suppress(StoreError):
        return store.stored(run.signature | {"data": data.whole}) if data.whole else None
    return None


def _take_from_wholes(plan: Plan, store: Store) -> None:
    """Store, for runs of a part of a data set, what finished runs of the whole have already."""
    for run, labels in zip(plan.runs, plan.labels, strict=True):
        whole = _whole(run, plan.data, store) if run.missing() else None
        if whole:
            with contextlib.suppress(StoreError):  # the run of the whole is damaged inside
                run.take_from(whole, labels)


def signature(job: Job, data: DataSet, settings: Settings, backend: BackendName) -> dict[str, Any]:
    """Everything that can change a run's numbers."""
    return job.identity.signature() | {
        "protocol": str(job.protocol),
        "scale": job.scale,
        "rescale": signature_of(job.rescale or settings.rescale),
        "precision": settings.precision,
        "backend": backend,
        "data": data.fingerprint,
        "numerics": _numerics(job, settings),
        **({"descriptor": str(job.descriptor)} if job.descriptor else {}),
        **({} if job.protocol.crop == CROP or job.protocol.name == "dense" else {"crop": job.protocol.crop}),
    }


def _numerics(job: Job, settings: Settings) -> int:
    net = job.identity.architecture
    has_lrn = net is not None and any(layer.kind == "lrn" for layer in net.config.layers)
    return _NUMERICS_OF_LOW_LRN if has_lrn and settings.precision in AUTOCAST else NUMERICS


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

"""The evaluation loop: one pass over the images serves every job that still lacks a block."""

import time
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vggbench.data import DataSet
from vggbench.errors import DataError, StoreError, UnreadableImages, counted
from vggbench.evaluation.jobs import Job, Settings, Watch
from vggbench.evaluation.plan import Plan, prepare
from vggbench.evaluation.turns import Turn
from vggbench.evaluation.turns import turns as missing_turns
from vggbench.evaluation.writer import Task, Writer
from vggbench.images.heap import FreedMemory, keep_freed_memory
from vggbench.inference.backend import Backend
from vggbench.inference.choice import start
from vggbench.inference.describer import Describer
from vggbench.inference.devices import device_name
from vggbench.inference.scorer import Scorer
from vggbench.inference.transfer import Transfer, transfer_to
from vggbench.metrics import ranks
from vggbench.store.blocks import VALUES, Block
from vggbench.store.recording import Store
from vggbench.store.runs import Run

_NAMED = 20
"""Images that an error names at most."""


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


def _compute(plan: Plan, watch: Watch) -> None:
    transfer = transfer_to(plan.settings.torch_device)
    scorers = _scorers(plan, transfer)
    for run, blocks in zip(plan.runs, plan.missing, strict=True):
        if blocks:
            run.create()
    seen: list[list[NDArray[np.int32]]] = [[] for _ in plan.jobs]
    keep_freed_memory()
    freed = FreedMemory()
    watch.begin()
    with Writer[_Stored](ahead=len(scorers)) as writer:
        for turns in missing_turns(plan, transfer):
            for turn in turns:
                job, scorer = plan.jobs[turn.job], scorers[turn.job]
                watch.turn(job)
                begun, view_work = time.perf_counter(), plan.work_per_image[turn.job] / job.protocol.view_count
                pixels = [image.at(job.wanted) for image in turn.images if image.problem is None]
                fetch = scorer.begin(pixels, partial(_advance, watch, freed, view_work))
                images = [image._replace(pixels=None) for image in turn.images]
                provenance = _provenance(plan.settings, scorer)
                writer.put(Task(fetch, partial(_store, plan, turn._replace(images=images), provenance), begun))
                _tell(watch, plan, writer.stored(), seen)
    _tell(watch, plan, writer.stored(), seen)


class _Stored(NamedTuple):
    """What there is to tell of a block once it is stored."""

    job: int
    ranks: NDArray[np.int32]


def _store(
    plan: Plan, turn: Turn, provenance: dict[str, Any], posteriors: NDArray[np.float32], seconds: float
) -> _Stored:
    """Called by the writer, in its thread."""
    computed = _block(plan, turn, posteriors, provenance | {"seconds": round(seconds, 3)})
    block = plan.with_known(turn.job, computed, turn.block)
    plan.runs[turn.job].write(turn.block, block)
    is_judged = plan.jobs[turn.job].descriptor is None
    return _Stored(turn.job, ranks(block.posteriors, block.labels) if is_judged else np.empty(0, np.int32))


def _tell(watch: Watch, plan: Plan, stored: Sequence[_Stored], seen: list[list[NDArray[np.int32]]]) -> None:
    for block in stored:
        if len(block.ranks):
            seen[block.job].append(block.ranks)
            watch.block(plan.jobs[block.job], np.concatenate(seen[block.job]))


def _scorers(plan: Plan, transfer: Transfer) -> dict[int, Scorer]:
    """One for each job that lacks a block, by its index; the jobs of a network share its backend."""
    settings, started = plan.settings, dict[object, Backend]()
    scorers = {}
    for index, (job, run) in enumerate(zip(plan.jobs, plan.runs, strict=True)):
        if not plan.missing[index]:
            continue
        name = plan.backends[index]
        key = (*job.identity.weights, job.descriptor, name)
        if key not in started:
            started[key] = start(name, job.model, settings.torch_device, settings.precision).load()
        backend, batch_size = started[key].of(job.model), _batch_size(run, settings)
        scorers[index] = scorer_of(job, backend, batch_size, _shared_stages(run), transfer)
    return scorers


def scorer_of(
    job: Job, backend: Backend, batch_size: int, shared: int | None = None, transfer: Transfer | None = None
) -> Scorer:
    """What a job's images are computed by: posteriors, or descriptors."""
    if job.descriptor:
        return Describer(job.descriptor, job.protocol, backend, batch_size, transfer)
    return Scorer(job.protocol, backend, batch_size, shared, transfer)


def _advance(watch: Watch, freed: FreedMemory, view_work: float, views: int) -> None:
    freed.give_back()
    watch.advance(view_work * views)


def _block(plan: Plan, turn: Turn, computed: NDArray[np.float32], provenance: dict[str, Any]) -> Block:
    readable = [image for image in turn.images if image.problem is None]
    positions = [image.position for image in readable]
    return Block(
        images=tuple(plan.data.images[position].id for position in positions),
        labels=plan.labels[turn.job][positions],
        widths=np.array([image.width for image in readable], dtype=np.int32),
        heights=np.array([image.height for image in readable], dtype=np.int32),
        posteriors=computed,
        column=VALUES[plan.jobs[turn.job].descriptor is not None],
        unreadable={plan.data.images[image.position].id: image.problem for image in turn.images if image.problem},
        doubtful={plan.data.images[image.position].id: image.doubt for image in turn.images if image.doubt},
        provenance=[provenance],
    )


def _batch_size(run: Run, settings: Settings) -> int:
    """The batch size asked for; else that of the run's stored blocks, the smallest if memory had run out."""
    before = [entry["batch_size"] for entry in run.provenance]
    return settings.batch_size or min(before, default=settings.views_per_batch)


def _shared_stages(run: Run) -> int | None:
    """The stages that the run's stored blocks shared: others may move the last bits. The fewest if memory ran out."""
    before = [entry.get("shared_stages") for entry in run.provenance]
    return min((stages for stages in before if stages is not None), default=None)


def _provenance(settings: Settings, scorer: Scorer) -> dict[str, Any]:
    import PIL

    from vggbench import __version__

    return {
        "vggbench": __version__,
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "pillow": PIL.__version__,
        "backend": scorer.backend.name,
        "backend_version": scorer.backend.version,
        "device": device_name(settings.torch_device),
        "threads": torch.get_num_threads(),
        "batch_size": scorer.batch_size,
        "shared_stages": scorer.shared,
    }


def _named(data: DataSet, unreadable: dict[str, str]) -> str:
    """What is said of these, by the places of their files."""
    places = {image.id: str(image) for image in data.images}
    return unread([f"{places[image]} {why}" for image, why in unreadable.items()], len(data))


def unread(named: Sequence[str], total: int) -> str:
    """How many of `total` images could not be read, the first twenty as they are `named`, each with its reason."""
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"{len(named)} of {counted(total, 'image')} could not be read: {'; '.join(named[:_NAMED])}{more}"

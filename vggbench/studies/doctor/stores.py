"""A run that is interrupted and resumed, and one that two processes share, beside one that is neither."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vggbench.data import DataSet
from vggbench.errors import Interrupted, VggbenchError, counted
from vggbench.evaluation.jobs import Job, Settings, Watch
from vggbench.images.threads import cores
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol
from vggbench.store.posteriors import posteriors
from vggbench.store.runs import Run, stored_runs
from vggbench.studies.doctor.checks import Bench, evaluated
from vggbench.studies.doctor.finding import Seen, compared
from vggbench.weights.load import save_model

_CENTER = Protocol("center")
_SECONDS = 240
"""Seconds after which two processes, which compute for a few, are taken to hang."""


class Stopping(Watch):
    """Interrupts when the first block is said to be stored."""

    told = 0
    """Images that were said to be stored."""

    def block(self, job: Job, label_ranks: NDArray[np.int32]) -> None:
        """Note how many, and stop."""
        self.told = len(label_ranks)
        raise Interrupted("doctor")


class _Counting(Watch):
    computed = 0

    def block(self, job: Job, label_ranks: NDArray[np.int32]) -> None:
        """Note how many images the blocks of this process have."""
        self.computed = len(label_ranks)


def resumed(bench: Bench, many: DataSet) -> Seen:
    """Interrupted after a block and resumed: that block is there and not computed again, and no bit is different."""
    settings, store = Settings(bench.device, backend="pytorch"), bench.new_store()
    ids = [image.id for image in many.images]
    expected = evaluated(many, _job(bench), bench.new_store(), settings)
    told = interrupt(bench, many, store, settings)
    run = _only_run(store)
    kept = posteriors(run) if run.done else expected[:0]
    if len(kept) < told:
        broken = f", and {run.damaged[0].name} is damaged" if run.damaged else ""
        return _wrong(
            f"{counted(told, 'image')} were reported as stored, and {len(kept)} are{broken}: expected every "
            "reported block, complete. Keep runs on a disk that keeps what is written (--runs)."
        )
    watch = _Counting()
    found = evaluated(many, _job(bench), store, settings, watch)
    if watch.computed + len(kept) != len(ids):
        return _wrong(
            f"{watch.computed} of {counted(len(ids), 'image')} were computed after {len(kept)} were stored: expected "
            "the others alone."
        )
    return compared(found, expected, 0.0, ids)


def interrupt(bench: Bench, many: DataSet, store: Path, settings: Settings) -> int:
    """Stop an evaluation at its first block; returns how many images were said to be stored."""
    watch = Stopping()
    with contextlib.suppress(Interrupted):
        evaluated(many, _job(bench), store, settings, watch)
    return watch.told


def shared(bench: Bench, many: DataSet) -> Seen:
    """Two processes under torchrun, by nccl on two GPUs, else by gloo on the CPU, beside this one alone."""
    several = torch.device(bench.device).type == "cuda" and torch.cuda.device_count() > 1
    device, threads = "cuda" if several else "cpu", max(1, cores() // 2)
    weights, store = bench.folder / "doctor.safetensors", bench.new_store()
    save_model(bench.subject.model, weights)
    command = [
        "eval", f"{bench.subject.model.module.config.name}@{weights}",  # type: ignore[attr-defined]
        "--data", many.place, "--runs", str(store), "--center", "--scales", str(CROP), "--backend", "pytorch",
        "--device", device, "--format", "json", "--quiet",
    ]  # fmt: skip
    two_processes(command, threads)
    with _threads(threads):
        expected = evaluated(many, _job(bench), bench.new_store(), Settings(device, backend="pytorch"))
    run = _only_run(store)
    if not run.is_finished:
        return _wrong(
            f"{run.done} of {counted(run.total, 'image')} are stored: expected all of them, by two processes."
        )
    seen = compared(posteriors(run), expected, 0.0, [image.id for image in many.images])
    seen.details["connected_by"] = "nccl" if several else "gloo"
    return seen


def two_processes(command: list[str], threads: int) -> None:
    """Run `vggbench` twice, connected by torchrun; raises VggbenchError with the end of what they said."""
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "vggbench",
    ]
    process = subprocess.Popen(
        [*torchrun, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )  # fmt: skip
    try:
        _, said = process.communicate(timeout=_SECONDS)
    except BaseException as error:
        process.terminate()  # torchrun ends both
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise VggbenchError(f"Two processes were not done after {_SECONDS} s: expected seconds.") from error
        raise
    if process.returncode:
        own = [line for line in said.splitlines() if line.startswith("vggbench: ")] or said.splitlines()
        raise VggbenchError(f"Two processes ended with status {process.returncode}: {' '.join(own[-1:])}")


def _job(bench: Bench) -> Job:
    return Job(bench.subject.fresh(), _CENTER, CROP)


def _only_run(store: Path) -> Run:
    """The run of a store; raises StoreError for one that cannot be read, and VggbenchError where there is none."""
    found, complaints = stored_runs(store)
    if not found:
        raise VggbenchError(f"No run was stored: expected one. {' '.join(complaints)}".strip())
    return found[0]


def _wrong(said: str) -> Seen:
    return Seen("not the same run", verdict="wrong", said=said)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Several processes at one piece of work, started and connected by torchrun."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from vggbench.errors import VggbenchError
from vggbench.images.reading import cores

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others, who may be writing a checkpoint or validating."""


@dataclass(frozen=True)
class World:
    """This process among all that work together; one process alone needs no connection."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all have come so far."""
        if self.size > 1:
            dist.barrier()

    def total(self, *values: float) -> list[float]:
        """The sums over all processes."""
        if self.size == 1:
            return list(values)
        device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else None
        sums = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(sums)
        return [float(value) for value in sums]


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """The processes that torchrun started, connected by nccl on CUDA and gloo elsewhere; alone without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or not dist.is_torchelastic_launched():
        yield World()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(dist.get_rank(), size)
    except RuntimeError as error:
        if "peer" not in str(error) and not isinstance(error, dist.DistError):
            raise
        raise VggbenchError("Another process of this run failed: expected all to go on. It says why.") from error
    dist.destroy_process_group()  # of a process that failed, torchrun ends the others


def own_device(name: str) -> str:
    """`auto` and `cuda` mean this process's own GPU under torchrun."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if local and name in ("auto", "cuda") and torch.cuda.is_available() else name


def share_threads() -> None:
    """Divide the cores among the processes of this machine: torchrun gives each one thread unless told otherwise."""
    if os.environ.get("LOCAL_WORLD_SIZE", "1") != "1" and os.environ.get("OMP_NUM_THREADS") == "1":
        torch.set_num_threads(cores())

"""Several processes at one piece of work: started and connected by torchrun, or by hand over one file system."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from filelock import FileLock
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vggbench.errors import StoreError, UsageError, VggbenchError
from vggbench.files import Refusal, write_whole
from vggbench.images.reading import cores

_PATIENCE = timedelta(hours=2)
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

    def wrapped(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over all processes."""
        return DistributedDataParallel(network) if self.size > 1 else network

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
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
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


def parse_share(text: str) -> tuple[int, int]:
    """`2/8` -> (1, 8): the second of eight processes; raises UsageError."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--share {text}: expected I/N, such as 2/8 for the second of eight processes.")
    return int(match[1]) - 1, int(match[2])


def is_last(root: Path, work: Sequence[str], share: tuple[int, int]) -> bool:
    """Whether this process is the last of those that share `work`, by a note that each leaves in the folder `root`.

    Raises OSError where the folder cannot be read, StoreError where it cannot be written.
    """
    name = hashlib.sha256("\n".join([*work, str(share[1])]).encode()).hexdigest()[:16]
    note = root / f".shares-{name}.json"
    with FileLock(root / f".shares-{name}.lock"):
        try:
            done = set(json.loads(note.read_text()))
        except (OSError, ValueError, TypeError):
            done = set()
        done.add(share[0])
        if done >= set(range(share[1])):
            note.unlink(missing_ok=True)
            return True
        expected = "room and a folder that this user may write. Repeat the command; it computes nothing again."
        write_whole(note, json.dumps(sorted(done)), Refusal(StoreError, expected))
        return False

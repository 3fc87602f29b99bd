"""Several processes at one piece of work, started and connected by torchrun."""

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist

from vggbench.errors import StoreError, VggbenchError, first_line
from vggbench.evaluation.liveness import NEXT, watching
from vggbench.files import Refusal, write_whole
from vggbench.images.threads import cores
from vggbench.inference.devices import has_cuda

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others, who may be writing a checkpoint or validating; see `liveness`."""
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds between looks at a file system over a network, which may show late what another machine wrote."""
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class World:
    """This process among all that work together; one process alone needs no connection."""

    rank: int = 0
    size: int = 1
    hosts: tuple[str, ...] = ()
    """The machine of each."""

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def name(self, rank: int) -> str:
        """One of them, for a sentence."""
        return f"Process {rank}" + (f" on {self.hosts[rank]}" if self.hosts else "")

    def gather(self, own: _Found) -> list[_Found]:
        """What each has, by rank."""
        if self.size == 1:
            return [own]
        found = [own] * self.size
        dist.all_gather_object(found, own)
        return found

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


def under_torchrun() -> bool:
    """Whether torchrun started this process and others."""
    return dist.is_torchelastic_launched() and os.environ.get("WORLD_SIZE", "1") != "1"


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """The processes that torchrun started, connected by nccl on CUDA and gloo elsewhere; alone without torchrun.

    Raises VggbenchError where they cannot be connected, and where another ends before all are done: within a minute.
    """
    if not under_torchrun():
        yield World()
        return
    on_cuda = device.type == "cuda"
    if on_cuda:
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if on_cuda else "gloo", timeout=PATIENCE, device_id=device if on_cuda else None)
        alone = World(dist.get_rank(), dist.get_world_size())
        told = alone.gather((socket.gethostname(), secrets.token_hex(8)))
        world = World(alone.rank, alone.size, tuple(host for host, _ in told))
        with watching(told[0][1], world.rank, [world.name(rank) for rank in range(world.size)]):
            yield world
    except RuntimeError as error:
        if "peer" not in str(error) and not isinstance(error, dist.DistError):
            raise
        raise VggbenchError(
            f"Another process of this run ended ({first_line(error)}): expected all to continue. {NEXT}"
        ) from error
    dist.destroy_process_group()  # of a process that failed, torchrun ends the others


def require_one_store(world: World, root: Path) -> None:
    """Refuse, in all processes at once, folders that are not one. Raises StoreError.

    The first leaves a file there, which all others must see. Where it may not write nothing is checked: such a store is
    only read, or else refused when something is to be written.
    """
    if world.size == 1:
        return
    mark, written = root / f".processes-{secrets.token_hex(8)}", False
    try:
        if world.is_first:
            with suppress(StoreError):
                write_whole(mark, "", Refusal(StoreError, "a folder that this user may write."))
                written = True
        left = world.gather(mark.name if written else None)[0]
        sees = left is None or patiently(lambda: _holds(root, left), bool)
        places = world.gather((sees, str(root.absolute())))
    finally:
        if written:
            mark.unlink(missing_ok=True)
    for rank, (sees, place) in enumerate(places):
        if not sees:
            raise StoreError(
                f"{world.name(rank)} does not see in its --runs {place} what {world.name(0)} wrote to "
                f"{places[0][1]}: expected one folder, on a file system that all processes share. Name it with --runs."
            )


def require_same(world: World, titles: Sequence[str]) -> None:
    """Refuse, in all processes at once, work that is not the same in all of them. Raises VggbenchError."""
    found = world.gather(list(titles))
    for rank, other in enumerate(found):
        for one, another in zip_longest(found[0], other, fillvalue="nothing more"):
            if one != another:
                raise VggbenchError(
                    f"{world.name(0)} would compute {one}, and {world.name(rank)} {another}: expected the "
                    "same command, images, weights, versions and kind of device for all. Compare them, and repeat."
                )


def patiently(look: Callable[[], _Found], enough: Callable[[_Found], bool]) -> _Found:
    """What is seen once it is enough, or at the last of several looks, after some seconds."""
    found = look()
    for pause in _WAITS:
        if enough(found):
            break
        time.sleep(pause)
        found = look()
    return found


def _holds(folder: Path, name: str) -> bool:
    """Look by a listing, since a network file system may remember that a file was not there."""
    try:
        return any(path.name == name for path in folder.iterdir())
    except OSError:
        return False


def own_device(name: str, share: tuple[int, int] = (0, 1)) -> str:
    """`auto` and `cuda` mean this process's own GPU under torchrun; of process i of a `share` GPU i mod their count."""
    local, (process, processes) = os.environ.get("LOCAL_RANK"), share
    if name not in ("auto", "cuda") or not has_cuda():
        return name
    if local:
        return f"cuda:{local}"
    return f"cuda:{process % torch.cuda.device_count()}" if processes > 1 else name


def processes_beside(device: torch.device, share: tuple[int, int]) -> int:
    """Processes of a `share` that are taken to be on this machine: one a GPU; on a CPU nobody knows, and it is 1."""
    return min(share[1], torch.cuda.device_count()) if device.type == "cuda" else 1


def share_threads(beside: int = 1) -> None:
    """Divide the cores among the processes of this machine, unless told otherwise by OMP_NUM_THREADS.

    torchrun gives each one thread; of those started by hand there are `beside`.
    """
    asked = os.environ.get("OMP_NUM_THREADS")
    if os.environ.get("LOCAL_WORLD_SIZE", "1") != "1" and asked == "1":
        torch.set_num_threads(cores())
    elif beside > 1 and asked is None:
        torch.set_num_threads(max(1, cores() // beside))

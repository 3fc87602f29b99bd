"""How long work takes: warm, in turn with what it is compared to, and long enough to be measured."""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

LEAST = 0.3
"""Seconds for which each piece of work is measured at least."""
_LONG = 1.0
"""Seconds of a run on a CPU in which what a first run does besides is lost. A first one on CUDA loads libraries."""


class Timed(NamedTuple):
    """One run of some work: the seconds until the device was done, and what it returned."""

    seconds: float
    result: Any = None


def in_turn(works: Sequence[Callable[[], object]], device: "torch.device") -> list[list[Timed]]:
    """The runs of each, after one to warm up, until each has run for `LEAST` seconds; a long first run on a CPU is all.

    One run of each follows the other, so that what else the machine does meets all alike.
    """
    found: list[list[Timed]] = []
    for work in works:
        first = _timed(work, device)
        found.append([first] if device.type == "cpu" and first.seconds >= _LONG else [])
    while lacking := [place for place, runs in enumerate(found) if not runs or _total(runs) < LEAST]:
        for place in lacking:
            found[place].append(_timed(works[place], device))
    return found


def shortest(runs: Sequence[Timed]) -> float:
    """Seconds of the run that was disturbed least."""
    return min(run.seconds for run in runs)


def seconds_each(work: Callable[[], object], device: "torch.device") -> float:
    """Mean seconds of one run, over runs without a wait between them that last `LEAST` seconds or more in all."""
    count = 1
    while True:
        taken = _timed(lambda: [work() for _ in range(count)], device).seconds  # noqa: B023 # called at once
        if taken >= LEAST:
            return taken / count
        count = max(count + 1, math.ceil(count * min(100, 1.2 * LEAST / max(taken, 1e-9))))


def wait_for(device: "torch.device") -> None:
    """Until the device has done what it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _timed(work: Callable[[], object], device: "torch.device") -> Timed:
    wait_for(device)
    started = time.perf_counter()
    result = work()
    wait_for(device)
    return Timed(time.perf_counter() - started, result)


def _total(runs: Sequence[Timed]) -> float:
    return sum(run.seconds for run in runs)

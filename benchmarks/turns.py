"""Timing of several ways to do one thing: in one process, taking turns, so that all meet the same machine."""

import statistics
import time
from collections.abc import Callable, Mapping

Times = Mapping[str, list[float]]


def take_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Seconds of each round of each way; a first round warms up and does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if turn:
                times[name].append(time.perf_counter() - started)
    return times


def ratio(times: Times, slow: str, fast: str) -> str:
    """How many times as fast `fast` is: the ratio of medians, and the range of the rounds' own ratios."""
    per_round = [one / other for one, other in zip(times[slow], times[fast], strict=True)]
    middle = statistics.median(times[slow]) / statistics.median(times[fast])
    return f"{middle:.2f} ({min(per_round):.2f}-{max(per_round):.2f})"

"""How many cores there are, and work that threads share: reading and hashing, during which Python lets others run."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_AHEAD = 2
"""Pieces of work that each thread is ahead."""
_Given = TypeVar("_Given")
_Found = TypeVar("_Found")


def cores() -> int:
    """The processor cores that this process may use: its share, where torchrun started several on this machine."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, own // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def from_threads(work: Callable[[_Given], _Found], order: Iterable[_Given], threads: int) -> Iterator[_Found]:
    """The results in this order; few wait at any time. With 0 threads this one computes them."""
    if not threads:
        yield from map(work, order)
        return
    pool = ThreadPoolExecutor(threads)
    ahead: deque[Future[_Found]] = deque()
    try:
        for given in order:
            ahead.append(pool.submit(work, given))
            if len(ahead) > _AHEAD * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)

"""A thread that waits for what was computed and stores it, while the next images are read and computed."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from vggbench.inference.transfer import Fetch

T = TypeVar("T")


@dataclass(frozen=True)
class Task(Generic[T]):
    """A block whose computation has begun; `store` is given its posteriors and the seconds that they took."""

    fetch: Fetch
    store: Callable[[NDArray[np.float32], float], T]
    begun: float
    """When, by `time.perf_counter`."""


class Writer(Generic[T]):
    """Stores blocks in the order in which they are put, at most `ahead` of them behind.

    An error, such as a full disk, is raised where the next block is put or at the end; nothing is stored after it.
    """

    def __init__(self, ahead: int) -> None:
        self._tasks: queue.Queue[Task[T] | None] = queue.Queue(max(1, ahead))
        self._stored: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._write, name="writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was put before an error or an interrupt is stored all the same."""
        self._tasks.put(None)
        self._thread.join()
        if error is None:
            self._raise()

    def put(self, task: Task[T]) -> None:
        """Have a block stored; waits where too many are. Raises what storing an earlier one did."""
        self._raise()
        self._tasks.put(task)

    def stored(self) -> list[T]:
        """What has been stored since this was asked last."""
        found: list[T] = []
        while not self._stored.empty():
            found.append(self._stored.get())
        return found

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        before = 0.0
        while (task := self._tasks.get()) is not None:
            if self._error is not None:
                continue  # so that nobody waits for room
            try:
                posteriors = task.fetch()
                done = time.perf_counter()
                seconds, before = done - max(task.begun, before), done
                self._stored.put(task.store(posteriors, seconds))
            except BaseException as error:
                self._error = error

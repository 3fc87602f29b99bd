"""Processes of one run that watch each other: of one that ends, all others end within a minute, whatever they wait for.

A collective does not notice: nccl waits for a process that is gone until its timeout, and a process on another machine
that is computing hears of nothing. So each gives a sign of life in torchrun's own store, from a thread.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from types import FrameType

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from vggbench.errors import VggbenchError, first_line

_BEAT = 2.0
"""Seconds between two signs of life."""
_SILENCE = 40.0
"""Seconds without one after which a process is taken for dead: a library may hold Python's lock while it loads."""
_GRACE = 10.0
"""Seconds that the main thread has to end in order; one that waits inside a collective cannot."""
_DONE, _FAILED = "done", "failed"
NEXT = "Its own output says more; finished work is kept, and the same command resumes."


class _Left(KeyboardInterrupt):
    """Raised in the main thread, which answers it as it does Ctrl-C."""


@contextlib.contextmanager
def watching(key: str, rank: int, names: Sequence[str]) -> Iterator[None]:
    """Watch the other processes, whose `names` sentences use, as long as the block lasts, and let them watch this one.

    `key` is the same in all of them and another in every run. Raises VggbenchError where one of them ends before it is
    done; where the main thread cannot be reached, says so itself and ends the process with exit status 1.
    """
    watch = _Watch(key, rank, names)
    with watch.heard():
        watch.start()
        try:
            yield
        except BaseException as error:
            watch.end(_FAILED)
            if watch.lost:
                raise VggbenchError(watch.lost) from error
            raise
        watch.end(_DONE)


class _Watch:
    def __init__(self, key: str, rank: int, names: Sequence[str]) -> None:
        self.lost = ""
        """What happened, once it has."""
        self._keys = [f"{key}/{other}" for other in range(len(names))]
        self._rank, self._names = rank, names
        self._over, self._last = threading.Event(), _DONE
        # A connection of its own: one that waits for a key in a collective's start would hold up the signs of life.
        self._store = TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timeout=timedelta(seconds=_SILENCE)
        )
        self._main = threading.current_thread()
        self._thread = threading.Thread(target=self._run, name="watch over processes", daemon=True)

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Let the main thread hear of a loss, where a signal can reach it."""
        if self._main is not threading.main_thread() or not hasattr(signal, "SIGUSR1"):
            yield
            return
        before = signal.signal(signal.SIGUSR1, self._answer)
        try:
            yield
        finally:
            signal.signal(signal.SIGUSR1, before)

    def _answer(self, number: int, frame: FrameType | None) -> None:
        if self.lost and not self._over.is_set():
            raise _Left

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self, last: str) -> None:
        """Tell the others how it ended, unless they cannot be told at once."""
        self._last = last
        self._over.set()
        self._thread.join(2 * _BEAT)

    def _run(self) -> None:
        """Give signs of life and look for those of the others, until one ends too soon or all is over."""
        try:
            self._watch()
        except RuntimeError as error:  # the store's: the machine or the torchrun that holds it is gone
            self._leave(f"The connection to {self._names[0]} is lost ({first_line(error)})")
        with contextlib.suppress(RuntimeError):
            self._store.set(self._keys[self._rank], self._last)

    def _watch(self) -> None:
        beat, seen, before = 0, dict[int, tuple[str, float]](), time.monotonic()
        while not (self.lost or self._over.wait(_BEAT if beat else 0)):
            now, beat = time.monotonic(), beat + 1
            if now - before > _SILENCE / 2:  # this process was stopped, and maybe all were
                seen.clear()
            before = now
            self._store.set(self._keys[self._rank], str(beat))
            for other, value in enumerate(said.decode() for said in self._store.multi_get(self._keys)):
                if other not in seen or value != seen[other][0]:
                    seen[other] = value, now
                if value == _FAILED:
                    self._leave(f"{self._names[other]} failed")
                elif value != _DONE and now - seen[other][1] > _SILENCE:
                    self._leave(f"{self._names[other]} has not responded for {_SILENCE:.0f} seconds")

    def _leave(self, what: str) -> None:
        """End the process: in order if the main thread can be reached."""
        if self.lost or self._over.is_set():
            return
        self.lost = f"{what}: expected all processes of this run to continue. {NEXT}"
        if self._main is threading.main_thread() and hasattr(signal, "SIGUSR1") and self._main.ident:
            signal.pthread_kill(self._main.ident, signal.SIGUSR1)
        if not self._over.wait(_GRACE):
            os.write(2, f"vggbench: {self.lost}\n".encode())
            os._exit(1)

"""Processes that read images, and what they need: cores, shared memory, and an end."""

import atexit
import contextlib
import functools
import math
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from vggbench.errors import DataError, counted, first_line
from vggbench.images.heap import keep_freed_memory
from vggbench.images.pixels import jpeg_decoder

AHEAD = 2
"""Packs that each worker is ahead."""
_SHARED_MEMORY = Path("/dev/shm")
_OF_THE_GROUP = (signal.SIGINT, signal.SIGTERM)
_Item = TypeVar("_Item")


class Items(Protocol):
    """What gives a pack, such as a read image or several, for each list of what is wanted."""

    def __getitem__(self, wanted: Any, /) -> Any: ...


def shared_memory() -> int | None:
    """Free bytes of what processes share, this process's part, which a container may limit to 64 MB; None: no limit."""
    try:
        status = os.statvfs(_SHARED_MEMORY)
    except (OSError, AttributeError):
        return None
    return status.f_bavail * status.f_frsize // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def fitting_workers(item: float, *, held: int, ahead: int, beside: int = 1) -> float:
    """How many workers have room to be `ahead` by items of that many bytes; the main process holds `held` of them.

    The room is divided among the processes `beside` each other, besides those that torchrun started.
    A worker without that room dies by a bus error in the middle of its work.
    """
    free = shared_memory()
    return math.inf if free is None or not item else max(0, (free // beside - held * item) // ((ahead + 1) * item))


def no_room(asked: str, room: float) -> str:
    """A sentence on shared memory that is too small."""
    free = shared_memory() or 0
    return (
        f"{asked}: {_SHARED_MEMORY} has {free / 1e6:,.0f} MB free, room for {counted(int(room), 'process')} "
        "to read images; more would fail. Expected more room: start the container with --shm-size=1g (Docker, "
        f"Podman), or with an emptyDir of medium Memory at {_SHARED_MEMORY} (Kubernetes). --workers 0 reads images in "
        "the main process."
    )


class Packed(Generic[_Item]):
    """A long list in one block of memory.

    A list of objects is copied, page by page, into every worker process that looks at them: for the
    1.3 million training images that is most of a gigabyte each.
    """

    def __init__(self, items: Iterable[_Item]) -> None:
        packed = [pickle.dumps(item) for item in items]
        self._ends = np.cumsum([len(record) for record in packed])
        self._bytes = np.frombuffer(b"".join(packed), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> _Item:
        start = int(self._ends[index - 1]) if index else 0
        item: _Item = pickle.loads(self._bytes[start : self._ends[index]].data)  # our own, from this memory
        return item


class _Failure(NamedTuple):
    """What happened to a process that reads images and is not a single image's problem."""

    what: str


class _Guarded(Dataset[Any]):
    """Packs; in a worker whatever goes wrong becomes a `_Failure`, and nothing is lost.

    An error that cannot be pickled, or one while the pack is, would never reach the main process, which waits for it.
    """

    def __init__(self, items: Items) -> None:
        self._items = items

    def __getitem__(self, wanted: Any) -> Any:
        if get_worker_info() is None:
            return self._items[wanted]
        try:
            pack = self._items[wanted]
            for part in vars(pack).values() if is_dataclass(pack) else pack:
                if isinstance(part, Tensor):
                    part.share_memory_()  # type: ignore[no-untyped-call]
            return pack
        except BaseException as error:
            return _Failure(type(error).__name__ + (f": {first_line(error)}" if str(error) else ""))


def from_workers(items: Items, order: Sequence[Any], workers: int, *, pinned: bool = False) -> Iterator[Any]:
    """The `items` in this order, read ahead by worker processes; `pinned`: where a GPU fetches them without waiting.

    Raises DataError where a worker dies, as it does for want of memory, or fails.
    """
    jpeg_decoder()  # here, so that forked workers have it
    workers = min(workers, len(order))
    loader = DataLoader(
        _Guarded(items),
        batch_size=None,
        sampler=order,
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        worker_init_fn=_begin,
        pin_memory=pinned,
    )
    if not workers:
        yield from loader  # its errors have a traceback of their own
        return
    with _reading(loader) as stream:
        while (item := _next(stream)) is not None:
            yield item


def _next(stream: Iterator[Any]) -> Any:
    """None at the end; raises DataError."""
    try:
        item = next(stream, None)
    except Exception as error:  # sockets, shared memory and the loader's own look after its processes
        raise _died(first_line(error)) from error
    if isinstance(item, _Failure):
        raise _died(item.what)
    return item


def _died(what: str) -> DataError:
    return DataError(
        f"A process that reads images died ({what}): expected room in memory and in {_SHARED_MEMORY}. Finished work is "
        "kept; run again with fewer --workers, or with --workers 0, which shows where it happens."
    )


@contextlib.contextmanager
def _reading(loader: DataLoader[Any]) -> Iterator[Iterator[Any]]:
    """What comes from the loader's processes, which end with the block, or with a program that an error leaves in it.

    Raises DataError where they cannot be started.
    """
    with contextlib.ExitStack() as ends:
        with _deferred(), _held_back():
            stream = _started(loader)
            end, unregister = functools.partial(_end, stream, [*stream._workers]), atexit.unregister
            atexit.register(end)
            ends.callback(unregister, end)  # without a global: none is left where this ends last
            ends.callback(end)
        yield stream


@contextlib.contextmanager
def _without_script() -> Iterator[None]:
    """Let processes that are spawned not begin with the user's script, which would start an evaluation in each."""
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        del main.__spec__
        vars(main).update(kept)


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Let no signal of the whole group reach a process before it ignores them, as `_begin` does."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_GROUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _deferred() -> Iterator[None]:
    """Let what answers these signals wait: one that another thread got is answered in the main one at any line."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    met: list[int] = []
    heeded = {number: signal.getsignal(number) for number in _OF_THE_GROUP}
    heeded = {number: handler for number, handler in heeded.items() if handler not in (None, signal.SIG_IGN)}
    try:
        for held in heeded:
            signal.signal(held, lambda number, frame: met.append(number))
        yield
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)
        for one in met:
            signal.raise_signal(one)


def _started(loader: DataLoader[Any]) -> Any:
    heeded = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)  # --workers asked for them
        try:
            with _without_script():
                stream = iter(loader)
        except Exception as error:
            _end_half(error)
            if isinstance(error, OSError | RuntimeError):
                raise _died(first_line(error)) from error
            raise
    if heeded is not None and threading.current_thread() is threading.main_thread():
        # PyTorch's own handler raises the death of a worker in whatever line the main process happens to be.
        signal.signal(signal.SIGCHLD, heeded)
    return stream


def _end(stream: Any, workers: list[Any]) -> None:
    """End the workers: at exit `multiprocessing` would send them SIGTERM, which they ignore, and wait for ever."""
    try:
        if not stream._shutdown:
            stream._shutdown_workers()  # by no public name, and an exception's traceback may keep the iterator alive
    finally:
        while workers:
            workers.pop().kill()  # one that hangs in a file system


def _end_half(error: BaseException) -> None:
    """End the workers that had begun when `error` came: PyTorch's own way to end them expects all to be there."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        stream = frame.f_locals.get("self")
        if isinstance(stream, _MultiProcessingDataLoaderIter):
            stream._shutdown = True
            for worker in stream._workers:
                worker.kill()


def _as_it_is(item: _Item) -> _Item:
    return item


def _begin(worker: int) -> None:
    """Ctrl-C and SIGTERM reach the whole group: the main process answers them, and ends its workers."""
    keep_freed_memory()  # decoding and rescaling take a tenth less where freed memory is kept
    for number in _OF_THE_GROUP:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_GROUP)

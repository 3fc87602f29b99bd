"""The memory of this process as glibc hands it out: kept for what comes next, and given back before it piles up."""

import ctypes
import functools
import os
import sys
from pathlib import Path

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # <malloc.h>
_LARGE = 2**25
_MOST_KEPT = 2**26
_STATM = Path("/proc/self/statm")


def keep_freed_memory() -> None:
    """Make glibc keep what is freed for what comes next: to get it again from the system takes longer than its use."""
    libc = _libc()
    if libc is not None and hasattr(libc, "mallopt"):
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_TRIM_THRESHOLD, _LARGE)


class FreedMemory:
    """What glibc keeps, which it gives back when much has gathered.

    Without this, tensors of hundreds of sizes (`dense`) fragment the heap and memory grows with the number of images.
    """

    def __init__(self) -> None:
        self._before = _resident()

    def give_back(self) -> None:
        """That is, where memory has grown since it was given back last."""
        libc = _libc()
        if _resident() - self._before > _MOST_KEPT and libc is not None and hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)
            self._before = _resident()


def _resident() -> int:
    """Bytes of memory in use by this process; 0 where the system does not say."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@functools.cache
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None

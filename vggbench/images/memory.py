"""How this process holds memory."""

import ctypes
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # <malloc.h>
_SMALL, _LARGE = 100_000, 2**25


def hold_memory_flat(varied_sizes: bool) -> None:
    """Make glibc give memory back at once while image sizes vary (`dense`); elsewhere it may keep it, which is faster.

    Without this, tensors of hundreds of sizes fragment the heap and memory grows with the number of images.
    """
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if libc is not None and hasattr(libc, "mallopt"):
        threshold = _SMALL if varied_sizes else _LARGE
        libc.mallopt(_MMAP_THRESHOLD, threshold)
        libc.mallopt(_TRIM_THRESHOLD, threshold)

"""MATLAB's version 5 files, read by SciPy once it is sure that they do not inflate beyond measure."""

import io
import zlib
from pathlib import Path
from typing import Any

from vggbench.errors import VggbenchError

_HEADER, _TAG, _COMPRESSED, _CHUNK = 128, 8, 15, 1 << 20


def load_mat(content: bytes, largest: int, name: str | Path, error: type[VggbenchError]) -> dict[str, Any]:
    """The variables of a `.mat` that was read into memory, so that SciPy opens no file by a name of its own making.

    Raises `error` where it is cut, or its compressed elements hold more than `largest` bytes, and what SciPy raises.
    """
    import scipy.io

    _require_no_bomb(content, largest, name, error)
    variables: dict[str, Any] = scipy.io.loadmat(io.BytesIO(content))
    return variables


def _require_no_bomb(content: bytes, largest: int, name: str | Path, error: type[VggbenchError]) -> None:
    if content[:_HEADER][-2:] != b"IM":  # SciPy would read the sizes the other way round
        raise error(f"{name} is not a little-endian .mat: expected one as MATLAB on a PC writes it.")
    allowed, at = largest, _HEADER
    while len(tag := content[at : at + _TAG]) == _TAG:
        kind, length = (int.from_bytes(tag[i : i + 4], "little") for i in (0, 4))
        at += _TAG
        if at + length > len(content):
            raise error(f"{name} ends too early: expected a whole .mat. Copy or download it again.")
        if kind == _COMPRESSED:
            allowed -= _inflated(memoryview(content)[at : at + length], allowed)
        if allowed < 0:
            raise error(f"{name} would inflate beyond {largest:,} bytes: expected what its publisher wrote.")
        at += length


def _inflated(compressed: memoryview, allowed: int) -> int:
    """Bytes that come out, counted until there are more than `allowed`."""
    inflate, count = zlib.decompressobj(), 0
    try:
        for start in range(0, len(compressed), _CHUNK):
            chunk = bytes(compressed[start : start + _CHUNK])
            while chunk and count <= allowed:
                count += len(inflate.decompress(chunk, _CHUNK))
                chunk = inflate.unconsumed_tail
    except zlib.error:
        return count  # SciPy says what is wrong with it
    return count

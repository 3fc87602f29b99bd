"""What a large file holds and where, kept in the cache: found once, and again whenever the file changes."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from vggbench.cache import cache_folder
from vggbench.errors import DataError, VggbenchError
from vggbench.files import write_whole
from vggbench.progress import told

VERSION = 2
"""Raised whenever what is kept changes, so that an index of before is not read."""
_WORTH_SAYING = 200_000_000
"""Bytes of a file from which its reader says that it is being indexed."""
_Item = TypeVar("_Item")


def indexed(path: Path, kind: str, width: int, find: Callable[[], list[list[Any]]]) -> list[list[Any]]:
    """What `find` says of `path`, rows of `width` plain values: from the cache while the file is the same by its times.

    Raises DataError where the file changes meanwhile, and OSError.
    """
    key = _key(path, kind)
    kept = cache_folder() / "index" / f"{hashlib.sha256(json.dumps(key[:3]).encode()).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(kept.read_text())
        rows: list[list[Any]] = stored["rows"]
        if stored["key"] == key and all(len(row) == width for row in rows):
            return rows
    rows = find()
    if _key(path, kind) != key:
        raise DataError(f"{path} changed while it was read: expected a finished file. Run the command again.")
    with contextlib.suppress(VggbenchError):  # a cache that cannot be written costs time, nothing else
        write_whole(kept, json.dumps({"key": key, "rows": rows}))
    return rows


def told_if_large(path: Path, items: Iterable[_Item], done: Callable[[_Item], float]) -> Iterable[_Item]:
    """As `told`, where `path` is so large that it takes a while; `done` in bytes of the file."""
    size = path.stat().st_size
    if size < _WORTH_SAYING:
        return items
    return told(items, f"Reading what {path} holds ({size / 1e9:.1f} GB)", size, done)


def _key(path: Path, kind: str) -> list[Any]:
    status = path.stat()
    times = [status.st_mtime_ns, status.st_ctime_ns]  # of these, a copy that keeps times keeps only the first
    return [VERSION, kind, str(path.resolve()), status.st_size, status.st_ino, *times]

"""Files that are there whole or not at all, and JSON that tells when it is no longer what was written."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vggbench.errors import UsageError, VggbenchError

_SEAL = "sha256"


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write what shall be at `path`, which takes its place once it is whole. Raises VggbenchError."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise VggbenchError(
            f"{path} cannot be written ({error.strerror or error}): expected a place where this user may write. "
            "Name another with --output, --plot or --map; nothing needs to be computed again."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def require_folder(path: Path, option: str, *, to_write: bool = True) -> None:
    """Refuse a folder that is no folder or, `to_write`, one that cannot be written or made.

    Raises UsageError and VggbenchError.
    """
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    if not there.is_dir():
        raise UsageError(f"{option} {path}: expected a folder, found the file {there}. Name another.")
    if to_write and not os.access(there, os.W_OK | os.X_OK):
        raise VggbenchError(f"{option} {path} cannot be written: expected a folder that this user may write. Name one.")


def sealed(record: dict[str, Any]) -> str:
    """The record as JSON, with its hash in it."""
    return json.dumps(record | {_SEAL: digest(record)}, indent=1) + "\n"


def unsealed(text: str | bytes, *, may_lack: bool = False) -> dict[str, Any]:
    """The record without its hash, which an older one `may_lack`; raises ValueError where it is not as written."""
    try:
        record = json.loads(text)
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    if not isinstance(record, dict):
        raise ValueError("it is no JSON object")
    seal = record.pop(_SEAL, None)
    if seal != digest(record) and not (may_lack and seal is None):
        raise ValueError("it is not what was written")
    return record


def digest(record: Any) -> str:
    """SHA-256 of the record's JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

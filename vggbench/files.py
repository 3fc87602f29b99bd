"""Files that are there whole or not at all, and JSON that tells when it is no longer what was written."""

import contextlib
import hashlib
import itertools
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vggbench.errors import UsageError, VggbenchError, first_line, nearest

LEFTOVERS = ".*.partial"
"""Names of what a kill leaves in a folder, for `Path.glob`."""
_SEAL = "sha256"


class Refusal(NamedTuple):
    """What is said where a file cannot be written: `WHAT (the reason): expected ...`."""

    error: type[VggbenchError]
    expected: str
    what: str = ""
    """Unless it is the file itself that cannot be written."""
    failures: tuple[type[Exception], ...] = (OSError,)
    """What the system raises, or a library."""


OUTPUT = Refusal(
    VggbenchError,
    "a place where this user may write. Name another with --output, --plot or --map; nothing needs to be computed "
    "again.",
)


def names_in(folder: Path, most: int = 1000) -> list[str]:
    """Names of what lies in a folder, as many as `most`; none of a folder that cannot be read."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [entry.name for entry in itertools.islice(entries, most) if not entry.name.startswith(".")]
    return []


def near_path(path: Path, known: Sequence[str] = ()) -> str:
    """A sentence that names a path, or one of the words, that may have been meant by a path where nothing is."""
    try:
        missing = next((part for part in (*reversed(path.parents), path) if not part.exists()), path)
    except OSError:  # of a folder that this user may not read
        return ""
    words = known if len(path.parts) == 1 else ()
    near = nearest(missing.name, (*words, *names_in(missing.parent)))
    if not near:
        return ""
    if near[0] in words:
        return f" Did you mean {near[0]}?"
    found = missing.parent / near[0] / path.relative_to(missing)
    return f" Did you mean {found}?" if found.exists() else ""


@contextlib.contextmanager
def written_whole(
    path: Path, refusal: Refusal = OUTPUT, *, beside: Path | None = None, is_folder: bool = False
) -> Iterator[Path]:
    """Where to write what shall be at `path`, which takes its name once it is whole and on the disk.

    It is an empty file, or folder, of this call's own, in the folder `beside` or else in that of `path`. Of two that
    make the same folder the first wins. Raises the refusal's error for its failures.
    """
    partial = (beside or path.parent) / f".{path.name[:50]}.{os.getpid()}-{secrets.token_hex(3)}.partial"
    with refusing(path, refusal):
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.mkdir() if is_folder else partial.touch()
            mode = partial.stat().st_mode  # as the umask has it; some libraries make files for their owner alone
            yield partial
            if partial.stat().st_mode != mode:
                partial.chmod(mode)
            take_place(partial, path)
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(partial) if is_folder else partial.unlink()


def write_whole(path: Path, content: str | bytes, refusal: Refusal = OUTPUT) -> None:
    """Write a file of these bytes, or of this text in UTF-8; see `written_whole`."""
    with written_whole(path, refusal) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def refusing(path: Path, refusal: Refusal) -> Iterator[None]:
    """Turn the failures of what is written to `path` into the refusal's error."""
    try:
        yield
    except refusal.failures as error:
        why = getattr(error, "strerror", None) or first_line(error)
        what = refusal.what or f"{path} cannot be written"
        raise refusal.error(f"{what} ({why}): expected {refusal.expected}") from error


def take_place(partial: Path, path: Path) -> None:
    """Give a finished file or folder its final name, both on the disk when this returns. Raises OSError."""
    is_folder = partial.is_dir()
    for item in (partial, *(partial.rglob("*") if is_folder else ())):
        _sync(item)
    try:
        partial.replace(path)
    except OSError:
        if not (is_folder and path.is_dir()):  # else another was faster
            raise
    _sync(path.parent)


def _sync(path: Path) -> None:
    is_folder = path.is_dir()
    with contextlib.suppress(OSError) if is_folder else contextlib.nullcontext():  # not every system syncs folders
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
        raise ValueError("it is not a JSON object")
    seal = record.pop(_SEAL, None)
    if seal != digest(record) and not (may_lack and seal is None):
        raise ValueError("it is not what was written")
    return record


def digest(record: Any) -> str:
    """SHA-256 of the record's JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

"""Released files on this machine: found, or downloaded whole and right, or one sentence."""

import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from vggbench.cache import at_home, cache_folder
from vggbench.errors import UsageError, WeightsError, did_you_mean
from vggbench.files import take_place
from vggbench.images.preprocessing import INPUTS
from vggbench.paper.configs import config_named
from vggbench.weights.released import RELEASED, Released

_TIMEOUT = 60.0
"""Seconds without a byte."""
_CHUNK = 1 << 18
_LARGEST = 2_000_000_000
"""Bytes that are taken where a file's size is not on record."""


class DownloadWatch:
    """What a download tells while it goes on, in the words that pooch uses; this one listens to nothing."""

    total = 0
    """Bytes to come."""

    def begin(self, sentence: str) -> None:
        """What is downloaded, from where, to where."""

    def update(self, count: int) -> None:
        """So many bytes more."""

    def reset(self) -> None:
        """Count from zero again."""

    def close(self) -> None:
        """All bytes are there."""


def place(row: Released) -> Path:
    """Where the file is kept, or to be put by hand."""
    return cache_folder() / "weights" / row.name.replace("@", "-") / row.file


def find(row: Released) -> Path | None:
    """The file where it is kept already: here, or by torch.hub or Keras.

    Raises WeightsError for a wrong one here, OSError where the folder cannot be read.
    """
    path = place(row)
    if path.is_file():
        try:
            _require_right(row, path)
        except _WrongBytesError as error:
            raise WeightsError(
                f"{path} is not {row.name}'s {row.file}: {error} Remove it, and the same command downloads it."
            ) from error
        return path
    for folder in (torch_hub() / "checkpoints", at_home("~/.keras/models")):
        with contextlib.suppress(WeightsError, OSError):
            if row.digest and (folder / row.file).is_file():
                _require_right(row, folder / row.file)
                return folder / row.file
    return None


def fetch(row: Released, watch: DownloadWatch | None = None) -> Path:
    """The file, downloaded if need be; killed, the next call resumes.

    Raises WeightsError, which names the file, its address and its place, for anything but the right bytes.
    """
    watch = watch or DownloadWatch()
    try:
        return find(row) or _fetched(row, watch)
    except OSError as error:
        raise _not_downloaded(row, f"{error.strerror or error}; name another folder in $VGGBENCH_CACHE") from error


def _fetched(row: Released, watch: DownloadWatch) -> Path:
    """Downloaded by this process, or by another one meanwhile."""
    from filelock import FileLock, Timeout

    path = place(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        watch.begin(f"Waiting for another process that downloads {row.file}.")
        held = lock.acquire()
    with held:
        if find(row) is None:
            _download(row, path, watch)
    return path


def _download(row: Released, path: Path, watch: DownloadWatch) -> None:
    partial = path.with_name(f"{path.name}.part")
    if row.digest is None:
        partial.unlink(missing_ok=True)  # nothing could tell whether two halves belong together
    _require_room(row, partial)
    watch.begin(f"Downloading {row.name}: {row.file}, {row.megabytes}, from {row.url} to {path}.")
    if row.digest is None:
        watch.begin(f"Note: no hash of {row.file} is on record, so its bytes cannot be checked against one.")
    while True:
        kept = partial.stat().st_size if partial.exists() else 0
        try:
            if not (kept and row.fits_size(kept)):
                _transfer(row, partial, watch)
            _require_right(row, partial)
        except _UnsatisfiableError:
            partial.unlink()
        except _WrongBytesError as error:
            partial.unlink(missing_ok=True)
            if not kept:
                raise _not_downloaded(row, f"{error} The server has another file") from error
            # else what was kept was of another version: once more, from the beginning
        else:
            take_place(partial, path)
            return


class _WrongBytesError(WeightsError):
    """These are not the released file's."""


class _UnsatisfiableError(Exception):
    """The server has no more bytes than were kept."""


def _transfer(row: Released, partial: Path, watch: DownloadWatch) -> None:
    """Append what is missing, by pooch."""
    import pooch
    import requests

    with partial.open("ab") as file:
        start = file.tell()

        def begins(response: Any, **rest: Any) -> None:
            if start and response.status_code == 416:
                raise _UnsatisfiableError
            if start and response.status_code == 200:  # the whole file, though a part was asked for
                file.seek(0)
                file.truncate()

        downloader = pooch.HTTPDownloader(
            progressbar=watch,
            chunk_size=_CHUNK,
            timeout=_TIMEOUT,
            hooks={"response": begins},
            headers={"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {}),
        )
        try:
            downloader(row.url, _Bounded(file, row), None)
        except requests.RequestException as error:
            kept = f" {file.tell():,} bytes are kept; the same command resumes." if file.tell() else ""
            raise _not_downloaded(row, _reason(error) + kept) from error


class _Bounded:
    """A file that takes no more than the released file has."""

    def __init__(self, file: BinaryIO, row: Released) -> None:
        self._file, self._row = file, row
        self._most = row.size or (int((row.mib + 0.001) * 2**20) if row.mib else _LARGEST)

    def write(self, data: bytes) -> int:
        """Append."""
        if self._file.tell() + len(data) > self._most:
            raise _WrongBytesError(f"It is longer than {self._most:,} bytes.")
        return self._file.write(data)

    def flush(self) -> None:
        """Pooch flushes each chunk; the file does so when it is closed."""


def _require_right(row: Released, path: Path) -> None:
    """Raise _WrongBytesError unless the file has the released one's size and hash."""
    import pooch

    size = path.stat().st_size
    if not row.fits_size(size):
        expected = f"{row.size:,} bytes" if row.size else f"{row.mib} MiB" if row.mib else "some 500 MB"
        raise _WrongBytesError(f"It has {size:,} bytes, not {expected}.")
    found = pooch.file_hash(str(path), row.algorithm) if row.digest else ""
    if row.digest and not row.is_digest(found):
        raise _WrongBytesError(f"Its {row.algorithm} is {found}, not {row.digest}.")


def _require_room(row: Released, partial: Path) -> None:
    kept = partial.stat().st_size if partial.exists() else 0
    needed = (row.size or (row.mib or 500) * 2**20) - kept
    free = shutil.disk_usage(partial.parent).free
    if free < needed:
        raise WeightsError(
            f"{partial.parent} has room for {free / 1e6:.0f} MB: expected {needed / 1e6:.0f} for {row.file}. Name "
            "another folder in $VGGBENCH_CACHE."
        )


def _not_downloaded(row: Released, reason: str) -> WeightsError:
    return WeightsError(
        f"{row.file} ({row.megabytes}) cannot be downloaded from {row.url}: {reason}. Expected it at "
        f"{place(row)}: put it "
        f"there by hand, or pass it as {row.config.name}@FILE."
    )


def _reason(error: Any) -> str:
    import requests

    if isinstance(error, requests.HTTPError):
        return f"the server answers {error.response.status_code if error.response is not None else error}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"no answer in {_TIMEOUT:.0f} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    if isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError):
        return f"{type(error).__name__}, check this network's certificates or proxy"
    return "no connection"


def wanted(text: str | None) -> list[Released]:
    """The released files that CONFIG@SOURCE or SOURCE names, None all; those that cannot be evaluated are left out.

    Raises UsageError.
    """
    known = [row for row in RELEASED if not row.refused]
    if text is None:
        return known
    name, at, source = text.partition("@")
    if at:
        config = config_named(name)
        found = [row for row in known if row.config == config and row.source == source.lower()]
    else:
        found = [row for row in known if row.source == text.lower()]
    if not found:
        names = list(dict.fromkeys([row.source for row in known] + [row.name for row in known]))
        raise UsageError(
            f"{text}: no released file has this name. Expected CONFIG@SOURCE or SOURCE, as `vggbench weights` lists "
            f"them, such as D@oxford.{did_you_mean(text, names)}"
        )
    return found


def lacking(rows: Sequence[Released]) -> list[Released]:
    """Those that do not lie on this machine; raises WeightsError for a wrong file in place of one."""
    return [row for row in rows if find(row) is None]


def torch_hub() -> Path:
    """torch.hub's folder: as it says itself where PyTorch is loaded, else by the rule of its documentation."""
    if "torch" in sys.modules:
        return Path(sys.modules["torch"].hub.get_dir())
    home = os.getenv("TORCH_HOME", str(Path(os.getenv("XDG_CACHE_HOME", "~/.cache"), "torch")))
    return at_home(home) / "hub"


@dataclass(frozen=True)
class Listed:
    """A released file."""

    released: Released
    input_name: str | None
    """What `--input` calls its preprocessing."""
    place: str
    """Where it lies, or may be put by hand."""
    here: Literal["yes", "wrong"] | None
    """`wrong` for bytes that are not the released ones."""


def listed(rows: Sequence[Released] = RELEASED) -> list[Listed]:
    """All of them, or some."""
    names = {known: name for name, known in reversed(INPUTS.items())}
    return [Listed(row, names.get(row.input), str(place(row)), _here(row)) for row in rows]


def _here(row: Released) -> Literal["yes", "wrong"] | None:
    try:
        return "yes" if find(row) else None
    except WeightsError:
        return "wrong"
    except OSError:
        return None

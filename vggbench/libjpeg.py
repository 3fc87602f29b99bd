"""What libjpeg says of a damaged file: it decodes on, and complains in one line on stderr alone."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

_COMPLAINTS = ("Corrupt JPEG data", "Premature end of JPEG", "Inconsistent progression", "Invalid SOS parameters",
               "Application transferred too many")  # fmt: skip
"""How libjpeg's warnings begin that may touch a pixel; others pass."""


@contextlib.contextmanager
def complaints() -> Iterator[list[str]]:
    """A list that holds, after the block, what libjpeg complained of in it; anything else goes on to stderr."""
    found: list[str] = []
    with tempfile.TemporaryFile() as log:
        _flush()
        stderr = _copy_of_stderr()
        os.dup2(log.fileno(), 2)
        try:
            yield found
        finally:
            os.dup2(stderr, 2)  # first, so that an interrupt in what follows leaves stderr where it belongs
            log.seek(0)
            for line in log.read().splitlines(keepends=True):
                text = line.decode("ascii", "replace").strip()
                at = min((place for begin in _COMPLAINTS if (place := text.find(begin)) >= 0), default=None)
                if at is None:
                    os.write(stderr, line)
                else:  # behind what another thread, such as a bar, left of a line
                    found.append(text[at:])
            os.close(stderr)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()


def _copy_of_stderr() -> int:
    try:
        return os.dup(2)
    except OSError:  # it is closed
        return os.open(os.devnull, os.O_WRONLY)

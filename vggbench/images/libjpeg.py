"""What libjpeg, and libtiff, say of a damaged file: they decode on, and complain in one line on stderr alone."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_COMPLAINTS = re.compile(
    r"Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|Invalid SOS parameters|Application transferred "
    r"too many|JPEGLib: |\w+Decode\w*: "
)
"""How libjpeg's warnings and libtiff's errors begin that may touch a pixel; others pass."""
_OF_TAGS = re.compile(r"[\w.]+: ")
"""How libtiff's other errors begin: of tags without use for a pixel, or of a file that is refused for them."""


@contextlib.contextmanager
def complaints() -> Iterator[list[str]]:
    """A list that holds, after the block, what the two complained of in it; anything else goes on to stderr."""
    found: list[str] = []
    with tempfile.TemporaryFile() as log:
        if sys.stderr is not None:
            sys.stderr.flush()
        stderr = _copy_of_stderr()
        os.dup2(log.fileno(), 2)
        try:
            yield found
        finally:
            os.dup2(stderr, 2)  # first, so that an interrupt in what follows leaves stderr where it belongs
            log.seek(0)
            for line in log.read().splitlines(keepends=True):
                text = line.decode("ascii", "replace").strip()
                if complaint := _COMPLAINTS.search(text):  # behind what another thread, such as a bar, left of a line
                    found.append(text[complaint.start() :])
                elif not _OF_TAGS.match(text):
                    os.write(stderr, line)
            os.close(stderr)


def _copy_of_stderr() -> int:
    try:
        return os.dup(2)
    except OSError:  # it is closed
        return os.open(os.devnull, os.O_WRONLY)

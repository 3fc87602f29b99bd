"""Messages on stderr, and how to do without what the terminal or the machine lacks."""

import codecs
import logging
import os
import sys
import textwrap
from pathlib import Path

from vggbench.errors import printable
from vggbench.progress import PROGRESS

_NAME = "vggbench"
_PLAIN = {
    "±": "+-", "×": "x", "█": "#", "▏": ".", "━": "-", "╸": "-", "╺": "-", "•": "*", "…": "...",
    "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"',
}  # fmt: skip
"""Signs of our own and of Rich, in ASCII."""


def degrade() -> None:
    """Make standard output and error take any text: what their encoding lacks is written in ASCII, nothing is lost."""
    codecs.register_error(_NAME, _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors=_NAME)


def find_a_home() -> None:
    """Give a user without a home folder, as one without a name is in a container, the root for one, as Docker does."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"


def keep_libraries_quiet() -> None:
    """Matplotlib warns of a home folder that it cannot write, and does without."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


_LOG = logging.getLogger(_NAME)


class _OnStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        put(record.getMessage())


def speak(*, quiet: bool = False, progress: bool = True) -> None:
    """Show on stderr what this package logs: `quiet` leaves warnings and errors, without `progress` there is none."""
    _LOG.handlers, _LOG.propagate = [_OnStderr()], False
    _LOG.setLevel(logging.WARNING if quiet else logging.INFO)
    PROGRESS.setLevel(logging.NOTSET if progress else logging.WARNING)


def say(sentence: str) -> None:
    """A notice."""
    _LOG.info("%s", sentence)


def warn(sentence: str) -> None:
    """What --quiet does not silence."""
    _LOG.warning("%s", sentence)


def say_progress(sentence: str) -> None:
    """A notice of how far something is, for where there is no bar."""
    PROGRESS.info("%s", sentence)


def put(text: str) -> None:
    """Text on stderr; lines longer than the terminal is wide are broken between words, never in one."""
    width = _columns()
    lines = printable(text).split("\n")
    if width:
        lines = [textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in lines]
    print("\n".join(lines), file=sys.stderr, flush=True)


def _columns() -> int | None:
    """The terminal's columns, if stderr is one."""
    if not sys.stderr.isatty():
        return None
    said = os.environ.get("COLUMNS", "")
    try:
        return int(said) if said.isdecimal() else os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return None


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, ascii(character)[1:-1]) for character in lacking), error.end

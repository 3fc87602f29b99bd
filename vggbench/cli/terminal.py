"""What the terminal, and the machine around it, cannot do: said plainly or done without."""

import codecs
import logging
import os
import sys
from pathlib import Path

from vggbench.errors import printable

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


def say(sentence: str) -> None:
    """One line on stderr."""
    print(printable(sentence), file=sys.stderr, flush=True)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, ascii(character)[1:-1]) for character in lacking), error.end

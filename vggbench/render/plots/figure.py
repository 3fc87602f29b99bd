"""What all pictures share: colours that the colour-blind tell apart, and how a figure becomes a file."""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from vggbench.errors import UsageError
from vggbench.files import written_whole

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which are told apart by nearly everybody."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Beside colour, so that it is never the only sign."""
INK, FAINT, _GRID, _PAGE = "#1f2328", "#6e7781", "#d8dee4", "#ffffff"
_DARK = {
    INK: "#e6edf3", FAINT: "#9198a1", _GRID: "#30363d", _PAGE: "#0d1117", "#000000": "#e6edf3", "#0072b2": "#4a9fd8",
}  # fmt: skip
"""What stands for a colour on a dark page."""
ON_COLOUR = "#fffffe"
"""The colour of text on a full colour: white, but not the page's white, so that it stays white on a dark page."""
_ENDINGS = (".png", ".svg", ".pdf")
STYLE: Any = {
    "svg.hashsalt": "vggbench", "svg.fonttype": "path", "font.size": 9, "font.family": "DejaVu Sans",
    "axes.edgecolor": FAINT, "axes.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.grid": True,
    "axes.axisbelow": True, "grid.color": _GRID, "grid.linewidth": 0.6, "text.color": INK, "xtick.color": INK,
    "ytick.color": INK, "legend.frameon": False, "figure.facecolor": _PAGE, "savefig.facecolor": _PAGE,
    "axes.facecolor": _PAGE, "text.parse_math": False,
}  # fmt: skip
"""On white; a name with two $ in it is no formula."""


def titled(figure: Figure, text: str) -> int:
    """Write a title over the whole figure, in as many lines as its width asks for, and say how many."""
    title = figure.suptitle(text, x=0.01, ha="left", fontsize=10, fontweight="bold")
    length = len(text)
    while title.get_window_extent().x1 > 0.99 * figure.bbox.width and length > 1:
        length -= 1
        title.set_text(fill(text, length))
    return title.get_text().count("\n") + 1


def as_svg(figure: Figure) -> str:
    """The same text for the same figure."""
    file = io.BytesIO()
    with _drawing(figure):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue().decode()


def on_dark(svg: str) -> str:
    """The same picture for a dark page."""
    return re.sub("#[0-9a-f]{6}", lambda found: _DARK.get(found[0], found[0]), svg)


def require_picture(path: Path) -> None:
    """Raise UsageError for a name that is of no kind of picture that `save` writes."""
    if path.suffix.lower() not in _ENDINGS:
        raise UsageError(f"{path}: expected a name that ends in {', '.join(_ENDINGS)}.")


def save(figure: Figure, path: Path) -> None:
    """Write a .png, .svg or .pdf, whole or not at all, the same bytes for the same figure; raises VggbenchError."""
    require_picture(path)
    ending = path.suffix.lower()
    metadata: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(ending, {})
    with written_whole(path) as partial, _drawing(figure):
        figure.savefig(partial, format=ending[1:], dpi=150, metadata=metadata)


@contextlib.contextmanager
def _drawing(figure: Figure) -> Iterator[None]:
    """Lay the figure out, once: left to savefig, that costs a drawing of its own each time."""
    with mpl.rc_context(STYLE), boxes_for_glyphs():
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)
        yield


@contextlib.contextmanager
def boxes_for_glyphs() -> Iterator[None]:
    """Draw boxes for scripts that the font lacks, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        yield

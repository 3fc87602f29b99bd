"""What all pictures share: colours that the colour-blind tell apart, and how a figure becomes a file."""

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from vggbench.errors import UsageError
from vggbench.writing import written_whole

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which are told apart by nearly everybody."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Beside colour, so that it is never the only sign."""
INK, FAINT = "#1f2328", "#6e7781"
_ENDINGS = (".png", ".svg", ".pdf")
STYLE: Any = {
    "svg.hashsalt": "vggbench", "svg.fonttype": "path", "font.size": 9, "font.family": "DejaVu Sans",
    "axes.edgecolor": FAINT, "axes.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.grid": True,
    "axes.axisbelow": True, "grid.color": "#d8dee4", "grid.linewidth": 0.6, "text.color": INK, "xtick.color": INK,
    "ytick.color": INK, "legend.frameon": False, "figure.facecolor": "white", "savefig.facecolor": "white",
}  # fmt: skip
"""On white, which reads on a dark page too."""


def as_svg(figure: Figure) -> bytes:
    """The same bytes for the same figure."""
    file = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def require_picture(path: Path) -> None:
    """Raise UsageError for a name that is of no kind of picture that `save` writes."""
    if path.suffix.lower() not in _ENDINGS:
        raise UsageError(f"{path}: expected a name that ends in {', '.join(_ENDINGS)}.")


def save(figure: Figure, path: Path) -> None:
    """Write a .png, .svg or .pdf, whole or not at all, the same bytes for the same figure; raises VggbenchError."""
    require_picture(path)
    ending = path.suffix.lower()
    metadata: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(ending, {})
    with written_whole(path) as partial, mpl.rc_context(STYLE):
        figure.savefig(partial, format=ending[1:], dpi=150, metadata=metadata)

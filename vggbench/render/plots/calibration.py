"""How often networks are right that are so sure, and how much they err where they are surest."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vggbench.render.plots.figure import COLOURS, FAINT, MARKERS, STYLE
from vggbench.render.plots.panels import legend, one_panel
from vggbench.results.calibration import Calibration
from vggbench.results.rows import Row

_RIGHT = "as right as sure"
_LARGEST = 140.0
"""Square points of a bin that all images are in."""


def reliability(rows: Sequence[Row], title: str) -> Figure | None:
    """Accuracy against confidence in bins of equal width, larger points for more images; None where nothing is known.

    Where there are more rows than colours, it shows the last row of each network.
    """
    shown = _shown(rows)
    if not shown:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = one_panel(title)
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, label=_RIGHT)
        for place, (name, found) in enumerate(shown.items()):
            confidence, accuracy = [own.confidence for own in found.bins], [own.accuracy for own in found.bins]
            sizes = [max(4.0, _LARGEST * own.images / found.images) for own in found.bins]
            colour, marker, text = COLOURS[place], MARKERS[place], f"{name}, ECE {found.ece:.3f}"
            axes.plot(confidence, accuracy, color=colour, marker=marker, linewidth=1.2, markersize=3, label=text)
            axes.scatter(confidence, accuracy, s=sizes, color=colour, marker=marker, alpha=0.45, linewidths=0)
        axes.set(xlabel="confidence: the top class's posterior", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
        legend(axes, last=_RIGHT)
    return figure


def risk_against_coverage(rows: Sequence[Row], title: str) -> Figure | None:
    """Top-1 error of the most confident images against their share of all; which rows as `reliability`."""
    shown = _shown(rows)
    if not shown:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = one_panel(title)
        for place, (name, found) in enumerate(shown.items()):
            _draw_curve(axes, found, f"{name}, AURC {found.aurc:.3f}", COLOURS[place])
        axes.set(
            xlabel="coverage: the most confident images, % of all", ylabel="risk: their top-1 error, %", xlim=(0, 100)
        )
        axes.set_ylim(bottom=0)
        legend(axes)
    return figure


def _draw_curve(axes: Axes, found: Calibration, name: str, colour: str) -> None:
    coverage, risk = zip(*found.curve, strict=True)
    axes.plot([100 * share for share in coverage], [100 * share for share in risk], color=colour, label=name)


def _shown(rows: Sequence[Row]) -> dict[str, Calibration]:
    """The rows by name, as many as there are colours and marks."""
    most = min(len(COLOURS), len(MARKERS))
    found = {_name(row): row.calibration for row in rows if row.calibration}
    last = {row.network: (_name(row), row.calibration) for row in rows if row.calibration}
    chosen = list(found.items()) if len(found) <= most else list(last.values())[:most]
    return dict(chosen)


def _name(row: Row) -> str:
    at = f" at Q={','.join(map(str, row.scales))}" if row.scales else ""
    return f"{row.network}, {row.protocol}{at}"

"""Panels of a figure, in inches, and the legend beside one."""

from collections.abc import Sequence
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vggbench.render.plots.figure import COLOURS, titled

_LEFT, _BOTTOM, _MARGIN = 0.62, 0.5, 0.12
"""Inches beside and below a panel, for its ticks and names, and to the border."""
_LEGEND = 32
"""Characters of a line of the legend."""


def one_panel(title: str) -> tuple[Figure, Axes]:
    """One panel, and room for the title and the names of the axes; `legend` makes its own."""
    figure = Figure(figsize=(7, 4.2))
    top = _below(titled(figure, title))
    return figure, _panel(figure, (_LEFT, _BOTTOM, 7 - _MARGIN, 4.2 - top))


def two_panels(height: float, names: float, title: str) -> tuple[Figure, Axes, Axes]:
    """Side by side, with room for names of so many inches before the second."""
    figure = Figure(figsize=(8, height))
    top = height - _below(titled(figure, title))
    middle = _LEFT + (8 - _LEFT - 3 * _MARGIN - names) / 2.4
    one = _panel(figure, (_LEFT, _BOTTOM, middle, top))
    return figure, one, _panel(figure, (middle + 2 * _MARGIN + names, _BOTTOM, 8 - _MARGIN, top))


def _below(lines: int) -> float:
    """Inches from the top to what stands under a title."""
    return 0.2 + 0.17 * lines


def _panel(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes from left to right and from bottom to top, in inches."""
    (wide, high), (left, bottom, right, top) = figure.get_size_inches(), box
    return figure.add_axes((left / wide, bottom / high, (right - left) / wide, (top - bottom) / high))


def signs(names: Sequence[str]) -> dict[str, int]:
    """A number for each name, in order of appearance."""
    return {name: place % len(COLOURS) for place, name in enumerate(dict.fromkeys(names))}


def legend(axes: Axes, last: str | None = None) -> None:
    """Beside the panel, which makes room; the line named `last` stands last."""
    drawn, names = axes.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda place: names[place] == last)
    box = axes.legend(
        [drawn[place] for place in order], [fill(names[place], _LEGEND) for place in order], loc="center left",
        bbox_to_anchor=(1, 0.5), fontsize=8,
    )  # fmt: skip
    own, whole = axes.get_position(), axes.get_figure(root=True)
    assert whole
    share = (box.get_window_extent().width + 0.1 * whole.dpi) / whole.bbox.width
    axes.set_position((own.x0, own.y0, own.width - share, own.height))

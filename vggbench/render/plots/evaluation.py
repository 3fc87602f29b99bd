"""Errors against Q and against cost, by class, and which classes are taken for which."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from vggbench.data.imagenet import in_words
from vggbench.render.plots.calibration import reliability, risk_against_coverage
from vggbench.render.plots.figure import COLOURS, FAINT, INK, MARKERS, ON_COLOUR, STYLE, boxes_for_glyphs, titled
from vggbench.render.plots.panels import legend, one_panel, signs, two_panels
from vggbench.results.by_class import confused, errors_by_class, pareto
from vggbench.results.circumstances import data_title
from vggbench.results.evaluated import Evaluated
from vggbench.results.rows import Row
from vggbench.store.per_image import PerImage

_WORST, _TAKEN_FOR = 15, 10
_APART = 2.5
"""Pixels of Q between two lines, so that their intervals can be told apart."""
_FEW = 30
"""Classes, if each is to have a bar."""
_CELL = (0.62, 0.32)
"""Inches of a cell of the confusion."""
_OF_CELLS = "Rows: classes, most wrong first. Columns: what they are taken for, in % of the row's images."
_FULL = 50.0
"""Percent from which such a cell may be of full colour."""
_TICKS = FontProperties(family=STYLE["font.family"], size=7.5)
_FRONT = "nothing cheaper is better"
"""The line of the front."""


def figures(found: Evaluated) -> dict[str, Figure]:
    """Errors against Q and cost, and calibration if asked for, over all nets; for each its classes and confusions."""
    models = found.models
    rows = [row for model in models for row in found.measured(found.lines(model))[:: len(found.truths)]]
    what = data_title(found.data, rows[0])
    drawn: dict[str, Figure | None] = {
        "error-q": error_against_scale(rows, what),
        "error-gmacs": error_against_cost(rows, what),
        "reliability": reliability(rows, what),
        "risk-coverage": risk_against_coverage(rows, what),
    }
    for model in models:
        line = found.lines(model)[-1]
        images, names = found.of_each_image(line), in_words(model.class_names, model.classes)
        title = f"{model.name}, {line.title} | {what}"
        stem = "".join(c if c.isalnum() or c in "-." else "-" for c in model.name)
        drawn[f"classes-{stem}"] = error_by_class(images, names, title)
        drawn[f"confusion-{stem}"] = confusion(images, names, title)
    return {name: figure for name, figure in drawn.items() if figure}


def error_against_scale(rows: Sequence[Row], title: str) -> Figure | None:
    """Top-1 error of each net and protocol at each Q, with 95% intervals; None where nothing has two Qs."""
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if len(row.scales) == 1 and row.errors:
            lines.setdefault((row.network, row.protocol), []).append(row)
    lines = {name: sorted(own, key=lambda row: row.scales) for name, own in lines.items() if len(own) > 1}
    if not lines:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = one_panel(title)
        colour, marker = signs([name for name, _ in lines]), signs([protocol for _, protocol in lines])
        for place, ((name, protocol), own) in enumerate(lines.items()):
            aside = _APART * (place - (len(lines) - 1) / 2)
            scales = [row.scales[0] + aside for row in own]
            errors = [row.errors.top1.percent for row in own if row.errors]
            bounds = np.abs(np.array([row.errors.top1.interval for row in own if row.errors]).T - errors)
            axes.errorbar(
                scales, errors, bounds, color=COLOURS[colour[name]], marker=MARKERS[marker[protocol]], markersize=5,
                linewidth=1.4, elinewidth=0.8, capsize=2.5, label=f"{name}, {protocol}",
            )  # fmt: skip
        axes.set_xticks(sorted({row.scales[0] for own in lines.values() for row in own}))
        axes.set(xlabel="Q, the image's shorter side in pixels", ylabel="top-1 error, %")
        legend(axes, last=_FRONT)
    return figure


def error_against_cost(rows: Sequence[Row], title: str) -> Figure | None:
    """Top-1 error against GMACs per image, and the front that no other row undercuts in both."""
    measured = [row for row in rows if row.errors and row.macs]
    if len(measured) < 2:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = one_panel(title)
        colour, marker = signs([r.network for r in measured]), signs([r.protocol for r in measured])
        for row in measured:
            assert row.errors
            assert row.macs
            axes.plot(
                row.macs / 1e9, row.errors.top1.percent, MARKERS[marker[row.protocol] % len(MARKERS)], markersize=7,
                color=COLOURS[colour[row.network] % len(COLOURS)], markeredgecolor="white", markeredgewidth=0.7,
            )  # fmt: skip
        front = pareto(measured)
        points = [(row.macs / 1e9, row.errors.top1.percent) for row in front if row.macs and row.errors]
        if len(points) > 1:
            axes.plot(
                *zip(*points, strict=True), color=FAINT, linewidth=1, zorder=0, drawstyle="steps-post", label=_FRONT
            )
        for row, (x, y) in zip(front, points, strict=True):
            text = f"Q={','.join(map(str, row.scales))}"
            axes.annotate(text, (x, y), (0, -11), textcoords="offset points", fontsize=7, color=FAINT, ha="center")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 3, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="GMACs per image, all views (logarithmic)", ylabel="top-1 error, %")
        axes.margins(0.08, 0.12)
        _keys(axes, colour, marker)
    return figure


def error_by_class(found: PerImage, names: Sequence[str], title: str) -> Figure:
    """All classes in order of their top-1 error, and the worst by name."""
    errors = errors_by_class(found, len(names))
    percent, places = errors.percent, np.arange(1, len(errors.classes) + 1)
    worst = len(places) if len(places) <= _FEW else _WORST
    with mpl.rc_context(STYLE):
        shown = [_short(names[place]) for place in errors.classes[:worst]]
        figure, curve, bars = two_panels(max(3.2, 0.22 * worst + 1.2), max(map(_wide, shown)), title)
        curve.plot(places, percent, color=COLOURS[0], linewidth=1.6)
        curve.fill_between(places, percent, color=COLOURS[0], alpha=0.15)
        curve.set(xlabel="classes, the worst first", ylabel="top-1 error, %", ylim=0)
        curve.xaxis.set_major_locator(MaxNLocator(integer=True))
        bars.barh(range(worst), percent[:worst], color=COLOURS[1], height=0.7)
        bars.set_yticks(range(worst), shown, fontsize=7.5)
        for row in range(worst):
            text = f" {errors.wrong[row]} of {errors.images[row]}"
            bars.text(percent[row], row, text, va="center", fontsize=7, color=FAINT)
        bars.invert_yaxis()
        bars.grid(visible=False, axis="y")
        bars.margins(x=0.18)
        bars.set(xlabel="top-1 error, %, and wrong images", xlim=0)
    return figure


def confusion(found: PerImage, names: Sequence[str], title: str) -> Figure | None:
    """The classes with most wrong images, and what they are taken for, in percent of them; None without an error."""
    confusions = confused(found, len(names), _WORST, _TAKEN_FOR)
    if confusions is None:
        return None
    share = confusions.percent
    with mpl.rc_context(STYLE):
        rows, columns = ([_short(names[place]) for place in own] for own in (confusions.rows, confusions.columns))
        figure, axes = _cells(rows, columns, title)
        most = max(_FULL, float(np.nanmax(share, initial=0)))
        shades = LinearSegmentedColormap.from_list("share", [(COLOURS[0], 0), (COLOURS[0], 1)])
        axes.imshow(share, cmap=shades, aspect="auto", vmin=0, vmax=most)
        for (row, column), value in np.ndenumerate(share):
            if value > 0:
                ink = ON_COLOUR if value > 0.6 * most else INK
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7.5, color=ink)
    return figure


def _cells(rows: Sequence[str], columns: Sequence[str], title: str) -> tuple[Figure, Axes]:
    """A figure as large as its cells and names ask for, so that few cells are not stretched over it."""
    width, height = _CELL[0] * len(columns), _CELL[1] * len(rows)
    slant = max(_wide(name) for name in columns)
    left = 0.25 + max(0, *(_wide(name) for name in rows), 0.82 * slant - _CELL[0] / 2)
    bottom = 0.45 + 0.58 * slant
    figure = Figure(figsize=(max(left + width + 0.3, 7.5), bottom + height + 0.4))
    lines = titled(figure, title)
    figure.set_figheight(bottom + height + 0.25 + 0.17 * lines)
    wide, high = figure.get_size_inches()
    axes = figure.add_axes((left / wide, bottom / high, width / wide, height / high))
    axes.set_xticks(range(len(columns)), columns, rotation=35, ha="right", rotation_mode="anchor", fontsize=7.5)
    axes.set_yticks(range(len(rows)), rows, fontsize=7.5)
    axes.grid(visible=False)
    figure.text(0.01, 0.08 / high, _OF_CELLS, fontsize=8, color=FAINT)
    return figure, axes


def _wide(name: str) -> float:
    """Inches of a tick's name."""
    with boxes_for_glyphs():
        width, _, _ = text_to_path.get_text_width_height_descent(name, _TICKS, ismath=False)
    return float(width) / 72 + 0.08


def _keys(axes: Axes, colour: dict[str, int], marker: dict[str, int]) -> None:
    """Colours say the net, markers the protocol."""
    for name, place in colour.items():
        axes.plot([], [], "s", color=COLOURS[place], label=name)
    for protocol, place in marker.items():
        axes.plot([], [], MARKERS[place], color="white", markeredgecolor=INK, label=protocol)
    legend(axes, last=_FRONT)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"

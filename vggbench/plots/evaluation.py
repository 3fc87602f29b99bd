"""Errors against Q and against cost, by class, and which classes are taken for which."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from vggbench.per_image import PerImage
from vggbench.plots.figure import COLOURS, FAINT, INK, MARKERS, STYLE
from vggbench.results import Row

_WORST, _TAKEN_FOR = 15, 10
_APART = 2.5
"""Pixels of Q between two lines, so that their intervals can be told apart."""
_FEW = 30
"""Classes of which each has a bar."""


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
        figure, axes = _figure(title)
        colour, marker = _signs([name for name, _ in lines]), _signs([protocol for _, protocol in lines])
        for place, ((name, protocol), own) in enumerate(lines.items()):
            aside = _APART * (place - (len(lines) - 1) / 2)
            scales, errors = (
                [row.scales[0] + aside for row in own],
                [row.errors.top1.percent for row in own if row.errors],
            )
            bounds = np.abs(np.array([row.errors.top1.interval for row in own if row.errors]).T - errors)
            axes.errorbar(
                scales, errors, bounds, color=COLOURS[colour[name]], marker=MARKERS[marker[protocol]], markersize=5,
                linewidth=1.4, elinewidth=0.8, capsize=2.5, label=f"{name}, {protocol}",
            )  # fmt: skip
        axes.set_xticks(sorted({row.scales[0] for own in lines.values() for row in own}))
        axes.set(xlabel="Q, the image's shorter side in pixels", ylabel="top-1 error, %")
        _legend(axes)
    return figure


def error_against_cost(rows: Sequence[Row], title: str) -> Figure | None:
    """Top-1 error against GMACs per image, and the front that no other row undercuts in both."""
    measured = [row for row in rows if row.errors and row.macs]
    if len(measured) < 2:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = _figure(title)
        colour, marker = _signs([r.network for r in measured]), _signs([r.protocol for r in measured])
        for row in measured:
            assert row.errors
            assert row.macs
            axes.plot(
                row.macs / 1e9, row.errors.top1.percent, MARKERS[marker[row.protocol] % len(MARKERS)], markersize=7,
                color=COLOURS[colour[row.network] % len(COLOURS)], markeredgecolor="white", markeredgewidth=0.7,
            )  # fmt: skip
        front = pareto(measured)
        points = [(row.macs / 1e9, row.errors.top1.percent) for row in front if row.macs and row.errors]
        axes.plot(*zip(*points, strict=True), color=FAINT, linewidth=1, zorder=0, drawstyle="steps-post")
        for row, (x, y) in zip(front, points, strict=True):
            text = f"Q={','.join(map(str, row.scales))}"
            axes.annotate(text, (x, y), (0, -11), textcoords="offset points", fontsize=7, color=FAINT, ha="center")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="GMACs per image, all views (logarithmic)", ylabel="top-1 error, %")
        axes.margins(0.08, 0.12)
        _keys(axes, colour, marker)
    return figure


def pareto(rows: Sequence[Row]) -> list[Row]:
    """The rows that no cheaper or equally cheap one matches, cheapest first."""
    front: list[Row] = []
    for row in sorted(rows, key=lambda r: (r.macs or 0, r.errors.top1.percent if r.errors else 0)):
        assert row.errors
        if not front or row.errors.top1.percent < min(r.errors.top1.percent for r in front if r.errors):
            front.append(row)
    return front


def class_errors(found: PerImage, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(K,) images and wrong images of each class."""
    images = np.bincount(found.labels, minlength=classes)
    wrong = np.bincount(found.labels[found.ranks > 0], minlength=classes)
    return images, wrong


def error_by_class(found: PerImage, names: Sequence[str], title: str) -> Figure:
    """All classes in order of their top-1 error, and the worst by name."""
    images, wrong = class_errors(found, len(names))
    there = np.flatnonzero(images)
    error = 100 * wrong[there] / images[there]
    order = np.argsort(-error, kind="stable")
    worst = order[: len(there) if len(there) <= _FEW else _WORST]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, max(3.2, 0.22 * len(worst) + 1.2)), layout="constrained")
        curve, bars = figure.subplots(1, 2, width_ratios=(1, 1.4))
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        curve.plot(np.arange(1, len(there) + 1), error[order], color=COLOURS[0], linewidth=1.6)
        curve.fill_between(np.arange(1, len(there) + 1), error[order], color=COLOURS[0], alpha=0.15)
        curve.set(xlabel="classes, the worst first", ylabel="top-1 error, %", ylim=0)
        curve.xaxis.set_major_locator(MaxNLocator(integer=True))
        bars.barh(range(len(worst)), error[worst], color=COLOURS[1], height=0.7)
        bars.set_yticks(range(len(worst)), [_short(names[there[place]]) for place in worst], fontsize=7.5)
        for row, place in enumerate(worst):
            text = f" {wrong[there[place]]} of {images[there[place]]}"
            bars.text(error[place], row, text, va="center", fontsize=7, color=FAINT)
        bars.invert_yaxis()
        bars.grid(visible=False, axis="y")
        bars.margins(x=0.18)
        bars.set(xlabel="top-1 error, %, and wrong images", xlim=0)
    return figure


def confusion(found: PerImage, names: Sequence[str], title: str) -> Figure | None:
    """The classes with most wrong images, and what they are taken for, in percent of them; None without an error."""
    images, wrong = class_errors(found, len(names))
    rows = [place for place in np.argsort(-wrong, kind="stable")[:_WORST].tolist() if wrong[place]]
    if not rows:
        return None
    said = found.classes[:, 0]
    taken = np.bincount(said[np.isin(found.labels, rows) & (said != found.labels)], minlength=len(names))
    columns = [place for place in np.argsort(-taken, kind="stable")[:_TAKEN_FOR].tolist() if taken[place]]
    share = np.array([
        [100 * np.sum((found.labels == row) & (said == column)) / images[row] for column in columns] for row in rows
    ])  # fmt: skip
    share = np.where(np.equal.outer(rows, columns), np.nan, share)
    with mpl.rc_context(STYLE):
        size = (2.6 + 0.62 * len(columns), 1.8 + 0.32 * len(rows))
        figure = Figure(figsize=(max(size[0], 7.5), size[1]), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title)
        most = max(float(np.nanmax(share)), 1e-9) if np.isfinite(share).any() else 1.0
        axes.imshow(share, cmap="Blues", aspect="auto", vmin=0, vmax=most)
        axes.set_xticks(range(len(columns)), [_short(names[c]) for c in columns], rotation=35, ha="right", fontsize=7.5)
        axes.set_yticks(range(len(rows)), [_short(names[r]) for r in rows], fontsize=7.5)
        axes.grid(visible=False)
        for (row, column), value in np.ndenumerate(share):
            if value > 0:
                ink = "white" if value > 0.6 * most else INK
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7.5, color=ink)
        axes.set(xlabel="taken for, % of the class's images", ylabel="class, most wrong first")
    return figure


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def _signs(names: Sequence[str]) -> dict[str, int]:
    """A number for each name, in order of appearance."""
    return {name: place % len(COLOURS) for place, name in enumerate(dict.fromkeys(names))}


def _legend(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)


def _keys(axes: Axes, colour: dict[str, int], marker: dict[str, int]) -> None:
    """Colours say the net, markers the protocol."""
    for name, place in colour.items():
        axes.plot([], [], "s", color=COLOURS[place], label=name)
    for protocol, place in marker.items():
        axes.plot([], [], MARKERS[place], color="white", markeredgecolor=INK, label=protocol)
    axes.plot([], [], color=FAINT, linewidth=1, label="nothing cheaper is better")
    _legend(axes)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"

"""What an image costs: GMACs by protocol, and by Q where they depend on it; parameters and MACs by layer."""

from collections.abc import Sequence
from itertools import groupby

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from vggbench.errors import counted
from vggbench.render.plots.figure import COLOURS, MARKERS, STYLE
from vggbench.studies.counts import HEIGHT, WIDTH, LayerCount, ProtocolCount

_CROPS = ("center", "tencrop", "multicrop")


def gmacs_by_protocol(rows: Sequence[ProtocolCount]) -> Figure:
    """Two panels of GMACs per image, logarithmic: crops for each net, and dense evaluation over Q."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4), layout="constrained")
        crops, dense = figure.subplots(1, 2, sharey=True)
        single = [row for row in rows if len(row.scales) == 1]
        _crops(crops, [row for row in single if row.protocol in _CROPS])
        _dense(dense, [row for row in single if row.protocol == "dense"])
        for axes in (crops, dense):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(ScalarFormatter())
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.legend(fontsize=8)
        crops.set(title="Crops, at every Q", ylabel=f"GMACs of an image of {WIDTH} x {HEIGHT} (logarithmic)")
        dense.set(title="Dense", xlabel="Q, the image's shorter side in pixels")
    return figure


def _crops(axes: Axes, rows: Sequence[ProtocolCount]) -> None:
    for place, row in enumerate(rows):
        axes.plot(
            list(row.macs), [macs / 1e9 for macs in row.macs.values()], MARKERS[place], color=COLOURS[place],
            markersize=7, label=f"{row.protocol}, {counted(row.views, 'view')}",
        )  # fmt: skip


def _dense(axes: Axes, rows: Sequence[ProtocolCount]) -> None:
    """One line for all nets that cost the same, as A and A-LRN do."""
    scales = [row.scales[0] for row in rows]
    lines: dict[tuple[float, ...], list[str]] = {}
    for name in rows[0].macs:
        lines.setdefault(tuple(row.macs[name] / 1e9 for row in rows), []).append(name)
    for place, (gmacs, names) in enumerate(lines.items()):
        axes.plot(
            scales, gmacs, color=COLOURS[place % len(COLOURS)], marker=MARKERS[place % len(MARKERS)], markersize=5,
            linewidth=1.4, label=", ".join(names),
        )  # fmt: skip
    axes.set_xticks(scales)


def parameters_and_macs(rows: Sequence[LayerCount]) -> Figure:
    """Two panels a net: parameters in millions and GMACs of each layer, all on views of one size."""
    nets = [(name, list(own)) for name, own in groupby(rows, lambda row: row.architecture.config.name)]
    scale = rows[0].scale
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.6 + 2.3 * len(nets)), layout="constrained")
        panels = figure.subplots(len(nets), 2, squeeze=False)
        for (net, own), (left, right) in zip(nets, panels, strict=True):
            layers = [row.layer for row in own if row.layer.kind in ("conv", "fc")]
            places, names = range(len(layers)), [layer.name for layer in layers]
            colours = [COLOURS[0] if layer.kind == "conv" else COLOURS[1] for layer in layers]
            left.bar(places, [layer.parameters / 1e6 for layer in layers], color=colours)
            right.bar(places, [layer.macs / 1e9 for layer in layers], color=colours)
            left.set(title=f"{net}: parameters", ylabel="millions")
            right.set(title=f"{net}: GMACs, {scale} x {scale}", ylabel="GMACs")
            for axes in (left, right):
                axes.set_xticks(places, names, rotation=90, fontsize=7)
                axes.grid(visible=False, axis="x")
    return figure

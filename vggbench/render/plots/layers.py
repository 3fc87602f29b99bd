"""Parameters and MACs, layer by layer."""

from collections.abc import Sequence
from itertools import groupby

import matplotlib as mpl
from matplotlib.figure import Figure

from vggbench.render.plots.figure import COLOURS, STYLE
from vggbench.studies.counts import LayerCount


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

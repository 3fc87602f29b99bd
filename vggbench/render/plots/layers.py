"""Parameters and MACs, layer by layer."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from vggbench.nets.cost import Architecture, layers
from vggbench.render.plots.figure import COLOURS, STYLE


def parameters_and_macs(nets: Sequence[Architecture], scale: int) -> Figure:
    """Two panels a net: parameters in millions and GMACs of each layer, on a view of `scale` x `scale`."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 0.6 + 2.3 * len(nets)), layout="constrained")
        panels = figure.subplots(len(nets), 2, squeeze=False)
        for net, (left, right) in zip(nets, panels, strict=True):
            rows = [row for row in layers(net, scale, scale) if row.kind in ("conv", "fc")]
            places, names = range(len(rows)), [row.name for row in rows]
            colours = [COLOURS[0] if row.kind == "conv" else COLOURS[1] for row in rows]
            left.bar(places, [row.parameters / 1e6 for row in rows], color=colours)
            right.bar(places, [row.macs / 1e9 for row in rows], color=colours)
            left.set(title=f"{net.config.name}: parameters", ylabel="millions")
            right.set(title=f"{net.config.name}: GMACs, {scale} x {scale}", ylabel="GMACs")
            for axes in (left, right):
                axes.set_xticks(places, names, rotation=90, fontsize=7)
                axes.grid(visible=False, axis="x")
    return figure

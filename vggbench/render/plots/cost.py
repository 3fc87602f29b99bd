"""What an image costs: GMACs by protocol, and by Q where they depend on it."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from vggbench.nets.cost import Architecture, image_macs
from vggbench.paper.protocols import Protocol
from vggbench.render.plots.figure import COLOURS, MARKERS, STYLE
from vggbench.render.tables.cost import HEIGHT, WIDTH

_CROPS = ("center", "tencrop", "multicrop")


def gmacs_by_protocol(nets: Sequence[Architecture], scales: Sequence[int]) -> Figure:
    """Two panels of GMACs per image, logarithmic: crops for each net, and dense evaluation over Q."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4), layout="constrained")
        crops, dense = figure.subplots(1, 2, sharey=True)
        _crops(crops, nets)
        _dense(dense, nets, scales)
        for axes in (crops, dense):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(ScalarFormatter())
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.legend(fontsize=8)
        crops.set(title="Crops, at every Q", ylabel=f"GMACs of an image of {WIDTH} x {HEIGHT} (logarithmic)")
        dense.set(title="Dense", xlabel="Q, the image's shorter side in pixels")
    return figure


def _crops(axes: Axes, nets: Sequence[Architecture]) -> None:
    names = [net.config.name for net in nets]
    for place, name in enumerate(_CROPS):
        protocol = Protocol(name)  # type: ignore[arg-type] # one of its names
        gmacs = [image_macs(net, protocol, 256, HEIGHT, WIDTH) / 1e9 for net in nets]
        axes.plot(
            names, gmacs, MARKERS[place], color=COLOURS[place], markersize=7,
            label=f"{name}, {protocol.view_count} view{'' if protocol.view_count == 1 else 's'}",
        )  # fmt: skip


def _dense(axes: Axes, nets: Sequence[Architecture], scales: Sequence[int]) -> None:
    """One line for all nets that cost the same, as A and A-LRN do."""
    lines: dict[tuple[float, ...], list[str]] = {}
    for net in nets:
        gmacs = tuple(image_macs(net, Protocol("dense"), scale, HEIGHT, WIDTH) / 1e9 for scale in scales)
        lines.setdefault(gmacs, []).append(net.config.name)
    for place, (gmacs, names) in enumerate(lines.items()):
        axes.plot(
            scales, gmacs, color=COLOURS[place % len(COLOURS)], marker=MARKERS[place % len(MARKERS)], markersize=5,
            linewidth=1.4, label=", ".join(names),
        )  # fmt: skip
    axes.set_xticks(scales)

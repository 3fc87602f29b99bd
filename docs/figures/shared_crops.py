"""Draws shared_crops.svg: what two crops of one row share after D's third stage, at Q=256, on the grid of 8."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.patches import Patch, Rectangle

from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol

HEIGHT, WIDTH = 256, 336
STRIDE = 8
"""Pixels of a position of the map after three poolings."""
RING = 3
"""Positions that the zero padding of a crop's own border has reached after D's three stages."""
WHOLE, ROWS, COLUMNS, CORNERS = "#9ecae1", "#fdae6b", "#a1d99b", "#de2d26"
MEANINGS = (
    (WHOLE, "the whole image's map: computed once, for all 25 crops"),
    (ROWS, "strips along a top or a bottom: 5 crops share each"),
    (COLUMNS, "strips along a left or a right: the same, across"),
    (CORNERS, f"corners, where two sides meet: a crop's own, {RING} x {RING} positions each"),
)


def main() -> None:
    """The map of the whole image, and on it the second and the fourth crop of the second row."""
    mpl.rcParams.update({"svg.hashsalt": "vggbench", "svg.fonttype": "none"})
    crops = [view for view in Protocol("multicrop", 8).views(HEIGHT, WIDTH) if not view.mirror]
    first, second = crops[6], crops[8]
    side = CROP // STRIDE
    figure, axes = plt.subplots(figsize=(8, 7), layout="constrained")

    def box(left: float, top: float, width: float, height: float, colour: str) -> None:
        axes.add_patch(Rectangle((left, top), width, height, facecolor=colour, edgecolor="none"))

    box(0, 0, WIDTH / STRIDE, HEIGHT / STRIDE, WHOLE)
    tops = [first.top / STRIDE, first.top / STRIDE + side - RING]
    lefts = [edge for crop in (first, second) for edge in (crop.left / STRIDE, crop.left / STRIDE + side - RING)]
    for top in tops:
        box(0, top, WIDTH / STRIDE, RING, ROWS)
    for left in lefts:
        box(left, 0, RING, HEIGHT / STRIDE, COLUMNS)
        for top in tops:
            box(left, top, RING, RING, CORNERS)
    for crop, style in ((first, "-"), (second, "--")):
        corner = (crop.left / STRIDE, crop.top / STRIDE)
        axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="black", linewidth=2, linestyle=style))
    axes.set_xlim(-0.5, WIDTH / STRIDE + 0.5)
    axes.set_ylim(HEIGHT / STRIDE + 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title("The map after stage 3 of D, and two crops of one row", fontsize=12, loc="left")
    handles = [Patch(color=colour, label=text) for colour, text in MEANINGS]
    figure.legend(handles=handles, loc="outside lower left", frameon=False, fontsize=11)
    figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()

"""The picture that explains dense evaluation: where in an image the net sees a class."""

from textwrap import fill
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from vggbench.paper.configs import CROP
from vggbench.render.plots.figure import FAINT, INK, STYLE

if TYPE_CHECKING:
    from vggbench.studies.prediction import ClassMap

Pixels = NDArray[Any]
_COLOURS = "magma"
_FAINTEST, _FULLEST = 0.35, 0.75
"""How much of the picture the colour hides where the probability is 0, and where it is 1."""
_WIDTH, _SMALLEST = 9.0, 7.0
"""Inches of the figure, and points of its smallest text."""
_KEPT = 14
"""Characters at the end of a text that is shortened: the figure in percent, or Q."""


def score_map(pixels: Pixels, found: "ClassMap", what: str, how: str) -> Figure:
    """A (H, W, 3) uint8 image beside itself under the map; `what` names the class, `how` the model and protocol."""
    with mpl.rc_context(STYLE):
        ratio = pixels.shape[0] / pixels.shape[1]
        left, gap, bar, panel = 0.02, 0.015, 0.07, 0.44
        tall = panel * _WIDTH * ratio
        height = tall + 1.25
        figure = Figure(figsize=(_WIDTH, height))
        bottom = 0.72 / height
        axes = [figure.add_axes((left + i * (panel + gap), bottom, panel, tall / height)) for i in range(2)]
        axes[0].imshow(pixels, interpolation="lanczos")
        axes[1].imshow(_over(pixels, found.probability), interpolation="lanczos")
        for axis in axes:
            axis.set_axis_off()
            axis.grid(visible=False)
        _frame(axes[0], found)
        scale = figure.add_axes((left + 2 * panel + gap + 0.012, bottom, 0.012, tall / height))
        bar_ = figure.colorbar(ScalarMappable(Normalize(0, 1), _COLOURS), cax=scale)
        bar_.set_label("probability in the window", fontsize=8)
        bar_.outline.set_visible(False)
        top = 1 - 0.30 / height
        _written(figure, (left, top), what, left + panel, 13, fontweight="bold", color=INK)
        _written(figure, (left + panel + gap, top), how, 1 - bar, 8.5, color=FAINT)
        figure.text(left, 0.52 / height, fill(_caption(found), 150), fontsize=8, color=FAINT, va="top")
    return figure


def _written(figure: Figure, place: tuple[float, float], text: str, until: float, size: float, **how: Any) -> None:
    """Text in one line that ends at `until` of the width, smaller where it would not, or without its middle."""
    written, start, end = figure.text(*place, text, fontsize=size, **how), text[:-_KEPT], text[-_KEPT:]
    while written.get_window_extent().x1 > until * figure.bbox.width and start:
        if size > _SMALLEST:
            size -= 0.5
            written.set_fontsize(size)
        else:
            start = start[:-1]
            written.set_text(f"{start}…{end}")


def _over(pixels: Pixels, probability: Pixels) -> Pixels:
    """The grey image, and where windows are centred the colour over it, the more the surer the net is."""
    grey = 0.25 + 0.75 * (pixels @ np.array([0.299, 0.587, 0.114]))[..., None] / 255
    inside = np.isfinite(probability)
    share = np.where(inside, probability, 0).clip(0, 1)
    colour = mpl.colormaps[_COLOURS](share)[..., :3]
    alpha = np.where(inside, _FAINTEST + (_FULLEST - _FAINTEST) * share, 0)[..., None]
    mixed: Pixels = (1 - alpha) * grey + alpha * colour
    return mixed.clip(0, 1)


def _frame(axis: Axes, found: "ClassMap") -> None:
    """The window that is surest."""
    top, left = found.window
    for colour, width in (("black", 2.6), ("white", 1.3)):
        frame = Rectangle((left, top), CROP - 1, CROP - 1, fill=False, edgecolor=colour, linewidth=width)
        axis.add_patch(frame)


def _caption(found: "ClassMap") -> str:
    height, width = found.positions
    return (
        f"Each of {height} x {width} windows of {CROP} x {CROP} pixels has a probability, drawn at its centre; image "
        f"and mirror averaged; no window is centred near the border. Framed: the surest window. Dense evaluation takes "
        f"the mean of the windows' scores, then softmax: {100 * found.dense:.1f} %."
    )

"""Draws intervals.svg: the 95% Wilson interval of a top-1 error of 28.5%, by how many images it was measured on."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from vggbench.metrics import ErrorRate

COUNTS = (100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000)
ERROR = 0.285


def main() -> None:
    """One bar of uncertainty for each number of images."""
    mpl.rcParams.update({"svg.hashsalt": "vggbench", "svg.fonttype": "none"})
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    for place, count in enumerate(COUNTS):
        low, high = ErrorRate(round(ERROR * count), count).interval
        axes.plot([place, place], [low, high], color="#2171b5", linewidth=5, solid_capstyle="butt")
        axes.text(place, high + 0.4, f"±{(high - low) / 2:.1f}", ha="center", fontsize=10)
    axes.axhline(100 * ERROR, color="#888", linewidth=0.8, zorder=0)
    axes.set_xticks(range(len(COUNTS)), [f"{count:,}" for count in COUNTS])
    axes.set_xlabel("images")
    axes.set_ylabel("top-1 error, %")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()

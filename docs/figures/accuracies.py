"""Draws accuracies.svg: the top-1 accuracy that seven sources report for the same released VGG-16 weights."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

REPORTED = (
    ("MXNet's caffe_converter", 73.4),
    ("MatConvNet", 71.5),
    ("TensorFlow-Slim", 71.5),
    ("Keras", 71.3),
    ("dmlc's MXNet model gallery", 71.0),
    ("OpenVINO's Open Model Zoo", 70.968),
    ("neon", 69.2),
)
"""Top-1 accuracy, %, of Oxford's D by one crop, as each source prints it."""
PAPER = ("the paper, dense, Q=384", 74.4)


def main() -> None:
    """A bar a source, and the paper's own protocol as a line."""
    mpl.rcParams.update({"svg.hashsalt": "vggbench", "svg.fonttype": "none"})
    figure, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
    names = [name for name, _ in REPORTED][::-1]
    values = [value for _, value in REPORTED][::-1]
    axes.barh(names, values, color="#6baed6")
    for place, value in enumerate(values):
        axes.text(value + 0.05, place, f"{value:g}", va="center", fontsize=10)
    axes.axvline(PAPER[1], color="#c00020")
    axes.text(PAPER[1] - 0.06, -0.35, PAPER[0], color="#c00020", ha="right", fontsize=10)
    axes.set_xlim(68, 75)
    axes.set_xlabel("top-1 accuracy on ILSVRC-2012 val, % (the axis begins at 68)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()

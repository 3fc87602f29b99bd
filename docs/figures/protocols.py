"""Draws protocols.jpg: which views of one picture of the sample each protocol takes, at Q=256."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle
from PIL import Image

from vggbench.paper.protocols import Protocol, rescaled_size
from vggbench.sample.pictures import sample_folder

Q = 256
SHOWN = (
    ("center", "--center: 1 view"),
    ("tencrop", "--tencrop: 10 views"),
    ("multicrop", "--multicrop: 50 views"),
    ("dense", "--dense: 2 views, of any size"),
)


def main() -> None:
    """One panel a protocol; every window is also taken mirrored, but for the central one."""
    widest = max((Image.open(path) for path in sample_folder().glob("*/*")), key=lambda one: one.width / one.height)
    picture = widest.convert("RGB")
    height, width = rescaled_size(picture.height, picture.width, Q)
    pixels = picture.resize((width, height), Image.Resampling.BILINEAR)
    figure, panels = plt.subplots(2, 2, figsize=(9, 0.9 + 9 * height / width), layout="constrained")
    for panel, (name, title) in zip(panels.flat, SHOWN, strict=True):
        panel.imshow(pixels, alpha=0.75)
        for view in Protocol(name).views(height, width):  # type: ignore[arg-type]
            if not view.mirror:
                corner = (view.left - 0.5, view.top - 0.5)
                panel.add_patch(
                    Rectangle(corner, view.width, view.height, fill=False, edgecolor="#c00020", linewidth=1.4)
                )
        panel.set_title(title, fontsize=12, loc="left")
        panel.set_axis_off()
    figure.savefig(Path(__file__).with_suffix(".jpg"), dpi=90)


if __name__ == "__main__":
    main()

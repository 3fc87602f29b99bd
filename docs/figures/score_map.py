"""Draws docs/score_map.png: three pictures of the sample side by side, and where the sample's D sees the fish."""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from vggbench.sample.pictures import sample_folder

HEIGHT = 375
PICTURES = (("star", 2), ("fish", 3), ("house", 2))
"""Class, and which of its pictures."""


def main() -> None:
    """Compose, predict, draw."""
    found = [Image.open(sorted((sample_folder() / name).iterdir())[place]) for name, place in PICTURES]
    scaled = [picture.resize((picture.width * HEIGHT // picture.height, HEIGHT)) for picture in found]
    whole = Image.new("RGB", (sum(picture.width for picture in scaled), HEIGHT))
    left = 0
    for picture in scaled:
        whole.paste(picture, (left, 0))
        left += picture.width
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "three.png"
        whole.save(path)
        target = Path(__file__).with_suffix(".png")
        command = ["predict", "D@sample", path, "--scales", "512", "--map", target, "--class", "fish"]
        subprocess.run([sys.executable, "-m", "vggbench", *map(str, command)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()

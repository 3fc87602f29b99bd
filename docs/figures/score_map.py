"""Draws docs/figures/score_map.png: three pictures of the sample side by side, and where its net D sees the fish."""

import subprocess
import sys
import tempfile
from pathlib import Path

from vggbench.sample.pictures import side_by_side
from vggbench.studies.quickstart import PICTURES, SEEN


def main() -> None:
    """Compose, predict, draw."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "three.png"
        side_by_side(PICTURES).save(path)
        target = Path(__file__).with_suffix(".png")
        command = ["predict", "D@sample", path, "--scales", "512", "--map", target, "--class", SEEN]
        subprocess.run([sys.executable, "-m", "vggbench", *map(str, command)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()

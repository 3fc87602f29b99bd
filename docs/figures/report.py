"""Draws report.png: the first screen of a report of two nets of the sample, by headless Chromium."""

import subprocess
import sys
import tempfile
from pathlib import Path

SIZE = "1400,1000"


def main() -> None:
    """Make the report, and photograph it."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        command = [
            "report",
            "A",
            "D",
            "--data",
            "sample-quick",
            "--center",
            "--dense",
            "--runs",
            folder,
            "--output",
            page,
        ]
        subprocess.run([sys.executable, "-m", "vggbench", *map(str, command)], check=True, stdout=subprocess.DEVNULL)
        browser = ["chromium", "--headless=new", "--no-sandbox", "--hide-scrollbars", f"--window-size={SIZE}"]
        target = Path(__file__).with_suffix(".png")
        subprocess.run([*browser, f"--screenshot={target}", page.as_uri()], check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()

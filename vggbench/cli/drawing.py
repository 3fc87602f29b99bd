"""Pictures become files: each as PNG and SVG, with a sign that it takes a while."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from vggbench.cli.terminal import say
from vggbench.errors import counted
from vggbench.progress import shows_bars
from vggbench.render.plots.figure import save


def draw(drawn: Mapping[str, Figure], folder: Path) -> None:
    """Each as PNG and SVG; raises VggbenchError."""
    from rich.console import Console
    from rich.progress import track

    paths = {folder / f"{name}{ending}": figure for name, figure in drawn.items() for ending in (".png", ".svg")}
    old = sum(path.exists() for path in paths)
    shown = Console(stderr=True, soft_wrap=True)
    for path, figure in track(paths.items(), "Drawing", console=shown, transient=True, disable=not shows_bars()):
        save(figure, path)
    replaced = f" {counted(old, 'older file')} replaced." if old else ""
    say(f"{folder}/: {counted(len(drawn), 'plot')}, each as PNG and SVG: {', '.join(drawn)}.{replaced}")

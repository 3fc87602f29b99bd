"""Pictures become files: each as PNG and SVG, with a sign that it takes a while."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from vggbench.cli.terminal import say
from vggbench.errors import counted
from vggbench.progress import shows_bars
from vggbench.render.plots.figure import save

if TYPE_CHECKING:
    from vggbench.results.evaluated import Evaluated


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


def draw_evaluation(found: "Evaluated", folder: Path) -> None:
    """All that there is data for; raises VggbenchError."""
    from vggbench.render.plots.evaluation import figures

    draw(figures(found), folder)

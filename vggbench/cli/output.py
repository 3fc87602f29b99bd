"""Write tables and pictures to a terminal, a pipe or files, and check beforehand whether files can be written."""

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vggbench.cli.terminal import say
from vggbench.errors import UsageError, counted
from vggbench.progress import shows_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vggbench.render.tables.table import Table


def require_output(form: str | None, output: Path | None, *, dry: bool = False, plot: Path | None = None) -> None:
    """Refuse a format, a file or a folder of plots that cannot be; see `require_file`."""
    from vggbench.files import require_folder
    from vggbench.render.tables.table import choose_format

    choose_format(form, output, is_terminal=False)
    if output is not None:
        require_file(output, "--output", dry=dry)
    if plot is not None:
        require_folder(plot, "--plot")


def require_file(path: Path, option: str, *, dry: bool = False) -> None:
    """Refuse a path where no file can be written, and say of a file that it will be replaced, unless the run is `dry`.

    Raises UsageError, and VggbenchError where the disk says no.
    """
    from vggbench.files import require_folder

    try:
        if not path.name or path.is_dir():
            raise UsageError(f"{option} {path}: expected a file, found a folder. Name a file, such as table.md.")
        if path.exists() and not path.is_file():
            raise UsageError(f"{option} {path}: expected a file, found a device. Without it, standard output is used.")
        require_folder(path.absolute().parent, option)
        if path.exists() and not dry and os.environ.get("RANK", "0") == "0":  # under torchrun the first process speaks
            say(f"Note: {path} exists and will be replaced.")
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}. Expected the name of a file.") from error


def put(table: "Table", form: str | None, output: Path | None, *, explained: bool = False) -> None:
    """Print or write a table in the form asked for, or the one that fits where it goes; `explained`: with all notes."""
    put_all([table], form, output, explained=explained)


def put_all(tables: "Sequence[Table]", form: str | None, output: Path | None, *, explained: bool = False) -> None:
    """Print or write several tables, one after the other; as CSV or JSON they are one."""
    from vggbench.render.tables.table import choose_format, render, show, write

    chosen = choose_format(form, output, sys.stdout.isatty())
    if output is not None:
        write(tables, chosen, output, f"vggbench {shlex.join(sys.argv[1:])}", explained=explained)
    elif chosen == "table" and sys.stdout.isatty():
        for table in tables:
            show(table, explained=explained)
    else:
        print(render(tables, chosen, explained=explained), end="", flush=True)


def put_json(value: object, form: str | None, output: Path | None) -> bool:
    """Print or write what is no list of records, and say whether JSON was asked for."""
    from vggbench.files import write_whole
    from vggbench.render.tables.table import choose_format

    if choose_format(form, output, sys.stdout.isatty()) != "json":
        return False
    text = json.dumps(value, indent=1) + "\n"
    if output is not None:
        write_whole(output, text)
    else:
        print(text, end="", flush=True)
    return True


def draw(drawn: "Mapping[str, Figure]", folder: Path) -> None:
    """Pictures, each as PNG and SVG; raises VggbenchError."""
    from rich.console import Console
    from rich.progress import track

    from vggbench.render.plots.figure import save

    paths = {folder / f"{name}{ending}": figure for name, figure in drawn.items() for ending in (".png", ".svg")}
    old = sum(path.exists() for path in paths)
    shown = Console(stderr=True, soft_wrap=True)
    for path, figure in track(paths.items(), "Drawing", console=shown, transient=True, disable=not shows_bars()):
        save(figure, path)
    replaced = f" {counted(old, 'older file')} replaced." if old else ""
    say(f"{folder}/: {counted(len(drawn), 'plot')}, each as PNG and SVG: {', '.join(drawn)}.{replaced}")

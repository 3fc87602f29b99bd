"""Where a table goes: the terminal, a pipe, or a file."""

import shlex
import sys
from pathlib import Path

from vggbench.tables.table import Table, choose_format, render, show, write


def put(table: Table, form: str | None, output: Path | None) -> None:
    """Print or write a table in the form asked for, or the one that fits where it goes."""
    chosen = choose_format(form, output, sys.stdout.isatty())
    if output is not None:
        write(table, chosen, output, f"vggbench {shlex.join(sys.argv[1:])}")
    elif chosen == "table" and sys.stdout.isatty():
        show(table)
    else:
        print(render(table, chosen), end="", flush=True)

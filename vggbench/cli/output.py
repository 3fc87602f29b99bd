"""Where a table goes: the terminal, a pipe, or a file."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from vggbench.tables.table import Table, choose_format, render, show, write


def put(table: Table, form: str | None, output: Path | None) -> None:
    """Print or write a table in the form asked for, or the one that fits where it goes."""
    put_all([table], form, output)


def put_all(tables: Sequence[Table], form: str | None, output: Path | None) -> None:
    """The same of several tables, one after the other; as CSV or JSON they are one."""
    chosen = choose_format(form, output, sys.stdout.isatty())
    if output is not None:
        write(tables, chosen, output, f"vggbench {shlex.join(sys.argv[1:])}")
    elif chosen == "table" and sys.stdout.isatty():
        for table in tables:
            show(table)
    else:
        print(render(tables, chosen), end="", flush=True)

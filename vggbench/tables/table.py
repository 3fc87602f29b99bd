"""A table, and its four forms: the terminal's, Markdown, CSV and JSON."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from vggbench.errors import UsageError, printable
from vggbench.writing import written_whole

Format = Literal["table", "md", "csv", "json"]
_SUFFIXES: dict[str, Format] = {".md": "md", ".csv": "csv", ".json": "json", ".txt": "table"}
NONE = "-"


@dataclass(frozen=True)
class Column:
    """A heading and how to print a row's cell; `from_width` is the terminal's width from which it appears.

    An `optional` column vanishes where no row fills it; a `folds` column alone may break its cells;
    `spare` columns go, the last first, where the terminal is too narrow for all.
    """

    heading: str
    cell: Callable[[Any], str]
    right: bool = False
    from_width: int = 0
    optional: bool = False
    folds: bool = False
    spare: bool = False


@dataclass(frozen=True)
class Table:
    """Rows with two sets of columns, for the terminal and for Markdown, and one record a row for CSV and JSON."""

    title: str
    rows: Sequence[Any]
    terminal: Sequence[Column]
    markdown: Sequence[Column]
    record: Callable[[Any], dict[str, Any]]
    notes: Sequence[str]


def formats() -> tuple[str, ...]:
    """All formats, by name."""
    return get_args(Format)


def choose_format(asked: str | None, output: Path | None, is_terminal: bool) -> Format:
    """The format asked for; else by the output's ending; else a table on a terminal and Markdown in a pipe."""
    if asked is not None:
        for name in get_args(Format):
            if asked == name:
                return name  # type: ignore[no-any-return]
        raise UsageError(f"--format {asked}: expected one of {', '.join(formats())}.")
    if output is None:
        return "table" if is_terminal else "md"
    if output.suffix and output.suffix.lower() not in _SUFFIXES:
        page = " An HTML page is made by `vggbench report`." if output.suffix.lower() in (".html", ".htm") else ""
        raise UsageError(
            f"--output {output}: expected a name that ends in {', '.join(_SUFFIXES)}, or --format beside it.{page}"
        )
    return _SUFFIXES.get(output.suffix.lower(), "md")


def render(tables: Table | Sequence[Table], form: Format) -> str:
    """Tables as text, as CSV and JSON in one; for the terminal use `show`."""
    several = [tables] if isinstance(tables, Table) else tables
    records = [table.record(row) for table in several for row in table.rows]
    if form == "json":
        return json.dumps(records, indent=1) + "\n"
    if form == "csv":
        return _csv(records)
    return "\n".join(_markdown(table) if form == "md" else _plain(table) for table in several)


def show(table: Table) -> None:
    """Print to the terminal, at its width."""
    from rich.console import Console

    _print(table, Console(highlight=False))


def write(tables: Table | Sequence[Table], form: Format, path: Path, command: str) -> None:
    """Write a file, whole or not at all; Markdown and CSV begin with the command that made it. Raises VggbenchError."""
    head = {"md": f"<!-- {command} -->\n\n", "csv": f"# {command}\n"}.get(form, "")
    with written_whole(path) as partial:
        partial.write_text(head + render(tables, form), encoding="utf-8", newline="")


def shown_columns(columns: Sequence[Column], rows: Sequence[Any], width: int | None) -> list[Column]:
    """Those that appear at this width, None being unlimited, and are not empty."""
    return [
        column
        for column in columns
        if (width is None or width >= column.from_width)
        and not (column.optional and all(column.cell(row) in (NONE, "") for row in rows))
    ]


def _print(table: Table, console: Any) -> None:
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    columns = shown_columns(table.terminal, table.rows, console.width)
    while _natural_width(columns, table.rows) > console.width and any(column.spare for column in columns):
        columns.remove([column for column in columns if column.spare][-1])
    grid = RichTable(box=None, pad_edge=True, header_style="bold", show_edge=False)
    for column in columns:
        grid.add_column(
            column.heading,
            justify="right" if column.right else "left",
            overflow="fold",
            no_wrap=not column.folds,
        )
    for row in table.rows:
        grid.add_row(*(Text(printable(column.cell(row))) for column in columns))
    console.print(Padding(Text(printable(table.title), style="bold"), (0, 0, 0, 1)))
    console.print(grid)
    for note in table.notes:
        console.print(Padding(Text(printable(note), style="dim"), (0, 0, 0, 1)))


def _natural_width(columns: Sequence[Column], rows: Sequence[Any]) -> int:
    """Of the whole table, in characters, with one space on each side of a cell."""
    return sum(2 + max(len(text) for text in [c.heading, *(c.cell(row) for row in rows)]) for c in columns)


def _plain(table: Table) -> str:
    from rich.console import Console

    width = shutil.get_terminal_size((100, 24)).columns
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    _print(table, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _markdown(table: Table) -> str:
    columns = shown_columns(table.markdown, table.rows, None)
    lines = [
        "| " + " | ".join(column.heading for column in columns) + " |",
        "|" + "|".join("--:" if column.right else "---" for column in columns) + "|",
    ]
    lines += ["| " + " | ".join(_cell(printable(column.cell(row))) for column in columns) + " |" for row in table.rows]
    notes = "".join(f"{_escaped(note)}  \n" for note in table.notes)
    return f"**{_escaped(table.title)}**\n\n" + "\n".join(lines) + f"\n\n{notes}"


def _cell(text: str) -> str:
    """Text that Markdown cannot take for a column or for HTML."""
    return _escaped(text).replace("|", "\\|")


def _escaped(text: str) -> str:
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")


def _csv(found: Sequence[dict[str, Any]]) -> str:
    records = [{key: _scalar(value) for key, value in record.items()} for record in found]
    records = [_split_intervals(record) for record in records]
    text = io.StringIO()
    keys = {key: None for record in records for key in record}
    writer = csv.DictWriter(text, list(keys), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _scalar(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and not all(isinstance(item, float) for item in value):
        return " ".join(str(item) for item in value)
    return printable(value) if isinstance(value, str) else value


def _split_intervals(record: dict[str, Any]) -> dict[str, Any]:
    """One scalar per cell: `top1_interval` becomes `top1_low` and `top1_high`."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if key.endswith("_interval"):
            low, high = value or (None, None)
            stem = key.removesuffix("_interval")
            flat |= {f"{stem}_low": low, f"{stem}_high": high}
        else:
            flat[key] = value
    return flat

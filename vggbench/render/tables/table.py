"""A table, and its four forms: the terminal's, Markdown, CSV and JSON."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from vggbench.errors import UsageError, did_you_mean, printable
from vggbench.files import write_whole
from vggbench.render.choices import Format
from vggbench.render.tables.footer import UNSIGNED, Note, Signed, in_full, on_terminal
from vggbench.render.tables.wrapping import narrowest, widest, wrapped

_SUFFIXES: dict[str, Format] = {".md": "md", ".csv": "csv", ".json": "json", ".txt": "table"}
NONE = "-"
_NARROWEST = 20
"""Characters of a terminal's line that are always counted upon."""


@dataclass(frozen=True)
class Column:
    """A heading and how to print a row's cell; `from_width` is the terminal's width from which it appears.

    An `optional` column vanishes where no row fills it; a `folds` column alone may break its cells, never in a number;
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
    notes: Sequence[str | Note]
    keys: Sequence[str] = ()
    """The keys of a record, if there may be no row."""
    signed: Signed = UNSIGNED


@dataclass(frozen=True)
class Layout:
    """The columns that stand at some width, and how wide each is; no widths: one record below the other."""

    columns: list[Column]
    widths: list[int] | None


def choose_format(asked: str | None, output: Path | None, is_terminal: bool) -> Format:
    """The format asked for; else by the output's ending; else a table on a terminal and Markdown in a pipe."""
    if asked in get_args(Format):
        return cast(Format, asked)
    if asked is not None:
        known = get_args(Format)
        raise UsageError(f"--format {asked}: expected one of {', '.join(known)}.{did_you_mean(asked, known)}")
    if output is None:
        return "table" if is_terminal else "md"
    if output.suffix and output.suffix.lower() not in _SUFFIXES:
        page = " An HTML page is made by `vggbench report`." if output.suffix.lower() in (".html", ".htm") else ""
        raise UsageError(
            f"--output {output}: expected a name that ends in {', '.join(_SUFFIXES)}, or --format beside it.{page}"
        )
    return _SUFFIXES.get(output.suffix.lower(), "md")


def render(
    tables: Table | Sequence[Table], form: Format, command: str | None = None, *, explained: bool = False
) -> str:
    """Tables as text, as CSV and JSON in one; `command` stands in each record of JSON. For the terminal use `show`.

    Notes are in full in Markdown, and in plain text where they are `explained`.
    """
    several = [tables] if isinstance(tables, Table) else tables
    records = [table.record(row) for table in several for row in table.rows]
    if form == "json":
        made = {"command": command} if command else {}
        return json.dumps([record | made for record in records], indent=1) + "\n"
    if form == "csv":
        return _csv(records, [key for table in several for key in table.keys])
    return "\n".join(_markdown(table) if form == "md" else _plain(table, explained) for table in several)


def show(table: Table, *, explained: bool = False) -> None:
    """Print to the terminal, at its width, with few notes or, `explained`, all."""
    from rich.console import Console

    _print(table, Console(highlight=False), explained)


def write(tables: Table | Sequence[Table], form: Format, path: Path, command: str, *, explained: bool = False) -> None:
    """Write a file, whole or not at all; Markdown begins with the command that made it. Raises VggbenchError."""
    head = f"<!-- {command} -->\n\n" if form == "md" else ""
    write_whole(path, head + render(tables, form, command, explained=explained))


def shown_columns(columns: Sequence[Column], rows: Sequence[Any], width: int | None) -> list[Column]:
    """The columns that appear at this width and are not empty; None is unlimited."""
    return [
        column
        for column in columns
        if (width is None or width >= column.from_width)
        and not (column.optional and all(column.cell(row) in (NONE, "") for row in rows))
    ]


def shown_notes(table: Table, columns: Sequence[Column]) -> list[str]:
    """All notes that go with these columns, a line each, and the signatures."""
    return in_full(table.notes, {column.heading for column in columns}, table.signed)


def footer(table: Table, found: Layout, width: int, *, explained: bool = False) -> list[str]:
    """The notes on a terminal, before they are wrapped."""
    headings = {column.heading for column in found.columns}
    rows = len(table.rows) * (1 if found.widths else len(found.columns) + 1)
    return on_terminal(table.notes, headings, table.signed, height=rows + 2, width=width, explained=explained)


def layout(table: Table, width: int) -> Layout:
    """How a table stands in lines of `width` characters, 20 or more, without a number cut."""
    shown = shown_columns(table.terminal, table.rows, width)
    columns = list(shown)
    while sum(_widths(columns, table.rows)) > _room(columns, width) and any(column.spare for column in columns):
        columns.remove([column for column in columns if column.spare][-1])
    widths = _fitted(columns, table.rows, _room(columns, width))
    return Layout(columns, widths) if widths else Layout(shown, None)


def _room(columns: Sequence[Column], width: int) -> int:
    """Characters for the cells, with one space on each side of them."""
    return width - 2 * len(columns)


def _widths(columns: Sequence[Column], rows: Sequence[Any]) -> list[int]:
    return [widest(_texts(column, rows)) for column in columns]


def _fitted(columns: Sequence[Column], rows: Sequence[Any], room: int) -> list[int] | None:
    """Widths that add up to `room` at most, where the columns that fold can be narrow enough."""
    whole = _widths(columns, rows)
    least = [
        min(own, narrowest(_texts(column, rows))) if column.folds else own
        for column, own in zip(columns, whole, strict=True)
    ]
    missing, left = sum(whole) - sum(least), room - sum(least)
    if left < 0:
        return None
    if left >= missing:
        return whole
    return [few + left * (own - few) // missing for few, own in zip(least, whole, strict=True)]


def _texts(column: Column, rows: Sequence[Any]) -> list[str]:
    """The heading and the cells."""
    return [printable(column.heading), *(printable(column.cell(row)) for row in rows)]


def _print(table: Table, console: Any, explained: bool) -> None:
    from rich.text import Text

    console.width = max(console.width, _NARROWEST)
    found = layout(table, console.width)
    for line in wrapped(printable(table.title), console.width - 1):
        console.print(Text(f" {line}", style="bold"))
    if found.widths:
        _print_grid(found.columns, found.widths, table.rows, console)
    else:
        for heading, text in _below(found.columns, table.rows, console.width):
            console.print(Text.assemble((heading, "bold"), text))
    for note in footer(table, found, console.width, explained=explained):
        for line in wrapped(printable(note), console.width - 1):
            console.print(Text(f" {line}", style="dim"))


def _print_grid(columns: Sequence[Column], widths: Sequence[int], rows: Sequence[Any], console: Any) -> None:
    from rich.table import Table as RichTable
    from rich.text import Text

    grid = RichTable(box=None, pad_edge=True, show_edge=False, show_header=False)
    texts = [_texts(column, rows) for column in columns]
    for column, width in zip(columns, widths, strict=True):
        grid.add_column(justify="right" if column.right else "left", min_width=width, max_width=width, no_wrap=True)
    has_headings = any(column.heading for column in columns)
    for place in range(0 if has_headings else 1, len(rows) + 1):
        cells = ("\n".join(wrapped(own[place], width)) for own, width in zip(texts, widths, strict=True))
        grid.add_row(*(Text(cell) for cell in cells), style=None if place else "bold")
    console.print(grid)


def _below(columns: Sequence[Column], rows: Sequence[Any], width: int) -> list[tuple[str, str]]:
    """Records one below the other, as lines of a heading, where one begins, and text."""
    records = [[(printable(column.heading), printable(column.cell(row))) for column in columns] for row in rows]
    is_named = len(columns) == 2 and not columns[0].heading
    if is_named:  # the first cell says what the second is
        records = [[(name, text)] for ((_, name), (_, text)) in records]
    entries = [entry for record in records for entry in record]
    label = widest(heading for heading, _ in entries)
    is_beside = width - label - 3 >= narrowest(text for _, text in entries)
    lines: list[tuple[str, str]] = []
    for record in records:
        lines += [("", "")] if lines and not is_named else []
        for heading, text in record:
            lines += _beside(heading, text, label, width) if is_beside else _stacked(heading, text, width)
    return lines


def _beside(heading: str, text: str, label: int, width: int) -> list[tuple[str, str]]:
    first, *others = wrapped(text, width - label - 3)
    padding = " " * (label - widest([heading]) + 2)
    return [(f" {heading}", padding + first), *(("", " " * (label + 3) + line) for line in others)]


def _stacked(heading: str, text: str, width: int) -> list[tuple[str, str]]:
    headings = [(f" {line}", "") for line in wrapped(heading, width - 1) if line]
    return headings + [("", f"  {line}") for line in wrapped(text, width - 2)]


def _plain(table: Table, explained: bool) -> str:
    from rich.console import Console

    width = shutil.get_terminal_size((100, 24)).columns
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    _print(table, console, explained)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _markdown(table: Table) -> str:
    columns = shown_columns(table.markdown, table.rows, None)
    lines = [
        "| " + " | ".join(_cell(column.heading) for column in columns) + " |",
        "|" + "|".join("--:" if column.right else "---" for column in columns) + "|",
    ]
    lines += ["| " + " | ".join(_cell(printable(column.cell(row))) for column in columns) + " |" for row in table.rows]
    notes = "".join(f"{_escaped(note)}  \n" for note in shown_notes(table, columns))
    return f"**{_escaped(table.title)}**\n\n" + "\n".join(lines) + f"\n\n{notes}"


def _cell(text: str) -> str:
    """Text that Markdown cannot take for a column or for HTML."""
    return _escaped(text).replace("|", "\\|")


def _escaped(text: str) -> str:
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")


def _csv(found: Sequence[dict[str, Any]], keys: Sequence[str]) -> str:
    records = [{key: _scalar(value) for key, value in _split_intervals(record).items()} for record in found]
    text = io.StringIO()
    names = {key: None for record in records for key in record} or _split_intervals(dict.fromkeys(keys))
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _scalar(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        value = [f"{key}={item}" for key, item in value.items()]
    if isinstance(value, list | tuple):
        texts = [str(item) for item in value]
        return printable(("; " if any(" " in text for text in texts) else " ").join(texts))
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

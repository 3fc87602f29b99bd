"""The table of `explain`: each change, its error, and the difference on the same images."""

from collections.abc import Sequence
from typing import Any

from vggbench.explanation import TEST_SCALE, Explained
from vggbench.metrics import holm
from vggbench.tables.errors import Circumstances, data_title, error_cell, error_record, gmacs, made_notes, p_value
from vggbench.tables.table import NONE, Column, Table

_MANY = 10_000


def explanation_table(rows: Sequence[Explained], about: Circumstances, *, recipes: bool) -> Table:
    """The first row is the paper's recipe; the others depart from it, or are `recipes` of toolkits."""
    model = rows[0].job.model
    starred = _significant(rows)
    columns = [
        Column("Recipe" if recipes else "Change", lambda r: r.name),
        Column("Q", lambda r: str(r.job.scale), right=True),
        Column("Top-1", lambda r: error_cell(r.errors.top1)),
        Column("Points", lambda r: _points(r, starred), right=True),
        Column("95%", _bounds),
        Column("p", lambda r: p_value(r.against.p) if r.against else NONE, right=True),
        Column("Top-5", lambda r: f"{r.errors.top5.percent:.{_digits(r)}f}", right=True),
        Column("Published", _published, optional=True),
        Column("GMACs", lambda r: gmacs(r.row), right=True, from_width=90, spare=True),
    ]
    return Table(
        title=f"{model.name}, S={model.train_scale or 'unknown'} | {data_title(about.data, rows[0].row)} | error, %",
        rows=rows,
        terminal=columns,
        markdown=columns,
        record=lambda row: _record(row, about),
        notes=_notes(rows, about),
    )


def _notes(rows: Sequence[Explained], about: Circumstances) -> list[str]:
    notes = [
        f"Same weights and images; first row: dense, Q={rows[0].job.scale}, with the mirror, {about.settings.rescale}.",
        "Points: top-1 error minus the first row's; 95%: its paired interval (Newcombe); p: McNemar's exact test; * "
        f"significant at 5% after Holm's correction for {len(rows) - 1} tests.",
    ]
    notes += [f"{row.name}: {row.what}." for row in rows[1:] if row.what != TEST_SCALE]
    figures = {row.name: row.published for row in rows if row.published}
    notes += [f"Published by {name}: {found[0].how}." for name, found in figures.items() if found]
    return notes + made_notes([rows[0].row], about)


def _significant(rows: Sequence[Explained]) -> set[str]:
    tested = [(row.name, row.against.p) for row in rows if row.against]
    return {name for (name, _), p in zip(tested, holm([p for _, p in tested]), strict=True) if p < 0.05}


def _digits(row: Explained) -> int:
    return 2 if row.errors.top1.images >= _MANY else 1


def _points(row: Explained, starred: set[str]) -> str:
    if row.against is None:
        return NONE
    return f"{row.against.points:+.{_digits(row)}f}{'*' if row.name in starred else ' '}"


def _bounds(row: Explained) -> str:
    if row.against is None:
        return NONE
    low, high = row.against.interval
    return f"{low:+.{_digits(row)}f} to {high:+.{_digits(row)}f}"


def _published(row: Explained) -> str:
    return f"{row.published[0].top1} / {row.published[0].top5}" if row.published else NONE


def _record(row: Explained, about: Circumstances) -> dict[str, Any]:
    record = error_record(row.row, about)
    how = row.job.rescale or about.settings.rescale
    return record | {
        "change": row.name,
        "what": row.what,
        "rescale": str(how),
        "against": "paper's recipe" if row.against else None,
        "against_points": row.against.points if row.against else None,
        "against_interval": list(row.against.interval) if row.against else None,
        "against_p": row.against.p if row.against else None,
        "published_top1": row.published[0].top1 if row.published else None,
        "published_top5": row.published[0].top5 if row.published else None,
    }

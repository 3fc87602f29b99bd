"""The table of `explain`: each change, its error, and the difference on the same images."""

from collections.abc import Sequence
from typing import Any

from vggbench.render.tables.cells import error_cell, gmacs, p_value, paired_bounds, percent
from vggbench.render.tables.errors import difference_cell, error_record
from vggbench.render.tables.notes import Circumstances, data_title, made_notes
from vggbench.render.tables.table import NONE, Column, Table
from vggbench.studies.explanation import TEST_SCALE, Explained


def explanation_table(rows: Sequence[Explained], about: Circumstances, *, recipes: bool) -> Table:
    """The first row is the paper's recipe; the others depart from it, or are `recipes` of toolkits."""
    model, cell = rows[0].job.model, difference_cell([row.row for row in rows])
    columns = [
        Column("Recipe" if recipes else "Change", lambda r: r.name),
        Column("Q", lambda r: str(r.job.scale), right=True),
        Column("Top-1", lambda r: error_cell(r.row.errors.top1)),
        Column("Points", lambda r: cell(r.row), right=True),
        Column("95%", lambda r: paired_bounds(r.row.against) if r.row.against else NONE),
        Column("p", lambda r: p_value(r.row.against.p) if r.row.against else NONE, right=True),
        Column("Top-5", lambda r: percent(r.row.errors.top5), right=True, optional=True),
        Column("Published", _published, optional=True),
        Column("GMACs", lambda r: gmacs(r.row), right=True, from_width=90, spare=True),
    ]
    what = f"{model.identity.name}, S={model.identity.train_scale or 'unknown'}"
    return Table(
        title=f"{what} | {data_title(about.data, rows[0].row)} | error, %",
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


def _published(row: Explained) -> str:
    return f"{row.published[0].top1} / {row.published[0].top5}" if row.published else NONE


def _record(row: Explained, about: Circumstances) -> dict[str, Any]:
    return error_record(row.row, about) | {
        "change": row.name,
        "what": row.what,
        "against": "paper's recipe" if row.row.against else None,
        "published_top1": row.published[0].top1 if row.published else None,
        "published_top5": row.published[0].top5 if row.published else None,
    }

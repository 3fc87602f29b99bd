"""The table of `explain`: each change, its error, and the difference on the same images."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vggbench.metrics import ErrorRate
from vggbench.render.tables.cells import (
    error_cell,
    error_in_markdown,
    gmacs,
    p_cell,
    paired_bounds,
    paired_interval,
    percent,
    points,
)
from vggbench.render.tables.footer import Note
from vggbench.render.tables.notes import made_notes, made_signed
from vggbench.render.tables.table import NONE, Column, Table
from vggbench.results.circumstances import Circumstances, data_title
from vggbench.results.lines import Paired
from vggbench.store.identity import Identity

if TYPE_CHECKING:
    from vggbench.studies.explanation import Explained, Explanation


def explanation_table(found: "Explanation", *, recipes: bool) -> Table:
    """The first row is the paper's recipe; the others depart from it, or are `recipes` of toolkits."""
    from vggbench.studies.explanation import record_of

    rows, about = found.rows, found.about
    model, heading = rows[0].job.identity, "Recipe" if recipes else "Change"
    return Table(
        title=f"{model.name}{_s(model)} | {data_title(about.data, rows[0].row)} | error, %",
        rows=rows,
        terminal=_columns(heading, error_cell, paired_interval),
        markdown=_columns(heading, error_in_markdown, paired_bounds),
        record=lambda row: record_of(row, about),
        notes=_notes(rows, about) + ([] if recipes else _left_out()),
        signed=made_signed([rows[0].row], about),
    )


def _columns(
    heading: str, error: Callable[[ErrorRate | None], str], interval: Callable[[Paired | None], str]
) -> list[Column]:
    return [
        Column(heading, lambda r: r.name, folds=True),
        Column("Q", lambda r: str(r.job.scale), right=True),
        Column("Top-1", lambda r: error(r.row.errors.top1)),
        Column("Points", lambda r: points(r.row.against), right=True),
        Column("95%", lambda r: interval(r.row.against)),
        Column("p", lambda r: p_cell(r.row.against), right=True),
        Column("Top-5", lambda r: percent(r.row.errors.top5), right=True, optional=True),
        Column("Published", _published, optional=True),
        Column("GMACs", lambda r: gmacs(r.row), right=True, from_width=90, spare=True),
    ]


def _notes(rows: "Sequence[Explained]", about: Circumstances) -> list[Note]:
    tests = f"after Holm's correction ({len(rows) - 1} tests)"
    brief = f"Points: top-1 error minus the first row's, and its 95% interval; * significant at 5% {tests}."
    figures = {row.name: row.published for row in rows if row.published}
    return [
        Note(
            "Points: top-1 error minus the first row's; 95%: its paired interval (Newcombe); p: McNemar's exact test; "
            f"* significant at 5% {tests}.", kind="points", brief=brief, place="always",
        ),
        Note(f"First row: {rows[0].what}{_rescaled(rows[0], about)}. All: same weights and images.", kind="recipe"),
        *made_notes([rows[0].row], about),
        *(
            Note(f"{row.name}: {row.what}.", kind="change", place="detail")
            for row in rows[1:]
            if not row.is_told_by_name
        ),
        *(Note(f"Published by {name}: {found[0].how}.", kind="published") for name, found in figures.items() if found),
    ]  # fmt: skip


def _s(model: Identity) -> str:
    """A VGG's training scale."""
    return f", S={model.train_scale or 'unknown'}" if model.architecture or model.train_scale else ""


def _left_out() -> list[Note]:
    from vggbench.images.pixels import INSTALL, has_other_decoders

    if has_other_decoders():
        return []
    return [Note(f"Rows for fast DCT and plain upsampling of JPEGs need a package: {INSTALL}.", kind="left-out")]


def _rescaled(row: "Explained", about: Circumstances) -> str:
    """How, where its name does not say it."""
    return "" if row.job.rescale else f", {about.settings.rescale}"


def _published(row: "Explained") -> str:
    return f"{row.published[0].top1} / {row.published[0].top5}" if row.published else NONE

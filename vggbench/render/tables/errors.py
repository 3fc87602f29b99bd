"""The tables of errors: `eval` (one net, a row per protocol and Q), `compare` and `fuse` (a row per net)."""

from collections.abc import Sequence

from vggbench.paper.protocols import IMPORTED, OWN
from vggbench.render.tables.calibration import calibration_columns
from vggbench.render.tables.cells import (
    bounds,
    difference,
    error_cell,
    gmacs,
    p_cell,
    paired_bounds,
    params,
    percent,
    points,
    reference,
    scales,
    speed,
    views,
)
from vggbench.render.tables.notes import notes, signed
from vggbench.render.tables.table import NONE, Column, Table
from vggbench.results.circumstances import Circumstances, data_title
from vggbench.results.facts import references_of, without_top5
from vggbench.results.judging import ORIGINAL
from vggbench.results.lines import Paired
from vggbench.results.records import error_record
from vggbench.results.rows import Row


def eval_table(rows: Sequence[Row], about: Circumstances, gain: Paired | None = None) -> Table:
    """One model: its protocols and Qs; `gain` compares two of the rows."""
    model = rows[0].models[0]
    scale = f", S={model.train_scale}" if model.train_scale else ", S unknown" if model.architecture else ""
    return Table(
        title=f"{model.name}{scale} | {data_title(about.data, rows[0])} | error, %",
        rows=rows,
        terminal=[
            Column("Protocol", lambda r: r.protocol),
            Column("Q", scales, folds=True),
            Column("Views", views, right=True, from_width=100),
            *_error_columns(rows),
            *calibration_columns(rows),
            Column("GMACs", gmacs, right=True, spare=True),
        ],
        markdown=_markdown_columns(rows),
        record=lambda row: error_record(row, about),
        notes=notes(rows, about, gain),
        signed=signed(rows, about),
    )


def nets_table(rows: Sequence[Row], about: Circumstances, gain: Paired | None = None) -> Table:
    """Several models, or fusions of models: one row each, with parameters and cost; `gain` compares two of the rows."""
    measured = [row for row in rows if row.errors]
    baseline = next((row.against.first for row in rows if row.against), None)
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    one_q = len({row.scales for row in rows}) == 1
    at = f", Q={scales(rows[0])}" if one_q else ", Q by each net's S"
    at = "" if protocols[0] in (OWN, IMPORTED) else at
    what = f"{protocols[0]}{at}" if len(protocols) == 1 else "several protocols"
    columns = [
        Column("Network", lambda r: r.network, folds=True),
        *([] if len(protocols) == 1 else [Column("Protocol", lambda r: r.protocol, folds=True)]),
        Column("S", lambda r: r.train_scale or NONE),
        Column("Q", scales, folds=True),
        Column("Views", views, right=True, from_width=100),
        *_error_columns(rows),
        *([Column(f"vs {baseline}", lambda r: points(r.against), optional=True, spare=True)] if baseline else []),
        *calibration_columns(rows),
        Column("Params", params, right=True, spare=True),
        Column("GMACs", gmacs, right=True, spare=True),
        Column("Images/s", speed, right=True, from_width=100, spare=True),
    ]
    return Table(
        title=f"{data_title(about.data, measured[0] if measured else rows[0])} | {what} | error, %",
        rows=rows,
        terminal=columns,
        markdown=[*_markdown_columns(rows), *(_against_in_full(baseline) if baseline else [])],
        record=lambda row: error_record(row, about),
        notes=notes(rows, about, gain),
        signed=signed(rows, about),
    )


def _error_columns(rows: Sequence[Row]) -> list[Column]:
    _, publishers = references_of(rows)
    return [
        *_labels_column(rows),
        Column("Top-1", lambda r: error_cell(r.errors.top1) if r.errors else "no weights"),
        Column("Top-5", lambda r: error_cell(r.errors.top5) if r.errors else NONE, optional=without_top5(rows)),
        Column("Published" if publishers else "Paper", lambda r: reference(r.reference, "/"), optional=True),
        Column("Diff", lambda r: difference(r.difference), from_width=100, optional=True),
    ]


def _against_in_full(baseline: str) -> list[Column]:
    """The difference to the row that the table compares with."""
    return [
        Column(f"Top-1 vs {baseline} (points)", lambda r: points(r.against)),
        Column("Paired 95% CI", lambda r: paired_bounds(r.against)),
        Column("McNemar's p", lambda r: p_cell(r.against)),
        Column("Images/s", speed, right=True, optional=True),
    ]


def _labels_column(rows: Sequence[Row]) -> list[Column]:
    """A column of labels, if not all rows are by the data's own."""
    return [Column("Labels", lambda r: r.labels)] if any(row.labels != ORIGINAL.name for row in rows) else []


def _markdown_columns(rows: Sequence[Row]) -> list[Column]:
    few = without_top5(rows)
    return [
        Column("Network", lambda r: r.network),
        Column("S", lambda r: r.train_scale or NONE),
        Column("Q", scales),
        Column("Protocol", lambda r: r.protocol),
        Column("Views", views, right=True),
        Column("Images", lambda r: f"{r.errors.top1.images:,}" if r.errors else NONE, right=True),
        *_labels_column(rows),
        Column("Top-1 error (%)", lambda r: percent(r.errors.top1) if r.errors else "no weights", right=True),
        Column("Top-1 95% CI", lambda r: bounds(r.errors.top1) if r.errors else NONE),
        Column("Top-5 error (%)", lambda r: percent(r.errors.top5) if r.errors else NONE, right=True, optional=few),
        Column("Top-5 95% CI", lambda r: bounds(r.errors.top5) if r.errors else NONE, optional=few),
        Column("Ref. top-1 / top-5", lambda r: reference(r.reference, " / "), optional=True),
        Column("Diff.", lambda r: difference(r.difference), optional=True),
        *calibration_columns(rows),
        Column("Params (M)", params, right=True),
        Column("GMACs/image", gmacs, right=True),
        Column("Reference", lambda r: r.reference.source if r.reference else NONE, optional=True),
    ]

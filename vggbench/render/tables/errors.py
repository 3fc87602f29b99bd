"""The tables of errors: `eval` (one net, a row per protocol and Q), `compare` and `fuse` (a row per net)."""

from collections.abc import Callable, Sequence
from typing import Any

from vggbench.metrics import significant
from vggbench.render.tables.cells import (
    bounds,
    difference,
    error_cell,
    gmacs,
    p_value,
    paired_bounds,
    params,
    percent,
    points,
    reference,
    scales,
    speed,
    without_top5,
)
from vggbench.render.tables.notes import Circumstances, data_title, input_of, long_signature, notes, publishers
from vggbench.render.tables.table import NONE, Column, Table
from vggbench.results.judging import ORIGINAL
from vggbench.results.lines import Paired
from vggbench.results.rows import Row
from vggbench.store.identity import Identity


def eval_table(rows: Sequence[Row], about: Circumstances, gain: Paired | None = None) -> Table:
    """One model: its protocols and Qs; `gain` compares two of the rows."""
    model = rows[0].models[0]
    scale = f", S={model.train_scale}" if model.train_scale else ", S unknown"
    return Table(
        title=f"{model.name}{scale} | {data_title(about.data, rows[0])} | error, %",
        rows=rows,
        terminal=[
            Column("Protocol", lambda r: r.protocol),
            Column("Q", scales, folds=True),
            Column("Views", lambda r: str(r.views), right=True, from_width=100),
            *_error_columns(rows),
            Column("GMACs", gmacs, right=True, spare=True),
        ],
        markdown=_markdown_columns(rows),
        record=lambda row: error_record(row, about),
        notes=notes(rows, about, gain),
    )


def nets_table(rows: Sequence[Row], about: Circumstances) -> Table:
    """Several models, or fusions of models: one row each, with parameters and cost."""
    measured = [row for row in rows if row.errors]
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    one_q = len({row.scales for row in rows}) == 1
    at = f", Q={scales(rows[0])}" if one_q else ", Q by each net's S"
    what = f"{protocols[0]}{at}" if len(protocols) == 1 else "several protocols"
    columns = [
        Column("Network", lambda r: r.network, folds=True),
        *([] if len(protocols) == 1 else [Column("Protocol", lambda r: r.protocol, folds=True)]),
        Column("S", lambda r: r.train_scale or NONE),
        Column("Q", scales, folds=True),
        Column("Views", lambda r: str(r.views), right=True, from_width=100),
        *_error_columns(rows),
        *_against_columns(rows),
        Column("Params", params, right=True, spare=True),
        Column("GMACs", gmacs, right=True, spare=True),
        Column("Images/s", speed, right=True, from_width=100, spare=True),
    ]
    return Table(
        title=f"{data_title(about.data, measured[0] if measured else rows[0])} | {what} | error, %",
        rows=rows,
        terminal=columns,
        markdown=[*_markdown_columns(rows), *_against_in_full(rows)],
        record=lambda row: error_record(row, about),
        notes=notes(rows, about),
    )


def _error_columns(rows: Sequence[Row]) -> list[Column]:
    return [
        *_labels_column(rows),
        Column("Top-1", lambda r: error_cell(r.errors.top1) if r.errors else "no weights"),
        Column("Top-5", lambda r: error_cell(r.errors.top5) if r.errors else NONE, optional=without_top5(rows)),
        Column("Published" if publishers(rows) else "Paper", lambda r: reference(r.reference, "/"), optional=True),
        Column("Diff", difference, from_width=100, optional=True),
    ]


def _baseline(rows: Sequence[Row]) -> str | None:
    return next((row.against.first for row in rows if row.against), None)


def difference_cell(rows: Sequence[Row]) -> Callable[[Row], str]:
    """The cell of a difference, with a star where it stands after the correction for all of them."""
    tested = [row for row in rows if row.against]
    stands = significant([row.against.p for row in tested if row.against])
    starred = {id(row) for row, stands_alone in zip(tested, stands, strict=True) if stands_alone}
    return lambda row: points(row.against, starred=id(row) in starred) if row.against else NONE


def _against_columns(rows: Sequence[Row]) -> list[Column]:
    """The difference to the row that the table compares with."""
    baseline = _baseline(rows)
    return [Column(f"vs {baseline}", difference_cell(rows), optional=True, spare=True)] if baseline else []


def _against_in_full(rows: Sequence[Row]) -> list[Column]:
    baseline = _baseline(rows)
    if baseline is None:
        return []
    return [
        Column(f"Top-1 vs {baseline} (points)", difference_cell(rows)),
        Column("Paired 95% CI", lambda r: paired_bounds(r.against) if r.against else NONE),
        Column("McNemar's p", lambda r: p_value(r.against.p) if r.against else NONE),
        Column("Images/s", speed, right=True, optional=True),
    ]


def _labels_column(rows: Sequence[Row]) -> list[Column]:
    """Where not all rows go by the data's own labels."""
    return [Column("Labels", lambda r: r.labels)] if any(row.labels != ORIGINAL.name for row in rows) else []


def _markdown_columns(rows: Sequence[Row]) -> list[Column]:
    few = without_top5(rows)
    return [
        Column("Network", lambda r: r.network),
        Column("S", lambda r: r.train_scale or NONE),
        Column("Q", scales),
        Column("Protocol", lambda r: r.protocol),
        Column("Views", lambda r: str(r.views), right=True),
        Column("Images", lambda r: f"{r.errors.top1.images:,}" if r.errors else NONE, right=True),
        *_labels_column(rows),
        Column("Top-1 error (%)", lambda r: percent(r.errors.top1) if r.errors else "no weights", right=True),
        Column("Top-1 95% CI", lambda r: bounds(r.errors.top1) if r.errors else NONE),
        Column("Top-5 error (%)", lambda r: percent(r.errors.top5) if r.errors else NONE, right=True, optional=few),
        Column("Top-5 95% CI", lambda r: bounds(r.errors.top5) if r.errors else NONE, optional=few),
        Column("Ref. top-1 / top-5", lambda r: reference(r.reference, " / "), optional=True),
        Column("Diff.", difference, optional=True),
        Column("Params (M)", params, right=True),
        Column("GMACs/image", gmacs, right=True),
        Column("Reference", lambda r: r.reference.source if r.reference else NONE, optional=True),
    ]


def error_record(row: Row, about: Circumstances) -> dict[str, Any]:
    """One row for JSON and CSV; keys may be added, never renamed."""
    nets = [model.architecture for model in row.models if model.architecture]
    top1, top5 = (row.errors.top1, row.errors.top5) if row.errors else (None, None)
    macs = None if row.macs is None else row.macs / 1e9
    total = about.data.total
    return {
        "network": row.network,
        "config": row.config,
        "weights": "+".join(_weights(model) for model in row.models) or None,
        "weights_hash": "+".join(model.weights_hash for model in row.models) or None,
        "width": nets[0].width if nets else 1.0,
        "classes": row.models[0].classes if row.models else 1000,
        "data": about.data.name,
        "train_scale": row.train_scale,
        "test_scales": list(row.scales),
        "protocol": row.protocol,
        "views": row.views,
        "images": top1.images if top1 else 0,
        "images_total": total,
        "skipped": row.skipped,
        "blacklisted": row.blacklisted,
        "doubtful": len(row.doubtful),
        "complete": row.images == total,
        "labels": row.labels,
        "top1_error": top1.percent if top1 else None,
        "top5_error": top5.percent if top5 else None,
        "top1_interval": list(top1.interval) if top1 else None,
        "top5_interval": list(top5.interval) if top5 else None,
        "reference_top1": row.reference.top1 if row.reference else None,
        "reference_top5": row.reference.top5 if row.reference else None,
        "reference_source": row.reference.source if row.reference else None,
        "parameters": row.parameters,
        "gmacs_per_image": macs,
        "gflops_per_image": None if macs is None else 2 * macs,
        "precision": about.settings.precision,
        "backend": row.backend,
        "input": "; ".join(dict.fromkeys(input_of(model) for model in row.models)) or None,
        "rescale": row.rescale or str(about.settings.rescale),
        "signature": long_signature(row, about) if row.models else None,
        "images_per_second": row.images_per_second,
        "against": row.against.first if row.against else None,
        "against_points": row.against.points if row.against else None,
        "against_interval": list(row.against.interval) if row.against else None,
        "against_p": row.against.p if row.against else None,
        "note": row.note,
    }


def _weights(model: Identity) -> str:
    """Where they are from, and how they are run otherwise."""
    return (model.source or "") + (f" ({model.altered})" if model.altered else "")

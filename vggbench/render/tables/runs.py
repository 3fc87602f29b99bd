"""`vggbench runs`: what the store holds, and one run in full."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vggbench.metrics import ErrorRate, Errors
from vggbench.render.tables.cells import duration, percent
from vggbench.render.tables.notes import NO_TOP5
from vggbench.render.tables.table import NONE, Column, Table
from vggbench.store.identity import Identity
from vggbench.store.runs import Run

_KEYS = (
    "run", "model", "data", "protocol", "descriptor", "scale", "images", "images_total", "unreadable", "complete",
    "top1_error", "top5_error", "changed", "bytes", "signature",
)  # fmt: skip


@dataclass(frozen=True)
class _Row:
    run: Run
    top1: ErrorRate | None
    top5: ErrorRate | None


@dataclass(frozen=True)
class _Fact:
    name: str
    value: str
    on_terminal: str | None = None
    """The value on a terminal, if it is written otherwise there."""


def runs_table(root: Path, runs: Sequence[Run], now: float) -> Table:
    """One row a run, the newest last; errors are by the labels at the time of the run, of the images so far."""
    rows = []
    for run in sorted(runs, key=lambda run: (run.changed, run.title)):
        errors = run.errors
        rows.append(_Row(run, errors.top1 if errors else None, errors.top5 if errors else None))
    size = sum(run.size for run in runs)
    since = partial(_age, now=now)
    columns = [
        Column("Run", lambda r: r.run.short_hash),
        Column("Model", lambda r: r.run.identity.name, folds=True),
        Column("Data", lambda r: _data(r.run), folds=True, spare=True),
        Column("Protocol", lambda r: _protocol(r.run)),
        Column("Q", lambda r: str(r.run.scale or NONE), right=True),
        Column("Images", lambda r: _images(r.run), right=True),
        Column("Top-1", lambda r: percent(r.top1), right=True),
        Column("Top-5", lambda r: percent(r.top5), right=True, optional=True),
        Column("Age", lambda r: since(r.run), right=True, spare=True),
        Column("Size", lambda r: _megabytes(r.run.size), right=True, spare=True),
    ]
    return Table(
        title=f"{root}/ | {len(runs)} run{'' if len(runs) == 1 else 's'}, {_megabytes(size)} | error, %",
        rows=rows,
        terminal=columns,
        markdown=[Column("Name", lambda r: r.run.title), *columns[1:]],
        record=_record,
        notes=_notes(rows),
        keys=_KEYS,
    )


def run_table(run: Run) -> Table:
    """All that a run's record says."""
    return Table(
        title=run.title,
        rows=_facts(run),
        terminal=[Column("", lambda f: f.name), Column("", lambda f: f.on_terminal or f.value, folds=True)],
        markdown=[Column("Fact", lambda f: f.name), Column("Value", lambda f: f.value)],
        record=lambda fact: {"fact": fact.name, "value": fact.value},
        notes=[],
    )


def _facts(run: Run) -> list[_Fact]:
    signature, errors, model = run.signature, run.errors, run.identity
    facts = [
        _Fact("Model", f"{model.name}, S {model.train_scale or NONE}, weights {signature['weights']}"),
        _Fact("Loaded from", str(run.about.get("spec") or NONE)),
        _Fact("Input", model.input.in_full() + _pooling(model) if model.input else "not known: imported"),
        _Fact("Protocol", f"{_protocol(run)}{f' at Q={run.scale}' if run.scale else ''}"),
        _Fact(
            "Rescaling", ", ".join(f"{name} {value}" for name, value in (signature["rescale"] or {}).items()) or NONE
        ),
        _Fact("Data", f"{_data(run)}, {run.about.get('place') or 'place not on record'}"),
        _Fact("Images", f"{_images(run)}{_left(run)}"),
        *([_of_descriptors(run)] if run.descriptor else [_top1(errors)]),
        *([_error("Top-5 error", errors.top5)] if errors and errors.top5 else []),
        _Fact("Size", _megabytes(run.size)),
    ]
    facts += [_Fact("Unreadable", f"{image} {why}") for image, why in list(run.unreadable.items())[:20]]
    facts += [_Fact("Damaged", str(path)) for path in run.damaged]
    for entry in run.provenance:
        made = ", ".join(f"{name} {value}" for name, value in entry.items() if name != "seconds" and value is not None)
        facts.append(_Fact("Computed", f"{made}, in {duration(entry['seconds'])}"))
    return facts


def _protocol(run: Run) -> str:
    """The protocol and, for descriptors, their layer."""
    return f"{run.descriptor} {run.protocol}" if run.descriptor else str(run.protocol)


def _of_descriptors(run: Run) -> _Fact:
    return _Fact("Descriptors", f"{run.descriptor}, {run.numbers:,} numbers per image, before any normalisation")


def _top1(errors: Errors | None) -> _Fact:
    return _error("Top-1 error", errors.top1) if errors else _Fact("Top-1 error", NONE)


def _pooling(model: Identity) -> str:
    """A VGG's."""
    net = model.architecture
    return f", {'ceil' if net.ceil_pool else 'floor'} pooling" if net else ""


def _notes(rows: Sequence[_Row]) -> list[str]:
    notes = ["Errors are by the labels at the time of each run, over its images; eval uses the present labels."]
    if any(not row.run.is_finished for row in rows):
        notes.append("Not all images done: `vggbench runs --finish` computes the rest.")
    if any(row.top1 and not row.top5 for row in rows):
        notes.append(NO_TOP5)
    return notes


def _record(row: _Row) -> dict[str, Any]:
    run = row.run
    return {
        "run": run.title,
        "model": run.identity.name,
        "data": _data(run),
        "protocol": str(run.protocol),
        "descriptor": str(run.descriptor) if run.descriptor else None,
        "scale": run.scale,
        "images": run.done - len(run.unreadable),
        "images_total": run.total,
        "unreadable": len(run.unreadable),
        "complete": run.is_finished,
        "top1_error": row.top1.percent if row.top1 else None,
        "top5_error": row.top5.percent if row.top5 else None,
        "changed": run.changed,
        "bytes": run.size,
        "signature": run.short_hash,
    }


def _data(run: Run) -> str:
    name = str(run.about.get("data", NONE))
    return name.replace("sample", "SAMPLE", 1) if run.about.get("is_sample") else name


def _images(run: Run) -> str:
    read = run.done - len(run.unreadable)
    return f"{read:,}" if read == run.total else f"{read:,}/{run.total:,}"


def _left(run: Run) -> str:
    unreadable = f", {len(run.unreadable)} unreadable" if run.unreadable else ""
    return unreadable + ("" if run.is_finished else f", {run.total - run.done:,} to compute")


def _error(name: str, rate: ErrorRate) -> _Fact:
    low, high = rate.interval
    counts = f"{rate.wrong:,} of {rate.images:,} images"
    return _Fact(
        name,
        f"{rate.percent:.2f} %, 95% Wilson {low:.2f}-{high:.2f}, {counts}",
        f"{rate.percent:.2f} % [{low:.2f}, {high:.2f}] 95% Wilson, {counts}",
    )


def _megabytes(size: int) -> str:
    if size < 1e6:
        return f"{size / 1e3:.0f} kB"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _age(run: Run, now: float) -> str:
    seconds = max(0.0, now - run.changed)
    days = seconds / 86_400
    return f"{days:.0f} days" if days >= 2 else duration(seconds)

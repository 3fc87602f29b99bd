"""The verdict of `check`, and the line that shows an interval closing on a claim."""

from typing import TYPE_CHECKING, NamedTuple

from vggbench.render.tables.cells import images
from vggbench.render.tables.table import NONE, Column, Table

if TYPE_CHECKING:
    from vggbench.studies.checking.check import Verdict
    from vggbench.studies.checking.claim import Judged


class _Row(NamedTuple):
    """One of the claimed errors."""

    error: str
    claimed: float
    seen: float
    low: float
    high: float
    is_refuted: bool


def closing(judged: "Judged") -> str:
    """What is known so far, in one line."""
    parts = [f"{row.error} between {row.low:.2f} and {row.high:.2f}, claimed {row.claimed:g}" for row in _rows(judged)]
    return f"{images(judged.seen)}: {'; '.join(parts)}."


def verdict_table(found: "Verdict") -> Table:
    """A row for each claimed error; the notes say what was tried."""
    job, judged = found.job, found.judged
    scale = f", S={job.identity.train_scale}" if job.identity.train_scale else ""
    verdict = "REFUTED" if found.is_refuted else "not refuted"
    return Table(
        title=f"{job.title}{scale} | {found.data.name}, {judged.seen:,} of {judged.total:,} images | {verdict}",
        rows=_rows(judged),
        terminal=_columns(),
        markdown=_columns(),
        record=lambda row: found.record(),
        notes=_notes(found),
    )


def _columns() -> list[Column]:
    return [
        Column("Error, %", lambda r: r.error),
        Column("Claimed", lambda r: f"{r.claimed:g}", right=True),
        Column("Seen", lambda r: f"{r.seen:.2f}", right=True),
        Column("Low", lambda r: f"{r.low:.2f}", right=True),
        Column("High", lambda r: f"{r.high:.2f}", right=True),
        Column("Verdict", lambda r: "refuted" if r.is_refuted else "not refuted"),
    ]


def _notes(found: "Verdict") -> list[str]:
    claim, job = found.judged.claim, found.job
    notes = [
        f"Claimed by {claim.source}. Low, high: a confidence sequence of the error over all images, which holds at "
        "every moment at once (Waudby-Smith and Ramdas 2020); refuted at 1%, top-1 and top-5 together.",
        f"Images in a random order that the seed 0 and their names decide. {job.model.input.in_full()}, "
        f"{job.rescale or 'bilinear antialiased'}.",
    ]
    if found.is_refuted:
        notes.append(
            f"Not refuted under one change: {found.culprit}."
            if found.culprit
            else f"Refuted under each change that was tried, too: {', '.join(dict.fromkeys(found.tried)) or NONE}."
        )
    return notes


def _rows(judged: "Judged") -> list[_Row]:
    claimed = {1: judged.claim.top1, 5: judged.claim.top5}
    return [
        _Row(f"top-{k}", claimed[k] or 0.0, 100 * float((judged.ranks >= k).mean()) if judged.seen else 0.0, low, high,
             k in judged.refuted)
        for k, (low, high) in judged.intervals.items()
    ]  # fmt: skip

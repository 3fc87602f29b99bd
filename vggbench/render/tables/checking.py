"""The verdict of `check`, and the line that shows an interval closing on a claim."""

from typing import TYPE_CHECKING

from vggbench.render.tables.cells import images
from vggbench.render.tables.footer import Note
from vggbench.render.tables.table import NONE, Column, Table

if TYPE_CHECKING:
    from vggbench.studies.checking.check import Verdict
    from vggbench.studies.checking.claim import Judged


def closing(judged: "Judged") -> str:
    """What is known so far, in one line."""
    claimed = _claimed(judged)
    parts = [f"top-{k} between {low:.2f} and {high:.2f}, claimed {claimed[k]:g}" for k, (low, high) in _closed(judged)]
    return f"{images(judged.seen)}: {'; '.join(parts)}."


def verdict_table(found: "Verdict") -> Table:
    """One row; the notes say what was tried."""
    job, judged = found.job, found.judged
    scale = f", S={job.identity.train_scale}" if job.identity.train_scale else ""
    columns = [
        Column("Claimed", lambda r: _pair(_claimed(r.judged), r.judged.claim.digits)),
        Column("Seen", lambda r: _pair(_seen(r.judged), 2)),
        Column("Top-1 between", lambda r: _between(r.judged, 1)),
        Column("Top-5 between", lambda r: _between(r.judged, 5), optional=5 not in judged.intervals),
        Column("Verdict", lambda r: "refuted" if r.is_refuted else "not refuted"),
        Column("Not refuted under", lambda r: r.culprit or NONE, optional=not found.is_refuted),
    ]
    return Table(
        title=f"{job.title}{scale} | {found.data.name}, {judged.seen:,} of {judged.total:,} images | error, %",
        rows=[found],
        terminal=columns,
        markdown=columns,
        record=lambda row: row.record(),
        notes=_notes(found),
    )


def _notes(found: "Verdict") -> list[Note]:
    claim, job = found.judged.claim, found.job
    start = f"Claimed by {claim.source}."
    notes = [
        Note(
            f"{start} Between: a confidence sequence for the error over all images, valid at every moment at once "
            "(Waudby-Smith and Ramdas 2020); refuted at 1%, top-1 and top-5 together.", kind="claim",
            brief=f"{start} Between: 99% confidence sequence, top-1 and top-5 together.",
        ),
        Note(f"{job.model.input.in_full()}; {job.rescale or 'bilinear antialiased'}.", kind="input", place="always"),
        Note("Images in random order, by the seed 0 and their names.", kind="claim", place="detail"),
    ]  # fmt: skip
    if found.tried:
        notes.append(Note(f"Changes tried on these images: {', '.join(dict.fromkeys(found.tried))}.", kind="claim"))
    return notes


def _closed(judged: "Judged") -> list[tuple[int, tuple[float, float]]]:
    return sorted(judged.intervals.items())


def _claimed(judged: "Judged") -> dict[int, float]:
    claimed = {1: judged.claim.top1, 5: judged.claim.top5}
    return {k: percent for k in judged.intervals if (percent := claimed[k]) is not None}


def _seen(judged: "Judged") -> dict[int, float]:
    return {k: 100 * float((judged.ranks >= k).mean()) if judged.seen else 0.0 for k in judged.intervals}


def _pair(found: dict[int, float], digits: int) -> str:
    return " / ".join(f"{found[k]:.{digits}f}" for k in sorted(found))


def _between(judged: "Judged", k: int) -> str:
    if k not in judged.intervals:
        return NONE
    low, high = judged.intervals[k]
    return f"{low:.2f} - {high:.2f}"

"""The table of `locate`: each stage of a dump, whether it is equal, and what makes the difference vanish."""

from typing import TYPE_CHECKING

from vggbench.render.tables.table import NONE, Column, Table

if TYPE_CHECKING:
    from vggbench.studies.locating.location import Located
    from vggbench.studies.locating.search import Stage


def locating_table(found: "Located") -> Table:
    """The stages in the pipeline's order."""
    from vggbench.studies.locating.location import stage_record

    columns = [
        Column("Stage", lambda s: s.name),
        Column("Verdict", lambda s: s.verdict, folds=True),
        Column("Largest difference", _largest, right=True),
        Column("Cause", lambda s: ", ".join(s.causes) or NONE, folds=True),
        Column("Layout", lambda s: s.reading or NONE, optional=True, spare=True),
    ]
    job = found.job
    return Table(
        title=f"{job.identity.name} | {found.image} | {job.rescale or found.how}, Q={job.scale}, centre "
        f"{job.protocol.crop}",
        rows=found.stages,
        terminal=columns,
        markdown=columns,
        record=stage_record,
        notes=_notes(found),
    )


def _largest(stage: "Stage") -> str:
    return f"{stage.largest:.2g}" if stage.largest < float("inf") else "other shape"


def _notes(found: "Located") -> list[str]:
    from vggbench.studies.locating.candidates import VOCABULARY

    first = found.first_difference
    notes = [f"First difference: {first}." if first else "All stages agree.", *_tolerances(found)]
    notes += [f"{cause}: {VOCABULARY[cause]}." for cause in found.causes]
    also = {stage.name: stage.also for stage in found.stages if stage.also}
    return notes + [f"At {name} explained as well by {', '.join(others)}." for name, others in also.items()]


def _tolerances(found: "Located") -> list[str]:
    each = dict.fromkeys(stage.tolerance for stage in found.stages)
    names = {one: [stage.name for stage in found.stages if stage.tolerance == one] for one in each}
    return [
        f"Difference of {', '.join(names[one])}: {one.unit}; equal up to rounding to {one.same:g}, and to "
        f"{one.rounding:g} where no candidate comes much closer."
        for one in each
    ]

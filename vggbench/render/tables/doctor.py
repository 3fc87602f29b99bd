"""The table of `doctor`: what a machine is, and what is right and wrong on it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vggbench.errors import counted
from vggbench.render.tables.footer import Note
from vggbench.render.tables.table import Column, Table

if TYPE_CHECKING:
    from vggbench.studies.doctor.finding import Finding


def doctor_table(found: "Sequence[Finding]", version: str) -> Table:
    """One row for each finding."""
    columns = [
        Column("Part", lambda row: row.part),
        Column("Check", lambda row: row.name, folds=True),
        Column("Verdict", lambda row: row.seen.verdict, optional=True),
        Column("Difference", lambda row: _small(row.seen.difference), right=True, optional=True),
        Column("At most", lambda row: _small(row.seen.tolerance), right=True, optional=True),
        Column("Found", _found, folds=True),
    ]
    verdicts = [row.seen.verdict for row in found]
    wrong, checked = verdicts.count("wrong"), verdicts.count("right") + verdicts.count("wrong")
    of = f"{wrong} of {counted(checked, 'check')} wrong" if wrong else f"{counted(checked, 'check')}, all right"
    return Table(
        title=f"vggbench {version} on this machine | {of}",
        rows=found,
        terminal=columns,
        markdown=columns,
        record=_record,
        notes=[
            Note(
                "Difference: the largest, of a posterior or a loss, from float32 on the CPU by plain loops (posteriors "
                "of all views one by one), or from the first time where the bits must be the same (at most 0).",
                ("Difference",),
            ),
            "The nets have random weights with distinct posteriors; the pictures are drawn.",
            "short: there is too little of something, but no figure is wrong; absent: not on this machine.",
        ],
    )


def _found(row: "Finding") -> str:
    return f"{row.seen.found}. {row.seen.said}" if row.seen.said else row.seen.found


def _small(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def _record(row: "Finding") -> dict[str, Any]:
    seen = row.seen
    return {
        "part": row.part,
        "check": row.name,
        "verdict": seen.verdict or None,
        "found": seen.found,
        "said": seen.said or None,
        "difference": seen.difference,
        "tolerance": seen.tolerance,
        "details": seen.details,
    }

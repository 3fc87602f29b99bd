"""Holm's correction, over all rows that one table compares."""

from collections.abc import Sequence
from dataclasses import replace

from vggbench.metrics import holm
from vggbench.results.rows import Row


def corrected(rows: Sequence[Row]) -> list[Row]:
    """The rows of one table, each comparison with its p adjusted for all of them."""
    adjusted = iter(holm([row.against.p for row in rows if row.against]))
    return [replace(row, against=replace(row.against, p_holm=next(adjusted))) if row.against else row for row in rows]

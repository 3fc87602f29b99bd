"""Several nets side by side: which rows, beside which, in which order."""

from collections.abc import Sequence

from vggbench.results.correction import corrected
from vggbench.results.evaluated import Evaluated
from vggbench.results.lines import Line, most_complete
from vggbench.results.rows import Row

AGAINST = ("first", "best")
ORDERS = ("given", "error", "cost")


def compared(found: Evaluated, *, every: bool = False, against: str = "first", order: str = "given") -> list[Row]:
    """One row a net, or `every` row; each net beside the first or the best one on the same images."""
    chosen = {model.key: found.lines(model) if every else most_complete(found.lines(model)) for model in found.models}
    baseline = _baseline(found, list(chosen.values()), against)
    rows: list[Row] = []
    for entry in found.entries:
        own = chosen[entry.model.identity.key] if entry.model else None
        rows += found.rows(own, baseline) if own else [found.row_without_weights(entry)]
    return corrected(_ordered(rows, order))


def _baseline(found: Evaluated, lines: Sequence[list[Line]], against: str) -> list[Line]:
    """The rows of the net that the others are compared with."""
    if len(lines) < 2 or against == "first":
        return lines[0] if lines else []
    wrong = [found.rows(own[-1:])[0] for own in lines]
    return min(zip(wrong, lines, strict=True), key=lambda pair: _top1(pair[0]))[1]


def _ordered(rows: Sequence[Row], order: str) -> list[Row]:
    """Rows without weights come last where errors or costs decide."""
    if order == "error":
        return sorted(rows, key=_top1)
    if order == "cost":
        return sorted(rows, key=lambda row: (row.errors is None, row.macs or float("inf")))
    return list(rows)


def _top1(row: Row) -> float:
    return row.errors.top1.percent if row.errors else float("inf")

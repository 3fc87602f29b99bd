"""The work of `compare`: which rows, beside which, in which order."""

from collections.abc import Sequence

from vggbench.cli.evaluate import Evaluation, row_without_weights
from vggbench.cli.models import Entry
from vggbench.cli.options import EvalOptions
from vggbench.render.tables.errors import nets_table
from vggbench.render.tables.table import Table
from vggbench.results.lines import Line, most_complete
from vggbench.results.rows import Row


def comparison(done: Evaluation, options: EvalOptions, *, every: bool, against: str, order: str) -> Table:
    """One row a net, or `every` row; each net beside the first or the best one on the same images."""
    lines = {entry: _chosen(done, entry, every=every) for entry in done.entries if entry.model}
    baseline = _baseline(done, list(lines.values()), against)
    rows: list[Row] = []
    for entry in done.entries:
        rows += done.rows(lines[entry], baseline) if entry.model else [row_without_weights(done, entry, options)]
    return nets_table(_ordered(rows, order), done.about)


def _chosen(done: Evaluation, entry: Entry, *, every: bool) -> list[Line]:
    assert entry.model
    lines = done.lines(entry.model)
    return lines if every else most_complete(lines)


def _baseline(done: Evaluation, lines: Sequence[list[Line]], against: str) -> list[Line]:
    """The rows of the net that the others are compared with."""
    if len(lines) < 2 or against == "first":
        return lines[0] if lines else []
    wrong = [done.rows(own[-1:])[0] for own in lines]
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

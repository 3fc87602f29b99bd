"""Holm's correction over the rows of a table, and that what is printed is what was computed."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result
from statsmodels.stats import multitest
from test_tables import circumstances, measured, pets

from vggbench.render.tables.errors import nets_table
from vggbench.render.tables.table import render
from vggbench.results.correction import corrected
from vggbench.results.lines import Paired
from vggbench.results.rows import Row

COUNTS = ((9, 0), (8, 1), (7, 1), (1, 0))
"""Images fixed and broken: p of 0.004, 0.04, 0.07 and 1."""


def compared() -> list[Row]:
    """The row that others are compared with, and those others."""
    rows = [measured("dense", (384,), (20, 5), 96, network="A")]
    for place, (fixed, broken) in enumerate(COUNTS):
        against = Paired("A", f"B{place}", fixed, broken, 5, 96)
        rows.append(measured("dense", (384,), (20 + broken - fixed, 5), 96, network=f"B{place}", against=against))
    return rows


def test_it_is_statsmodels_over_all_rows_of_the_table() -> None:
    against = [row.against for row in corrected(compared()) if row.against]
    expected = multitest.multipletests([one.p for one in against], method="holm")
    assert [one.p_holm for one in against] == pytest.approx(expected[1].tolist())
    assert [one.is_significant for one in against] == expected[0].tolist() == [True, False, False, False]
    assert against[1].p < 0.05, "alone it would stand"


def test_a_table_prints_what_was_corrected() -> None:
    table = nets_table(corrected(compared()), circumstances(pets()))
    rows = json.loads(render(table, "json"))
    assert [row["significant"] for row in rows] == [None, True, False, False, False]
    assert [row["against_p_holm"] is None for row in rows] == [True, False, False, False, False]
    assert all(row["against_p_holm"] >= row["against_p"] for row in rows[1:])
    cells = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert [row["significant"] for row in cells] == ["", "true", "false", "false", "false"]
    assert cells[0]["against_p_holm"] == ""
    starred = [line for line in render(table, "md").splitlines() if "* |" in line]
    assert len(starred) == 1
    assert starred[0].startswith("| B0 ")
    assert "holm" not in render(table, "md"), "Markdown has no new column"


def test_rows_that_were_not_corrected_are_not_printed() -> None:
    with pytest.raises(AssertionError, match="takes all rows of a table"):
        render(nets_table(compared(), circumstances(pets())), "json")


@pytest.mark.thorough
@pytest.mark.parametrize("command", [("compare", "A", "D", "E", "--scales", "256"), ("explain", "A"), ("eval", "A")])
def test_every_table_that_compares_says_it(
    command: tuple[str, ...], vggbench: Callable[..., Result], few_drawn: Path
) -> None:
    rows = json.loads(vggbench(*command, "--data", "sample", "--format", "json").out)
    tested = [row for row in rows if row["against_p"] is not None]
    expected = multitest.multipletests([row["against_p"] for row in tested], method="holm") if tested else ([], [])
    assert [row["against_p_holm"] for row in tested] == pytest.approx(list(expected[1]))
    assert [row["significant"] for row in tested] == list(expected[0])
    assert all(row["significant"] is row["against_p_holm"] is None for row in rows if row not in tested)
    assert len(tested) == (0 if command[0] == "eval" else len(rows) - 1)

"""`--metrics calibration`: in tables, pictures, commands and Python, and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Result
from test_calibration import KEYS, drawn, of
from test_every_table import check_width
from test_tables import circumstances, measured, pets

from vggbench import front
from vggbench.errors import UsageError
from vggbench.render.plots.calibration import reliability, risk_against_coverage
from vggbench.render.tables.calibration import calibration_columns
from vggbench.render.tables.errors import eval_table, nets_table
from vggbench.render.tables.table import layout, render
from vggbench.results.calibrated import require_metrics
from vggbench.results.judging import GroundTruth

Vggbench = Callable[..., Result]
HEADINGS = ("ECE", "T", "ECE at T", "NLL", "Brier", "ECE by mass", "AURC")


def test_what_cannot_be_had_is_refused() -> None:
    real = GroundTruth("real", {"x": ("cat", "dog")})
    with pytest.raises(UsageError, match="--metrics calibration with --labels real, where an image may"):
        require_metrics(["calibration"], [real])
    require_metrics([], [real])
    with pytest.raises(UsageError, match="--metrics speed: expected calibration"):
        require_metrics(["speed"], [])


SAMPLE = ("--data", "sample", "--limit", "24", "--backend", "pytorch", "--scales", "256")


def test_every_row_has_it_and_no_row_unless_asked(vggbench: Vggbench) -> None:
    asked = vggbench("eval", "A", *SAMPLE, 288, "--center", "--dense", "--metrics", "calibration", "--format", "json")
    rows = json.loads(asked.out)
    assert len(rows) == 5
    assert all(isinstance(row[key], float | int) for row in rows for key in KEYS)
    assert all(0 <= row[key] <= 1 for row in rows for key in ("ece", "ece_equal_mass", "ece_tempered", "aurc"))
    plain = json.loads(vggbench("eval", "A", *SAMPLE, 288, "--center", "--dense", "--format", "json").out)
    assert not set(KEYS) & set(plain[0])
    assert [row["top1_error"] for row in plain] == [row["top1_error"] for row in rows]
    out = vggbench("eval", "A", *SAMPLE, "--metrics", "calibration", "--format", "md").out
    assert all(f"| {heading} |" in out for heading in HEADINGS)
    assert "Guo et al. 2017" in out
    assert "Geifman and El-Yaniv 2017" in out
    csv = vggbench("compare", "A", "D", *SAMPLE, "--metrics", "calibration", "--format", "csv").out
    assert csv.splitlines()[0].endswith(",".join(KEYS))


def test_stored_runs_fusions_imports_and_python(vggbench: Vggbench, tmp_path: Path) -> None:
    vggbench("compare", "A", "D", *SAMPLE)
    store = tmp_path / "runs"
    store = store if store.exists() else Path("runs")
    both = [json.loads(vggbench("fuse", "A", "D", *SAMPLE, "--metrics", "calibration", "--format", "json").out)[0]]
    found = front.fuse("A@sample", "D@sample", data="sample", scales=256, limit=24, metrics="calibration", runs=store)
    assert found.to_pandas().ece[0] == pytest.approx(both[0]["ece"])
    again = front.compare(*found.runs, metrics=["calibration"])
    assert list(again.to_pandas().columns)[-len(KEYS) :] == KEYS
    assert front.compare(*found.runs).to_pandas().get("ece") is None
    with pytest.raises(UsageError, match="metrics=speed: expected calibration"):
        front.compare(*found.runs, metrics="speed")


def test_score_has_it_and_refuses_the_five_best(vggbench: Vggbench, tmp_path: Path) -> None:
    images = [image.id for image in front.open_data("sample").images]
    names = front.open_data("sample").class_names
    posteriors, _ = drawn(len(images), len(names))
    whole, best = tmp_path / "whole.json", tmp_path / "best.json"
    whole.write_text(json.dumps([
        {"image": image} | dict(zip(names, row.tolist(), strict=True))
        for image, row in zip(images, posteriors, strict=True)
    ]))  # fmt: skip
    row = json.loads(
        vggbench("score", whole, "--data", "sample", "--metrics", "calibration", "--format", "json").out
    )[0]  # fmt: skip
    labels = front.open_data("sample").labels(names, len(names))
    assert row["nll"] == pytest.approx(of(posteriors, labels, images).nll, rel=1e-5)
    five = {f"top{place + 1}": name for place, name in enumerate(names[:5])}
    best.write_text(json.dumps([{"image": image} | five for image in images]))
    done = vggbench("score", best, "--data", "sample", "--metrics", "calibration")
    assert done.code != 0
    assert "only the five best classes are known, and --metrics calibration needs the posteriors of all" in done.err


def calibrated_rows() -> list[Any]:
    posteriors, labels = drawn(96, 12, 1.5)
    found = of(posteriors, labels)
    rows = [measured("dense", (scale,), (24, 12), 96) for scale in (256, 384)]
    return [replace(rows[0], calibration=found), replace(rows[1], calibration=replace(found, clamped=2))]


def test_columns_go_one_by_one_on_narrow_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, about = calibrated_rows(), circumstances(pets())
    shown = []
    for width in (40, 80, 100, 140, 200):
        table = nets_table(rows, about)
        there = [column.heading for column in layout(table, width).columns if column.heading in HEADINGS]
        assert there == list(HEADINGS[: len(there)]) or not layout(table, width).widths
        shown.append(len(there))
        monkeypatch.setenv("COLUMNS", str(width))
        text = " ".join(render(table, "table", explained=True).split())
        if layout(table, width).widths:
            assert ("AURC: area" in text) == ("AURC" in there), "a note stands with its column"
    assert shown[-1] == len(HEADINGS)
    assert "2 posteriors of labels below 1.18e-38" in render(eval_table(rows, about), "md")
    assert calibration_columns([replace(row, calibration=None) for row in rows]) == []


@pytest.mark.parametrize("table_of", [eval_table, nets_table])
def test_no_width_cuts_a_number(table_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for width in range(20, 201, 3):
        check_width(table_of(calibrated_rows(), circumstances(pets())), width, monkeypatch)


def test_pictures_draw_what_was_measured() -> None:
    rows = calibrated_rows()
    figure, curve = reliability(rows, "title"), risk_against_coverage(rows, "title")
    assert figure
    assert curve
    (axes,), (area,) = figure.axes, curve.axes
    own = rows[0].calibration
    lines = {str(line.get_label()): line for line in axes.lines}
    (line,) = [line for name, line in lines.items() if name.startswith("D@") and "256" in name]
    assert np.asarray(line.get_xdata()).tolist() == [found.confidence for found in own.bins]
    assert np.asarray(line.get_ydata()).tolist() == [found.accuracy for found in own.bins]
    assert np.asarray(area.lines[0].get_ydata()).tolist() == [100 * risk for _, risk in own.curve]
    assert own.curve[-1][0] == 1
    assert reliability([replace(row, calibration=None) for row in rows], "title") is None


def test_plot_and_report_have_both(vggbench: Vggbench, tmp_path: Path) -> None:
    done = vggbench("eval", "A", *SAMPLE, "--metrics", "calibration", "--plot", tmp_path / "plots")
    assert done.code == 0
    assert {"reliability.png", "risk-coverage.svg"} <= {path.name for path in (tmp_path / "plots").iterdir()}
    vggbench("report", "A", *SAMPLE, "--metrics", "calibration", "--output", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "AURC" in page
    assert "reliability" in page
    assert "risk-coverage" in page

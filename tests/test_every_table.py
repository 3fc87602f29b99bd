"""Every table of every command: its CSV in other programs, and the terminal at any width."""

import contextlib
import csv
import functools
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from conftest import Result
from feature_files import write_file
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.cells import cell_len
from test_doctor import FOUND
from test_reproduction import row_of
from test_tables import circumstances, full, measured, model, pets

from vggbench.cli.main import app, main
from vggbench.errors import printable
from vggbench.evaluation.jobs import Job
from vggbench.metrics import ErrorRate, Errors
from vggbench.paper.protocols import Protocol
from vggbench.paper.published import RESULTS
from vggbench.render.tables.errors import eval_table, nets_table
from vggbench.render.tables.explanation import explanation_table
from vggbench.render.tables.notes import NO_TOP5
from vggbench.render.tables.paper import checks_table, measured_others_table, measured_table
from vggbench.render.tables.table import Table, footer, layout, render, shown_notes
from vggbench.render.tables.table import write as write_table
from vggbench.render.tables.wrapping import wrapped
from vggbench.results.correction import corrected
from vggbench.results.lines import Paired
from vggbench.sample.drawing import KINDS
from vggbench.sample.pictures import SPLITS
from vggbench.store.predictions import write_predictions
from vggbench.studies.explanation import Explained, Explanation
from vggbench.studies.reproduction import Check, Measured, checks_of, remedies
from vggbench.weights.load import Model

NAMES = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
LONG = 17
"""Characters of a number that is never broken; a list of numbers that is longer is, beside them."""
WITHOUT_CSV = {"features", "train", "report", "export", "cite"}
SAMPLE = ("--data", "sample", "--limit", "2")
EVAL = ("eval", "A", *SAMPLE, "--scales", "256", "288")
COMMANDS = [
    ("quickstart", "--map", "{map}"),
    ("params",),
    ("params", "A", "E-BN", "--scales", "256", "512"),
    ("params", "D", "--width", "0.0625", "--classes", "10"),
    ("params", "A", "--layers"),
    ("params", "A", "C", "--layers", "--scales", "224", "256"),
    ("params", "--cost"),
    EVAL,
    ("compare", "A", "D", *SAMPLE, "--all", "--center", "--dense", "--scales", "256"),
    ("score", "{predictions}", "--data", "sample"),
    ("check", "A@sample", "--data", "sample", "--center", "--expect", "10/1"),
    ("explain", "A", *SAMPLE),
    ("locate", "A@sample", "{image}", "--theirs", "{dump}"),
    ("fuse", "A", "D", *SAMPLE, "--scales", "256"),
    ("reproduce", "1", "2", "3", "5", "7", "11", "--published"),
    ("reproduce", "3", "7", "--data", "sample", "--limit", "1"),
    ("predict", "A@sample", "{image}", "--scales", "256"),
    ("predict", "A@sample", "{image}", "{broken}"),
    ("runs",),
    ("runs", "A-*dense-Q288*"),
    ("runs", "--runs", "{nowhere}"),
    ("runs", "export", "A-*dense-Q288*"),
    ("data", "sample"),
    ("data", "sample", "--digest"),
    ("data", "sample", "--classes"),
    ("speed", "A@random", "--width", "0.0625", "--batch-size", "1", "--iterations", "1", "--seconds", "0",
     "--backend", "pytorch"),
    ("speed", "--data-only", "--data", "sample", "--seconds", "0", "--workers", "0"),
    ("doctor",),
    ("probe", "{features}", "--train-per-class", "30", "--costs", "1"),
    ("reproduce", "11"),
    ("weights",),
    ("weights", "A@sample"),
]  # fmt: skip


@pytest.fixture(scope="module")
def made(
    _few_drawn: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Sequence[str]], tuple[Path, list[Table]]]:
    """The CSV file of a command, and the tables that it has written there; each command runs once."""
    folder = tmp_path_factory.mktemp("every_table")
    places = {
        name: folder / file
        for name, file in (("image", "a.png"), ("broken", "b.png"), ("nowhere", "none"), ("map", "map.png"))
    }
    Image.new("RGB", (300, 260), "red").save(places["image"])
    places["predictions"] = folder / "p.npz"
    names = [kind.name for kind in KINDS]
    ids = [f"sample_val_{number + 1:05d}" for number in range(len(names))]
    write_predictions(ids, np.zeros(len(ids), int), names, [np.eye(len(ids))], places["predictions"])
    places["features"] = write_file(folder / "features.parquet")
    places["dump"] = folder / "dump.npz"
    np.savez(places["dump"], decoded=np.full((260, 300, 3), (255, 0, 0)), posterior=np.eye(len(names))[0])
    places["broken"].write_bytes(places["image"].read_bytes()[:-99])  # a picture by its header
    found: dict[tuple[str, ...], tuple[Path, list[Table]]] = {}

    def run(command: Sequence[str]) -> tuple[Path, list[Table]]:
        key = tuple(command)
        if key[0] == "runs":
            run(EVAL)
        if key not in found:
            written: list[Table] = []
            path = folder / f"{len(found)}.csv"

            def write(tables: Sequence[Table], *others: Any, **how: Any) -> None:
                written.extend(tables)
                write_table(tables, *others, **how)

            with pytest.MonkeyPatch.context() as patch:  # here, since every test begins with the usual cache
                patch.setenv("VGGBENCH_CACHE", str(_few_drawn))
                patch.setenv("VGGBENCH_RUNS", str(folder / "runs"))
                patch.setattr("vggbench.sample.pictures.SPLITS", dict.fromkeys(SPLITS, 1))
                patch.setattr("vggbench.studies.doctor.examination.Examination._checks", lambda *given: iter(FOUND))
                patch.setattr("vggbench.render.tables.table.write", write)
                patch.setattr(sys, "argv", ["vggbench", *(w.format(**places) for w in command), "--output", str(path)])
                with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                    main()
            found[key] = path, written
        return found[key]

    return run


def test_no_command_is_left_out() -> None:
    assert {command[0] for command in COMMANDS} == NAMES - WITHOUT_CSV


@pytest.mark.thorough
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_its_csv_is_read_by_others(command: Sequence[str], made: Any) -> None:
    path, tables = made(command)
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows, names = list(reader), list(reader.fieldnames or [])
    assert names
    assert all(re.fullmatch(r"[A-Za-z][\w-]*", name) for name in names), "no comment, no cell"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(frame.columns) == names
    assert frame.to_dict("records") == rows
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("[", "{"))], "one scalar a cell"
    if tables:
        assert len(rows) == sum(len(table.rows) for table in tables)
    numbers = pd.read_csv(path)
    for name in {"top1_error", "top1_low", "macs", "probability", "images_per_second"} & set(names):
        assert numbers[name].empty or pd.api.types.is_numeric_dtype(numbers[name])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_keys_stated_are_those_of_the_records(command: Sequence[str], made: Any) -> None:
    for table in made(command)[1]:
        if table.keys:
            assert all(list(table.record(row)) == list(table.keys) for row in table.rows)


# ---------------------------------------------------------------- any width


@functools.cache
def of_ilsvrc() -> list[Table]:
    """What only 50,000 images give: figures beside the paper's, and all else that a column may hold."""
    rows, about = full()
    against = Paired("D@oxford", "E@a-file-with-a-long-name.safetensors", 900, 1_400, 10_000, 50_000)
    other = replace(model("E"), name=against.second)
    second = measured(
        "dense", (384,), (12_900, 4_100), 50_000, models=(other,), network=other.name,
        against=against, images_per_second=1234.5,
    )  # fmt: skip
    many = measured("dense", tuple(range(224, 513, 32)), (12_900, 4_100), 50_000)
    results = [result for result in RESULTS if result.table == 5][:2]
    found = [Measured(results[0], rows[1]), Measured(results[1], None, results[1].members)]
    all_results = [Measured(result, None) for result in RESULTS]
    ((released, figure),) = [check for check in checks_of("torchvision") if check[0].config.name == "D"]
    row = replace(row_of(14_104, 50_000, True), models=(model(),))
    return [
        eval_table([*rows, many], about),
        eval_table([measured("dense", (256,), (24, 12), 96)], circumstances(pets())),
        nets_table(corrected([*rows, second]), about),
        measured_table(5, found, about, remedies(found, "imagenet")),
        measured_others_table(all_results, about, remedies(all_results, "imagenet")),
        checks_table("torchvision", [Check(released, figure, row), Check(released, figure, None)], about),
    ]


DIGITS = r"\d+(?:\.\d+)?"


def numbers_of(text: str) -> Counter[str]:
    """Words of digits and signs alone, as they stand."""
    words = (word.strip("().,;:|") for word in text.split())
    return Counter(word for word in words if any(map(str.isdigit, word)) and not any(map(str.isalpha, word)))


def explains(notes: Sequence[str], heading: str) -> bool:
    """Whether a note, or a sentence of one, begins with a heading."""
    return any(re.search(rf"(^|[.] ){re.escape(heading)}( per image|:| = )", note) for note in notes if heading)


def check_width(table: Table, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number of the title, of the columns that stand and of their notes is there whole, and no other."""
    monkeypatch.setenv("COLUMNS", str(width))
    text, columns = render(table, "table"), layout(table, width).columns
    assert max(map(len, text.splitlines())) <= width
    cells = [column.cell(row) for row in table.rows for column in columns]
    headings = [column.heading for column in columns]
    notes = footer(table, layout(table, width), width)
    everything = "\n".join([table.title, *headings, *cells, *notes])
    said, there = numbers_of(everything), numbers_of(text)
    assert not {word for word, count in said.items() if there[word] < count and len(word) <= LONG}, "cut or lost"
    assert set(re.findall(DIGITS, text)) <= set(re.findall(DIGITS, everything)), "what nobody said"
    for column in {*table.terminal, *table.markdown}:
        assert column.heading in headings or not explains(shown_notes(table, columns), column.heading)


@pytest.mark.thorough
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_width_cuts_a_number(command: Sequence[str], made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for table in made(command)[1]:
        for width in range(20, 201):
            check_width(replace(table, rows=table.rows[:3]), width, monkeypatch)


@pytest.mark.thorough
@pytest.mark.parametrize("place", range(len(of_ilsvrc())))
def test_no_width_cuts_a_number_of_ilsvrc(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in range(20, 201):
        check_width(of_ilsvrc()[place], width, monkeypatch)


def test_words_are_broken_beside_numbers_alone() -> None:
    assert wrapped("ILSVRC2012_val_00000001 is 0.7-20.2", 10) == ["ILSVRC2012", "_val_", "00000001", "is", "0.7-20.2"]
    assert wrapped("0.7-20.2", 8) == ["0.7-20.2"]
    assert wrapped("Q224,256,288,320", 10) == ["Q224,256,", "288,320"]
    assert "".join(wrapped("9363e1f6d65f" * 6, 20)) == "9363e1f6d65f" * 6
    assert wrapped("", 5) == [""]


def test_an_interval_in_brackets_is_broken_only_where_it_fits_no_line() -> None:
    assert wrapped("25.0 [17.4, 34.5] wrong", 13) == ["25.0", "[17.4, 34.5]", "wrong"]
    assert wrapped("25.0 [17.4, 34.5]", 8) == ["25.0", "[17.4,", "34.5]"], "a space is no less a space"
    assert wrapped("+8.3 [-7.9, 26.3] 0.5", 12) == ["+8.3", "[-7.9, 26.3]", "0.5"]


@pytest.mark.parametrize("width", [80, 120])
def test_error_interval_and_reference_stand_at_80_columns(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    against = Paired("A@oxford", "D@oxford", 80, 1, 7, 96)
    rows = corrected([
        measured("multicrop", (256, 384, 512), (96, 12), 96, against=against, network=f"{config}@oxford")
        for config in ("A-LRN", "E")
    ])  # fmt: skip
    explained = [
        Explained(name, "how", Job(Model(model(), lambda images: images), Protocol("dense"), 384), row)
        for name, row in (("paper's recipe", replace(rows[0], against=None)), ("channels swapped", rows[1]))
    ]
    about = circumstances(pets())
    told = explanation_table(Explanation(explained, about), recipes=False)
    for table in (eval_table(rows, about), nets_table(rows, about), told):
        text = render(table, "table")
        assert layout(table, width).widths, "a table, not records"
        assert "100.0 [96.2, 100.0]" in text
    assert "[-88.3, -71.7]" in text
    assert "-82.3*" in text
    assert "17.4-34.5" not in text
    assert "100.0 96.2-100.0 |" in render(table, "md"), "Markdown is as it was"


@given(st.text().map(printable), st.integers(2, 30))
def test_wrapping_loses_nothing(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(cell_len(line) <= width for line in lines)


# ---------------------------------------------------------------- few classes


FEW = ("--width", "0.0625", "--data", "{pictures}", "--limit", "2", "--scales", "256")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "command",
    [
        ("eval", "A@random", *FEW),
        ("compare", "A@random", "D@random", *FEW),
        ("fuse", "A@random", "D@random", *FEW),
        ("explain", "A@{net}", "--input", "torchvision", "--train-scale", "256", *FEW[2:-2]),
        ("runs",),
    ],
    ids=" ".join,
)
def test_four_classes_have_no_top_5_error(
    command: Sequence[str], vggbench: Callable[..., Result], pictures: Path, peaked: Any, tmp_path: Path
) -> None:
    torch.save(peaked("A"), tmp_path / "net.pth")
    places = {"pictures": pictures, "net": tmp_path / "net.pth"}
    words = [word.format(**places) for word in command]
    if command == ("runs",):
        vggbench(*(word.format(**places) for word in ("eval", "A@random", *FEW)))
    rows = json.loads(vggbench(*words, "--format", "json").out)
    assert any(row["top1_error"] is not None for row in rows)
    assert all(row["top5_error"] is None for row in rows if "top5_error" in row)
    assert all(row["top5_interval"] is None for row in rows if "top5_interval" in row)
    done = vggbench(*words, "--format", "md")
    assert [line for line in done.out.splitlines() if "op-5" in line] == [f"{NO_TOP5}  "]
    assert "top-5" not in done.err


def test_a_reproduced_row_of_four_classes_has_none_either() -> None:
    row = replace(row_of(3, 10, False), models=(model(),), errors=Errors(ErrorRate(3, 10), None))
    about = circumstances(pets())
    for table in (measured_table(3, [Measured(RESULTS[0], row)], about, {}), nets_table([row], about)):
        assert "Top-5" not in render(table, "md")
        assert NO_TOP5 in render(table, "md")
        assert table.record(table.rows[0])["top5_error"] is None

"""The paper's tables as they are printed, and what may stand beside them."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_paper as printed
import torch
from conftest import Result

from vggbench.data import DataSet, open_data
from vggbench.errors import WeightsError
from vggbench.evaluation.plan import prepare
from vggbench.images.preprocessing import INPUTS
from vggbench.metrics import ErrorRate, Errors
from vggbench.paper.published import FUSIONS, RESULTS, TABLE_7, own_row
from vggbench.render.tables.paper import configurations_table, published_table
from vggbench.results.rows import Reference, Row
from vggbench.store.identity import Identity
from vggbench.store.recording import Store
from vggbench.studies.reproduction import Check, check_jobs, checks_of, results_of, training_command
from vggbench.weights.load import Model

ROOT = Path(__file__).parent.parent
CLI = Callable[..., Result]


def cells(markdown: str) -> list[list[str]]:
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


@pytest.mark.parametrize(("number", "text"), [(3, printed.TABLE_3), (4, printed.TABLE_4)])
def test_tables_3_and_4_cell_by_cell(number: int, text: str, vggbench: CLI) -> None:
    expected = [line.split() for line in text.strip().splitlines()]
    assert cells(vggbench("reproduce", number, "--published").out) == expected


def test_table_5_cell_by_cell(vggbench: CLI) -> None:
    expected = [
        [net, "256-512", "256,384,512", protocol, *figure.split("/")]
        for net, *figures in (line.split() for line in printed.TABLE_5.strip().splitlines())
        for protocol, figure in zip(printed.PROTOCOLS, figures, strict=True)
    ]
    assert cells(vggbench("reproduce", 5, "--published").out) == expected


def test_table_6_cell_by_cell(vggbench: CLI) -> None:
    found = cells(vggbench("reproduce", 6, "--published").out)
    expected = [[r.protocol, str(r.top1), str(r.top5), str(r.top5_test or "-")] for r in printed.TABLE_6]
    assert [row[3:] for row in found] == expected
    assert found[0][0] == "D/256 + D/384 + D/256-512 + C/256 + C/384 + E/256 + E/384"
    assert [row[:3] for row in found[1:]] == [["D + E", "256-512", "256,384,512"]] * 3


def test_table_7_cell_by_cell(vggbench: CLI) -> None:
    expected = [line.replace("_", " ").rsplit(" ", 4) for line in printed.OTHERS.strip().splitlines()]
    found = cells(vggbench("reproduce", 7, "--published").out.replace("&amp;", "&"))
    assert found == [[cell.strip() for cell in row] for row in expected]


def test_table_1_is_the_papers() -> None:
    """Written out by hand, as the paper prints it, with what it prints in bold."""
    columns = {name: [row[name] for row in configurations_table().rows] for name in ("A", "A-LRN", "C", "D", "E")}
    assert columns["A"][:4] == ["11 layers", "conv3-64", "", "maxpool"]
    assert columns["A-LRN"][2] == "LRN*"
    third = ["conv{0}-256", "conv{0}-512", "conv{0}-512"]
    for name, kernel in (("C", 1), ("D", 3)):
        added = [cell for cell in columns[name] if cell.endswith("*")]
        assert added == [text.format(kernel) + "*" for text in third]
    assert [cell for cell in columns["E"] if cell.endswith("*")] == ["conv3-256*", "conv3-512*", "conv3-512*"]
    assert columns["E"][-4:] == ["FC-4096", "FC-4096", "FC-1000", "softmax"]
    assert columns["E"].count("maxpool") == 5


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7])
def test_every_form_says_its_table(number: int, vggbench: CLI) -> None:
    rows = json.loads(vggbench("reproduce", number, "--published", "--format", "json").out)
    assert {row["table"] for row in rows} == {number}
    assert len(rows) == len(published_table(number).rows)
    as_csv = vggbench("reproduce", number, "--published", "--format", "csv").out
    assert len(list(csv.DictReader(io.StringIO(as_csv)))) == len(rows)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("configurations", ["reproduce", "1", "--published"]),
        ("parameters", ["params"]),
        ("cost", ["params", "--cost"]),
        ("paper", ["reproduce", "2", "3", "4", "5", "6", "7", "11", "--published"]),
    ],
)
@pytest.mark.parametrize("form", ["md", "csv"])
def test_the_committed_tables_are_fresh(
    name: str, arguments: list[str], form: str, vggbench: CLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert vggbench(*arguments, "--output", f"tables/{name}.{form}").code == 0
    assert (ROOT / "tables" / f"{name}.{form}").read_bytes() == Path(f"tables/{name}.{form}").read_bytes(), (
        "make tables"
    )


# ---------------------------------------------------------------- measured


@pytest.fixture
def reproduced(few_drawn: Path, stored: Callable[..., Path]) -> Path:
    """A store of the sample's nets in Tables 3 and 4."""
    return stored(("reproduce", 3, 4, "--data", "sample"))


@pytest.mark.thorough
def test_on_the_sample_every_cell_that_can_be_is_filled(vggbench: CLI, reproduced: Path) -> None:
    done = vggbench("reproduce", 3, 4, "--data", "sample", "--format", "json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    filled = {(row["table"], row["config"]) for row in rows if row["top1_error"] is not None}
    assert filled == {(table, net) for table in (3, 4) for net in "CDE"}
    assert all(row["train_scale"] == "256-512" for row in rows if row["top1_error"] is not None)
    assert not any(row["paper_top1"] or row["reference_top1"] for row in rows if row["top1_error"] is not None)
    own = {row["network"]: row for row in rows if row["table"] == 4 and row["top1_error"] is not None}
    table = json.loads(vggbench("eval", "D", "--data", "sample", "--scales", 256, 384, 512, "--format", "json").out)
    assert own["D"]["top1_error"] == table[-1]["top1_error"]


@pytest.mark.thorough
def test_no_figure_of_the_paper_is_in_the_samples_tables(vggbench: CLI, reproduced: Path) -> None:
    out = vggbench("reproduce", 3, "--data", "sample").out
    assert "SAMPLE" in out
    assert not any(f"| {result.top1} " in out or f"{result.top1} /" in out for result in results_of([3]))
    assert "--published 3" in out
    assert "vggbench train D --data sample --train-scale 384" in out


def test_a_plan_says_what_can_be_and_computes_nothing(vggbench: CLI, few_drawn: Path, tmp_path: Path) -> None:
    done = vggbench("reproduce", 3, "--data", "sample", "--plan")
    assert (done.code, done.out) == (0, "")
    assert "Table 3, D, S=256-512, dense: can be measured." in done.err
    assert "Table 3, B, S=256, dense: lacks B of S=256." in done.err
    assert not (tmp_path / "runs").exists()


def test_on_the_whole_set_the_papers_figure_stands_beside(
    vggbench: CLI, reproduced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the sample were ILSVRC and its nets of full width."""
    monkeypatch.setattr(DataSet, "is_full_ilsvrc_val", True)
    monkeypatch.setattr("vggbench.results.rows._reference", lambda *whatever: Reference(25.6, 8.1, "paper, Table 3"))
    rows = {(row[0], row[1]): row for row in cells(vggbench("reproduce", 3, "--data", "sample").out)}
    assert rows["D", "256-512"][-2] == "25.6 / 8.1"
    top1 = float(rows["D", "256-512"][3].split()[0])
    assert rows["D", "256-512"][-1].startswith(f"{top1 - 25.6:+.1f}"[:4])
    assert rows["A", "256"][-2:] == ["29.6 / 10.4", "-"]


def test_beside_what_does_not_compare_the_papers_figure_is_left_out(
    vggbench: CLI, reproduced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample's nets are narrow: as if the sample were ILSVRC."""
    monkeypatch.setattr(DataSet, "is_full_ilsvrc_val", True)
    done = vggbench("reproduce", 3, 4, "--data", "sample")
    rows = {(row[0], row[1]): row for row in cells(done.out)}
    assert rows["D", "256-512"][-2:] == ["-", "-"]
    assert rows["A", "256"][-2:] == ["29.6 / 10.4", "-"]
    assert "Paper -: the row differs in width" in done.out
    records = json.loads(vggbench("reproduce", 3, "--data", "sample", "--format", "json").out)
    papers = {(row["network"], row["train_scale"]): row["paper_top1"] for row in records}
    assert papers["D", "256-512"] is None
    assert papers["A", "256"] == 29.6


def test_the_nets_of_a_table_are_named_by_their_weights(vggbench: CLI, reproduced: Path) -> None:
    out = vggbench("reproduce", 4, "--data", "sample").out
    (note,) = [line for line in out.splitlines() if "Nets: " in line]
    assert all(re.search(rf"{net}@sample:[0-9a-f]{{8}}", note) for net in "CDE")


def row_of(wrong: int, images: int, reference: bool, top5: int = 4_809) -> Row:
    return Row(
        "D@torchvision", (), "center", (256,), None, 1, None, None, images,
        errors=Errors(ErrorRate(wrong, images), ErrorRate(top5, images)),
        reference=Reference(28.408, 9.618, "torchvision") if reference else None,
    )  # fmt: skip


@pytest.mark.parametrize(("wrong", "off"), [(14_204, 0), (14_205, 1), (14_104, -100)])
def test_a_publishers_figure_agrees_to_the_image(wrong: int, off: int) -> None:
    ((released, figure),) = [check for check in checks_of("torchvision") if check[0].config.name == "D"]
    check = Check(released, figure, row_of(wrong, 50_000, True))
    assert (check.images_off(1), check.images_off(5), check.agrees) == (off, 0, off == 0)
    other = Check(released, figure, row_of(wrong, 50_000, False))
    assert (other.images_off(1), other.agrees) == (None, None)


def test_a_publishers_top_5_counts_too() -> None:
    ((released, figure),) = [check for check in checks_of("torchvision") if check[0].config.name == "D"]
    check = Check(released, figure, row_of(14_204, 50_000, True, top5=4_811))
    assert (check.agrees, check.images_off(5)) == (False, 2)


@pytest.mark.parametrize(("top5", "agrees"), [(3_750, True), (3_774, True), (3_776, False), (3_724, False)])
def test_a_figure_of_one_decimal_agrees_to_that_decimal(top5: int, agrees: bool) -> None:
    """Oxford states D's 7.5 over three Qs, and no top-1."""
    released, figure = next(check for check in checks_of("oxford") if check[1].top5 == 7.5)
    check = Check(released, figure, row_of(14_204, 50_000, True, top5))
    assert (check.agrees, check.points(1), check.images_off(5)) == (agrees, None, None)


def test_a_q_of_two_publications_is_evaluated_once(tmp_path: Path, few_drawn: Path) -> None:
    """Oxford's Q=384 is also one of its three: a row over them must not count it twice."""
    checks = checks_of("oxford")
    model = Model(Identity("D@oxford", INPUTS["caffe"], 12, None, "0" * 64, released=checks[0][0].name), torch.clone)
    plan = prepare(open_data("sample"), check_jobs(model, checks), Store(tmp_path))
    assert [(str(job.protocol), job.scale) for job in plan.jobs] == [("dense", 384), ("dense", 256), ("dense", 512)]


def test_torchvisions_nets_are_checked_by_torchvisions_protocol() -> None:
    checks = checks_of("torchvision")
    assert [released.config.name for released, _ in checks] == ["A", "B", "D", "E", "A-BN", "B-BN", "D-BN", "E-BN"]
    assert {(figure.protocol, figure.scales) for _, figure in checks} == {("center", (256,))}


@pytest.mark.parametrize("command", [("reproduce", "torchvision"), ("reproduce", "3"), ("compare", "D@oxford", "C")])
def test_weights_that_cannot_be_had_fail_every_command_alike(
    command: tuple[str, ...], vggbench: CLI, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is printed all the same."""

    def offline(row: object, watch: object = None) -> Path:
        raise WeightsError("It cannot be had.")

    monkeypatch.setattr("vggbench.weights.load.fetch", offline)
    shutil.copytree(pictures / "fish", tmp_path / "data" / "n01440764")
    done = vggbench(*command, "--data", tmp_path / "data")
    assert done.code == 1
    assert done.out.count("\n|") > 2
    assert "It cannot be had." in done.err.splitlines()[-1]


def test_without_weights_the_rows_stay(vggbench: CLI, few_drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggbench.weights.download._SECONDS", 1, raising=False)
    done = vggbench("reproduce", "torchvision", "--data", "sample", "--format", "json")
    assert [row["top1_error"] for row in json.loads(done.out)] == [None] * 8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["8"], "expected numbers from 1 to 7"),
        (["nobody"], "expected table numbers from 1 to 7, 11, or one of"),
        (["torchvision", "3"], "expected table numbers, or one source alone"),
        (["3", "x", "--published"], "expected numbers from 1 to 7"),
    ],
)
def test_what_cannot_be_reproduced(arguments: list[str], said: str, vggbench: CLI) -> None:
    done = vggbench("reproduce", *arguments, "--data", "sample")
    assert done.code == 2
    assert said in done.err


def test_table_7_repeats_tables_5_and_6() -> None:
    own = [own_row(row) for row in TABLE_7]
    assert own[:3] == [RESULTS[-1], next(r for r in RESULTS if (r.table, r.top5) == (5, 7.1)), FUSIONS["seven-net"]]
    assert set(own[3:]) == {None}


def test_the_command_that_trains_what_nobody_has_released() -> None:
    member = next(m for r in RESULTS for m in r.members if (m.config, m.train_scale) == ("C", "384"))
    command: Any = training_command(member, "imagenet")
    assert command.startswith("vggbench train C --data imagenet --train-scale 384")

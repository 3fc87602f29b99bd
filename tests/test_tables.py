"""Tables: four forms of the same rows, files that are whole or absent, and 80 columns."""

import csv
import functools
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vggbench import __version__
from vggbench.data import DataSet, ImageFile
from vggbench.data.imagenet import wnids
from vggbench.errors import UsageError, VggbenchError
from vggbench.evaluation.jobs import Settings
from vggbench.images.preprocessing import INPUTS
from vggbench.metrics import ErrorRate, Errors
from vggbench.nets.cost import Architecture
from vggbench.paper.configs import CONFIGS, PAPER
from vggbench.paper.protocols import TrainScale
from vggbench.paper.published import SHALLOW
from vggbench.render.choices import Format
from vggbench.render.tables.cells import duration
from vggbench.render.tables.errors import eval_table, nets_table
from vggbench.render.tables.parameters import layers_table, parameters_table
from vggbench.render.tables.table import Column, Table, choose_format, render, show, shown_notes, write
from vggbench.results.circumstances import Circumstances
from vggbench.results.correction import corrected
from vggbench.results.lines import Paired
from vggbench.results.rows import Reference, Row
from vggbench.store.identity import Identity
from vggbench.studies.counts import by_layer, by_net

JITTERED = TrainScale(256, 512)

# TABLES.md: keys may be added, never renamed.
KEYS = (
    "network, config, weights, weights_hash, width, classes, data, train_scale, test_scales, protocol, views, images, "
    "images_total, skipped, complete, labels, top1_error, top5_error, top1_interval, top5_interval, reference_top1, "
    "reference_top5, reference_source, parameters, gmacs_per_image, gflops_per_image, precision, backend, signature"
)


def small(rows: Sequence[dict[str, Any]], **changes: Any) -> Table:
    """A table of dicts with a plain, an optional and a wide-terminal column."""
    columns = [
        Column("Net", lambda r: str(r["net"])),
        Column("Paper", lambda r: str(r.get("paper", "-")), right=True, optional=True),
        Column("Views", lambda r: str(r.get("views", 2)), right=True, from_width=100),
    ]
    fields: dict[str, Any] = {
        "title": "A title", "rows": rows, "terminal": columns, "markdown": columns, "record": dict, "notes": ["A note."]
    }  # fmt: skip
    return Table(**(fields | changes))


def at_80(table: Table, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    return render(table, "table").splitlines()


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# ---------------------------------------------------------------- forms


def test_markdown_is_a_title_a_table_and_notes() -> None:
    assert render(small([{"net": "D", "paper": 138}]), "md") == (
        "**A title**\n\n| Net | Paper | Views |\n|---|--:|--:|\n| D | 138 | 2 |\n\nA note.  \n"
    )


def test_markdown_escapes_what_would_be_a_column_or_html() -> None:
    text = render(small([{"net": "a|b <script> & c\nd"}], title="x < y", notes=["p < 0.05 & so on"]), "md")
    assert "| a\\|b &lt;script> &amp; c d | 2 |\n" in text
    assert text.startswith("**x &lt; y**\n")
    assert text.endswith("\n\np &lt; 0.05 &amp; so on  \n")


def test_csv_has_one_scalar_per_cell() -> None:
    record = {
        "network": 'D@"x", y',
        "test_scales": [256, 384, 512],
        "top1_error": 24.4,
        "top1_interval": [24.02516, 24.7791],
        "top5_interval": None,
        "complete": True,
        "reference_top1": None,
    }
    text = render(small([record | {"net": "D"}], record=lambda row: record), "csv")
    assert text.splitlines()[0] == (
        "network,test_scales,top1_error,top1_low,top1_high,top5_low,top5_high,complete,reference_top1"
    )
    assert read_csv(text) == [
        {
            "network": 'D@"x", y',
            "test_scales": "256 384 512",
            "top1_error": "24.4",
            "top1_low": "24.02516",
            "top1_high": "24.7791",
            "top5_low": "",
            "top5_high": "",
            "complete": "true",
            "reference_top1": "",
        }
    ]


def test_csv_keeps_full_precision() -> None:
    value = 100 / 3
    (row,) = read_csv(render(small([{"net": "D", "error": value}]), "csv"))
    assert float(row["error"]) == value


def test_json_is_a_list_of_records_as_they_are() -> None:
    rows: list[dict[str, Any]] = [{"net": "D", "test_scales": [256], "top1_interval": [1.5, 2.5], "paper": None}]
    text = render(small(rows), "json")
    assert json.loads(text) == rows
    assert text.endswith("]\n")


def test_the_terminal_form_has_title_headings_rows_and_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = at_80(small([{"net": "[bold]D", "paper": 138}, {"net": "E"}]), monkeypatch)
    assert lines == [" A title", " Net      Paper", " [bold]D    138", " E            -", " A note."]


@pytest.mark.parametrize("form", ["table", "md"])
def test_an_optional_column_vanishes_where_no_row_fills_it(form: Format) -> None:
    assert "Paper" not in render(small([{"net": "D"}, {"net": "E", "paper": ""}]), form)
    assert "Paper" in render(small([{"net": "D"}, {"net": "E", "paper": 144}]), form)


def test_a_column_for_wide_terminals_always_stands_in_markdown(monkeypatch: pytest.MonkeyPatch) -> None:
    table = small([{"net": "D"}])
    for width, shown in (("80", False), ("99", False), ("100", True), ("140", True)):
        monkeypatch.setenv("COLUMNS", width)
        assert ("Views" in render(table, "table")) is shown
        assert "Views" in render(table, "md")


def test_show_prints_what_render_does(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    table = small([{"net": "D", "paper": 138}])
    expected = at_80(table, monkeypatch)
    show(table)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == expected


@pytest.mark.parametrize(
    ("asked", "output", "is_terminal", "chosen"),
    [
        (None, None, True, "table"),
        (None, None, False, "md"),
        (None, "a.md", True, "md"),
        (None, "a.csv", True, "csv"),
        (None, "A.JSON", True, "json"),
        (None, "a.txt", False, "table"),
        (None, "a", True, "md"),
        ("csv", "a.md", True, "csv"),
        ("table", None, False, "table"),
        ("json", None, True, "json"),
    ],
)
def test_the_format_is_the_one_asked_for_or_the_files_or_the_terminals(
    asked: str | None, output: str | None, is_terminal: bool, chosen: str
) -> None:
    assert choose_format(asked, Path(output) if output else None, is_terminal) == chosen


@pytest.mark.parametrize("asked", ["xml", "", "MD"])
def test_an_unknown_format_is_refused(asked: str) -> None:
    with pytest.raises(UsageError, match=r"expected one of table, md, csv, json"):
        choose_format(asked, None, True)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("form", "first"),
    [("md", "<!-- vggbench params D -->"), ("csv", "net"), ("json", "["), ("table", " A title")],
)
def test_a_markdown_file_begins_with_the_command_that_made_it(tmp_path: Path, form: Format, first: str) -> None:
    table, path = small([{"net": "D"}]), tmp_path / "new" / "folder" / "table"
    write(table, form, path, "vggbench params D")
    text = path.read_text(encoding="utf-8")
    assert text.splitlines()[0] == first
    assert text.endswith(render(table, form, "vggbench params D"))
    assert [file.name for file in path.parent.iterdir()] == ["table"]


def test_each_record_of_a_json_file_names_the_command(tmp_path: Path) -> None:
    write(small([{"net": "D"}, {"net": "E"}]), "json", tmp_path / "t.json", "vggbench params D E")
    made = {"command": "vggbench params D E"}
    assert json.loads((tmp_path / "t.json").read_text()) == [{"net": "D"} | made, {"net": "E"} | made]


def test_a_csv_cell_is_no_list_and_no_dict() -> None:
    record: dict[str, Any] = {
        "none": [], "lacking": ["C S=256", "D S=384"], "rates": [0.5, 0.25], "modes": {"RGB": 4, "L": 1}
    }  # fmt: skip
    assert read_csv(render(small([record], record=dict), "csv")) == [
        {"none": "", "lacking": "C S=256; D S=384", "rates": "0.5 0.25", "modes": "RGB=4 L=1"}
    ]


def test_a_csv_without_rows_has_its_columns() -> None:
    assert render(small([], keys=("net", "top1_interval")), "csv") == "net,top1_low,top1_high\n"


def test_a_write_that_fails_leaves_the_old_file_and_no_partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.md"
    path.write_text("old")

    def refuse(self: Path, target: Path) -> Path:
        assert list(tmp_path.glob(".t.md.*.partial")) == [self]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(VggbenchError, match=r"t\.md cannot be written \(No space left on device\)"):
        write(small([{"net": "D"}]), "md", path, "vggbench params")
    assert [file.name for file in tmp_path.iterdir()] == ["t.md"]
    assert path.read_text() == "old"


def test_a_folder_in_the_files_place_is_a_sentence_and_leaves_no_partial(tmp_path: Path) -> None:
    (tmp_path / "t.md").mkdir()
    with pytest.raises(VggbenchError, match=r"Name another with --output"):
        write(small([{"net": "D"}]), "md", tmp_path / "t.md", "vggbench params")
    assert [file.name for file in tmp_path.iterdir()] == ["t.md"]


def test_a_row_that_cannot_be_rendered_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.md"
    path.write_text("old")
    with pytest.raises(KeyError):
        write(small([{"none": "D"}]), "md", path, "vggbench params")
    assert [file.name for file in tmp_path.iterdir()] == ["t.md"]
    assert path.read_text() == "old"


# ---------------------------------------------------------------- params


NETS = [Architecture(config) for config in PAPER.values()]


def layers_of(nets: Sequence[Architecture], scale: int) -> Table:
    return layers_table(by_layer(nets, [scale]), by_net(nets, [scale]))


def test_the_params_table_is_the_one_of_tables_md(monkeypatch: pytest.MonkeyPatch) -> None:
    assert at_80(parameters_table(by_net(NETS, [224])), monkeypatch)[:8] == [
        " VGG configurations | input 3x224x224, 1000 classes, one view",
        " Net    Known as  Layers  Params M  Paper  Conv M    FC M    MiB  GMACs  GFLOPs",
        " A      VGG-11       8+3    132.86    133    9.22  123.64  506.8   7.61   15.22",
        " A-LRN  -            8+3    132.86    133    9.22  123.64  506.8   7.61   15.22",
        " B      VGG-13      10+3    133.05    133    9.40  123.64  507.5  11.31   22.62",
        " C      -           13+3    133.64    134   10.00  123.64  509.8  11.77   23.54",
        " D      VGG-16      13+3    138.36    138   14.71  123.64  527.8  15.47   30.94",
        " E      VGG-19      16+3    143.67    144   20.02  123.64  548.0  19.63   39.26",
    ]


@pytest.mark.parametrize("scales", [[224], [384], [256, 384, 512]])
@pytest.mark.parametrize("width", [1.0, 0.0625, 4.0])
def test_params_fit_80_columns_one_line_a_row(scales: list[int], width: float, monkeypatch: pytest.MonkeyPatch) -> None:
    nets = [Architecture(config, width=width) for config in PAPER.values()]
    table = parameters_table(by_net(nets, scales))
    lines = at_80(table, monkeypatch)
    assert max(map(len, lines)) <= 80
    firsts = [line.split()[0] for line in lines]
    assert firsts[firsts.index("Net") + 1 :][: len(table.rows)] == [name for name in PAPER for _ in scales]


@pytest.mark.parametrize("name", ["A-LRN", "E"])
def test_layers_fit_80_columns_one_line_a_row(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = layers_of([Architecture(CONFIGS[name])], 512)
    lines = at_80(table, monkeypatch)
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[2 : 2 + len(table.rows)]] == [row.layer.name for row in table.rows]


def test_the_papers_column_vanishes_for_nets_that_are_not_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    table = parameters_table(by_net([Architecture(CONFIGS["D"], classes=10)], [224]))
    for text in (render(table, "md"), "\n".join(at_80(table, monkeypatch))):
        assert "| Paper" not in text
        assert " Paper " not in text.replace("No column Paper:", "")
        assert "No column Paper: its Table 2 is for width 1 and 1000 classes." in text


def test_the_shallow_control_has_the_papers_statement_for_a_reference() -> None:
    counts = parameters_table(by_net([Architecture(CONFIGS["B"]), Architecture(CONFIGS["B-5x5"])], [224]))
    assert SHALLOW in shown_notes(counts, counts.terminal)
    assert [counts.record(row)["paper_parameters_millions"] for row in counts.rows] == [133, None]
    b, shallow = (replace(model(name), name=f"{name}@file") for name in ("B", "B-5x5"))
    rows = [measured("center", (256,), (10, 5), 96, models=(net,), network=net.name) for net in (b, shallow)]
    for shown, expected in ((rows, 1), (rows[:1], 0), (rows[1:], 0)):
        table = nets_table(shown, circumstances(pets()))
        notes = [note for note in shown_notes(table, table.terminal) if SHALLOW in note]
        assert len(notes) == expected
        assert table.record(shown[0])["reference_top1"] is None


# ---------------------------------------------------------------- eval and compare


@functools.cache
def ilsvrc() -> DataSet:
    names = wnids()
    images = [ImageFile(f"ILSVRC2012_val_{i + 1:08d}", Path("x"), 1, names[i // 50]) for i in range(50_000)]
    return DataSet("ilsvrc12-val", tuple(images), 50_000)


def pets(count: int = 96) -> DataSet:
    images = [ImageFile(f"{i:03d}", Path("x"), 1, "cat" if i % 2 else "dog") for i in range(count)]
    return DataSet("pets", tuple(images), count)


def model(config: str = "D", source: str = "oxford") -> Identity:
    net = Architecture(CONFIGS[config], ceil_pool=True)
    name = f"{config}@{source}"
    return Identity(name, INPUTS["caffe"], 1000, wnids(), "9363e1f6d65f", JITTERED, net, source=source)


def measured(protocol: str, scales: tuple[int, ...], wrong: tuple[int, int], images: int, **changes: Any) -> Row:
    net = model()
    fields: dict[str, Any] = {
        "network": net.name,
        "models": (net,),
        "protocol": protocol,
        "scales": scales,
        "train_scale": str(JITTERED),
        "views": 6,
        "parameters": 138_357_544,
        "macs": 2778.4e9,
        "images": images,
        "errors": Errors(ErrorRate(wrong[0], images), ErrorRate(wrong[1], images)),
        "config": "D",
    }
    return Row(**(fields | changes))


def circumstances(data: DataSet) -> Circumstances:
    return Circumstances(data, Settings(device="cpu"), [{"backend": "PyTorch", "device": "cpu", "seconds": 12_000.0}])


def full() -> tuple[list[Row], Circumstances]:
    reference = Reference(24.4, 7.2, "paper, Table 5")
    rows = [
        measured("dense", (384,), (12_800, 4_050), 50_000, macs=139.5e9, views=2),
        measured("dense+multicrop", (256, 384, 512), (12_200, 3_600), 50_000, views=156, reference=reference),
    ]
    return rows, circumstances(ilsvrc())


def test_eval_at_80_columns_keeps_error_interval_and_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = at_80(eval_table(*full()), monkeypatch)
    assert max(map(len, lines)) <= 80
    assert lines[0] == " D@oxford, S=256-512 | ILSVRC-2012 val, 50,000 of 50,000 images | error, %"
    assert [line.split() for line in lines[1:4]] == [
        ["Protocol", "Q", "Top-1", "Top-5", "Paper", "GMACs"],
        ["dense", "384", "25.60", "±0.38", "8.10", "±0.24", "-", "139.5"],
        ["dense+multicrop", "256,384,512", "24.40", "±0.38", "7.20", "±0.23", "24.4/7.2", "2778.4"],
    ]
    assert lines[4:] == [
        " 1 BGR 0-255 minus mean, ceil pooling; fp32, PyTorch on cpu.",
        " 2 ±: 95% Wilson interval over images.  3-5: --explain-notes",
        f" vggbench {__version__} | D@oxford:9363e1f6 | S256-512 | ilsvrc12-val:50000 |",
        " Q256,384,512",
    ]
    notes = shown_notes(eval_table(*full()), eval_table(*full()).markdown)
    assert "Paper: Table 5; same S, Q and protocol; - where there is none." in notes
    assert "BGR 0-255 minus mean, ceil pooling; fp32, PyTorch on cpu, 3 h 20 of forward passes." in notes


def test_a_table_of_nets_has_one_signature_a_net_with_every_q() -> None:
    other = model("E")
    rows = [
        measured("center", (384,), (10, 5), 96, images_per_second=12.0),
        measured("dense", (256,), (10, 5), 96),
        measured("dense", (384,), (10, 5), 96, models=(other,), network=other.name),
    ]
    table = nets_table(rows, circumstances(pets()))
    notes = shown_notes(table, table.markdown)
    assert [note for note in notes if note.startswith("vggbench ")] == [
        f"vggbench {__version__} | D@oxford:9363e1f6 | S256-512 | pets:96 | Q256,384",
        f"vggbench {__version__} | E@oxford:9363e1f6 | S256-512 | pets:96 | Q384",
    ]
    assert "Images/s: forward passes alone." in shown_notes(table, table.terminal)


def test_a_table_that_has_a_comparison_in_full_sends_nobody_elsewhere_for_it() -> None:
    against = Paired("A", "B", 2, 1, 8, 96)
    rows = [measured("dense", (384,), (10, 5), 96), measured("dense", (384,), (9, 5), 96, network="B", against=against)]
    table = nets_table(corrected(rows), circumstances(pets()))
    elsewhere = "Markdown, CSV and JSON hold interval and p."
    in_full = " ".join(shown_notes(table, table.markdown))
    assert "vs A: points of top-1 error on the same images; * significant at 5%, by McNemar's exact test." in in_full
    assert elsewhere not in in_full
    assert elsewhere in " ".join(shown_notes(table, table.terminal))


@pytest.mark.parametrize("images", [1, 5, 6, 7])
def test_few_images_have_no_grain_of_over_100_points(images: int) -> None:
    table = nets_table([measured("dense", (384,), (1, 0), images)], circumstances(pets()))
    said = " ".join(shown_notes(table, table.markdown))
    assert "e+0" not in said
    assert ("too few for any two rows to differ significantly" in said) == (images < 6)


def test_a_note_goes_with_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [measured("dense", (384,), (10, 5), 96, images_per_second=12.0, network="a-net-of-a-long-name" * n)
            for n in (1, 2)]  # fmt: skip
    table = nets_table(rows, circumstances(pets()))
    monkeypatch.setenv("COLUMNS", "80")
    narrow = render(table, "table", explained=True)
    monkeypatch.setenv("COLUMNS", "160")
    wide = render(table, "table", explained=True)
    for heading, note in (("GMACs", "GMACs: per image"), ("Images/s", "Images/s: forward passes alone.")):
        assert (heading in wide, note in wide) == (True, True)
        assert heading not in narrow
    layers = layers_of(NETS[:2], 224)
    assert "Stride" not in "\n".join(at_80(layers, monkeypatch))
    assert "MiB" not in "\n".join(at_80(parameters_table(by_net(NETS, [224, 256])), monkeypatch))


def test_forty_columns_show_one_record_below_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = render(eval_table([measured("dense", (256, 384, 512), (24, 12), 96)], circumstances(pets())), "table")
    assert lines.splitlines()[2:7] == [
        " Protocol  dense",
        " Q         256,384,512",
        " Top-1     25.0 [17.4, 34.5]",
        " Top-5     12.5 [7.3, 20.6]",
        " GMACs     2778.4",
    ]


def test_eval_from_100_columns_shows_views_and_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    lines = render(eval_table(*full()), "table").splitlines()
    assert lines[1].split() == ["Protocol", "Q", "Views", "Top-1", "Top-5", "Paper", "Diff", "GMACs"]
    assert lines[3].split()[2] == "156"
    assert "+0.0 / +0.0" in lines[3]


def test_markdown_of_a_full_run() -> None:
    lines = render(eval_table(*full()), "md").splitlines()
    cells = dict(zip(lines[2].split(" | "), lines[5].split(" | "), strict=True))
    assert cells["| Network"] == "| D@oxford"
    expected = {
        "S": "256-512", "Q": "256,384,512", "Protocol": "dense+multicrop", "Views": "156", "Images": "50,000",
        "Top-1 error (%)": "24.40", "Top-1 95% CI": "24.03-24.78", "Top-5 error (%)": "7.20",
        "Top-5 95% CI": "6.98-7.43", "Ref. top-1 / top-5": "24.4 / 7.2", "Diff.": "+0.0 / +0.0",
        "GMACs/image": "2778.4", "Reference |": "paper, Table 5 |",
    }  # fmt: skip
    assert {heading: cells[heading] for heading in expected} == expected


def test_few_images_get_one_decimal_and_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [measured("dense", (256,), (24, 12), 96, macs=57.8e9)]
    lines = at_80(eval_table(rows, circumstances(pets())), monkeypatch)
    assert "pets, 96 of 96 images" in lines[0]
    assert lines[1].split() == ["Protocol", "Q", "Top-1", "Top-5", "GMACs"]  # no reference: no column Paper
    assert lines[2].split() == ["dense", "256", "25.0", "[17.4,", "34.5]", "12.5", "[7.3,", "20.6]", "57.8"]
    assert lines[4].startswith(" 2 [low, high]: 95% Wilson interval over images.")


def test_the_keys_of_a_record_are_those_promised() -> None:
    _, record = json.loads(render(eval_table(*full()), "json"))
    assert set(KEYS.split(", ")) <= set(record)
    assert record["test_scales"] == [256, 384, 512]
    assert record["train_scale"] == "256-512"
    assert (record["top1_error"], record["reference_top1"], record["complete"]) == (24.4, 24.4, True)
    low, high = record["top1_interval"]
    assert (round(low, 2), round(high, 2)) == (24.03, 24.78)
    assert record["gflops_per_image"] == 2 * record["gmacs_per_image"]


def test_csv_of_a_full_run_splits_intervals_and_joins_scales() -> None:
    first, second = read_csv(render(eval_table(*full()), "csv"))
    assert (first["test_scales"], second["test_scales"]) == ("384", "256 384 512")
    assert not {"top1_interval", "top5_interval"} & set(second)
    assert (round(float(second["top1_low"]), 2), round(float(second["top1_high"]), 2)) == (24.03, 24.78)
    assert (round(float(second["top5_low"]), 2), round(float(second["top5_high"]), 2)) == (6.98, 7.43)
    assert (first["reference_top1"], second["reference_top1"], second["complete"]) == ("", "24.4", "true")


def test_compare_keeps_the_row_of_a_net_without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, about = full()
    without = Row("C", (), "dense", (384,), "256-512", 2, 133_638_952, 109.7e9, config="C", note="C: no file.")
    lines = at_80(nets_table([without, rows[0]], about), monkeypatch)
    assert max(map(len, lines)) <= 80
    assert lines[0] == " ILSVRC-2012 val, 50,000 of 50,000 images | dense, Q=384 | error, %"
    assert lines[2].split() == ["C", "256-512", "384", "no", "weights", "-", "133.64", "109.7"]
    assert lines[3].split() == ["D@oxford", "256-512", "384", "25.60", "±0.38", "8.10", "±0.24", "138.36", "139.5"]
    assert any("4 C: no file." in line for line in lines), "never left out"
    record, _ = json.loads(render(nets_table([without, rows[0]], about), "json"))
    assert (record["top1_error"], record["top1_interval"], record["parameters"]) == (None, None, 133_638_952)


def test_a_subset_says_so() -> None:
    data = pets()
    about = circumstances(DataSet(data.name, data.images[:32], data.total))
    table = eval_table([measured("dense", (256,), (24, 12), 32)], about)
    assert "pets, 32 of 96 images, a subset" in table.title
    (record,) = json.loads(render(table, "json"))
    assert (record["images"], record["images_total"], record["complete"]) == (32, 96, False)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 s"), (12, "12 s"), (89, "89 s"), (240, "4 min"), (5_340, "89 min"), (5_400, "1 h 30"),
     (12_000, "3 h 20"), (7_260, "2 h 01")],
)  # fmt: skip
def test_durations_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("form", ["table", "md", "csv", "json"])
def test_a_name_from_a_file_moves_no_cursor(form: Format) -> None:
    """As a class name in a weights file, or a model's in a run's record, may."""
    hostile = "\x1b[2J\x07evil\x9b"
    table = Table(hostile, [hostile], [Column("a", str)], [Column("a", str)], lambda row: {"a": row}, [hostile])
    text = render(table, form)
    assert "evil" in text
    assert all(character.isprintable() or character == "\n" for character in text)

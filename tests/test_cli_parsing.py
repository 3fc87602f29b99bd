"""The command line: options of several values, `params`, and errors that are one sentence."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import vggbench
from vggbench.cli.main import app
from vggbench.cli.parsing import expand
from vggbench.errors import UsageError

patient = settings(deadline=None)

# Parameters, MACs at 224 x 224.
GOLDEN = {
    "A": (132_863_336, 7_609_090_048),
    "A-LRN": (132_863_336, 7_609_090_048),
    "B": (133_047_848, 11_308_466_176),
    "C": (133_638_952, 11_770_888_192),
    "D": (138_357_544, 15_470_264_320),
    "E": (143_667_240, 19_632_062_464),
    "B-5x5": (134_503_528, 9_356_017_664),
}


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "vggbench", *arguments], capture_output=True, text=True, check=False)


def records(*arguments: str) -> list[dict[str, Any]]:
    done = run("params", "--format", "json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


# ---------------------------------------------------------------- options of several values


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("--scales 256 384 D", "--scales 256 --scales 384 D"),
        ("D --scales 256 384 512", "D --scales 256 --scales 384 --scales 512"),
        ("--scales=256 384", "--scales=256 --scales 384"),
        ("--scales=256 384 D", "--scales=256 --scales 384 D"),
        ("--scales 224:512:32 single multi E", "--scales 224:512:32 --scales single --scales multi E"),
        ("--scales 256 384 --dense D", "--scales 256 --scales 384 --dense D"),
        ("--scales 256 --dense 384", "--scales 256 --dense 384"),
        ("--scales 256 D 384", "--scales 256 D 384"),
        ("--scales 256 --scales 384 512", "--scales 256 --scales 384 --scales 512"),
        ("--scales 256 -- 384", "--scales 256 -- 384"),
        ("-- --scales 256 384", "-- --scales 256 384"),
        ("--scales D 256", "--scales D --scales 256"),
        ("--scales", "--scales"),
        ("--scales --dense 256", "--scales --dense 256"),
        ("D --limit 32 64", "D --limit 32 64"),
        ("--scalesque 256 384", "--scalesque 256 384"),
        ("", ""),
    ],
)
def test_further_values_repeat_the_option(written: str, read: str) -> None:
    assert expand(written.split()) == read.split()


words = st.lists(
    st.sampled_from(["--scales", "--scales=256", "256", "multi", "224:512:32", "D", "--dense", "--", "-h"])
)


@patient
@given(words)
def test_what_is_expanded_stays_as_it_is(args: list[str]) -> None:
    assert expand(expand(args)) == expand(args)


@patient
@given(words)
def test_nothing_but_names_of_options_is_added(args: list[str]) -> None:
    left = iter(expand(args))
    assert all(any(arg == other for other in left) for arg in args)
    assert sorted(set(expand(args)) - set(args)) in ([], ["--scales"])


@patient
@given(st.lists(st.integers(224, 512).map(str), min_size=1))
def test_several_values_read_like_repeated_options(values: list[str]) -> None:
    assert expand(["--scales", *values]) == [word for value in values for word in ("--scales", value)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--scales", "256", "384", "D"),
        ("D", "--scales", "384", "256"),
        ("--scales=256", "384", "D"),
        ("--scales", "256", "--scales", "384", "vgg16"),
        ("--scales", "256:384:128", "--", "D"),
    ],
    ids=" ".join,
)
def test_params_reads_several_scales(arguments: tuple[str, ...]) -> None:
    rows = records(*arguments)
    assert [(row["network"], row["input"], row["positions"]) for row in rows] == [("D", 256, 4), ("D", 384, 36)]


def test_eval_reads_several_scales_before_its_model(tmp_path: Path) -> None:
    """It gets as far as the data, which are not there."""
    arguments = ["eval", "--scales", "256", "384", "D@random", "--data", str(tmp_path / "nowhere")]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, UsageError)
    assert str(error).startswith(f"There is no {tmp_path / 'nowhere'}")


# ---------------------------------------------------------------- params


def test_params_prints_the_golden_figures_of_all_six() -> None:
    rows = records() + records("B-5x5")
    assert {row["network"]: (row["parameters"], row["macs"]) for row in rows} == GOLDEN
    assert [row["network"] for row in rows] == list(GOLDEN)
    assert all(row["flops"] == 2 * row["macs"] for row in rows)
    assert all(row["bytes"] == 4 * row["parameters"] for row in rows)


def test_params_of_named_nets_come_in_that_order_each_once() -> None:
    assert [row["network"] for row in records("vgg19", "a", "E")] == ["E", "A"]


def test_params_by_width_and_classes() -> None:
    (row,) = records("A", "--width", "0.0625", "--classes", "10")
    assert (row["width"], row["classes"], row["paper_parameters_millions"]) == (0.0625, 10, None)
    assert row["parameters"] == 36_280 + (32 * 49 * 256 + 256) + (256 * 256 + 256) + (256 * 10 + 10)


def test_params_is_markdown_in_a_pipe() -> None:
    done = run("params", "D")
    assert done.returncode == 0
    assert "| D | VGG-16 | 13+3 | 138357544 | 138.36 | 138 |" in done.stdout


def test_layers_of_d_sum_up_to_the_golden_figures() -> None:
    rows = records("D", "--layers")
    assert [row["layer"] for row in rows][:4] == ["conv1_1", "conv1_2", "pool1", "conv2_1"]
    assert [row["layer"] for row in rows][-4:] == ["pool5", "fc6", "fc7", "fc8"]
    assert (sum(row["parameters"] for row in rows), sum(row["macs"] for row in rows)) == GOLDEN["D"]
    assert [row["receptive_field"] for row in rows if row["layer"] in ("conv3_3", "pool5", "fc8")] == [40, 212, 404]


def test_layers_print_their_total() -> None:
    assert "D, Q=224: 138357544 parameters, 15470264320 MACs." in run("params", "D", "--layers").stdout


def test_check_recounts_and_says_so_beside_the_table() -> None:
    done = CliRunner().invoke(app, ["params", "A", "C", "--check", "--width", "0.0625", "--format", "json"])
    assert done.exit_code == 0
    assert done.stderr == "fvcore agrees on 2 counts.\n"
    assert len(json.loads(done.stdout)) == 2


def test_output_begins_with_the_command(tmp_path: Path) -> None:
    assert run("params", "D", "--output", str(tmp_path / "p.md")).returncode == 0
    first = (tmp_path / "p.md").read_text().splitlines()[0]
    assert first == f"<!-- vggbench params D --output {tmp_path / 'p.md'} -->"


def test_a_csv_file_begins_with_its_columns(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "parameters.csv"
    done = run("params", "D", "--output", str(target))
    assert (done.returncode, done.stdout) == (0, "")
    (row,) = csv.DictReader(io.StringIO(target.read_text()))
    assert (row["network"], int(row["parameters"]), int(row["macs"])) == ("D", *GOLDEN["D"])


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("params", "vgg116"), "Unknown config 'vgg116': expected one of A, A-LRN, B, C, D, E"),
        (("params", "--scales", "100"), "--scales 100: Q must lie between 224, the crop's side, and 2048."),
        (("params", "D", "--scales", "multi"), "--scales multi needs S"),
        (("params", "--scales", "big"), "--scales 'big': expected single, multi, numbers"),
        (("params", "--width", "0"), "--width 0.0"),
        (("params", "--classes", "0"), "--classes 0"),
        (("params", "--format", "xml"), "--format xml: expected one of table, md, csv, json."),
    ],
)
def test_a_usage_error_is_one_sentence_and_exit_2(arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("vggbench: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("fuse", "D@random"), "D@random: expected two or more different models."),
        (("eval", "D@random", "--grid", "4"), "--grid 4: expected 1 or 8."),
        (("eval", "D@random", "--grid", "8"), "--grid is for --multicrop, which was not asked for"),
        (("eval", "D@random", "--precision", "int8"), "--precision int8: expected one of fp32, tf32, bf16, fp16."),
        (("eval", "D@random", "--filter", "lanczos"), "--filter lanczos: expected one of bilinear, bicubic."),
        (("compare", "D@random", "--batch-size", "0"), "--batch-size 0: expected 1 or more."),
        (("compare", "D@random", "--width", "9"), "--width 9.0: expected a number above 0 and up to 4"),
    ],
)
def test_an_evaluation_that_cannot_be_is_a_usage_error(arguments: tuple[str, ...], sentence: str) -> None:
    error = CliRunner().invoke(app, list(arguments)).exception
    assert isinstance(error, UsageError)
    assert error.exit_code == 2
    assert sentence in str(error)


@pytest.mark.parametrize("arguments", [("--bogus",), ("params", "--bogus"), ("params", "--scales"), ("nothing",)])
def test_what_typer_refuses_is_exit_2_without_a_traceback(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


ONE_TOO_MANY = [
    (("eval", "D", "E"), "eval takes one MODEL and found E besides: expected `vggbench compare D E` for several"),
    (("eval", "D@a b.pth", "E"), "expected `vggbench compare 'D@a b.pth' E`"),
    (("eval", "D", "384"), "expected --scales 384."),
    (("eval", "D", "--dense", "multicrop"), "expected --multicrop."),
    (("explain", "D", "recipes"), "expected --recipes."),
    (("explain", "D", str(Path(__file__).parent)), f"expected --data {Path(__file__).parent}."),
    (("check", "D@a", "E@b"), "check takes one MODEL and found E@b besides"),
    (("data", "one", "two"), "data takes one PATH and found two besides: expected a command for each."),
    (("weights", "D@a", "E@b"), "weights takes one MODEL and found E@b besides"),
    (("export", "D@a", "E@b", "--to", "onnx"), "export takes one MODEL and found E@b besides"),
    (("train", "A", "D"), "train takes one CONFIG and found D besides"),
    (("locate", "D", "a.jpg", "b.jpg"), "locate takes"),
    (("doctor", "D"), "doctor takes no word and found D besides: expected `vggbench doctor` alone."),
    (("quickstart", "D"), "quickstart takes no word and found D besides: expected `vggbench quickstart` alone."),
    (("cite", "bibtex"), "cite takes no word and found bibtex besides: expected `vggbench cite` alone."),
]


@pytest.mark.parametrize(("arguments", "sentence"), ONE_TOO_MANY)
def test_a_word_too_many_is_told_where_it_belongs(arguments: tuple[str, ...], sentence: str) -> None:
    error = CliRunner().invoke(app, list(arguments)).exception
    assert isinstance(error, UsageError)
    assert sentence in str(error)


def test_every_command_that_can_have_a_word_too_many_is_tried() -> None:
    group = typer.main.get_command(app)
    single = {
        name
        for name, command in group.commands.items()  # type: ignore[attr-defined]
        if not any(parameter.nargs == -1 for parameter in command.params)
    }
    assert single == {arguments[0] for arguments, _ in ONE_TOO_MANY}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("runs", "list"), "runs list: expected `vggbench runs`."),
        (("runs", "rm", "D-*"), "expected `vggbench runs --delete RUN`."),
        (("runs", "--delete", "--finish"), "expected one of them"),
        (("runs", "export", "x", "--delete"), "expected one of them"),
        (("runs", "--delete", "x", "--output", "x.md"), "print no table"),
        (("runs", "--finish", "--format", "csv"), "print no table"),
        (("weights", "list"), "weights list: expected `vggbench weights`"),
    ],
)
def test_a_wrong_word_is_told_what_to_write(arguments: tuple[str, ...], sentence: str) -> None:
    error = CliRunner().invoke(app, list(arguments)).exception
    assert isinstance(error, UsageError)
    assert sentence in str(error)


@pytest.mark.parametrize(
    "command",
    ["eval {}", "compare {} D", "fuse {} D", "report {}", "explain {}", "predict {} x.jpg", "speed {}", "weights {}",
     "export {} --to onnx", "train D --data sample --output x.safetensors --from {}", "reproduce 3 --nets {}"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("resnet50", "any other is evaluated from Python: Model.wrap."),
        ("vgg15", "Did you mean"),
        ("oxford", "begins with a source of weights: expected CONFIG@SOURCE, such as D@oxford."),
        ("oxford@D", "begins with a source of weights"),
        ("vgg.pth", "is a file without the config that it is of: expected CONFIG@FILE, such as D@vgg.pth."),
        (str(Path(__file__).parent), "is a folder: expected a model, such as D@FILE. Images are named by --data."),
    ],
)
def test_a_model_that_is_none_is_told_what_to_write(
    command: str, model: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGGBENCH_DATA", "nowhere")
    error = CliRunner().invoke(app, [word.format(model) for word in command.split()]).exception
    assert isinstance(error, UsageError)
    assert sentence in str(error)


def test_version_by_module_and_by_script() -> None:
    script = Path(sys.executable).with_name("vggbench")
    for command in ([sys.executable, "-m", "vggbench"], [str(script)]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"vggbench {vggbench.__version__}\n"


def test_help_names_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in ("params", "eval", "compare", "fuse"):
        assert f"│ {command} " in done.stdout

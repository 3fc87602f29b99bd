"""Every option of every command: one order of panels, and a mistyped value refused at once, in one sentence."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import typer
from conftest import Result
from typer.testing import CliRunner

from vggbench.cli.main import app
from vggbench.cli.options import EvalOptions, ExplainOptions, PredictOptions, ReproduceOptions
from vggbench.cli.panels import FIRST, MOST_USED, PANELS
from vggbench.cli.parsing import _kind
from vggbench.errors import UsageError
from vggbench.images.choices import InputName
from vggbench.images.preprocessing import INPUTS
from vggbench.weights.description import ORDERS
from vggbench.weights.export import EXPORTERS

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
FILLED = {"predict": "predict D x.jpg", "export": "export D --to onnx", "train": "train D"} | {
    name: f"{name} D" for name in ("eval", "compare", "explain", "fuse", "report", "weights", "params", "speed")
}
"""The least that a command line of some commands must have."""


def options_of(command: Any) -> list[Any]:
    return [param for param in command.params if param.param_type_name == "option"]


def typed(command: Any) -> Iterator[tuple[Any, Any]]:
    """The options whose type is a choice or a number, and that type."""
    hints = get_type_hints(command.callback, include_extras=True)
    for option in options_of(command):
        kind, _ = _kind(hints[option.name])
        if get_origin(kind) is Literal or kind in (int, float):
            yield option, kind


TYPED = [(name, max(option.opts, key=len)) for name, command in COMMANDS.items() for option, _ in typed(command)]


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_its_panels_in_one_order(name: str) -> None:
    out = CliRunner().invoke(app, [name, "-h"], env={"COLUMNS": "200"}).output
    shown = [title.strip() for title in re.findall(r"╭─ (.*?) ─+╮", out)]
    assert shown == [title for title in ("Arguments", *PANELS) if title in shown]
    assert shown[-1] == "Output"
    assert {option.rich_help_panel for option in options_of(COMMANDS[name])} <= set(PANELS)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_by_its_short_name_shows_no_type_of_a_switch(name: str) -> None:
    long, short = (CliRunner().invoke(app, [*name.split(), option]) for option in ("--help", "-h"))
    assert (short.exit_code, short.output) == (0, long.output)
    assert "bool" not in short.output
    assert set(re.findall(r"--no-[a-z-]+", short.output)) <= {"--no-progress", "--no-antialias"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_choice(name: str) -> None:
    for option, kind in typed(COMMANDS[name]):
        for choice in get_args(kind):
            assert re.search(rf"\b{choice}\b", option.help), f"{option.name} lacks {choice}"


_SHOWN_AT_ONCE = 11
"""Options that need no panel of the most used, with --quiet, --no-progress, --help, --format and --output."""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_the_five_most_used_options_first(name: str) -> None:
    command = COMMANDS[name]
    shown = command.get_params(command.make_context(name, [], resilient_parsing=True))
    own = [param for param in shown if param.param_type_name == "option"]
    first = [option for option in own if option.rich_help_panel == FIRST]
    assert len(first) == (5 if name in MOST_USED else 0)
    assert name in MOST_USED or len(own) <= _SHOWN_AT_ONCE
    assert own[: len(first)] == first
    assert [max(option.opts, key=len) for option in first] == MOST_USED.get(name, "").split()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_quiet(name: str) -> None:
    names = {opt for option in options_of(COMMANDS[name]) for opt in option.opts}
    assert names >= {"--quiet", "-q", "--no-progress"}


def test_no_other_command_has_most_used_options() -> None:
    assert set(MOST_USED) <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_an_option_does_before_its_values(name: str) -> None:
    for option in options_of(COMMANDS[name]):
        verb = option.help.split()[0]
        assert verb[0].isupper(), f"{option.name}: {option.help}"
        assert verb.isalpha(), f"{option.name} begins with a value: {option.help}"


@pytest.mark.parametrize("kind", [ExplainOptions, PredictOptions, ReproduceOptions])
def test_the_options_of_others_are_those_of_an_evaluation(kind: type[ExplainOptions]) -> None:
    assert kind(device="cpu", workers=3).for_evaluation() == EvalOptions(device="cpu", workers=3)


def test_choices_are_those_that_the_library_knows() -> None:
    assert get_args(InputName) == (*INPUTS, *ORDERS)
    ((_, kind),) = [(option, kind) for option, kind in typed(COMMANDS["export"]) if option.name == "to"]
    assert get_args(kind) == tuple(EXPORTERS)


# ---------------------------------------------------------------- mistyped values


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "option"), TYPED)
def test_a_word_that_is_no_value_is_one_sentence(name: str, option: str) -> None:
    error = CliRunner().invoke(app, [*FILLED.get(name, name).split(), option, "nonsense"]).exception
    assert isinstance(error, UsageError)
    assert re.fullmatch(rf"{option} nonsense: expected [^\n]+[.?]", str(error))


SAID = [
    ("eval D --filter X", "--filter X: expected one of bilinear, bicubic."),
    ("eval D --grid 4", "--grid 4: expected 1 or 8."),
    ("eval D --precision int8", "--precision int8: expected one of fp32, tf32, bf16, fp16."),
    ("eval D --backend X", "--backend X: expected one of auto, onnxruntime, pytorch."),
    ("eval D --input X", "--input X: expected one of torchvision, caffe, matconvnet, RGB, BGR, or order"),
    ("eval D --format xml", "--format xml: expected one of table, md, csv, json."),
    ("eval D --limit 0", "--limit 0: expected 1 or more."),
    ("eval D --limit 1.5", "--limit 1.5: expected a whole number, 1 or more."),
    ("eval D --batch-size 0", "--batch-size 0: expected 1 or more."),
    ("eval D --workers -1", "--workers -1: expected 0 or more."),
    ("eval D --width 9", "--width 9.0: expected a number above 0 and up to 4; 1 is the paper's."),
    ("eval D --width nan", "--width nan: expected a number above 0 and up to 4; 1 is the paper's."),
    ("eval D --device gpu", "--device gpu: expected auto, cpu, cuda, cuda:0 or mps."),
    ("eval D --share 3/2", "--share 3/2: expected I/N, such as 2/8 for the second of eight processes."),
    ("eval D --scales X", "--scales 'X': expected single, multi, numbers such as 256 384 512, or 224:512:32."),
    ("eval D --scales 256 3000", "--scales 3000: Q must lie between 1 and 2048."),
    (
        "eval D --train-scale 12",
        "S '12' is not a training scale: expected 256, 384 or 256-512, between 224 and 2048.",
    ),
    ("eval D --labels real=", "--labels real=: expected original, or real=FILE with ReaL's real.json."),
    ("compare D --against X", "--against X: expected one of first, best."),
    ("compare D --sort X", "--sort X: expected one of given, error, cost."),
    ("export D --to caffe", "--to caffe: expected one of safetensors, torchvision, onnx."),
    ("export D --to onnx --train-scale 12", "S '12' is not a training scale"),
    ("fuse D E --shares -1 1", "--shares -1: expected 0 or more."),
    ("params --classes 0", "--classes 0: expected 1 to 1,000,000."),
    ("predict D x --top 0", "--top 0: expected 1 or more."),
    ("speed D --backend pytorch X --backend Y", "--backend Y: expected one of pytorch, pytorch+compile, onnxruntime."),
    ("speed D --precision int8", "--precision int8: expected one of fp32, tf32, bf16, fp16."),
    ("speed D --batch-size 32 0", "--batch-size 0: expected 1 to 65,536."),
    ("speed D --seconds nan", "--seconds nan: expected 0 or more."),
    ("train D --epochs 0", "--epochs 0: expected 1 to 1e+06."),
    ("train D --rate nan", "--rate nan: expected 1e-12 to 1000."),
    ("train D --init best", "--init best: expected one of glorot, paper, paper-literal, he, identity."),
    ("train D --accumulate 0", "--accumulate 0: expected 1 or more."),
    ("train D --train-scale 12", "S '12' is not a training scale"),
    ("runs --device X", "--device X: expected auto, cpu, cuda, cuda:0 or mps."),
    ("eval", "Missing argument 'MODEL'. `vggbench eval --help` says what is expected."),
    ("eval D --bogus", "eval has no option --bogus. `vggbench eval --help` lists all."),
    ("eval D --scales", "Option '--scales' requires an argument. `vggbench eval --help` says what is expected."),
    ("evl D", "There is no command 'evl'. Did you mean `vggbench eval`? `vggbench --help` lists all."),
    ("--bogus", "vggbench has no option --bogus. `vggbench --help` lists all."),
]


@pytest.mark.parametrize(("line", "said"), SAID)
def test_what_is_mistyped_is_one_sentence_and_exit_2(line: str, said: str, vggbench: Callable[..., Result]) -> None:
    done = vggbench(*line.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("vggbench: ")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_what_is_mistyped_in_the_environment_is_said_too(
    vggbench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command alone: no word of it is wrong."""
    monkeypatch.setenv("VGGBENCH_EVAL_GRID", "4")
    monkeypatch.setattr(app.info, "context_settings", {"auto_envvar_prefix": "VGGBENCH"})
    assert vggbench("eval", "D").err == "vggbench: --grid 4: expected 1 or 8.\n"


@pytest.mark.thorough
def test_a_mistyped_value_imports_nothing_heavy() -> None:
    """All in one process, which would keep what any of them imports."""
    lines = [line.split() for line, _ in SAID]
    lines += [[*FILLED.get(name, name).split(), option, "nonsense"] for name, option in TYPED]
    code = (
        "import json, sys\n"
        "from vggbench.cli.main import main\n"
        "for words in json.loads(sys.stdin.read()):\n"
        "    sys.argv = ['vggbench', *words]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as stop:\n"
        "        assert stop.code == 2, words\n"
        "heavy = ['torch', 'torchvision', 'pandas', 'pyarrow', 'matplotlib', 'scipy', 'numpy']\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=json.dumps(lines), capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", f"by one of {shlex.join(lines[0])} and so on"

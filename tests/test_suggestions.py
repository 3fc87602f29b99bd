"""What is mistyped is answered by the nearest word that is right: every command, option, choice, config and source."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import typer
from conftest import Result

from vggbench.cli.environment import VARIABLES
from vggbench.cli.main import app
from vggbench.cli.parsing import _kind
from vggbench.cli.questions import QUESTIONS
from vggbench.cli.suggestions import _COMMANDS, _OPTIONS
from vggbench.errors import UsageError, did_you_mean
from vggbench.files import near_path
from vggbench.images.preprocessing import INPUTS, require_input
from vggbench.paper.configs import CONFIGS, config_named
from vggbench.paper.protocols import PROTOCOLS, Protocol
from vggbench.paper.published import FUSIONS
from vggbench.weights.spec import NAMED_SOURCES, parse_model

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
FILLED = {
    "predict": "predict D x.jpg", "export": "export D --to onnx", "train": "train D", "locate": "locate D x.jpg",
    "score": "score x.csv",
} | {name: f"{name} D" for name in ("eval", "compare", "explain", "fuse", "check")}  # fmt: skip
CHOICES = [
    (name, max(item.opts, key=len), choice)
    for name, command in COMMANDS.items()
    for item in command.params
    if item.param_type_name == "option"
    and get_origin(kind := _kind(get_type_hints(command.callback, include_extras=True)[item.name])[0]) is Literal
    for choice in get_args(kind)
    if isinstance(choice, str) and len(choice) > 2
]


def mistyped(word: str) -> str:
    """Two letters in the middle exchanged, or the first left out where they are the same; in short words one twice."""
    at = len(word) // 2
    if len(word) < 5:
        return word[:at] + word[at - 1 :]
    changed = word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]
    return changed if changed != word else word[1:]


@pytest.mark.parametrize("name", [name for name in COMMANDS if len(name) > 3])
def test_a_mistyped_command(name: str, vggbench: Callable[..., Result]) -> None:
    done = vggbench(mistyped(name))
    assert done.code == 2
    assert f"Did you mean `vggbench {name}`?" in done.err


def test_the_word_of_another_tool_is_answered_by_a_command(vggbench: Callable[..., Result]) -> None:
    assert set(_COMMANDS.values()) <= set(COMMANDS)
    assert not set(_COMMANDS) & set(COMMANDS)
    assert "Did you mean `vggbench eval`?" in vggbench("evaluate", "D").err
    assert "Did you mean `vggbench fuse`?" in vggbench("ensemble", "D").err
    assert "Did you mean" not in vggbench("qqqq").err


@pytest.mark.thorough
@pytest.mark.parametrize("name", COMMANDS)
def test_every_mistyped_option(name: str, vggbench: Callable[..., Result]) -> None:
    own = [item for item in COMMANDS[name].params if item.param_type_name == "option" and item.name != "help"]
    for option in (max(item.opts, key=len) for item in own):
        if len(option) > 6:
            done = vggbench(*FILLED.get(name, name).split(), f"--{mistyped(option[2:])}")
            assert done.code == 2
            assert f"Did you mean {option}?" in done.err, done.err


def test_the_option_of_another_tool_is_answered(vggbench: Callable[..., Result]) -> None:
    every = {opt for command in COMMANDS.values() for item in command.params for opt in item.opts}
    assert all(meant.split()[0] in {"a", *every} for meant in _OPTIONS.values())
    assert "Did you mean --dense?" in vggbench("eval", "D", "--protocol", "dense").err
    assert "Did you mean --center?" in vggbench("eval", "D", "--protocol=center").err
    assert "It is an option of compare." in vggbench("runs", "--sort", "error").err
    assert "Options come after the command" in vggbench("--data", "x", "eval", "D").err


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "option", "choice"), CHOICES)
def test_every_mistyped_choice(name: str, option: str, choice: str, vggbench: Callable[..., Result]) -> None:
    done = vggbench(*FILLED.get(name, name).split(), option, mistyped(choice))
    assert done.code == 2
    assert re.search(rf"Did you mean {re.escape(choice)}\?", done.err), done.err


def test_every_mistyped_config_source_protocol_input_and_fusion(vggbench: Callable[..., Result]) -> None:
    for config in CONFIGS.values():
        if config.known_as:
            with pytest.raises(UsageError, match=f"Did you mean {config.name}\\?"):
                config_named(f"{config.known_as}x")
    for source in NAMED_SOURCES:
        done = vggbench("weights", f"D@{mistyped(source)}")
        assert f"Did you mean D@{source}?" in done.err
    for protocol in PROTOCOLS:
        with pytest.raises(UsageError, match=f"Did you mean {protocol}\\?"):
            Protocol.parse(mistyped(protocol))
    for name in INPUTS:
        with pytest.raises(UsageError, match=f"Did you mean {name}\\?"):
            require_input(mistyped(name))
    for kind in ("torchvision", "timm", "onnx"):
        with pytest.raises(UsageError, match=f"Did you mean {kind}:x\\?"):
            parse_model(f"{mistyped(kind)}:x")
    for fusion in FUSIONS:
        assert f"Did you mean {fusion}?" in vggbench("fuse", mistyped(fusion), "D", "E").err


def test_a_mistyped_path_is_answered_where_something_is_there(tmp_path: Path, vggbench: Callable[..., Result]) -> None:
    (tmp_path / "imagenet" / "val").mkdir(parents=True)
    meant = tmp_path / "imagenet" / "val"
    assert near_path(tmp_path / "imagnet" / "val") == f" Did you mean {meant}?"
    assert near_path(tmp_path / "imagenet" / "vl") == f" Did you mean {meant}?"
    assert near_path(tmp_path / "imagnet" / "train") == ""
    assert near_path(tmp_path / "nothing like it") == ""
    assert near_path(Path("smaple"), ["sample"]) == " Did you mean sample?"
    assert f"Did you mean {meant}?" in vggbench("eval", "D@random", "--data", str(tmp_path / "imagenet" / "va")).err
    assert "Did you mean sample?" in vggbench("data", "smaple").err


def test_what_is_far_from_all_is_answered_by_nothing() -> None:
    assert did_you_mean("zzz", ["fp32", "bf16"]) == ""
    assert did_you_mean("FP23", ["fp32", "bf16"]) == " Did you mean fp32?"


# ---------------------------------------------------------------- vggbench alone


def test_alone_it_prints_five_questions_and_command_lines_that_are_right(vggbench: Callable[..., Result]) -> None:
    done = vggbench()
    assert (done.code, done.err) == (0, "")
    assert len(QUESTIONS) == 5
    assert max(map(len, done.out.splitlines())) <= 80
    for question in QUESTIONS:
        assert question.text in done.out
        for line in question.lines:
            assert f"  {line}\n" in done.out
            program, name, *words = line.split()
            assert program == "vggbench"
            context = COMMANDS[name].make_context(name, words)  # refuses what is mistyped
            assert context.params


def test_every_variable_that_is_read_is_listed(vggbench: Callable[..., Result]) -> None:
    listed = {variable.name for variable in VARIABLES}
    texts = [path.read_text() for path in (Path(__file__).parent.parent / "vggbench").rglob("*.py")]
    assert {name for text in texts for name in re.findall(r"\bVGGBENCH_[A-Z]+\b", text)} <= listed
    assert all(name in vggbench("--help").out for name in listed)

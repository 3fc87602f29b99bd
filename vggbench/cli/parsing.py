"""How a command line is read: options of several values, and commands that share their options."""

import functools
import inspect
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from typer.core import TyperArgument, TyperCommand

from vggbench.errors import UsageError
from vggbench.paper.protocols import is_scale

_SEVERAL: dict[str, Callable[[str], bool]] = {
    "--scales": is_scale,
    "--labels": lambda word: word == "original" or word.startswith("real="),
    "--nets": lambda word: "@" in word,
    "--shares": lambda word: re.fullmatch(r"[0-9.]+", word) is not None,
}
"""Options whose further values follow without repeating the option, and what counts as a further value."""
_SEVERAL_SETUPS: dict[str, Callable[[str], bool]] = {
    "--scales": is_scale,
    "--backend": {"pytorch", "pytorch+compile", "onnxruntime"}.__contains__,
    "--batch-size": str.isdigit,
    "--precision": {"fp32", "tf32", "bf16", "fp16"}.__contains__,
}
"""The same for `speed`."""


class SeveralValues(TyperCommand):
    """A command whose `--scales 256 384 512` reads like `--scales 256 --scales 384 --scales 512`."""

    several = _SEVERAL
    allow_extra_args = True  # refused here, by a sentence that says where they belong

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Expand, parse as Typer does, and refuse words too many; raises UsageError."""
        rest = super().parse_args(ctx, expand(args, self.several))
        if rest and not ctx.resilient_parsing:
            raise UsageError(_too_many(self, rest, ctx.params))
        return rest


def _too_many(command: TyperCommand, words: list[str], given: Mapping[str, Any]) -> str:
    """What to write instead of `words`, which `command` has no place for."""
    arguments = [item for item in command.params if isinstance(item, TyperArgument)]
    takes = " and ".join(f"one {str(item.metavar).strip('[]')}" for item in arguments) or "no word"
    options = {name for item in command.params for name in item.opts}
    word = words[0]
    if f"--{word.lower()}" in options:
        instead = f"--{word.lower()}"
    elif "--scales" in options and is_scale(word):
        instead = f"--scales {word}"
    elif "--data" in options and Path(word).exists():
        instead = f"--data {word}"
    elif command.name == "eval":
        instead = f"`vggbench compare {shlex.join([str(given['model']), *words])}` for several models side by side"
    elif arguments:
        instead = "a command for each"
    else:
        instead = f"`vggbench {command.name}` alone"
    return f"{command.name} takes {takes} and found {shlex.join(words)} besides: expected {instead}."


class SeveralSetups(SeveralValues):
    """The same for what `speed` combines."""

    several = _SEVERAL_SETUPS


def expand(args: list[str], several: Mapping[str, Callable[[str], bool]] = _SEVERAL) -> list[str]:
    """Repeat the name of an option of several values before each further value."""
    expanded: list[str] = []
    current: str | None = None
    for position, arg in enumerate(args):
        if arg == "--":
            return expanded + args[position:]
        if arg.startswith("-"):
            name, equals, _ = arg.partition("=")
            current = name if name in several else None
            expanded.append(arg)
            fresh = current is not None and not equals
            continue
        if current and not fresh and several[current](arg):
            expanded.append(current)
        elif current and not fresh:
            current = None
        expanded.append(arg)
        fresh = False
    return expanded


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command(..., options: Options)`, a dataclass, one parameter for each field of Options instead."""
    own_hints = get_type_hints(command, include_extras=True)
    kind = own_hints["options"]
    hints = get_type_hints(kind, include_extras=True)
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "options"]
    shared = [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=item.default,
            annotation=hints[item.name],
        )
        for item in fields(kind)
    ]

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        options = kind(**{item.name: values.pop(item.name) for item in fields(kind)})
        command(**values, options=options)

    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    expanded.__signature__ = inspect.Signature(keyword_only + shared)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: own_hints.get(p.name, hints.get(p.name)) for p in keyword_only + shared}
    return expanded

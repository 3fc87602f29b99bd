"""How a command line is read: options of several values, options that commands share, and refusals in a sentence."""

import functools
import inspect
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from vggbench.cli.options import NoProgress, Quiet
from vggbench.cli.panels import OUTPUT, ordered
from vggbench.cli.suggestions import all_options, unknown_command, unknown_option
from vggbench.cli.terminal import speak
from vggbench.errors import UsageError, did_you_mean
from vggbench.inference.choices import BackendName, Precision
from vggbench.paper.protocols import is_scale

FURTHER: dict[str, Callable[[str], bool]] = {
    "--scales": is_scale,
    "--labels": lambda word: word == "original" or word.startswith("real="),
    "--nets": lambda word: "@" in word,
    "--with": lambda word: "@" in word or ":" in word,
    "--classes-of-data": ("all", "only").__contains__,
    "--metrics": ("calibration",).__contains__,
    "--shares": lambda word: re.fullmatch(r"[0-9.]+", word) is not None,
    "--backend": get_args(BackendName).__contains__,
    "--batch-size": str.isdigit,
    "--test": lambda word: word.endswith(".parquet"),
    "--costs": lambda word: re.fullmatch(r"[0-9.]+(e-?[0-9]+)?", word) is not None,
    "--precision": get_args(Precision).__contains__,
}
"""What counts as a further value of an option that takes several, which follow without repeating it."""
_SHARED = {"quiet": Quiet, "no_progress": NoProgress}
"""The options that every command has."""
_Refused: type[Exception] = typer.BadParameter.__bases__[0]
"""Click's UsageError, wherever this Typer keeps it."""


class Command(TyperCommand):
    """A command whose `--scales 256 384 512` reads like `--scales 256 --scales 384 --scales 512`."""

    allow_extra_args = True  # refused here, by a sentence that says where they belong

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments, then options in the one order of panels."""
        params = _with_plain_switches(super().get_params(ctx))
        for param in params:
            if param.name == "help":
                param.rich_help_panel = OUTPUT
        return ordered(self.name, params)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Expand, parse as Typer does, and refuse words too many; raises UsageError."""
        several = {name: FURTHER[name] for item in self.params for name in item.opts if item.multiple}
        words = expand(args, several)
        try:
            rest = super().parse_args(ctx, list(words))
        except _Refused as error:
            raise UsageError(
                self._mistyped(ctx, error, words) or _refusal(ctx, error, words, self.name, ctx.find_root().command)
            ) from error
        if rest and not ctx.resilient_parsing:
            raise UsageError(_too_many(self, rest, ctx.params))
        return rest

    def _mistyped(self, ctx: Any, error: Exception, words: Sequence[str]) -> str | None:
        """What an option's value is and should be, if that is what Typer refuses."""
        param = getattr(error, "param", None)
        if param is None:
            return None
        given, _, _ = self.make_parser(ctx).parse_args(list(words))
        value, _ = param.consume_value(ctx, given)
        hint = get_type_hints(self.callback, include_extras=True)[param.name]
        for word in value if isinstance(value, list | tuple) else [value]:
            kind, option = _kind(hint)
            expected = None if word is None else _expected(kind, option, str(word))
            if expected:
                near = did_you_mean(word, get_args(kind)) if get_origin(kind) is Literal else ""
                return f"{max(param.opts, key=len)} {word}: expected {expected}.{near}"
        return None


class Commands(TyperGroup):
    """All commands; what is no command is refused in a sentence."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options before the command."""
        return _with_plain_switches(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raise UsageError for an unknown option."""
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except _Refused as error:
            raise UsageError(_refusal(ctx, error, words, None, self)) from error

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Raise UsageError for an unknown command."""
        try:
            return super().resolve_command(ctx, args)
        except _Refused as error:
            raise UsageError(unknown_command(args[0], list(self.commands))) from error


def _with_plain_switches(params: list[Any]) -> list[Any]:
    """A switch has no --no- form, and no value whose type could be shown."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar, param.secondary_opts = "", []
    return params


def _refusal(ctx: Any, error: Any, words: Sequence[str], name: str | None, group: Any) -> str:
    """A sentence on what Typer refuses of a command, or of vggbench itself."""
    command = f"vggbench {name}" if name else "vggbench"
    unknown = getattr(error, "option_name", None) if hasattr(error, "possibilities") else None
    if unknown and hasattr(group, "commands"):
        place = next((i for i, word in enumerate(words) if word.partition("=")[0] == unknown), len(words))
        following = next(iter(words[place + 1 :]), None)
        if place < len(words) and "=" in words[place]:
            following = words[place].partition("=")[2]
        return unknown_option(unknown, following, name, all_options(group))
    said = " ".join(str(error.format_message()).split())
    return f"{said}{'' if said.endswith(('.', '?')) else '.'} `{command} --help` says what is expected."


def _kind(hint: Any) -> tuple[Any, Any]:
    """The type of one value, and what the option says of it."""
    kind, *rest = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if get_origin(kind) in (Union, UnionType):
        kind = next(item for item in get_args(kind) if item is not type(None))
    return get_args(kind)[0] if get_origin(kind) is list else kind, rest[0] if rest else None


def _expected(kind: Any, option: Any, word: str) -> str | None:
    """What stands where `word` does in a right command line; None where it is right."""
    if get_origin(kind) is Literal:
        names = [str(choice) for choice in get_args(kind)]
        listed = f"one of {', '.join(names)}" if isinstance(get_args(kind)[0], str) else " or ".join(names)
        return None if word in names else listed
    if kind not in (int, float):
        return None
    least, most = option.min, option.max
    bounds = f"{least:,} to {most:,}" if most is not None else f"{least:,} or more" if least is not None else None
    try:
        value = kind(word)
    except ValueError:
        return f"a {'whole ' * (kind is int)}number{f', {bounds}' if bounds else ''}"
    inside = (least is None or value >= least) and (most is None or value <= most)
    return None if inside else bounds


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


def expand(args: list[str], several: Mapping[str, Callable[[str], bool]] = FURTHER) -> list[str]:
    """Repeat the name of an option of several values before each further value."""
    expanded: list[str] = []
    current, is_first = "", False
    for position, arg in enumerate(args):
        if arg == "--":
            return expanded + args[position:]
        if arg.startswith("-"):
            name, equals, _ = arg.partition("=")
            current, is_first = name if name in several else "", not equals
        elif is_first:
            is_first = False
        elif current and several[current](arg):
            expanded.append(current)
        else:
            current = ""
        expanded.append(arg)
    return expanded


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The function that Typer calls: the fields of `command`'s `options`, a dataclass, are parameters of their own.

    So are the options that every command has.
    """
    hints = get_type_hints(command, include_extras=True)
    kind = hints.pop("options", None)
    own = {name: item.default for name, item in inspect.signature(command).parameters.items() if name != "options"}
    shared = {item.name: item.default for item in fields(kind)} if kind else {}
    hints |= _SHARED | (get_type_hints(kind, include_extras=True) if kind else {})
    defaults = own | shared | dict.fromkeys(_SHARED, False)

    @functools.wraps(command)
    def expanded(*, quiet: bool, no_progress: bool, **values: Any) -> None:
        speak(quiet=quiet, progress=not no_progress)
        if kind:
            values["options"] = kind(**{name: values.pop(name) for name in shared})
        command(**values)

    parameter = functools.partial(inspect.Parameter, kind=inspect.Parameter.KEYWORD_ONLY)
    parameters = [parameter(name, default=value, annotation=hints[name]) for name, value in defaults.items()]
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {name: hints[name] for name in defaults}
    return expanded

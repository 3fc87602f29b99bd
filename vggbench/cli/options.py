"""The options that eval, compare and fuse share, and options that take several values."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand

from vggbench.protocols import is_scale

_SEVERAL: dict[str, Callable[[str], bool]] = {"--scales": is_scale}
"""Options whose further values follow without repeating the option, and what counts as a further value."""

_PROTOCOLS = "Protocols (none: --dense)"
_DATA = "Data and weights"
_RUNNING = "Running"
_OUTPUT = "Output"

Scales = Annotated[
    list[str] | None,
    typer.Option(
        help="Q: single, multi, numbers such as 256 384 512, or a sweep 224:512:32.",
        metavar="Q...",
        rich_help_panel=_PROTOCOLS,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(help="table, md, csv or json. Default: table on a terminal, md in a pipe.", rich_help_panel=_OUTPUT),
]
Output = Annotated[
    Path | None, typer.Option(help="Write to this file instead of standard output.", rich_help_panel=_OUTPUT)
]


def _flag(text: str, panel: str, *names: str) -> Any:
    """An option; with a name of its own a switch has no --no- form."""
    return typer.Option(*names, help=text, rich_help_panel=panel)


@dataclass(frozen=True)
class EvalOptions:
    """What an evaluation can be told; see each help text."""

    scales: Scales = None
    center: Annotated[bool, _flag("One central 224 crop (Q=256 unless --scales).", _PROTOCOLS, "--center")] = False
    tencrop: Annotated[bool, _flag("4 corners, centre, and their mirrors.", _PROTOCOLS, "--tencrop")] = False
    dense: Annotated[bool, _flag("The whole image and its mirror (paper, section 3.2).", _PROTOCOLS, "--dense")] = False
    multicrop: Annotated[bool, _flag("5 x 5 crops and their mirrors: 50 views.", _PROTOCOLS, "--multicrop")] = False
    grid: Annotated[int, _flag("Pixels that multicrop's offsets are multiples of: 1 or 8.", _PROTOCOLS)] = 1
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of images, one folder per class.", envvar="VGGBENCH_DATA", rich_help_panel=_DATA),
    ] = None
    limit: Annotated[int | None, _flag("Take every (total/N)-th image only; the row says subset.", _DATA)] = None
    weights: Annotated[str | None, _flag("Source of all models that name none, such as random.", _DATA)] = None
    input: Annotated[
        str | None,
        _flag("What files that do not say it expect: torchvision or caffe.", _DATA),
    ] = None
    train_scale: Annotated[str | None, _flag("S of files that do not say it: 256, 384 or 256-512.", _DATA)] = None
    width: Annotated[float, _flag("Width of random nets; 1.0 is the paper's.", _DATA)] = 1.0
    filter: Annotated[str, _flag("Rescaling: bilinear or bicubic.", _DATA)] = "bilinear"
    antialias: Annotated[bool, _flag("Antialias when rescaling.", _DATA)] = True
    skip_bad_images: Annotated[
        bool, _flag("Leave out unreadable images; every table counts them.", _DATA, "--skip-bad-images")
    ] = False
    device: Annotated[str, _flag("auto, cpu, cuda, cuda:1 or mps.", _RUNNING)] = "auto"
    precision: Annotated[str, _flag("fp32, tf32, bf16 or fp16.", _RUNNING)] = "fp32"
    batch_size: Annotated[
        int | None, _flag("Views of 224 x 224 per forward pass; larger views count for more.", _RUNNING)
    ] = None
    workers: Annotated[int | None, _flag("Processes that read images.", _RUNNING)] = None
    runs: Annotated[
        Path,
        typer.Option(help="The store of posteriors.", envvar="VGGBENCH_RUNS", rich_help_panel=_RUNNING),
    ] = Path("runs")
    dry_run: Annotated[
        bool, _flag("Print the forecast (views, GMACs, time, disk) and stop.", _RUNNING, "--dry-run")
    ] = False
    format: Format = None
    output: Output = None


class SeveralValues(TyperCommand):
    """A command whose `--scales 256 384 512` reads like `--scales 256 --scales 384 --scales 512`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Expand, then parse as Typer does."""
        return super().parse_args(ctx, expand(args))


def expand(args: list[str]) -> list[str]:
    """Repeat the name of an option of several values before each further value."""
    expanded: list[str] = []
    current: str | None = None
    for position, arg in enumerate(args):
        if arg == "--":
            return expanded + args[position:]
        if arg.startswith("-"):
            name, equals, _ = arg.partition("=")
            current = name if name in _SEVERAL else None
            expanded.append(arg)
            fresh = current is not None and not equals
            continue
        if current and not fresh and _SEVERAL[current](arg):
            expanded.append(current)
        elif current and not fresh:
            current = None
        expanded.append(arg)
        fresh = False
    return expanded


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command(..., options: EvalOptions)` one parameter for each field of EvalOptions instead."""
    hints = get_type_hints(EvalOptions, include_extras=True)
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "options"]
    shared = [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=item.default,
            annotation=hints[item.name],
        )
        for item in fields(EvalOptions)
    ]

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        options = EvalOptions(**{item.name: values.pop(item.name) for item in fields(EvalOptions)})
        command(**values, options=options)

    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    expanded.__signature__ = inspect.Signature(keyword_only + shared)  # type: ignore[attr-defined]
    own_hints = get_type_hints(command, include_extras=True)
    expanded.__annotations__ = {p.name: own_hints.get(p.name, hints.get(p.name)) for p in keyword_only + shared}
    return expanded

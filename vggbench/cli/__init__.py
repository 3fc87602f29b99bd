"""The command line: each command parses, makes one library call, and prints."""

import os
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from vggbench.cli.options import (
    EvalOptions,
    Format,
    GroundTruthFile,
    Output,
    Scales,
    SeveralSetups,
    SeveralValues,
    SpeedOptions,
    TrainOptions,
    Workers,
    with_options,
)
from vggbench.errors import UsageError, VggbenchError, printable

if TYPE_CHECKING:
    from vggbench.tables.table import Table

_INTERRUPTED = 130
_ENVIRONMENT = {"THP_MEM_ALLOC_ENABLE": "1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}
"""Read by PyTorch when it starts: large pages are faster, and a small cache keeps memory flat over many image sizes."""
_MODEL = "CONFIG@SOURCE: D@oxford, D-BN@torchvision, vgg16@FILE, D@sample, D@random; D alone: the data's default."

app = typer.Typer(
    name="vggbench",
    help="Evaluate VGG networks by the paper's own protocols (arXiv 1409.1556).\n\n"
    "Example, with no file of your own: vggbench eval D --scales 256 384 512 --dense --multicrop",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL",
        help=_MODEL,
    ),
]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Options before the command."""
    if version:
        from vggbench import __version__

        print(f"vggbench {__version__}")
        raise typer.Exit


@app.command(cls=SeveralValues)
def params(
    configs: Annotated[
        list[str] | None,
        typer.Argument(metavar="CONFIG", help="A, A-LRN, B, C, D, E, or D-BN and so on; none: the paper's six."),
    ] = None,
    scales: Scales = None,
    layers: Annotated[bool, typer.Option("--layers", help="Layer by layer, for each config.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Recount with fvcore; fail on any difference.")] = False,
    width: Annotated[float, typer.Option(help="Channels relative to the paper's.")] = 1.0,
    classes: Annotated[int, typer.Option(help="Outputs of the last layer.")] = 1000,
    format: Format = None,
    output: Output = None,
) -> None:
    """Parameters, MACs and FLOPs of the six configurations, at any input size.

    Example: vggbench params D E --scales 224 384 --check
    """
    from vggbench.configs import CROP, MAX_WIDTH, PAPER, config_named
    from vggbench.cost import Network
    from vggbench.protocols import resolve_scales
    from vggbench.tables.parameters import layers_table, parameters_table

    if not 0 < width <= MAX_WIDTH or not 1 <= classes <= 1_000_000:
        raise UsageError(
            f"--width {width} --classes {classes}: expected a width up to {MAX_WIDTH:g} and 1 to 1,000,000 classes."
        )
    sizes = resolve_scales(scales, None) if scales else (CROP,)
    chosen = dict.fromkeys(config_named(name) for name in configs or PAPER)
    nets = [Network(config, classes, width) for config in chosen]
    if check:
        _check(nets, sizes)
    _print(layers_table(nets, sizes) if layers else parameters_table(nets, sizes), format, output)


@app.command(name="eval", cls=SeveralValues)
@with_options
def evaluate(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help=_MODEL),
    ],
    options: EvalOptions,
) -> None:
    """Top-1 and top-5 error of one model: each protocol at each Q, over all Qs, and combined.

    Example: vggbench eval D@vgg16.pth --input caffe --train-scale 256-512 --data imagenet --scales 256 384 512 --dense
    """
    from vggbench.cli.evaluate import evaluation
    from vggbench.tables.errors import eval_table

    done = evaluation([model], options)
    if done and (loaded := done.entries[0].model):
        lines = done.lines(loaded)
        table = eval_table(done.rows(lines), done.about, done.gain(loaded, lines))
        _print(table, options.format, options.output)


@app.command(cls=SeveralValues)
@with_options
def compare(
    models: Models,
    options: EvalOptions,
    all: Annotated[bool, typer.Option("--all", help="Every protocol and Q, not the most complete alone.")] = False,
) -> None:
    """Several models side by side, one row each, in one pass over the images.

    Example: vggbench compare A@vgg11.pth D@vgg16.pth C --input torchvision --data imagenet
    """
    from vggbench.cli.evaluate import evaluation, row_without_weights
    from vggbench.results import most_complete
    from vggbench.tables.errors import nets_table

    done = evaluation(models, options, keep_going=True)
    if done is None:
        return
    rows = []
    for entry in done.entries:
        if entry.model:
            lines = done.lines(entry.model)
            rows += done.rows(lines if all else most_complete(lines))
        else:
            rows.append(row_without_weights(done, entry, options))
    _print(nets_table(rows, done.about), options.format, options.output)
    failed = [entry for entry in done.entries if entry.failed]
    if failed:
        raise VggbenchError(" ".join(str(entry.note) for entry in failed))


@app.command(cls=SeveralValues)
@with_options
def fuse(models: Models, options: EvalOptions) -> None:
    """The mean of several models' posteriors: ConvNet fusion (paper, section 4.4, Table 6).

    Example: vggbench fuse D@d.safetensors E@e.safetensors --data imagenet --scales multi --dense --multicrop
    """
    from vggbench.cli.evaluate import evaluation
    from vggbench.results import fused_line, most_complete
    from vggbench.tables.errors import nets_table

    done = evaluation(models, options, at_least=2)
    if done is None:
        return
    lines = [most_complete(done.lines(entry.model)) for entry in done.entries if entry.model]
    if any(len(own) > 1 for own in lines):
        raise UsageError("center and tencrop do not combine several Qs: expected one Q, or --dense or --multicrop.")
    rows = done.rows([fused_line([own[0] for own in lines])])
    _print(nets_table(rows, done.about), options.format, options.output)


@app.command(cls=SeveralValues)
def data(
    path: Annotated[
        str, typer.Argument(metavar="[PATH]", help="As --data; default: sample.", envvar="VGGBENCH_DATA")
    ] = "sample",
    verify: Annotated[bool, typer.Option("--verify", help="Decode every image, in parallel.")] = False,
    classes: Annotated[bool, typer.Option("--classes", help="Images of each class.")] = False,
    ground_truth: GroundTruthFile = None,
    workers: Workers = None,
    format: Format = None,
    output: Output = None,
) -> None:
    """What a data set is: its layout, classes, sizes and modes; exit 1 where an evaluation would be refused.

    Example: vggbench data ILSVRC2012_img_val.tar --verify
    """
    from vggbench.cli.data import look, require_fit, table
    from vggbench.tables.table import check_output, choose_format

    choose_format(format, output, is_terminal=False)
    check_output(output)
    found = look(path, ground_truth, verify=verify, workers=workers)
    _print(table(found, classes=classes), format, output)
    require_fit(found)


@app.command(cls=SeveralSetups)
@with_options
def speed(
    options: SpeedOptions,
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="CONFIG or CONFIG@SOURCE; D alone has random weights.")
    ] = None,
) -> None:
    """Latency and throughput of forward passes on this machine, by backend, batch, input size and precision.

    Example: vggbench speed D E --batch-size 1 8 32 --scales 224 384 --backend pytorch onnxruntime
    """
    from vggbench.cli.speed import reading, speed
    from vggbench.tables.table import check_output, choose_format

    choose_format(options.format, options.output, is_terminal=False)
    check_output(options.output)
    if options.data_only and models:
        raise UsageError(f"--data-only takes no model and found {models[0]}: expected --data PATH to say what is read.")
    if options.data_only:
        _print(reading(options), options.format, options.output)
    else:
        speed(models or (), options, lambda table: _print(table, options.format, options.output))


@app.command(cls=SeveralValues)
@with_options
def train(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A, A-LRN, B, C, D or E.")],
    options: TrainOptions,
) -> None:
    """Train one net by the paper's recipe, into a .safetensors that says how it was made.

    Example: vggbench train D --data imagenet --train-scale 256-512 --from A@a.safetensors --output d.safetensors
    """
    from vggbench.cli.training import training
    from vggbench.configs import config_named

    training(config_named(config), options)


@app.command(cls=SeveralValues)
def weights(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="One file to look at and check; none: all that are released."),
    ] = None,
    input: Annotated[
        str | None, typer.Option(help="What a file that is not known expects: torchvision, caffe or matconvnet.")
    ] = None,
    format: Format = None,
    output: Output = None,
) -> None:
    """The released weights and what each needs at its input; or one file, layer by layer, checked.

    Example: vggbench weights D@VGG_ILSVRC_16_layers.caffemodel
    """
    if model is None:
        from vggbench.tables.weights import released_table

        _print(released_table(), format, output)
    else:
        from vggbench.cli.weights import show

        _print(show(model, input), format, output)


@app.command(cls=SeveralValues)
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=_MODEL)],
    to: Annotated[str, typer.Option(help="safetensors, torchvision or onnx.")],
    output: Annotated[
        Path | None, typer.Option(help="The file; default: CONFIG-SOURCE with the format's ending.")
    ] = None,
    input: Annotated[
        str | None, typer.Option(help="What a file that is not known expects: torchvision, caffe or matconvnet.")
    ] = None,
    train_scale: Annotated[str | None, typer.Option(help="S of a file that does not say it.")] = None,
) -> None:
    """Write a model for other tools: our safetensors, torchvision's state dict, or ONNX for images of any size.

    Example: vggbench export D@oxford --to onnx --output d.onnx
    """
    from vggbench.cli.weights import export as work

    work(model, to, output, input, train_scale)


def main() -> None:
    """Run the command line; errors for the user become one sentence and an exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        app()
    except VggbenchError as error:
        print(f"vggbench: {printable(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # Typer's answer to KeyboardInterrupt
            print("vggbench: Interrupted. Finished work is kept; the same command carries on.", file=sys.stderr)
        raise


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _check(nets: list, sizes: tuple[int, ...]) -> None:  # type: ignore[type-arg]
    from vggbench.check import check

    for net in nets:
        for size in sizes:
            check(net, size, size)
    print(f"fvcore agrees on {len(nets) * len(sizes)} counts.", file=sys.stderr)


def _print(table: "Table", form: str | None, output: Path | None) -> None:
    from vggbench.tables.table import choose_format, render, show, write

    chosen = choose_format(form, output, sys.stdout.isatty())
    if output is not None:
        write(table, chosen, output, f"vggbench {shlex.join(sys.argv[1:])}")
    elif chosen == "table" and sys.stdout.isatty():
        show(table)
    else:
        print(render(table, chosen), end="", flush=True)

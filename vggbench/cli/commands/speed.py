"""`speed`: forward passes on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import Device, Printed, number, option, scales_option, width_option, words
from vggbench.cli.output import put, require_output
from vggbench.cli.panels import DATA, RUNNING, WHAT
from vggbench.cli.terminal import say
from vggbench.errors import Interrupted, UsageError, counted
from vggbench.inference import choices


@dataclass(frozen=True)
class SpeedOptions(Printed):
    """What a benchmark of speed can be told, each with each; see each help text."""

    backend: Annotated[
        list[str] | None,
        words(
            "--backend",
            choices.BackendName,
            "Time these: pytorch, pytorch+compile, onnxruntime. Default: the first and the last.",
        ),
    ] = None
    batch_size: Annotated[
        list[int] | None,
        option(
            "Time these numbers of images per forward pass. Default: 1 32.", WHAT, metavar="N...", min=1, max=65_536
        ),
    ] = None
    scales: Annotated[
        list[str] | None,
        scales_option("Time these sides of square inputs, 224 by default; with --data-only these Qs, 256 by default."),
    ] = None
    precision: Annotated[
        list[str] | None,
        words("--precision", choices.Precision, "Time these precisions: fp32, tf32, bf16, fp16. Default: fp32."),
    ] = None
    width: Annotated[float, width_option("Set the width of nets that name no weights; 1.0 is the paper's.", WHAT)] = 1.0
    data_only: Annotated[bool, option("Time the reading of images instead.", WHAT)] = False
    data: Annotated[str, option("Read these images with --data-only.", DATA, envvar="VGGBENCH_DATA")] = "sample"
    workers: Annotated[
        int | None, number("Time this number of reading processes. Default: 0, 1, and one a core.", DATA, 0)
    ] = None
    device: Device = "auto"
    iterations: Annotated[int, number("Time at least this number of forward passes each.", RUNNING, 1)] = 10
    seconds: Annotated[float, number("Time for at least this many seconds each.", RUNNING, 0)] = 3.0


@command()
def speed(
    options: SpeedOptions,
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="Models as for eval. A name alone has random weights.")
    ] = None,
) -> None:
    """Time forward passes on this machine, by backend, batch, input size and precision.

    Example: vggbench speed D E --batch-size 1 8 32 --scales 224 384 --backend pytorch onnxruntime
    """
    require_output(options.format, options.output)
    if options.data_only and models:
        raise UsageError(f"--data-only takes no model and found {models[0]}: expected --data PATH to say what is read.")
    if options.data_only:
        _reading(options)
    elif models:
        _speed(models, options)
    else:
        raise UsageError("No model: expected one or more, such as D; or --data-only.")


def _reading(options: SpeedOptions) -> None:
    """How fast images are read, by none to as many workers as there are cores."""
    from vggbench.data import open_data
    from vggbench.paper.protocols import resolve_scales
    from vggbench.render.tables.speed import reading_table
    from vggbench.studies.speed import read, worker_counts

    scales, counts = resolve_scales(options.scales or (), None), worker_counts(options.workers)
    data = open_data(options.data)
    rows = []
    for workers in counts:
        say(f"{data.name}: {counted(workers, 'worker')}, {options.seconds:g} s.")
        rows.append(read(data, scales, workers, options.seconds))
    put(reading_table(rows), options.format, options.output)


def _speed(models: Sequence[str], options: SpeedOptions) -> None:
    """Forward passes of each model; interrupted, those that are done."""
    from vggbench.cli.evaluating import Teller
    from vggbench.paper.configs import CROP
    from vggbench.paper.protocols import resolve_scales
    from vggbench.render.tables.speed import speed_table
    from vggbench.studies.speed import Effort, benchmark, product_rates, setups_of

    least = 1 if all(":" in model for model in models) else CROP
    sizes = resolve_scales(options.scales, None, least) if options.scales else (0,)
    setups = setups_of(options.backend, options.precision, options.batch_size, sizes)
    effort = Effort(options.iterations, options.seconds)
    rows = []
    try:
        for found in benchmark(models, setups, effort, device=options.device, width=options.width, listener=Teller()):
            rows.append(found)
    except KeyboardInterrupt:
        if rows:
            put(speed_table(rows, product_rates(rows)), options.format, options.output)
        raise Interrupted("Interrupted: the table holds what was measured until then.") from None
    put(speed_table(rows, product_rates(rows)), options.format, options.output)

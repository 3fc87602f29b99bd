"""`speed`: forward passes on this machine."""

from collections.abc import Sequence
from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import SpeedOptions
from vggbench.cli.output import put, require_output
from vggbench.cli.terminal import say
from vggbench.errors import Interrupted, UsageError, counted


@command()
def speed(
    options: SpeedOptions,
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="As for eval; a name alone has random weights.")
    ] = None,
) -> None:
    """Latency and throughput of forward passes on this machine, by backend, batch, input size and precision.

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
        raise Interrupted("Interrupted: what was measured until then is all there is.") from None
    put(speed_table(rows, product_rates(rows)), options.format, options.output)

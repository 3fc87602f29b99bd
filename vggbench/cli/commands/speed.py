"""`speed`: forward passes on this machine."""

from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import SpeedOptions
from vggbench.cli.output import put, require_output
from vggbench.errors import UsageError


@command()
def speed(
    options: SpeedOptions,
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="CONFIG or CONFIG@SOURCE; D alone has random weights.")
    ] = None,
) -> None:
    """Latency and throughput of forward passes on this machine, by backend, batch, input size and precision.

    Example: vggbench speed D E --batch-size 1 8 32 --scales 224 384 --backend pytorch onnxruntime
    """
    require_output(options.format, options.output)
    from vggbench.cli.speed import reading, speed

    if options.data_only and models:
        raise UsageError(f"--data-only takes no model and found {models[0]}: expected --data PATH to say what is read.")
    if options.data_only:
        put(reading(options), options.format, options.output)
    else:
        speed(models or (), options, lambda table: put(table, options.format, options.output))

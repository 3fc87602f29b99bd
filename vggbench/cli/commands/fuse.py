"""`fuse`: ConvNet fusion."""

from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.completion import models_and_runs
from vggbench.cli.options import WHAT, EvalOptions, option
from vggbench.cli.output import put, require_output


@command()
def fuse(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL|RUN...",
            help="Models, or runs of the store by name; before them two-net or seven-net, the paper's Table 6.",
            autocompletion=models_and_runs,
        ),
    ],
    options: EvalOptions,
    shares: Annotated[
        list[float] | None,
        option("How much each net counts, in order; default: all alike.", WHAT, metavar="N...", min=0),
    ] = None,
) -> None:
    """The mean of several models' posteriors: ConvNet fusion (paper, section 4.4, Table 6).

    Example: vggbench fuse D@d.safetensors E@e.safetensors --data imagenet --scales multi --dense --multicrop
    """
    require_output(options.format, options.output, dry=options.dry_run)
    from vggbench.cli.fuse import fuse as work

    table = work(models, options, shares)
    if table:
        put(table, options.format, options.output)

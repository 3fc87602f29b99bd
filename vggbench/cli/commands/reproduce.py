"""`reproduce`: the paper's tables."""

from functools import partial
from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import DATA, WHAT, ReproduceOptions, option
from vggbench.cli.output import put_all, require_output


@command()
def reproduce(
    options: ReproduceOptions,
    tables: Annotated[
        list[str] | None,
        typer.Argument(metavar="TABLE...|SOURCE", help="1 to 7, none: all; or torchvision, oxford: its own figures."),
    ] = None,
    nets: Annotated[
        list[str] | None,
        option("Your nets, CONFIG@FILE, beside the released ones.", DATA, metavar="MODEL..."),
    ] = None,
    published: Annotated[bool, option("The paper's figures alone; nothing is run.", WHAT)] = False,
) -> None:
    """The paper's Tables 1 to 7 with what is measured here, or a source's own published figures as a first check.

    Runs what is missing and possible, and names what no released weights can give. Exit 1 where released weights
    cannot be had, as `compare` does.

    Example: vggbench reproduce torchvision --data imagenet; vggbench reproduce 3 4 5 6 --data imagenet --plan
    """
    require_output(options.format, options.output, dry=options.dry_run)
    from vggbench.cli.reproduce import published as as_printed
    from vggbench.cli.reproduce import reproduce as work

    show = partial(put_all, form=options.format, output=options.output)
    if published:
        show(as_printed(tables or ()))
    else:
        work(tables or (), nets or (), options, show)

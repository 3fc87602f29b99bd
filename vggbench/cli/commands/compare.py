"""`compare`: several models side by side."""

from typing import Annotated, Literal

from vggbench.cli.app import command
from vggbench.cli.options import OUTPUT, EvalOptions, Models, Plot, option, word
from vggbench.cli.output import draw, put, require_output


@command()
def compare(
    models: Models,
    options: EvalOptions,
    all: Annotated[bool, option("Every protocol and Q, not the most complete alone.", OUTPUT)] = False,
    against: Annotated[
        Literal["first", "best"], word("The net that the others are tested against: first or best.", OUTPUT)
    ] = "first",
    sort: Annotated[
        Literal["given", "error", "cost"], word("given, error (lowest first) or cost (fewest GMACs first).", OUTPUT)
    ] = "given",
    plot: Plot = None,
) -> None:
    """Several models side by side, one row each, in one pass over the images.

    Each is tested against the first (McNemar's exact test, paired interval): a star marks what is significant.

    A net without weights keeps its row. Exit 1 where a named file does not load or a released one cannot be had.

    Example: vggbench compare A@vgg11.pth D@vgg16.pth C --input torchvision --data imagenet --sort error
    """
    require_output(options.format, options.output, dry=options.dry_run, plot=plot)
    from vggbench.cli.evaluating import evaluation
    from vggbench.evaluation.models import require_loaded
    from vggbench.render.tables.errors import nets_table
    from vggbench.results.evaluated import compared

    found = evaluation(models, options, keep_going=True)
    if found is None:
        return
    rows = compared(found, every=all, against=against, order=sort)
    put(nets_table(rows, found.about), options.format, options.output)
    if plot and found.models:
        from vggbench.render.plots.evaluation import figures

        draw(figures(found), plot)
    require_loaded(found.entries)

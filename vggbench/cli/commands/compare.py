"""`compare`: several models side by side."""

from typing import Annotated

import typer

from vggbench.cli.app import app
from vggbench.cli.options import EvalOptions, Models, Plot
from vggbench.cli.output import put, require_output
from vggbench.cli.parsing import SeveralValues, with_options
from vggbench.files import require_folder


@app.command(cls=SeveralValues)
@with_options
def compare(
    models: Models,
    options: EvalOptions,
    all: Annotated[bool, typer.Option("--all", help="Every protocol and Q, not the most complete alone.")] = False,
    against: Annotated[str, typer.Option(help="The net that the others are tested against: first or best.")] = "first",
    sort: Annotated[str, typer.Option(help="given, error (lowest first) or cost (fewest GMACs first).")] = "given",
    plot: Plot = None,
) -> None:
    """Several models side by side, one row each, in one pass over the images.

    Each is tested against the first (McNemar's exact test, paired interval): a star marks what is significant.

    A net without weights keeps its row. Exit 1 where a named file does not load or a released one cannot be had.

    Example: vggbench compare A@vgg11.pth D@vgg16.pth C --input torchvision --data imagenet --sort error
    """
    require_output(options.format, options.output, dry=options.dry_run)
    if plot:
        require_folder(plot, "--plot")
    from vggbench.cli.evaluating import circumstances, evaluation
    from vggbench.evaluation.models import require_loaded
    from vggbench.evaluation.request import require_choice
    from vggbench.render.tables.errors import nets_table
    from vggbench.results.comparison import AGAINST, ORDERS, compared

    require_choice("--against", against, AGAINST)
    require_choice("--sort", sort, ORDERS)
    found = evaluation(models, options, keep_going=True)
    if found is None:
        return
    rows = compared(found, every=all, against=against, order=sort)
    put(nets_table(rows, circumstances(found)), options.format, options.output)
    if plot and found.session.models:
        from vggbench.cli.drawing import draw_evaluation

        draw_evaluation(found, plot)
    require_loaded(found.session.entries)

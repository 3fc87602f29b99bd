"""`compare`: several models side by side."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vggbench.cli.app import command
from vggbench.cli.completion import models_and_runs
from vggbench.cli.options import MODEL, EvalOptions, Plot, option, word
from vggbench.cli.output import draw, put, require_output
from vggbench.cli.panels import OUTPUT

if TYPE_CHECKING:
    from vggbench.results.evaluated import Evaluated


@command()
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL|RUN...", help=f"{MODEL} Or runs of the store by name.", autocompletion=models_and_runs
        ),
    ],
    options: EvalOptions,
    all: Annotated[bool, option("Print every protocol and Q, not only the most complete row.", OUTPUT)] = False,
    against: Annotated[
        Literal["first", "best"], word("Test the others against this net: first or best.", OUTPUT)
    ] = "first",
    sort: Annotated[
        Literal["given", "error", "cost"],
        word("Order rows as given, by error (lowest first) or by cost (fewest GMACs first).", OUTPUT),
    ] = "given",
    plot: Plot = None,
) -> None:
    """Compare several models, one row each, in one pass over the images.

    Each is tested against the first by McNemar's exact test, with a paired interval. * significant at 5% after Holm's
    correction.

    A net without weights keeps its row. Exit 1 if a named file does not load or released weights cannot be had.

    Example: vggbench compare A@vgg11.pth D@vgg16.pth C --input torchvision --data imagenet --sort error
    """
    require_output(options.format, options.output, dry=options.dry_run, plot=plot)
    from vggbench.render.tables.errors import nets_table
    from vggbench.results.evaluated import compared
    from vggbench.results.fusions import name_runs

    found = _with_runs(models, options) if name_runs(options.runs, models) else _of_models(models, options)
    if found is None:
        return
    rows = compared(found, every=all, against=against, order=sort)
    put(nets_table(rows, found.about), options.format, options.output, explained=options.explained)
    if plot and found.models:
        from vggbench.render.plots.evaluation import figures

        draw(figures(found), plot)
    if found.entries:
        from vggbench.evaluation.models import require_loaded

        require_loaded(found.entries)


def _with_runs(texts: list[str], options: EvalOptions) -> "Evaluated | None":
    from vggbench.cli.stored import of_words

    return of_words(texts, options)


def _of_models(texts: list[str], options: EvalOptions) -> "Evaluated | None":
    from vggbench.cli.evaluating import evaluation

    return evaluation(texts, options, keep_going=True)

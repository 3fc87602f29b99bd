"""`compare`: several models side by side."""

from typing import Annotated, Literal

from vggbench.cli.app import command
from vggbench.cli.options import OUTPUT, EvalOptions, Models, Plot, option, word
from vggbench.cli.output import put, require_folder, require_output


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
    require_output(options.format, options.output, dry=options.dry_run)
    if plot:
        require_folder(plot, "--plot")
    from vggbench.cli.compare import comparison
    from vggbench.cli.evaluate import evaluation
    from vggbench.cli.models import require_loaded

    done = evaluation(models, options, keep_going=True)
    if done is None:
        return
    put(comparison(done, options, every=all, against=against, order=sort), options.format, options.output)
    if plot and done.models:
        from vggbench.cli.plotting import plot_evaluation

        plot_evaluation(done, plot)
    require_loaded(done.entries)

"""`report`: one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.completion import models_and_runs
from vggbench.cli.options import EvalOptions
from vggbench.cli.output import require_file
from vggbench.cli.terminal import say
from vggbench.errors import UsageError


@command()
def report(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL|RUN...", help="Models, or runs of the store by name.", autocompletion=models_and_runs
        ),
    ],
    options: EvalOptions,
) -> None:
    """Write one HTML file with tables that sort, plots and the worst errors with pictures; it needs no network.

    Example: vggbench report D@oxford E@oxford --data imagenet --scales 256 384 512 --dense --output report.html
    """
    path = options.output or Path("report.html")
    if options.format or path.suffix.lower() not in (".html", ".htm"):
        named = f"--format {options.format}" if options.format else path
        raise UsageError(f"report writes HTML: expected --output with a name that ends in .html, found {named}.")
    require_file(path, "--output", dry=options.dry_run)
    from vggbench.cli.stored import of_words
    from vggbench.files import write_whole
    from vggbench.render.report.page import page
    from vggbench.results.fusions import name_runs

    if not name_runs(options.runs, models):
        from vggbench.cli.evaluating import evaluation

        found = evaluation(models, options)
    else:
        found = of_words(models, options)
    if found:
        text = page(found)
        write_whole(path, text)
        say(f"{path}: {len(text) / 1e6:.1f} MB; it opens in any browser.")

"""`compare`: several models side by side."""

from typing import Annotated

import typer

from vggbench.cli.app import app
from vggbench.cli.options import EvalOptions, Models, SeveralValues, with_options
from vggbench.cli.output import put
from vggbench.errors import VggbenchError


@app.command(cls=SeveralValues)
@with_options
def compare(
    models: Models,
    options: EvalOptions,
    all: Annotated[bool, typer.Option("--all", help="Every protocol and Q, not the most complete alone.")] = False,
) -> None:
    """Several models side by side, one row each, in one pass over the images.

    Example: vggbench compare A@vgg11.pth D@vgg16.pth C --input torchvision --data imagenet
    """
    from vggbench.cli.evaluate import evaluation, row_without_weights
    from vggbench.results import most_complete
    from vggbench.tables.errors import nets_table

    done = evaluation(models, options, keep_going=True)
    if done is None:
        return
    rows = []
    for entry in done.entries:
        if entry.model:
            lines = done.lines(entry.model)
            rows += done.rows(lines if all else most_complete(lines))
        else:
            rows.append(row_without_weights(done, entry, options))
    put(nets_table(rows, done.about), options.format, options.output)
    failed = [entry for entry in done.entries if entry.failed]
    if failed:
        raise VggbenchError(" ".join(str(entry.note) for entry in failed))

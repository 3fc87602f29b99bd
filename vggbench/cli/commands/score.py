"""`score`: what other tools predicted, in the same tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import ScoreOptions, option
from vggbench.cli.output import put, require_output
from vggbench.cli.panels import DATA
from vggbench.cli.terminal import say, warn
from vggbench.errors import UsageError

if TYPE_CHECKING:
    from vggbench.data import DataSet


@command()
def score(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", help="Predictions: CSV, Parquet, JSON, JSON lines, .npz, or .npy with a list of its ids."
        ),
    ],
    options: ScoreOptions,
    name: Annotated[str | None, option("Call the rows by this name. Default: the file's name.", DATA)] = None,
    classes: Annotated[
        str | None,
        option(
            "State the order of columns that do not name their classes: ilsvrc, or a file of class names, one "
            "per line.",
            DATA,
            metavar="ilsvrc|FILE",
        ),
    ] = None,
) -> None:
    """Measure the top-1 and top-5 error of another tool's predictions, and store them as a run.

    The file has a row per image: `image` or `filename`, and a column per class, a list of values, or the five best
    classes. Logits, probabilities and log-probabilities are told apart, and the table says which they are.

    compare, fuse and report take the run by its name. `vggbench runs export RUN --posteriors` writes such files.

    Example: vggbench score results.csv --data imagenet --classes ilsvrc --name timm-resnet50
    """
    require_output(options.format, options.output)
    from vggbench.render.tables.errors import eval_table
    from vggbench.results.imported import scored
    from vggbench.results.judging import ground_truths

    truths = ground_truths(options.labels or (), options.blacklist, options.classes_of_data or ())
    found = scored(
        files, _opened(options), options.runs, name=name, classes=classes, truths=truths, metrics=options.metrics or ()
    )
    say(f"Stored as {found.runs[0].title}.")
    for sentence in found.models[0].said:
        say(f"Note: {sentence}.")
    if found.is_at_chance:
        warn("Warning: no better than chance. The order of classes is probably another than the file's or --classes'.")
    put(eval_table(found.rows, found.about), options.format, options.output, explained=options.explained)


def _opened(options: ScoreOptions) -> "DataSet":
    from vggbench.data import EXPECTED, open_data

    if options.data is None:
        raise UsageError(
            f"No images: expected --data PATH, or the path in $VGGBENCH_DATA; or --data sample. PATH is {EXPECTED}."
        )
    data = open_data(options.data, options.ground_truth)
    for note in data.notes:
        say(f"Note: {note}.")
    return data

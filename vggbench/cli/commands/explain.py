"""`explain`: why one net scores differently from tool to tool."""

from typing import TYPE_CHECKING, Annotated

import typer

from vggbench.cli.app import app
from vggbench.cli.options import ExplainOptions, ModelName
from vggbench.cli.output import put, require_output
from vggbench.cli.parsing import SeveralValues, with_options

if TYPE_CHECKING:
    from vggbench.evaluation.jobs import Job
    from vggbench.weights.load import Model


@app.command(cls=SeveralValues)
@with_options
def explain(
    model: ModelName,
    options: ExplainOptions,
    recipes: Annotated[
        bool, typer.Option("--recipes", help="What torchvision, timm, Keras, MatConvNet and Caffe do instead.")
    ] = False,
    multicrop: Annotated[
        bool, typer.Option("--multicrop", help="Also 50 views an image, which cost more than all other rows.")
    ] = False,
) -> None:
    """The same weights under single changes from the paper's recipe: protocol, Q, mirror, filter, input, pooling.

    One pass over the images; each row is tested against the paper's recipe on the same images.

    Example: vggbench explain D@oxford --data imagenet
    """
    require_output(options.format, options.output, dry=options.dry_run)
    from vggbench.cli.evaluating import circumstances, evaluation
    from vggbench.render.tables.explanation import explanation_table
    from vggbench.studies.explanation import explained, jobs_of

    rows: list[tuple[str, str, Job]] = []

    def jobs(loaded: "Model") -> "list[Job]":
        rows.extend(jobs_of(loaded, recipes=recipes, costly=multicrop))
        return [job for _, _, job in rows]

    found = evaluation([model], options.for_evaluation(), jobs_of=jobs)
    if found and found.session:
        told = explained(found.session.plan, rows)
        put(explanation_table(told, circumstances(found), recipes=recipes), options.format, options.output)

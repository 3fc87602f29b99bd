"""`explain`: why one net scores differently from tool to tool."""

from functools import partial
from typing import Annotated

from vggbench.cli.app import command
from vggbench.cli.options import ExplainOptions, ModelName, option
from vggbench.cli.output import put, require_output
from vggbench.cli.panels import WHAT


@command()
def explain(
    model: ModelName,
    options: ExplainOptions,
    recipes: Annotated[
        bool, option("Evaluate the recipes of torchvision, timm, Keras, MatConvNet and Caffe instead.", WHAT)
    ] = False,
    multicrop: Annotated[bool, option("Add 50 views per image, which cost more than all other rows.", WHAT)] = False,
) -> None:
    """Show what changes a net's error: the same weights under single changes from the paper's recipe.

    The changes are of protocol, Q, mirror, filter, input and pooling. Each row is tested against the paper's recipe on
    the same images, in one pass.

    Example: vggbench explain D@oxford --data imagenet
    """
    require_output(options.format, options.output, dry=options.dry_run)
    from vggbench.cli.evaluating import evaluation
    from vggbench.render.tables.explanation import explanation_table
    from vggbench.studies.explanation import changed_jobs, explained_by

    jobs = partial(changed_jobs, recipes=recipes, costly=multicrop)
    found = evaluation([model], options.for_evaluation(), jobs_of=jobs)
    if found:
        told = explained_by(found, recipes=recipes, costly=multicrop)
        put(explanation_table(told, recipes=recipes), options.format, options.output, explained=options.explained)

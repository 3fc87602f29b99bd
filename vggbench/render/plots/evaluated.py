"""All pictures of an evaluation: of its rows, and of what each net's last row says of the images."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from vggbench.data.imagenet import in_words
from vggbench.render.plots.evaluation import confusion, error_against_cost, error_against_scale, error_by_class
from vggbench.results.circumstances import data_title

if TYPE_CHECKING:
    from vggbench.results.evaluated import Evaluated


def figures(found: "Evaluated") -> dict[str, Figure]:
    """Errors against Q and cost over all nets, and for each its classes and what they are taken for."""
    models = found.models
    rows = [row for model in models for row in found.measured(found.lines(model))[:: len(found.truths)]]
    what = data_title(found.data, rows[0])
    drawn: dict[str, Figure | None] = {
        "error-q": error_against_scale(rows, what),
        "error-gmacs": error_against_cost(rows, what),
    }
    for model in models:
        line = found.lines(model)[-1]
        images, names = found.of_each_image(line), in_words(model.class_names, model.classes)
        title = f"{model.name}, {line.title} | {what}"
        stem = "".join(c if c.isalnum() or c in "-." else "-" for c in model.name)
        drawn[f"classes-{stem}"] = error_by_class(images, names, title)
        drawn[f"confusion-{stem}"] = confusion(images, names, title)
    return {name: figure for name, figure in drawn.items() if figure}

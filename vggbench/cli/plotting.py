"""What --plot draws: the figures of an evaluation, each as PNG and SVG."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from vggbench.cli.evaluate import Evaluation
from vggbench.cli.pictures import write
from vggbench.data.imagenet import class_names
from vggbench.render.plots.evaluation import confusion, error_against_cost, error_against_scale, error_by_class
from vggbench.results.circumstances import data_title
from vggbench.results.lines import Line
from vggbench.store.per_image import PerImage, per_image
from vggbench.weights.load import Model


def plot_evaluation(done: Evaluation, folder: Path) -> None:
    """Draw all that there is data for, from the rows of every net; raises VggbenchError."""
    write(figures(done), folder)


def figures(done: Evaluation) -> dict[str, Figure]:
    """Errors against Q and cost over all nets, and for each its classes and what they are taken for."""
    lines = {id(model): done.lines(model) for model in done.models}
    rows = [row for own in lines.values() for row in done.rows(own)[:: len(done.truths)]]
    what = data_title(done.plan.data, rows[0])
    found: dict[str, Figure | None] = {
        "error-q": error_against_scale(rows, what),
        "error-gmacs": error_against_cost(rows, what),
    }
    for model in done.models:
        line = lines[id(model)][-1]
        images, names = images_of(done, line), words(model)
        title = f"{model.name}, {line.title} | {what}"
        stem = "".join(c if c.isalnum() or c in "-." else "-" for c in model.name)
        found[f"classes-{stem}"] = error_by_class(images, names, title)
        found[f"confusion-{stem}"] = confusion(images, names, title)
    return {name: figure for name, figure in found.items() if figure}


def images_of(done: Evaluation, line: Line) -> PerImage:
    """Of a row, by the labels that the data has now."""
    model = line.models[0]
    labels = done.plan.data.labels(model.class_names, model.classes)
    if len(line.scores.images) != len(labels):
        place = {image.id: index for index, image in enumerate(done.plan.data.images)}
        labels = labels[[place[image] for image in line.scores.images]]
    return per_image(line.scores, labels)


def words(model: Model) -> Sequence[str]:
    """The classes in words, where they have any."""
    known = class_names()
    own = model.class_names or tuple(str(place) for place in range(model.classes))
    return [known.get(name, name) for name in own]

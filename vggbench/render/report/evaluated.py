"""The report of an evaluation: its tables, plots and worst errors on one page."""

from typing import TYPE_CHECKING

from vggbench.data.imagenet import in_words
from vggbench.render.report.page import render
from vggbench.render.tables.errors import eval_table, nets_table
from vggbench.render.tables.table import Table
from vggbench.results.circumstances import data_title
from vggbench.results.correction import corrected
from vggbench.results.gallery import gallery

if TYPE_CHECKING:
    from vggbench.results.evaluated import Evaluated

_SAMPLE = (
    "SAMPLE: these are drawn pictures of twelve classes, not ImageNet, and nets of a fraction of the paper's width."
)


def page(found: "Evaluated") -> str:
    """The HTML."""
    from vggbench.render.plots.evaluated import figures

    data, models = found.data, found.models
    baseline = found.lines(models[0])
    tables: list[Table] = []
    if len(models) > 1:
        rows = [row for model in models for row in found.measured(found.lines(model)[-1:], baseline[-1:])]
        tables.append(nets_table(corrected(rows), found.about))
    tables += [eval_table(found.measured(found.lines(model)), found.about, found.gain(model)) for model in models]
    galleries = []
    for model in models:
        line = found.lines(model)[-1]
        names = in_words(model.class_names, model.classes)
        galleries.append(gallery(f"{model.name}, {line.title}", found.of_each_image(line), names, found.pictures))
    what = data_title(data, found.measured(baseline[:1])[0])
    return render(
        f"{', '.join(model.name for model in models)} on {what}", warning=_SAMPLE if data.is_sample else None,
        tables=tables, plots=figures(found), galleries=galleries,
    )  # fmt: skip

"""The work of `report`: gather tables, plots and the worst errors of an evaluation."""

from vggbench.cli.evaluate import Evaluation
from vggbench.cli.plotting import figures, images_of, words
from vggbench.render.report.page import render
from vggbench.render.tables.errors import eval_table, nets_table
from vggbench.render.tables.table import Table
from vggbench.results.circumstances import data_title
from vggbench.results.correction import corrected
from vggbench.results.gallery import gallery


def page(done: Evaluation) -> str:
    """The HTML."""
    lines = {id(model): done.lines(model) for model in done.models}
    baseline = lines[id(done.models[0])]
    tables: list[Table] = []
    if len(done.models) > 1:
        rows = [row for own in lines.values() for row in done.rows(own[-1:], baseline[-1:])]
        tables.append(nets_table(corrected(rows), done.about))
    for model in done.models:
        own = lines[id(model)]
        tables.append(eval_table(done.rows(own), done.about, done.gain(model, own)))
    galleries = []
    for model in done.models:
        line = lines[id(model)][-1]
        title = f"{model.name}, {line.title}"
        galleries.append(gallery(title, images_of(done, line), words(model), done.plan.data.images))
    what = data_title(done.about.data, done.rows(baseline[:1])[0])
    warning = (
        "SAMPLE: these are drawn pictures of twelve classes, not ImageNet, and nets of a fraction of the paper's width."
        if done.about.data.is_sample
        else None
    )
    nets = ", ".join(model.name for model in done.models)
    return render(f"{nets} on {what}", warning=warning, tables=tables, plots=figures(done), galleries=galleries)

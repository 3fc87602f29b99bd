"""`eval`: one model, all its protocols."""

from vggbench.cli.app import command
from vggbench.cli.options import EvalOptions, ModelName, Plot
from vggbench.cli.output import draw, put, require_output


@command("eval")
def evaluate(model: ModelName, options: EvalOptions, plot: Plot = None) -> None:
    """Measure the top-1 and top-5 error of one model: each protocol at each Q, over all Qs, and combined.

    Example: vggbench eval D@vgg16.pth --input caffe --train-scale 256-512 --data imagenet --scales 256 384 512 --dense
    """
    require_output(options.format, options.output, dry=options.dry_run, plot=plot)
    from vggbench.cli.evaluating import evaluation
    from vggbench.render.tables.errors import eval_table

    found = evaluation([model], options)
    if found is None:
        return
    (loaded,) = found.models
    put(
        eval_table(found.rows, found.about, found.gain(loaded)),
        options.format,
        options.output,
        explained=options.explained,
    )
    if plot:
        from vggbench.render.plots.evaluation import figures

        draw(figures(found), plot)

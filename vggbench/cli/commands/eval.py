"""`eval`: one model, all its protocols."""

from vggbench.cli.app import command
from vggbench.cli.options import EvalOptions, ModelName, Plot
from vggbench.cli.output import put, require_folder, require_output


@command("eval")
def evaluate(
    model: ModelName,
    options: EvalOptions,
    plot: Plot = None,
) -> None:
    """Top-1 and top-5 error of one model: each protocol at each Q, over all Qs, and combined.

    Example: vggbench eval D@vgg16.pth --input caffe --train-scale 256-512 --data imagenet --scales 256 384 512 --dense
    """
    require_output(options.format, options.output, dry=options.dry_run)
    if plot:
        require_folder(plot, "--plot")
    from vggbench.cli.evaluate import evaluation
    from vggbench.render.tables.errors import eval_table

    done = evaluation([model], options)
    if done and (loaded := done.entries[0].model):
        lines = done.lines(loaded)
        table = eval_table(done.rows(lines), done.about, done.gain(loaded, lines))
        put(table, options.format, options.output)
        if plot:
            from vggbench.cli.plotting import plot_evaluation

            plot_evaluation(done, plot)

"""`fuse`: ConvNet fusion."""

from vggbench.cli.app import app
from vggbench.cli.options import EvalOptions, Models, SeveralValues, with_options
from vggbench.cli.output import put
from vggbench.errors import UsageError


@app.command(cls=SeveralValues)
@with_options
def fuse(models: Models, options: EvalOptions) -> None:
    """The mean of several models' posteriors: ConvNet fusion (paper, section 4.4, Table 6).

    Example: vggbench fuse D@d.safetensors E@e.safetensors --data imagenet --scales multi --dense --multicrop
    """
    from vggbench.cli.evaluate import evaluation
    from vggbench.results import fused_line, most_complete
    from vggbench.tables.errors import nets_table

    done = evaluation(models, options, at_least=2)
    if done is None:
        return
    lines = [most_complete(done.lines(entry.model)) for entry in done.entries if entry.model]
    if any(len(own) > 1 for own in lines):
        raise UsageError("center and tencrop do not combine several Qs: expected one Q, or --dense or --multicrop.")
    rows = done.rows([fused_line([own[0] for own in lines])])
    put(nets_table(rows, done.about), options.format, options.output)

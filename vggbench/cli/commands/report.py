"""`report`: one HTML file."""

from pathlib import Path

from vggbench.cli.app import app
from vggbench.cli.options import EvalOptions, Models
from vggbench.cli.output import require_file
from vggbench.cli.parsing import SeveralValues, with_options
from vggbench.cli.terminal import say
from vggbench.errors import UsageError


@app.command(cls=SeveralValues)
@with_options
def report(models: Models, options: EvalOptions) -> None:
    """Tables that sort, plots and the worst errors with pictures, in one HTML file that needs no network.

    Example: vggbench report D@oxford E@oxford --data imagenet --scales 256 384 512 --dense --output report.html
    """
    path = options.output or Path("report.html")
    if options.format or path.suffix.lower() not in (".html", ".htm"):
        found = f"--format {options.format}" if options.format else path
        raise UsageError(f"report writes HTML: expected --output with a name that ends in .html, found {found}.")
    require_file(path, "--output", dry=options.dry_run)
    from vggbench.cli.evaluate import evaluation
    from vggbench.cli.report import page
    from vggbench.files import write_whole

    done = evaluation(models, options)
    if done:
        text = page(done)
        write_whole(path, text)
        say(f"{path}: {len(text) / 1e6:.1f} MB; it opens in any browser.")

"""`weights`: released and other files."""

import sys
from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import Ema, Format, InputName, Output, option
from vggbench.cli.output import put, require_output
from vggbench.cli.panels import WHAT
from vggbench.cli.terminal import say
from vggbench.errors import UsageError, counted


@command()
def weights(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help="One file to check, or a source to download. Default: all released weights."
        ),
    ] = None,
    download: Annotated[
        bool,
        option("Download MODEL, all files of a source such as oxford, or all released weights. Asks first.", WHAT),
    ] = False,
    yes: Annotated[bool, option("Download without asking.", WHAT, "--yes", "-y")] = False,
    input: InputName = None,
    ema: Ema = False,
    format: Format = None,
    output: Output = None,
) -> None:
    """List the released weights and what each needs at its input, or check one file layer by layer.

    Example: vggbench weights D@VGG_ILSVRC_16_layers.caffemodel; vggbench weights D@oxford --download
    """
    if model in ("list", "ls", "all"):
        raise UsageError(f"weights {model}: expected `vggbench weights`, which lists all that are released.")
    if yes and not download:
        raise UsageError("--yes answers the question of --download: expected both, or neither.")
    require_output(format, output)
    if download:
        _download(model, yes, format, output)
    elif model is None:
        from vggbench.render.tables.weights import released_table
        from vggbench.weights.download import listed

        put(released_table(listed()), format, output)
    else:
        from vggbench.cli.progress import DownloadProgress
        from vggbench.render.tables.weights import file_table
        from vggbench.weights.checked import checked
        from vggbench.weights.loading import load_file

        with DownloadProgress() as watch:
            loaded = load_file(model, None, input, watch, ema=ema)
        assert loaded.path is not None
        put(file_table(checked(loaded, loaded.path)), format, output)


def _download(text: str | None, yes: bool, format: Format, output: Output) -> None:
    """What is not on this machine, after its sizes are told and agreed to."""
    from vggbench.cli.progress import DownloadProgress
    from vggbench.render.tables.weights import released_table
    from vggbench.weights.download import fetch, lacking, listed, place, wanted

    rows = wanted(text)
    missing = lacking(rows)
    for row in missing:
        say(f"{row.name}: {row.file}, {row.megabytes}, {row.licence}, from {row.url}.")
    if missing:
        total = sum(row.bytes or 0 for row in missing) / 1e6
        least = "" if all(row.bytes for row in missing) else " or more"
        _agree(
            f"Download {counted(len(missing), 'file')}, {total:,.0f} MB{least}, to {place(missing[0]).parent.parent}/",
            yes,
        )
        with DownloadProgress() as watch:
            for row in missing:
                fetch(row, watch)
    else:
        say(f"{counted(len(rows), 'file')} on this machine already: nothing is downloaded.")
    put(released_table(listed(rows)), format, output)


def _agree(question: str, yes: bool) -> None:
    """Ask at the terminal; raises UsageError where there is none."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{question}? There is no terminal to ask at: expected --yes.")
    if not typer.confirm(f"{question}?", err=True):
        say("Nothing was downloaded.")
        raise typer.Exit(1)

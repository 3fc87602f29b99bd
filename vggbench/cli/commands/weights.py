"""`weights`: released and other files."""

from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import Ema, Format, InputName, Output
from vggbench.cli.output import put, require_output
from vggbench.errors import UsageError


@command()
def weights(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="One file to look at and check; none: all that are released."),
    ] = None,
    input: InputName = None,
    ema: Ema = False,
    format: Format = None,
    output: Output = None,
) -> None:
    """The released weights and what each needs at its input; or one file, layer by layer, checked.

    Example: vggbench weights D@VGG_ILSVRC_16_layers.caffemodel
    """
    if model in ("list", "ls", "all"):
        raise UsageError(f"weights {model}: expected `vggbench weights`, which lists all that are released.")
    require_output(format, output)
    if model is None:
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

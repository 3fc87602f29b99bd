"""`predict`: single images."""

from pathlib import Path
from typing import Annotated

import typer

from vggbench.cli.app import app
from vggbench.cli.options import ModelName, PredictOptions
from vggbench.cli.output import put
from vggbench.cli.parsing import SeveralValues, with_options


@app.command(cls=SeveralValues)
@with_options
def predict(
    model: ModelName,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Files, folders, or - for standard input.")],
    options: PredictOptions,
    top: Annotated[int, typer.Option(help="Classes of each image.")] = 5,
    map: Annotated[Path | None, typer.Option(help="Picture of where one image shows the class: .png, .svg.")] = None,
    of_class: Annotated[str | None, typer.Option("--class", help="Class of --map; default: the most probable.")] = None,
) -> None:
    """The most probable classes of images, by any protocol, and a map of where the net sees one.

    Example: vggbench predict D@oxford cat.jpg --scales 512 --map cat-map.png
    """
    from vggbench.cli.predict import predict as work
    from vggbench.tables.table import check_output, choose_format

    choose_format(options.format, options.output, is_terminal=False)
    check_output(options.output)
    table, problem = work(model, images, options, top, map, of_class)
    put(table, options.format, options.output)
    if problem:
        raise problem

"""`predict`: single images."""

from pathlib import Path
from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import OUTPUT, ModelName, PredictOptions, number, option
from vggbench.cli.output import put, require_file, require_output
from vggbench.errors import UsageError


@command()
def predict(
    model: ModelName,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Files, folders, or - for standard input.")],
    options: PredictOptions,
    top: Annotated[int, number("Classes of each image.", OUTPUT, 1)] = 5,
    map: Annotated[Path | None, option("Picture of where one image shows the class: .png, .svg.", OUTPUT)] = None,
    of_class: Annotated[str | None, option("Class of --map; default: the most probable.", OUTPUT, "--class")] = None,
) -> None:
    """The most probable classes of images, by any protocol, and a map of where the net sees one.

    Example: vggbench predict D@oxford cat.jpg --scales 512 --map cat-map.png
    """
    require_output(options.format, options.output)
    if map:
        require_file(map, "--map")
    elif of_class is not None:
        raise UsageError(f"--class {of_class} is for --map, which was not asked for: add it, or leave --class out.")
    from vggbench.cli.predict import predict as work

    table, problem = work(model, images, options, top, map, of_class)
    put(table, options.format, options.output)
    if problem:
        raise problem

"""`data`: what a data set is."""

from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import WHAT, Format, GroundTruthFile, Output, Workers, option
from vggbench.cli.output import put, require_output


@command()
def data(
    path: Annotated[
        str, typer.Argument(metavar="[PATH]", help="As --data; default: sample.", envvar="VGGBENCH_DATA")
    ] = "sample",
    verify: Annotated[bool, option("Decode every image, in parallel.", WHAT)] = False,
    classes: Annotated[bool, option("Images of each class.", WHAT)] = False,
    ground_truth: GroundTruthFile = None,
    workers: Workers = None,
    format: Format = None,
    output: Output = None,
) -> None:
    """What a data set is: its layout, classes, sizes and modes; exit 1 where an evaluation would be refused.

    Example: vggbench data ILSVRC2012_img_val.tar --verify
    """
    require_output(format, output)
    from vggbench.cli.progress import VerifyProgress
    from vggbench.data import open_data
    from vggbench.images.inspection import inspect, require_fit
    from vggbench.render.tables.data import classes_table, data_table
    from vggbench.results.census import census

    opened = open_data(path, ground_truth)
    with VerifyProgress(len(opened) if verify else 0) as progress:
        found = inspect(opened, verify=verify, workers=workers, tell=progress.update)
    own = census(found)
    put(classes_table(own) if classes else data_table(own), format, output)
    require_fit(found)

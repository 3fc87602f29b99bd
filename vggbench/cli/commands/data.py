"""`data`: what a data set is."""

from typing import TYPE_CHECKING, Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import Format, GroundTruthFile, Output, Workers, option
from vggbench.cli.output import put, require_output
from vggbench.cli.panels import WHAT

if TYPE_CHECKING:
    from vggbench.data import DataSet
    from vggbench.images.inspection import Inspection


@command()
def data(
    path: Annotated[
        str,
        typer.Argument(
            metavar="[PATH]", help="Images, as for --data of eval. Default: sample.", envvar="VGGBENCH_DATA"
        ),
    ] = "sample",
    verify: Annotated[bool, option("Decode every image, in parallel.", WHAT)] = False,
    digest: Annotated[bool, option("Print one digest of all files' bytes, without decoding them.", WHAT)] = False,
    classes: Annotated[bool, option("Print the number of images of each class.", WHAT)] = False,
    ground_truth: GroundTruthFile = None,
    workers: Workers = None,
    format: Format = None,
    output: Output = None,
) -> None:
    """Describe a data set: its layout, classes, sizes and modes. Exit 1 if an evaluation would be refused.

    Example: vggbench data ILSVRC2012_img_val.tar --verify
    """
    require_output(format, output)
    from vggbench.data import open_data
    from vggbench.images.inspection import inspect, require_fit
    from vggbench.render.tables.data import classes_table, data_table
    from vggbench.results.census import census

    opened = open_data(path, ground_truth)
    found = _all_read(opened, verify, workers) if verify or digest else inspect(opened)
    own = census(found)
    put(classes_table(own) if classes else data_table(own), format, output)
    require_fit(found)


def _all_read(opened: "DataSet", decodes: bool, workers: int | None) -> "Inspection":
    from vggbench.cli.progress import VerifyProgress
    from vggbench.images.inspection import inspect_all

    with VerifyProgress(len(opened), "decoded" if decodes else "read") as progress:
        return inspect_all(opened, decodes=decodes, workers=workers, tell=progress.update)

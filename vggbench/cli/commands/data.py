"""`data`: what a data set is."""

from typing import Annotated

import typer

from vggbench.cli.app import app
from vggbench.cli.options import Format, GroundTruthFile, Output, Workers
from vggbench.cli.output import put, require_output
from vggbench.cli.parsing import SeveralValues
from vggbench.errors import UsageError


@app.command(cls=SeveralValues)
def data(
    path: Annotated[
        str, typer.Argument(metavar="[PATH]", help="As --data; default: sample.", envvar="VGGBENCH_DATA")
    ] = "sample",
    verify: Annotated[bool, typer.Option("--verify", help="Decode every image, in parallel.")] = False,
    classes: Annotated[bool, typer.Option("--classes", help="Images of each class.")] = False,
    ground_truth: GroundTruthFile = None,
    workers: Workers = None,
    format: Format = None,
    output: Output = None,
) -> None:
    """What a data set is: its layout, classes, sizes and modes; exit 1 where an evaluation would be refused.

    Example: vggbench data ILSVRC2012_img_val.tar --verify
    """
    require_output(format, output)
    if workers is not None and workers < 0:
        raise UsageError(f"--workers {workers}: expected 0 or more.")
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

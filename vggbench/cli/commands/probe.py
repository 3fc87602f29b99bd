"""`probe`: a linear SVM on descriptors."""

from pathlib import Path
from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import DATA, WHAT, Format, Output, number, option, word
from vggbench.cli.output import put, require_file, require_output
from vggbench.cli.terminal import say
from vggbench.paper.probes import ProbeName


@command()
def probe(
    features: Annotated[
        list[Path], typer.Argument(metavar="FEATURES...", help="What `vggbench features` wrote; several are stacked.")
    ],
    protocol: Annotated[
        ProbeName,
        word("folders (any classes), caltech101, caltech256, voc2007 or voc2012: what trains, what tests.", WHAT),
    ] = "folders",
    test: Annotated[
        list[Path] | None,
        option("Features that test, where FEATURES, which come first, train.", DATA, metavar="FEATURES..."),
    ] = None,
    data: Annotated[Path | None, option("A VOC's folder, which has the labels: VOCdevkit/VOC2007.", DATA)] = None,
    train_per_class: Annotated[int | None, number("Images of a class that train; default: 30.", WHAT, 1)] = None,
    test_per_class: Annotated[
        int | None, number("Others of it that test at most, 0: all others; default: 50.", WHAT, 0)
    ] = None,
    splits: Annotated[int | None, number("Random splits; default: 3.", WHAT, 1)] = None,
    seed: Annotated[int | None, number("Decides splits and what is held out; default: 0.", WHAT, 0)] = None,
    split_file: Annotated[
        Path | None, option("The splits as JSON: read where it is there, else written, so that others use them.", DATA)
    ] = None,
    costs: Annotated[
        list[float] | None,
        option(
            "C to choose among on what trains; one is taken as it is; default: 0.01 0.1 1 10 100.", WHAT, metavar="N..."
        ),
    ] = None,
    folds: Annotated[
        int | None,
        number(
            "Fifths of what trains that are held out in turn to choose C; default: 5, the paper's sets 1.", WHAT, 1, 5
        ),
    ] = None,
    each: Annotated[bool, option("Each of several files alone as well.", WHAT)] = False,
    format: Format = None,
    output: Output = None,
) -> None:
    """A linear SVM on image descriptors, by the protocol of each set of the paper's Table 11, or on any classes.

    C is chosen on what trains alone. The paper's figure stands beside a row of the same nets, descriptors and images.

    Example: vggbench probe D.parquet E.parquet --each --protocol caltech101; vggbench probe A.parquet --test B.parquet
    """
    require_output(format, output)
    from vggbench.render.tables.probing import probing_table
    from vggbench.studies.probing.machine import COSTS
    from vggbench.studies.probing.probe import probe as probed
    from vggbench.studies.probing.probed import Request

    if split_file is not None and not split_file.exists():
        require_file(split_file, "--split-file")
    request = Request(
        protocol=protocol, test=tuple(test or ()), data=data, train_per_class=train_per_class,
        test_per_class=test_per_class, splits=splits, seed=seed, split_file=split_file, costs=tuple(costs or COSTS),
        folds=folds, each=each,
    )  # fmt: skip
    put(probing_table(probed(features, request, say)), format, output)

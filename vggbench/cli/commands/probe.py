"""`probe`: a linear SVM on descriptors."""

from pathlib import Path
from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import RUNS, Format, Output, number, option, word
from vggbench.cli.output import put, require_file, require_output
from vggbench.cli.panels import DATA, RUNNING, WHAT
from vggbench.cli.terminal import say
from vggbench.paper.probes import ProbeName


@command()
def probe(
    features: Annotated[
        list[Path],
        typer.Argument(metavar="FEATURES...", help="Files that `vggbench features` wrote; several are stacked."),
    ],
    protocol: Annotated[
        ProbeName,
        word(
            "Split into training and test images by folders (any classes), caltech101, caltech256, voc2007 or voc2012.",
            WHAT,
        ),
    ] = "folders",
    test: Annotated[
        list[Path] | None,
        option("Test on these files; FEATURES, which come first, train.", DATA, metavar="FEATURES..."),
    ] = None,
    data: Annotated[Path | None, option("Read VOC's labels from this folder, such as VOCdevkit/VOC2007.", DATA)] = None,
    train_per_class: Annotated[
        int | None, number("Train on this number of images per class. Default: 30.", WHAT, 1)
    ] = None,
    test_per_class: Annotated[
        int | None, number("Test on at most this number of the class's other images; 0: all. Default: 50.", WHAT, 0)
    ] = None,
    splits: Annotated[int | None, number("Make this number of random splits. Default: 3.", WHAT, 1)] = None,
    seed: Annotated[int | None, number("Seed the splits with this. Default: 0.", WHAT, 0)] = None,
    split_file: Annotated[
        Path | None, option("Read the splits from this JSON file, or write them if it does not exist.", DATA)
    ] = None,
    costs: Annotated[
        list[float] | None,
        option("Choose C among these, on training images alone. Default: 0.01 0.1 1 10 100.", WHAT, metavar="N..."),
    ] = None,
    folds: Annotated[
        int | None,
        number(
            "Hold out this number of fifths of the training images in turn, to choose C. Default: 5; for the "
            "paper's sets 1.",
            WHAT,
            1,
            5,
        ),
    ] = None,
    each: Annotated[bool, option("Probe each of several files alone as well.", WHAT)] = False,
    runs: Annotated[
        Path,
        option("Keep finished fits in this folder until the table is written.", RUNNING, envvar="VGGBENCH_RUNS"),
    ] = RUNS,
    format: Format = None,
    output: Output = None,
) -> None:
    """Fit a linear SVM to image descriptors, by the protocols of the paper's Table 11, or on any classes.

    C is chosen on training images alone. The paper's figure stands beside rows of the same nets and
    images. Killed, the same command takes up the fits that were done, which are kept in --runs.

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
        folds=folds, each=each, runs=runs,
    )  # fmt: skip
    found = probed(features, request, say)
    put(probing_table(found), format, output)
    found.forget()

"""`features`: descriptors of images."""

from pathlib import Path
from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.completion import models
from vggbench.cli.options import MODEL, FeaturesOptions, option, word
from vggbench.cli.output import require_file
from vggbench.cli.panels import OUTPUT, WHAT
from vggbench.cli.terminal import say
from vggbench.errors import UsageError, counted
from vggbench.paper.descriptors import PENULTIMATE, Descriptor, Layer, OverScales, Pool, Views


@command()
def features(
    nets: Annotated[list[str], typer.Argument(metavar="MODEL...", help=MODEL, autocompletion=models)],
    options: FeaturesOptions,
    layer: Annotated[
        Layer, word("Take this layer: fc7, fc6, pool5, pool4, pool3, pool2 or pool1.", WHAT)
    ] = PENULTIMATE,
    before_relu: Annotated[bool, option("Take fc6 or fc7 before its ReLU; the file says so.", WHAT)] = False,
    pool: Annotated[Pool, word("Join positions by average, or flatten (of the central crop).", WHAT)] = "average",
    views: Annotated[
        Views | None,
        word(
            "Take these views: dense (the whole image and its mirror), center, tencrop or multicrop. Default: "
            "dense, with --pool flatten center.",
            WHAT,
        ),
    ] = None,
    over_scales: Annotated[OverScales, word("Join several Qs by average or stack.", WHAT)] = "average",
    half: Annotated[bool, option("Store descriptors as float16.", OUTPUT)] = False,
    output: Annotated[Path | None, option("Write this Parquet file; required.", OUTPUT)] = None,
) -> None:
    """Write image descriptors (paper, appendix B): a layer's activations, L2-normalised, as Parquet.

    Descriptors of several nets are stacked. Images need no labels. `vggbench probe` fits a linear classifier to them.

    Example: vggbench features D@oxford --data caltech/train --scales 256 384 512 --over-scales stack --output d.parquet
    """
    descriptor = Descriptor(layer, not before_relu, pool)
    protocol = descriptor.protocol(views)
    if output is None or output.suffix != ".parquet":
        raise UsageError(f"--output {output or ''}: expected a file that ends in .parquet, where the descriptors go.")
    require_file(output, "--output", dry=options.dry_run)
    from vggbench.cli.evaluating import Teller, asked
    from vggbench.evaluation.request import Request
    from vggbench.studies.describing import described

    request = asked(Request, options, models=tuple(nets))
    found = described(request, descriptor, views=protocol.name, over_scales=over_scales, listener=Teller())
    if found is None:
        return
    found.write(output, half=half)
    say(
        f"{output}: {counted(len(found.images), 'image')}, {found.numbers:,} numbers each of "
        f"{'float16' if half else 'float32'} ({descriptor}, {protocol}), {output.stat().st_size / 1e6:.1f} MB."
    )

"""`locate`: the first stage where another pipeline differs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import LocateOptions, ModelName, option
from vggbench.cli.output import put, put_json, require_output
from vggbench.cli.panels import DATA, WHAT
from vggbench.errors import DataError, UsageError, counted

if TYPE_CHECKING:
    from vggbench.data import ImageFile


@command()
def locate(
    model: ModelName,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image file that their pipeline read.")],
    options: LocateOptions,
    theirs: Annotated[Path | None, option("Read their values by stage from this .npz.", DATA)] = None,
    own: Annotated[
        bool, option("Compare with the publisher's own recipe, for networks of torchvision and timm.", WHAT)
    ] = False,
) -> None:
    """Find the first stage where another pipeline differs from ours, and the likely cause. Exit 1 if any stage differs.

    Ours is the central crop: decode, rescale, crop, normalise, network, softmax. Each stage starts from their values of
    the stage before. docs/howto/locate.md says how to make a dump.

    Example: vggbench locate D@torchvision cat.jpg --theirs dump.npz
    """
    require_output(options.format, options.output)
    theirs = _asked_for(options, theirs, own=own)
    from vggbench.cli.evaluating import asked
    from vggbench.cli.progress import DownloadProgress
    from vggbench.data.single import single_images
    from vggbench.evaluation.request import Manner
    from vggbench.render.tables.locating import locating_table
    from vggbench.studies.locating.location import locate, require_central
    from vggbench.studies.prediction import predictor_of, require_predictable

    manner = asked(Manner, options, protocols=("own",) if own else ("center",), device="cpu")
    spec = require_predictable(model, manner)
    with single_images([image], sys.stdin.buffer) as (files, _):
        file = _only(files, image)
        with DownloadProgress() as watch:
            (job,) = predictor_of(spec, manner, watch).jobs
        found = locate(require_central(job), manner.settings.rescale, file, theirs)
    if not put_json(found.as_dict(), options.format, options.output):
        put(locating_table(found), options.format, options.output)
    if found.first_difference:
        raise typer.Exit(1)


def _asked_for(options: LocateOptions, theirs: Path | None, *, own: bool) -> Path:
    """The dump, once what contradicts itself is refused."""
    scales = options.scales or []
    if theirs is None:
        raise UsageError(
            "locate compares with another pipeline's values: expected --theirs DUMP.npz; see docs/howto/locate.md."
        )
    if own and scales:
        raise UsageError("--scales with --own, which rescales as its publisher does: expected one of them.")
    if len(scales) > 1:
        raise UsageError(f"--scales {' '.join(scales)}: locate follows one crop: expected one Q.")
    if not theirs.is_file():
        raise DataError(f"There is no file {theirs}: expected an .npz of their values; see docs/howto/locate.md.")
    return theirs


def _only(files: "list[ImageFile]", image: str) -> "ImageFile":
    if len(files) != 1:
        raise UsageError(f"{image} holds {counted(len(files), 'image')}: expected the one that they read.")
    return files[0]

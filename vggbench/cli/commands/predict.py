"""`predict`: single images."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import ModelName, PredictOptions, number, option
from vggbench.cli.output import put, require_file, require_output
from vggbench.cli.panels import OUTPUT
from vggbench.cli.terminal import say
from vggbench.errors import UnreadableImages, UsageError, counted

if TYPE_CHECKING:
    from vggbench.data import ImageFile
    from vggbench.evaluation.request import Manner
    from vggbench.render.tables.table import Table
    from vggbench.studies.prediction import Prediction, Predictor
    from vggbench.weights.spec import AnySpec

_NAMED = 20
"""Images whose complaints are printed at most."""


@command()
def predict(
    model: ModelName,
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Image files, folders, or - for standard input.")
    ],
    options: PredictOptions,
    top: Annotated[int, number("Print this number of classes per image.", OUTPUT, 1)] = 5,
    map: Annotated[Path | None, option("Draw where one image shows the class: a .png, .svg or .pdf.", OUTPUT)] = None,
    of_class: Annotated[
        str | None, option("Draw --map for this class. Default: the most probable.", OUTPUT, "--class")
    ] = None,
) -> None:
    """Print the most probable classes of images, by any protocol, and draw where the net sees one.

    Example: vggbench predict D@oxford cat.jpg --scales 512 --map cat-map.png
    """
    require_output(options.format, options.output)
    if map:
        require_file(map, "--map")
    elif of_class is not None:
        raise UsageError(f"--class {of_class} is for --map, which was not asked for: add it, or leave --class out.")
    from vggbench.cli.evaluating import asked
    from vggbench.data.single import single_images
    from vggbench.evaluation.request import Manner
    from vggbench.inference.devices import fallen_back
    from vggbench.studies.prediction import require_an_image, require_predictable

    manner = asked(Manner, options)
    spec = require_predictable(model, manner)
    with single_images(images, sys.stdin.buffer) as (files, notes):
        fallen = fallen_back(manner.device, manner.settings.torch_device)
        for note in (*notes, *([fallen] if fallen else ())):
            say(f"Note: {note}")
        if map:
            _require_map(manner, files, map)
        require_an_image(files)
        predictor = _predictor(spec, manner, top, map)
        place = None if of_class is None else predictor.place_of(of_class)
        table, problem = _table(predictor, files, top, partial(_draw, predictor, map, place) if map else None)
    put(table, options.format, options.output)
    if problem:
        raise problem


def _require_map(manner: "Manner", files: "list[ImageFile]", path: Path) -> None:
    from vggbench.paper.protocols import Protocol
    from vggbench.render.plots.figure import require_picture

    require_picture(path)
    if len(files) != 1:
        raise UsageError(f"--map {path} with {counted(len(files), 'image')}: expected one image.")
    dense = Protocol("dense")
    if dense not in manner.chosen_protocols or manner.has_several_scales(dense):
        raise UsageError(f"--map {path}: expected --dense at one Q, whose score map it draws.")


def _predictor(spec: "AnySpec", manner: "Manner", top: int, map_: Path | None) -> "Predictor":
    from vggbench.cli.progress import DownloadProgress
    from vggbench.studies.prediction import predictor_of

    with DownloadProgress() as watch:
        predictor = predictor_of(spec, manner, watch)
    if top > predictor.model.identity.classes:
        raise UsageError(f"--top {top}: expected 1 to {predictor.model.identity.classes}, the model's classes.")
    if map_ and predictor.model.identity.architecture is None:
        raise UsageError(f"--map {map_}: {predictor.model.identity.name} is not a VGG, whose score map it draws.")
    if map_ and not predictor.has_map:
        raise UsageError(f"--map {map_}: expected --dense at one Q, whose score map it draws.")
    return predictor


def _table(
    predictor: "Predictor", files: "list[ImageFile]", top: int, draw: "Callable[[Prediction], None] | None"
) -> "tuple[Table, UnreadableImages | None]":
    """The table, and an error that names what could not be read, to raise once the table is out."""
    from vggbench.cli.progress import VerifyProgress
    from vggbench.render.tables.prediction import prediction_table
    from vggbench.studies.prediction import Guess, Prediction, complaint, guesses

    rows, wrong, doubtful = list[Guess](), list[Prediction](), list[Prediction]()
    with VerifyProgress(len(files)) as progress:
        for done, prediction in enumerate(predictor.predictions(files), start=1):
            rows += guesses(predictor.model, prediction, top)
            wrong += [prediction] if prediction.problem else []
            doubtful += [prediction] if prediction.doubt else []
            progress.update(done)
            if draw and prediction.posterior is not None:
                draw(prediction)
    for prediction in doubtful[:_NAMED]:
        say(f"Note: {prediction.image.id} is decoded, but libjpeg complained: {prediction.doubt}.")
    if len(doubtful) > _NAMED:
        say(f"Note: so are {len(doubtful) - _NAMED:,} more images.")
    return prediction_table(predictor, rows), complaint(wrong, len(files)) if wrong else None


def _draw(predictor: "Predictor", path: Path, place: int | None, prediction: "Prediction") -> None:
    """The map of the class at `place`, or of the most probable one."""
    from vggbench.render.plots.figure import save
    from vggbench.render.plots.score_map import score_map
    from vggbench.studies.prediction import name_of

    model = predictor.model
    place = prediction.top(1)[0] if place is None else place
    image, found = predictor.map_of(prediction, place)
    words = name_of(model, place)[1]
    what, how = f"{words}: {100 * found.dense:.1f} %", f"{model.identity.name}, dense, Q={min(image.shape[1:])}"
    save(score_map(image.permute(1, 2, 0).numpy(), found, what, how), path)
    say(f"{path}: where {model.identity.name} sees {words}.")

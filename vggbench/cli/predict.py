"""The work of `predict`: find the images, ask the model, draw the map."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vggbench.cli.evaluate import protocols_of, scales_of, settings_of
from vggbench.cli.models import load_options_of
from vggbench.cli.options import PredictOptions
from vggbench.cli.progress import DownloadProgress, VerifyProgress
from vggbench.cli.terminal import say
from vggbench.data import ImageFile
from vggbench.data.dataset import LARGEST_IMAGE
from vggbench.errors import DataError, UnreadableImages, UsageError
from vggbench.loading import Images, Request
from vggbench.plots.figure import save
from vggbench.plots.score_map import score_map
from vggbench.prediction import Prediction, Predictor, name_of
from vggbench.protocols import Protocol
from vggbench.tables.prediction import Guess, guesses, prediction_table
from vggbench.tables.table import Table
from vggbench.weights import ModelSpec, default_source, load_model

_STANDARD_INPUT = "-"
_ENDINGS = (".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
_NAMED = 20


def predict(
    text: str, places: Sequence[str], options: PredictOptions, count: int, map_: Path | None, of_class: str | None
) -> tuple[Table, UnreadableImages | None]:
    """The table, and an error that names what could not be read, to raise once the table is out."""
    predictor = _predictor(text, options)
    if not 1 <= count <= predictor.model.classes:
        raise UsageError(f"--top {count}: expected 1 to {predictor.model.classes}, the model's classes.")
    with _found(places) as images:
        if map_:
            _require_map(predictor, images, map_)
        rows, wrong = list[Guess](), list[Prediction]()
        with VerifyProgress(len(images)) as progress:
            for done, prediction in enumerate(predictor.predictions(images), start=1):
                rows += guesses(predictor, prediction, count)
                wrong += [prediction] if prediction.problem else []
                progress.update(done)
                if map_ and prediction.posterior is not None:
                    _draw(predictor, prediction, map_, of_class)
        return prediction_table(predictor, rows), _complaint(wrong, len(images)) if wrong else None


def _predictor(text: str, options: PredictOptions) -> Predictor:
    own = options.for_evaluation()
    protocols, settings = protocols_of(own), settings_of(own)
    spec = ModelSpec.parse(text)
    if spec.source is None:
        spec = ModelSpec(spec.config, default_source(spec.config))
    with DownloadProgress() as watch:
        model = load_model(spec, load_options_of(own), (), watch)
    scales: dict[Protocol, tuple[int, ...]] = {}
    for protocol in protocols:
        scales[protocol] = scales_of(protocol, own, model.train_scale)
        if len(scales[protocol]) > 1 and not protocol.combines:
            raise UsageError(f"{protocol} does not combine several Qs: expected one, or --dense or --multicrop.")
    if len(protocols) > 1 and not all(protocol.combines for protocol in protocols):
        raise UsageError("center and tencrop combine with no other protocol: expected one, or --dense --multicrop.")
    return Predictor(model, scales, settings)


@contextmanager
def _found(places: Sequence[str]) -> Iterator[list[ImageFile]]:
    """The files, those of folders sorted by name, and what comes by standard input."""
    with tempfile.TemporaryDirectory() as folder:
        images: dict[str, ImageFile] = {}
        for place in places:
            found = [_from_input(Path(folder))] if place == _STANDARD_INPUT else _at(Path(place).expanduser())
            images |= {image.id: image for image in found}
        yield list(images.values())


def _from_input(folder: Path) -> ImageFile:
    encoded = sys.stdin.buffer.read(LARGEST_IMAGE + 1)
    if not encoded:
        raise DataError("Standard input is empty: expected one image, for instance from curl or cat.")
    path = folder / "image"
    path.write_bytes(encoded)
    return ImageFile("standard input", path, len(encoded), "")


def _at(path: Path) -> list[ImageFile]:
    try:
        if not path.is_dir():
            return [ImageFile(str(path), path, path.stat().st_size, "")]
        files = [file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.startswith(".")]
        images = [file for file in files if file.suffix.lower() in _ENDINGS]
        if len(images) < len(files):
            say(f"Note: {path} holds {len(files) - len(images):,} other files, which are not looked at.")
        if not images:
            raise DataError(f"{path} holds no image: expected files that end in {', '.join(_ENDINGS)}.")
        return [ImageFile(str(file), file, file.stat().st_size, "") for file in images]
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}): expected an image, or a folder of images."
        ) from error


def _require_map(predictor: Predictor, images: Sequence[ImageFile], path: Path) -> None:
    scales = predictor.scales.get(Protocol("dense"), ())
    if len(images) != 1:
        raise UsageError(f"--map {path} with {len(images)} images: expected one image.")
    if len(scales) != 1:
        raise UsageError(f"--map {path}: expected --dense at one Q, whose score map it draws.")


def _draw(predictor: Predictor, prediction: Prediction, path: Path, of_class: str | None) -> None:
    model = predictor.model
    places = {name: place for place in range(model.classes) for name in name_of(model, place)}
    if of_class is not None and of_class not in places:
        raise UsageError(f"--class {of_class}: expected a class of {model.name}, such as {name_of(model, 0)[1]}.")
    place = places[of_class] if of_class is not None else prediction.top(1)[0]
    (scale,) = predictor.scales[Protocol("dense")]
    image = Images([prediction.image], predictor.settings.rescale)[Request.plain(0, [scale])].at(scale)
    found = predictor.class_map(image, place)
    what = f"{name_of(model, place)[1]}: {100 * found.dense:.1f} %"
    save(score_map(image, found, what, f"{model.name}, dense, Q={scale}"), path)
    say(f"{path}: where {model.name} sees {name_of(model, place)[1]}.")


def _complaint(wrong: Sequence[Prediction], total: int) -> UnreadableImages:
    named = "; ".join(f"{prediction.image.id} {prediction.problem}" for prediction in wrong[:_NAMED])
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    return UnreadableImages(
        f"{len(wrong)} of {total:,} images could not be read: {named}{more}. Expected images that decode; the others "
        "are in the table."
    )

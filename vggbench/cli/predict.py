"""The work of `predict`: find the images, ask the model, draw the map."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vggbench.cache import at_home
from vggbench.cli.evaluate import protocols_of, scales_of, settings_of
from vggbench.cli.models import load_options_of
from vggbench.cli.options import PredictOptions
from vggbench.cli.progress import DownloadProgress, VerifyProgress
from vggbench.cli.terminal import say
from vggbench.data import ImageFile
from vggbench.data.dataset import LARGEST_IMAGE
from vggbench.errors import DataError, UnreadableImages, UsageError, counted
from vggbench.evaluation.jobs import Settings
from vggbench.images.pixels import NotAnImage, header_of
from vggbench.images.reading import Images, Request, read_whole
from vggbench.paper.protocols import ANY_SCALE, Protocol
from vggbench.render.plots.figure import require_picture, save
from vggbench.render.plots.score_map import score_map
from vggbench.render.tables.prediction import Guess, guesses, prediction_table
from vggbench.render.tables.table import Table
from vggbench.studies.prediction import Prediction, Predictor, name_of
from vggbench.weights.load import Model, load_model
from vggbench.weights.released import default_source
from vggbench.weights.spec import ModelSpec
from vggbench.weights.unfetched import require_source

_STANDARD_INPUT = "-"
_ENDINGS = (".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
_NAMED = 20


def predict(
    text: str, places: Sequence[str], options: PredictOptions, count: int, map_: Path | None, of_class: str | None
) -> tuple[Table, UnreadableImages | None]:
    """The table, and an error that names what could not be read, to raise once the table is out."""
    spec, protocols = _spec(text), protocols_of(options.for_evaluation())
    settings = settings_of(options.for_evaluation())
    _require_scales(protocols, options)
    with _found(places) as images:
        if map_:
            _require_map(protocols, images, map_, options)
        _require_an_image(images)
        predictor = _predictor(spec, protocols, settings, options)
        if count > predictor.model.classes:
            raise UsageError(f"--top {count}: expected 1 to {predictor.model.classes}, the model's classes.")
        if map_ and len(predictor.scales[Protocol("dense")]) != 1:
            raise UsageError(f"--map {map_}: expected --dense at one Q, whose score map it draws.")
        place = None if of_class is None else _place_of(of_class, predictor.model)
        rows, wrong, doubtful = list[Guess](), list[Prediction](), list[Prediction]()
        with VerifyProgress(len(images)) as progress:
            for done, prediction in enumerate(predictor.predictions(images), start=1):
                rows += guesses(predictor, prediction, count)
                wrong += [prediction] if prediction.problem else []
                doubtful += [prediction] if prediction.doubt else []
                progress.update(done)
                if map_ and prediction.posterior is not None:
                    _draw(predictor, prediction, map_, place)
        for prediction in doubtful[:_NAMED]:
            say(f"Note: {prediction.image.id} is decoded with a complaint of libjpeg: {prediction.doubt}.")
        if len(doubtful) > _NAMED:
            say(f"Note: so are {len(doubtful) - _NAMED:,} more images.")
        return prediction_table(predictor, rows), _complaint(wrong, len(images)) if wrong else None


def _spec(text: str) -> ModelSpec:
    spec = ModelSpec.parse(text)
    if spec.source is None:
        spec = ModelSpec(spec.config, default_source(spec.config))
    require_source(spec)
    return spec


def _require_scales(protocols: Sequence[Protocol], options: PredictOptions) -> None:
    """Refuse Qs and protocols that cannot be averaged, whatever S is."""
    load_options_of(options.for_evaluation())
    for protocol in protocols:
        scales = scales_of(protocol, options.for_evaluation(), ANY_SCALE)
        if len(scales) > 1 and not protocol.combines:
            raise UsageError(f"{protocol} does not combine several Qs: expected one, or --dense or --multicrop.")
    if len(protocols) > 1 and not all(protocol.combines for protocol in protocols):
        raise UsageError("center and tencrop combine with no other protocol: expected one, or --dense --multicrop.")


def _predictor(
    spec: ModelSpec, protocols: Sequence[Protocol], settings: Settings, options: PredictOptions
) -> Predictor:
    own = options.for_evaluation()
    with DownloadProgress() as watch:
        model = load_model(spec, load_options_of(own), (), watch)
    return Predictor(model, {protocol: scales_of(protocol, own, model.train_scale) for protocol in protocols}, settings)


@contextmanager
def _found(places: Sequence[str]) -> Iterator[list[ImageFile]]:
    """The files, those of folders sorted by name, and what comes by standard input."""
    with tempfile.TemporaryDirectory() as folder:
        images: dict[str, ImageFile] = {}
        for place in places:
            found = [_from_input(Path(folder))] if place == _STANDARD_INPUT else _at(at_home(place))
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
            say(f"Note: {path} holds {counted(len(files) - len(images), 'other file')}, left alone.")
        if not images:
            raise DataError(f"{path} holds no image: expected files that end in {', '.join(_ENDINGS)}.")
        return [ImageFile(str(file), file, file.stat().st_size, "") for file in images]
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}): expected an image, or a folder of images."
        ) from error


def _require_map(
    protocols: Sequence[Protocol], images: Sequence[ImageFile], path: Path, options: PredictOptions
) -> None:
    require_picture(path)
    if len(images) != 1:
        raise UsageError(f"--map {path} with {counted(len(images), 'image')}: expected one image.")
    dense = Protocol("dense")
    if dense not in protocols or len(scales_of(dense, options.for_evaluation(), ANY_SCALE)) != 1:
        raise UsageError(f"--map {path}: expected --dense at one Q, whose score map it draws.")


def _require_an_image(images: Sequence[ImageFile]) -> None:
    """Refuse, before weights are read, files of which none begins as an image does. Raises UnreadableImages."""
    wrong: list[Prediction] = []
    for image in images:
        try:
            header_of(read_whole(image))
        except NotAnImage as reason:
            wrong.append(Prediction(image, None, str(reason)))
        else:
            return
    raise _complaint(wrong, len(images))


def _place_of(of_class: str, model: Model) -> int:
    places = {name: place for place in range(model.classes) for name in name_of(model, place)}
    if of_class not in places:
        raise UsageError(f"--class {of_class}: expected a class of {model.name}, such as {name_of(model, 0)[1]}.")
    return places[of_class]


def _draw(predictor: Predictor, prediction: Prediction, path: Path, place: int | None) -> None:
    """The map of the class at `place`, or of the most probable one."""
    model = predictor.model
    place = prediction.top(1)[0] if place is None else place
    (scale,) = predictor.scales[Protocol("dense")]
    loaded = Images([prediction.image], predictor.settings.rescale)[Request.plain(0, [scale])]
    if loaded.problem:  # which it had not a moment ago
        raise _complaint([replace(prediction, problem=loaded.problem)], 1)
    image = loaded.at(scale)
    found = predictor.class_map(image, place)
    what = f"{name_of(model, place)[1]}: {100 * found.dense:.1f} %"
    save(score_map(image, found, what, f"{model.name}, dense, Q={scale}"), path)
    say(f"{path}: where {model.name} sees {name_of(model, place)[1]}.")


def _complaint(wrong: Sequence[Prediction], total: int) -> UnreadableImages:
    named = "; ".join(f"{prediction.image.id} {prediction.problem}" for prediction in wrong[:_NAMED])
    more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    others = "; the others are in the table" if len(wrong) < total else ""
    return UnreadableImages(
        f"{len(wrong)} of {counted(total, 'image')} could not be read: {named}{more}. Expected images that "
        f"decode{others}."
    )

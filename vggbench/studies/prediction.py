"""What a model says of single images: the posteriors of an evaluation, and the score map of a class."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from vggbench.data import ImageFile
from vggbench.data.imagenet import class_names
from vggbench.errors import UnreadableImages, UsageError
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.loop import unread
from vggbench.evaluation.request import Manner
from vggbench.images.headers import NotAnImage, header_of, read_whole
from vggbench.images.packs import Images, Loaded, Request, in_packs
from vggbench.images.pixels import take
from vggbench.images.reading import AHEAD, from_workers
from vggbench.inference.backend import Backend
from vggbench.inference.choice import start
from vggbench.inference.scorer import Scorer
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol
from vggbench.store.runs import BLOCK
from vggbench.weights.download import DownloadWatch
from vggbench.weights.load import Model
from vggbench.weights.loading import load_any, require_heeded, require_model
from vggbench.weights.released import default_source
from vggbench.weights.spec import AnySpec, ModelSpec, parse_model

STRIDE = 32
"""Pixels between two positions of the score map: five poolings."""
_DENSE = Protocol("dense")
_IMAGE_BYTES = 20_000_000
"""The most bytes of one image in worker processes, as `Settings.workers_for` asks."""


@dataclass(frozen=True)
class Prediction:
    """One image and its posterior (K,), or why it has none."""

    image: ImageFile
    posterior: NDArray[np.float64] | None
    problem: str | None = None
    doubt: str | None = None
    """What libjpeg complained of while it decoded on."""

    def top(self, count: int) -> list[int]:
        """The most probable classes; of equal ones the lower index first."""
        assert self.posterior is not None
        order = np.lexsort((np.arange(len(self.posterior)), -self.posterior))
        return [int(place) for place in order[:count]]


@dataclass(frozen=True)
class Guess:
    """One of an image's most probable classes, as the model names it and in words."""

    image: str
    rank: int
    own: str
    words: str
    probability: float


@dataclass(frozen=True)
class ClassMap:
    """The map of a class: its probability on each pixel of an image at one Q, and its posterior by `dense`."""

    probability: NDArray[np.float64]
    """(H, W): of the 224 x 224 window whose centre is there, interpolated between the windows' centres; NaN where no
    window is centred within 16 pixels."""
    window: tuple[int, int]
    """(top, left) of the window that is surest, of the unmirrored image."""
    positions: tuple[int, int]
    """(h, w) of the score map."""
    dense: float
    """The posterior at this Q: softmax of the mean score, and the mean of the image's and its mirror's."""


@dataclass(frozen=True)
class Predictor:
    """A model by one or more protocols, each at the same or other Qs; posteriors are averaged as `eval` does."""

    model: Model
    jobs: list[Job]
    """All that is averaged."""
    settings: Settings

    @property
    def has_map(self) -> bool:
        """Whether there is one score map to draw: a VGG's by `dense` at one Q."""
        dense = [job for job in self.jobs if job.protocol.name == "dense"]
        return len(dense) == 1 and self.model.identity.architecture is not None

    def predictions(self, images: Sequence[ImageFile]) -> Iterator[Prediction]:
        """One for each image, in order; raises what an evaluation does, but not for an image that cannot be read."""
        scorers = [Scorer(job.protocol, self._backend(job), self.settings.views_per_batch) for job in self.jobs]
        wanted = [job.wanted for job in self.jobs]
        packs = in_packs([Request.of(place, wanted) for place in range(len(images))], BLOCK)
        workers = self.settings.workers_for(BLOCK * _IMAGE_BYTES, held=2, ahead=AHEAD) if len(packs) > 1 else 0
        for pack in from_workers(Images(images, self.settings.rescale), packs, workers):
            block = list(pack.unpacked())
            posteriors = iter(self._posteriors(scorers, [loaded for loaded in block if loaded.problem is None]))
            for loaded in block:
                found = None if loaded.problem else next(posteriors)
                yield Prediction(images[loaded.position], found, loaded.problem, loaded.doubt)

    def _posteriors(self, scorers: list[Scorer], block: list[Loaded]) -> NDArray[np.float64]:
        """(n, K): the mean over Q of each protocol, and their mean."""
        if not block:
            return np.empty((0, self.model.identity.classes))
        by_protocol: dict[Protocol, list[NDArray[np.float64]]] = {}
        for job, scorer in zip(self.jobs, scorers, strict=True):
            pixels = [loaded.at(job.wanted) for loaded in block]
            found = scorer.posteriors(pixels).astype(np.float64)
            by_protocol.setdefault(job.protocol, []).append(found)
        means: list[NDArray[np.float64]] = [sum(found) / len(found) for found in by_protocol.values()]  # type: ignore[misc]
        mean: NDArray[np.float64] = sum(means) / len(means)  # type: ignore[assignment]
        return mean

    def map_of(self, prediction: Prediction, place: int) -> tuple[Tensor, ClassMap]:
        """An image at the one Q of `dense`, and where class `place` is seen in it; raises UnreadableImages."""
        scale = next(job.scale for job in self.jobs if job.protocol.name == "dense")
        loaded = Images([prediction.image], self.settings.rescale).one(Request.plain(0, [scale]))
        if loaded.problem:  # which it had not a moment ago
            raise complaint([replace(prediction, problem=loaded.problem)], 1)
        image = loaded.at(scale)
        return image, self.class_map(image, place)

    def place_of(self, class_name: str) -> int:
        """The class of this name, the model's own or in words; raises UsageError."""
        model = self.model
        places = {name: place for place in range(model.identity.classes) for name in name_of(model, place)}
        if class_name not in places:
            raise UsageError(
                f"--class {class_name}: expected a class of {model.identity.name}, such as {name_of(model, 0)[1]}."
            )
        return places[class_name]

    def class_map(self, image: Tensor, place: int) -> ClassMap:
        """The map of class `place` in a (3, H, W) uint8 image that was rescaled to Q."""
        backend = self._backend(Job(self.model, _DENSE, int(min(image.shape[1:]))))
        height, width = image.shape[1:]
        on_pixels, dense = [], []
        window, positions = (0, 0), (0, 0)
        for view in _DENSE.views(height, width):
            scores = backend(take(image, view)[None])[0].cpu().double()  # (K, h, w)
            dense.append(float(scores.mean((1, 2)).softmax(0)[place]))
            probability = scores.softmax(0)[place].numpy()  # (h, w)
            spread = _on_pixels(probability, height, width)
            on_pixels.append(spread[:, ::-1] if view.mirror else spread)
            if not view.mirror:
                positions = (probability.shape[0], probability.shape[1])
                best = divmod(int(probability.argmax()), positions[1])
                window = (STRIDE * best[0], STRIDE * best[1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # where both are NaN the mean is
            return ClassMap(np.nanmean(on_pixels, axis=0), window, positions, float(np.mean(dense)))

    def _backend(self, job: Job) -> Backend:
        name = self.settings.backend_for(job, measures=False)  # which takes longer than an image
        if name not in self._started:
            self._started[name] = start(name, self.model, self.settings.torch_device, self.settings.precision)
        return self._started[name]

    @cached_property
    def _started(self) -> dict[str, Backend]:
        return {}


def require_predictable(text: str, manner: Manner) -> AnySpec:
    """What a MODEL names, a bare one by its usual source, once all is refused that cannot be averaged, whatever S is.

    Raises UsageError and WeightsError.
    """
    spec = parse_model(text)
    if isinstance(spec, ModelSpec) and not spec.source:
        spec = ModelSpec(spec.config, default_source(spec.config))
    require_model(spec)
    require_heeded([spec], manner.load_options)
    protocols, _, _ = manner.chosen_protocols, manner.settings, manner.load_options
    for protocol in protocols:
        if manner.has_several_scales(protocol) and not protocol.combines:
            raise UsageError(f"{protocol} does not combine several Qs: expected one, or --dense or --multicrop.")
    if len(protocols) > 1 and not all(protocol.combines for protocol in protocols):
        raise UsageError(
            "center, tencrop and own combine with no other protocol: expected one, or --dense --multicrop."
        )
    return spec


def predictor_of(spec: AnySpec, manner: Manner, watch: DownloadWatch | None = None) -> Predictor:
    """Load a model to predict in this manner; raises UsageError and WeightsError."""
    model = load_any(spec, manner.load_options, (), watch)
    return Predictor(model, manner.jobs_of(model), manner.settings)


def require_an_image(images: Sequence[ImageFile]) -> None:
    """Refuse files before weights are read if none begins as an image does. Raises UnreadableImages."""
    wrong: list[Prediction] = []
    for image in images:
        try:
            header_of(read_whole(image))
        except NotAnImage as reason:
            wrong.append(Prediction(image, None, str(reason)))
        else:
            return
    raise complaint(wrong, len(images))


def complaint(wrong: Sequence[Prediction], total: int) -> UnreadableImages:
    """What to say of images without a posterior."""
    said = unread([f"{prediction.image.id} {prediction.problem}" for prediction in wrong], total)
    others = "; the others are in the table" if len(wrong) < total else ""
    return UnreadableImages(f"{said}. Expected images that decode{others}.")


def name_of(model: Model, place: int) -> tuple[str, str]:
    """The class as the model names it, or its index, and in words."""
    own = model.identity.class_names[place] if model.identity.class_names else str(place)
    return own, class_names().get(own, own)


def guesses(model: Model, prediction: Prediction, count: int) -> list[Guess]:
    """The most probable classes of one image; none where it has no posterior."""
    if prediction.posterior is None:
        return []
    return [
        Guess(prediction.image.id, rank + 1, *name_of(model, place), float(prediction.posterior[place]))
        for rank, place in enumerate(prediction.top(count))
    ]


def _on_pixels(map_: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """(h, w) -> (H, W). Position i is the window of pixels 32i to 32i + 223, so it stands at their middle.

    Between the middles it is interpolated without overshooting; NaN more than half a stride beyond them.
    """
    near = np.ones((height, width), bool)
    for axis, side in ((0, height), (1, width)):
        middles = STRIDE * np.arange(map_.shape[axis]) + (CROP - 1) / 2
        places = np.arange(side)
        within = (places >= middles[0] - STRIDE / 2) & (places <= middles[-1] + STRIDE / 2)
        near &= np.expand_dims(within, 1 - axis)
        if len(middles) == 1:
            map_ = np.repeat(map_, side, axis=axis)
        else:
            map_ = PchipInterpolator(middles, map_, axis=axis)(places.clip(middles[0], middles[-1]))
    return np.where(near, map_, np.nan)

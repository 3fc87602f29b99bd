"""A training from words to a trained net: refuse early, open the images, load what it starts from, train together."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from vggbench.data import DataSet, open_training_data
from vggbench.errors import UsageError
from vggbench.evaluation.jobs import Settings
from vggbench.evaluation.listening import Listener
from vggbench.evaluation.processes import World, joined, own_device, require_one_store, share_threads
from vggbench.files import require_folder
from vggbench.images.preprocessing import require_input
from vggbench.images.reading import no_room
from vggbench.inference.choices import Precision, require_choice, require_least, require_width
from vggbench.inference.devices import fallen_back
from vggbench.paper.configs import PAPER, Config
from vggbench.train.loop import Trained, train, training_workers
from vggbench.train.recipe import Recipe, TrainWatch
from vggbench.train.start import convolutions_alone, on_last_layer, on_rate, shares_convolutions
from vggbench.train.step import Running
from vggbench.weights.load import LoadOptions, Model, load_model
from vggbench.weights.parts import PartOfNetError
from vggbench.weights.spec import ModelSpec
from vggbench.weights.unfetched import require_source


class TrainListener(Listener):
    """What a training's session tells while it goes on; this one listens to nothing."""

    def opened(self, recipe: Recipe, train_data: DataSet, val_data: DataSet, world: World) -> None:
        """The images are there, and what the training starts from; the recipe is settled."""

    def training(self) -> AbstractContextManager[TrainWatch]:
        """Listens to the training, as long as it lasts."""
        return nullcontext(TrainWatch())


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """A training; each field takes the words of the option of that name."""

    config: Config
    data: str | None = None
    """A folder with train/ and val/, or of classes, or `sample`; None is refused."""
    recipe: Recipe = field(default_factory=Recipe)
    takes_scale: bool = False
    """Whether S is that of the net to start from, where it states one, and not the recipe's."""
    start: str | None = None
    """The MODEL to take layers from."""
    input: str | None = None
    """What a file to start from expects, where it does not say so."""
    ema: bool = False
    """Whether averaged weights are taken from a checkpoint to start from."""
    width: float = 1.0
    """Channels relative to the paper's."""
    accumulate: int = 1
    precision: str = "fp32"
    compile: bool = False
    checkpoint_minutes: float = 5.0
    device: str = "auto"
    workers: int | None = None
    runs: Path | None = None
    """Where checkpoints are kept, if anywhere."""

    def running(self, world: World | None = None) -> Running:
        """How it is run; raises UsageError."""
        require_choice("--precision", self.precision, get_args(Precision))
        require_least("--workers", self.workers, 0)
        settings = Settings(own_device(self.device), self.precision, workers=self.workers)  # type: ignore[arg-type]
        return Running(settings, self.accumulate, self.compile, self.checkpoint_minutes, world or World())


def require_trainable(config: Config, width: float) -> None:
    """Raise UsageError for a net that the paper's recipe is not of."""
    if config.batch_norm:
        raise UsageError(
            f"{config.name} has batch normalisation, which the paper's recipe lacks: expected one of "
            f"{', '.join(PAPER)} and B-5x5."
        )
    require_width(width)


def conduct(request: TrainRequest, listener: TrainListener | None = None) -> tuple[Trained, DataSet] | None:
    """Train one net, and return it with the images that validated it; under torchrun with all processes together.

    None in all processes but the first. Raises as `train`, and UsageError for a request that cannot be, before
    images are listed and weights are read.
    """
    listener = listener or TrainListener()
    device = request.running().settings.torch_device
    share_threads()
    with joined(device) as world:
        source = _require_possible(request)  # by all together: a process that refuses ends the others
        if request.runs:
            require_one_store(world, request.runs)
        running = request.running(world)
        told = listener if world.is_first else TrainListener()
        if fallen := fallen_back(request.device, device):
            told.note(fallen)
        train_data, val_data = _opened(str(request.data), world)
        for note in (*train_data.notes, *val_data.notes):
            told.note(f"{note}.")
        start = _start(source, request, train_data.class_names, told) if source else None
        if source and not shares_convolutions(source.config, request.config):
            told.say(
                f"No convolution of {source.name} fits {request.config.name}, whose kernels are of another size: its "
                "fc layers start the training, --init draws the convolutions."
            )
        recipe = _settled(request, start)
        told.opened(recipe, train_data, val_data, world)
        if start and (said := on_rate(start, recipe)):
            told.note(said)
        workers = training_workers(recipe, running)
        if workers < running.settings.loader_workers:
            told.note(no_room("reading images", workers))
        told.say("You can interrupt it at any time; the same command resumes it.")
        with told.training() as watch:
            trained = train(
                request.config, train_data, val_data, recipe, width=request.width, start=start,
                runs=request.runs, running=running, watch=watch,
            )  # fmt: skip
        return (trained, val_data) if world.is_first else None


def _require_possible(request: TrainRequest) -> ModelSpec | None:
    """Refuse all that can be refused at once; returns what the training starts from. Raises VggbenchError."""
    require_trainable(request.config, request.width)
    if request.data is None:
        raise UsageError(
            "No images to train on: expected --data FOLDER with train/ and val/, or --data sample; training "
            "never falls "
            "back to the sample."
        )
    request.running()
    require_input(request.input)
    source = ModelSpec.parse(request.start) if request.start else None
    if source:
        require_source(source)
    if request.runs:
        require_folder(request.runs, "--runs")
    return source


def _opened(path: str, world: World) -> tuple[DataSet, DataSet]:
    """The images; the sample is drawn by the first process alone."""
    if world.is_first:
        opened = open_training_data(path)
    world.total(0)
    return opened if world.is_first else open_training_data(path)


def _settled(request: TrainRequest, start: Model | None) -> Recipe:
    """The recipe, at the S of the net to start from where that is asked for."""
    scale = start.identity.train_scale if start and request.takes_scale else None
    return replace(request.recipe, train_scale=scale) if scale else request.recipe


def _start(spec: ModelSpec, request: TrainRequest, folders: tuple[str, ...], listener: Listener) -> Model:
    with listener.downloading() as watch:
        try:
            start = load_model(spec, LoadOptions(input=request.input, ema=request.ema), folders, watch)
        except PartOfNetError as found:
            if found.part.config != spec.config:
                raise
            listener.say(
                f"{spec.name} {found.part.sentence}. Its convolutions start the training; --init draws the fc layers."
            )
            return convolutions_alone(found, spec.name, request.input, folders)
    if told := on_last_layer(start, folders, request.recipe.init):
        listener.say(told)
    return start

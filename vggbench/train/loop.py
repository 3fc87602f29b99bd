"""The training loop: epochs of steps, validated by the project's own evaluation, resumable at any step."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vggbench.cache import cache_folder
from vggbench.data import DataSet
from vggbench.errors import StoreError, UnreadableImages, counted
from vggbench.evaluation.jobs import Job
from vggbench.evaluation.loop import evaluate
from vggbench.evaluation.processes import World, require_same
from vggbench.files import digest
from vggbench.images.reading import AHEAD
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CROP, Config
from vggbench.paper.protocols import Protocol
from vggbench.results.rows import error_rates
from vggbench.store.identity import Identity
from vggbench.train.checkpoint import Checkpoint, State, identity
from vggbench.train.crops import FIXED, Crops, Shown, batches
from vggbench.train.kept import FrozenPart, KeptCrops
from vggbench.train.recipe import Epoch, Recipe, TrainWatch
from vggbench.train.start import begin
from vggbench.train.statistics import ILSVRC, Kept, Statistics, measure
from vggbench.train.step import Running, Stepper
from vggbench.weights.files import tensors_hash
from vggbench.weights.load import Model


@dataclass(frozen=True)
class Trained:
    """A trained net, of its best epoch, and how it came about."""

    model: Model
    log: tuple[Epoch, ...]
    top1_error: float
    """The error of the net as it is stored, in percent on the validation images, by `center` at the rule's Q."""
    record: dict[str, Any]
    """The recipe and what came of it, for a file's metadata."""


def train(
    config: Config,
    train_data: DataSet,
    val_data: DataSet,
    recipe: Recipe,
    *,
    width: float = 1.0,
    start: Model | None = None,
    runs: Path | None = None,
    running: Running | None = None,
    watch: TrainWatch | None = None,
) -> Trained:
    """Train one net; `start` is a trained net that it takes layers from.

    With `runs` a folder there keeps checkpoints, from which the same training resumes to the
    same weights. Raises NumericsError when the loss is NaN, UnreadableImages for a training image
    that cannot be decoded, DataError or UsageError where classes or shapes do not fit.
    """
    running, watch = running or Running(), watch or TrainWatch()
    settings, world = running.settings, running.world
    names = train_data.class_names
    val_data.labels(names, len(names))  # refuses a class that is not trained, before any work
    ceil_pool = _rounds_up(start)
    network = VGG(config, len(names), width, ceil_pool=ceil_pool)
    taken = begin(network, recipe, start, names)
    needs_none = start is not None and recipe.crops == "fixed"  # neither an input nor colour shifts
    stats = ILSVRC if needs_none or recipe.statistics == "ilsvrc" else _measured(train_data, running, watch)
    draft = _draft(network, names, recipe, stats, start)
    network.to(device=settings.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = State.begin(network, recipe, settings.precision)
    training = identity(draft, train_data, val_data, recipe, start, settings.precision)
    require_same(world, [f"train-{config.name}-{digest(training)[:8]}"])
    checkpoint = Checkpoint.of(runs, world.is_first, training)
    checkpoint.restore(state)
    _require_one_checkpoint(state, world)
    crops, validate = _shown(draft, stats, train_data, val_data, recipe, running, runs, watch)
    watch.begun(state.log, state.images, len(train_data))
    stepper = Stepper(state, draft.input, recipe, running, watch)
    workers = training_workers(recipe, running)
    while (rate := recipe.rate_after([epoch.top1_error for epoch in state.log])) is not None:
        place = {"rank": world.rank, "processes": world.size}
        for batch in batches(crops, len(state.log), skip=state.steps, workers=workers, **place):
            for image in batch.doubt:
                watch.doubted(image)
            stepper.step(batch, rate)
            _hear(stepper, state, checkpoint, but=1)
            if checkpoint.due(60 * running.checkpoint_minutes):
                _hear(stepper, state, checkpoint)
                checkpoint.save(state)
        _hear(stepper, state, checkpoint)
        checkpoint.save_unless_costly(state)  # a validation that fails costs no step
        epoch = state.end_epoch(rate, validate())
        checkpoint.save_unless_costly(state)
        watch.epoch(epoch)
    if checkpoint.is_behind:
        checkpoint.save(state)
    anew = sorted({name.rpartition(".")[0] for name in network.state_dict()} - {n.rpartition(".")[0] for n in taken})
    return _finished(draft, state, train_data, val_data, recipe, running, start, anew)


def _shown(
    draft: Model, stats: Statistics, train_data: DataSet, val_data: DataSet, recipe: Recipe, running: Running,
    runs: Path | None, watch: TrainWatch,
) -> tuple[Shown, Callable[[], float]]:  # fmt: skip
    """What an epoch shows, and its validation: of images, or of what frozen layers made of their fixed crops."""
    labels = train_data.labels(draft.identity.names_of_classes, draft.identity.classes)
    assert isinstance(draft.module, VGG)
    if recipe.train_layers == "all" or recipe.crops == "random" or runs is None:
        crops = Crops(train_data, labels, np.array(stats.components), recipe)
        return crops, lambda: _validate(draft, val_data, recipe, running)
    part = FrozenPart(draft.module, recipe.train_layers, draft.input, running.settings, running.world)
    ways = ((train_data, FIXED), (val_data, Protocol("center")))
    shown, validating = (part.kept(runs, data, protocol, recipe.train_scale.single) for data, protocol in ways)
    part.compute([shown, validating], watch)
    truth = val_data.labels(draft.identity.names_of_classes, draft.identity.classes)
    return KeptCrops(shown, labels, recipe), lambda: part.top1_error(validating, truth)


def chosen_from(epochs: int) -> str:
    """Which epoch the error is from, in words."""
    return f"the lowest of {epochs:,} epochs" if epochs > 1 else "its only epoch's"


def training_workers(recipe: Recipe, running: Running) -> int:
    """Processes that make batches. Raises UsageError where there is no room for those that were asked for."""
    share = -(-recipe.batch_size // running.world.size)
    return running.settings.workers_for(share * 3 * CROP * CROP, held=AHEAD, ahead=AHEAD)


def _hear(stepper: Stepper, state: State, checkpoint: Checkpoint, but: int = 0) -> None:
    """Let the watch hear of all losses `but` the last; an interrupt meanwhile keeps every step that was taken."""
    try:
        stepper.hear(but)
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):  # the watch repeats it
            stepper.hear()
        checkpoint.save(state)
        raise


def _measured(data: DataSet, running: Running, watch: TrainWatch) -> Statistics:
    """The set's statistics: kept from before, or measured in one pass by all processes together."""
    world, kept = running.world, Kept(cache_folder(), data)
    known = kept.read()
    everywhere = world.total(float(known is not None))[0] == world.size
    if known and everywhere:
        return known
    found = measure(
        data, workers=running.settings.loader_workers, world=world, tell=lambda done: watch.measured(done, len(data))
    )
    if world.is_first:
        kept.write(found)
    return found


def _draft(network: VGG, names: tuple[str, ...], recipe: Recipe, stats: Statistics, start: Model | None) -> Model:
    """The net as a model; one that continues another keeps that one's input."""
    name = f"{network.config.name}@training"
    net = Architecture(network.config, len(names), network.width, network.ceil_pool)
    given = start.input if start else stats.input(standardised=recipe.standardised)
    return Model(Identity(name, given, len(names), names, "", recipe.train_scale, net), network)


def _rounds_up(start: Model | None) -> bool:
    """Whether the net that training starts from pools as Caffe does."""
    net = start.identity.architecture if start else None
    return net is not None and net.ceil_pool


def _require_one_checkpoint(state: State, world: World) -> None:
    """All processes resume from the same step; also none goes on before all have read it."""
    place = (len(state.log), state.steps)
    if world.total(*place) != [count * world.size for count in place]:
        raise StoreError(
            "The processes found different checkpoints: expected --runs in a folder that all of them share."
        )


def _validate(model: Model, data: DataSet, recipe: Recipe, running: Running) -> float:
    """Top-1 error in percent by `center` at the rule's Q, through the project's own evaluation, shared by processes."""
    assert isinstance(model.module, VGG)
    world = running.world
    model.module.eval()
    hashed = model.with_identity(weights_hash=tensors_hash(model.module.state_dict()))
    share = replace(data, images=data.images[world.rank :: world.size], of_classes=data.class_names)
    wrong = images = 0
    if len(share):
        with tempfile.TemporaryDirectory() as store:
            job = Job(hashed, Protocol("center"), recipe.train_scale.single)
            try:
                (run,) = evaluate(share, [job], store, running.settings)
            except UnreadableImages as error:
                raise UnreadableImages(_unreadable(error, data)) from error
            top1 = error_rates(run, share, hashed).top1
            wrong, images = top1.wrong, top1.images
    all_wrong, all_images = world.total(wrong, images)
    return 100 * all_wrong / all_images


def _unreadable(error: UnreadableImages, data: DataSet) -> str:
    first = str(error).partition(". All other")[0].splitlines()[0]
    return (
        f"{data.name} cannot validate: {first}. Expected images alone; repair or remove what is named, and the same "
        "command resumes."
    )


def _finished(
    draft: Model, state: State, train_data: DataSet, val_data: DataSet, recipe: Recipe, running: Running,
    start: Model | None, anew: Sequence[str],
) -> Trained:  # fmt: skip
    """The net of the best epoch, rounded if asked for, and measured as it will be stored."""
    best = state.best
    if recipe.half:
        best = {name: tensor.half().float() for name, tensor in best.items()}
    state.network.load_state_dict(best)
    state.network.eval().requires_grad_(False)
    model = draft.with_identity(name=f"{state.network.config.name}@trained", weights_hash=tensors_hash(best))
    error = _validate(model, val_data, recipe, running)
    record = recipe.as_dict() | {
        "from": f"{start.identity.name}:{start.identity.weights_hash}" if start else None,
        "trained_on": f"{train_data.name}, {counted(len(train_data), 'image')}",
        "epochs_run": len(state.log),
        "accumulate": max(running.accumulate, state.accumulate),
        "seconds": round(sum(epoch.seconds for epoch in state.log)),
        "validation": f"{val_data.name}, {counted(len(val_data), 'image')}, center, Q={recipe.train_scale.single}",
        "trained_ids": train_data.fingerprint,
        "validation_ids": val_data.fingerprint,
        "validation_top1_error": round(error, 3),
        "chosen": f"{chosen_from(len(state.log))} on these validation images",
    }
    if start is not None:  # its input is kept
        record.pop("normalise")
        record |= {"from_train_scale": str(start.identity.train_scale or "-"), "anew": list(anew)}
    return Trained(model, tuple(state.log), error, record)

"""The training loop: epochs of steps, validated by the project's own evaluation, resumable at any step."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from vggbench.configs import Config
from vggbench.cost import Network
from vggbench.data import DataSet
from vggbench.errors import NumericsError, UsageError
from vggbench.evaluation import Job, Settings, evaluate
from vggbench.model import VGG
from vggbench.protocols import Protocol
from vggbench.results import error_rates
from vggbench.train.checkpoint import Checkpoint, State, identity
from vggbench.train.crops import Batch, Crops, batches, statistics
from vggbench.train.recipe import Epoch, Recipe
from vggbench.train.start import begin
from vggbench.weights import Model
from vggbench.weights.files import tensors_hash

CHECKPOINT_SECONDS = 600.0
"""Between checkpoints inside an epoch; there is one at the end of each."""


class TrainWatch:
    """What a training tells while it goes on; this one listens to nothing."""

    def begun(self, epochs: Sequence[Epoch], images: int, epoch_images: int) -> None:
        """The epochs and the images of the next one that a checkpoint had already, and the images of an epoch."""

    def step(self, images: int, loss: float) -> None:
        """One step more."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is over, and validated."""


@dataclass(frozen=True)
class Trained:
    """A trained net, of its best epoch, and how it came about."""

    model: Model
    log: tuple[Epoch, ...]
    top1_error: float
    """Of the net as it is stored, in percent on the validation images, by `center` at the rule's Q."""
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
    settings: Settings | None = None,
    watch: TrainWatch | None = None,
) -> Trained:
    """Train one net; `start` is a trained net that it takes layers from.

    With `runs` a folder there keeps checkpoints, from which the same training carries on to the
    same weights. Raises NumericsError when the loss is NaN, UnreadableImages for a training image
    that cannot be decoded, DataError or UsageError where classes or shapes do not fit.
    """
    settings, watch = settings or Settings(), watch or TrainWatch()
    names = train_data.folders
    labels = train_data.labels(names, len(names))
    val_data.labels(names, len(names))  # refuses a class that is not trained, before any work
    if start is not None and start.class_names != names:
        raise UsageError(f"{start.name} was trained on other classes than {train_data.name}: expected the same list.")
    network = VGG(config, len(names), width)
    begin(network, recipe, start)
    stats = statistics(train_data)
    network.to(device=settings.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    draft = Model(
        name=f"{config.name}@training",
        network=network,
        input=start.input if start else stats.input(recipe.normalise),  # a net that continues another keeps its input
        classes=len(names),
        class_names=names,
        weights_hash="",
        train_scale=recipe.train_scale,
        net=Network(config, len(names), width),
    )
    state = State.begin(network, recipe)
    checkpoint = Checkpoint.of(runs, identity(network, train_data, val_data, recipe, start, settings.precision))
    checkpoint.restore(state)
    watch.begun(state.log, state.images, len(train_data))
    crops = Crops(train_data, labels, np.array(stats.components), recipe)
    while (rate := recipe.rate_after([epoch.top1_error for epoch in state.log])) is not None:
        for batch in batches(crops, len(state.log), skip=state.steps, workers=settings.loader_workers):
            loss = _step(state, batch, draft, recipe, rate)
            watch.step(len(batch.labels), loss)
            checkpoint.save(state, every=CHECKPOINT_SECONDS)
        epoch = state.end_epoch(rate, _validate(draft, val_data, recipe, settings))
        checkpoint.save(state)
        watch.epoch(epoch)
    return _finished(draft, state, val_data, recipe, settings, start)


def _step(state: State, batch: Batch, model: Model, recipe: Recipe, rate: float) -> float:
    """One step of gradient descent with momentum; returns the loss. Raises NumericsError."""
    network, optimiser = state.network, state.optimiser
    # What dropout draws depends on the seed and the step alone, so that a training carries on to the same bits.
    torch.manual_seed(seed_of(recipe.seed, len(state.log), state.steps))
    network.train()
    device = next(network.parameters()).device
    inputs = model.input.normalise(batch.pixels(device)).contiguous(memory_format=torch.channels_last)
    loss = F.cross_entropy(network(inputs)[:, :, 0, 0], batch.labels.to(device, non_blocking=True))
    value = loss.item()
    if not np.isfinite(value):
        raise NumericsError(
            f"The loss is {value} after {state.images:,} images of epoch {len(state.log) + 1}, at rate {rate:g}: "
            "expected a finite one. Lower --rate, or start otherwise (--init, --from)."
        )
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    state.add(value, len(batch.labels))
    return value


def seed_of(*numbers: int) -> int:
    """One seed from several numbers, the same everywhere."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _validate(model: Model, data: DataSet, recipe: Recipe, settings: Settings) -> float:
    """Top-1 error in percent by `center` at the rule's Q, through the project's own evaluation."""
    assert isinstance(model.network, VGG)
    model.network.eval()
    hashed = replace(model, weights_hash=tensors_hash(model.network.state_dict()))
    with tempfile.TemporaryDirectory() as store:
        job = Job(hashed, Protocol("center"), recipe.train_scale.single)
        (run,) = evaluate(data, [job], store, settings)
        return error_rates(run, data, hashed).top1.percent


def _finished(
    draft: Model, state: State, val_data: DataSet, recipe: Recipe, settings: Settings, start: Model | None
) -> Trained:
    """The net of the best epoch, rounded if asked for, and measured as it will be stored."""
    best = state.best
    if recipe.half:
        best = {name: tensor.half().float() for name, tensor in best.items()}
    state.network.load_state_dict(best)
    state.network.eval().requires_grad_(False)
    model = replace(draft, name=f"{state.network.config.name}@trained", weights_hash=tensors_hash(best))
    error = _validate(model, val_data, recipe, settings)
    record = recipe.as_dict() | {
        "from": f"{start.name}:{start.weights_hash}" if start else None,
        "epochs_run": len(state.log),
        "seconds": round(sum(epoch.seconds for epoch in state.log)),
        "validation": f"{val_data.name}, {len(val_data)} images, center, Q={recipe.train_scale.single}",
        "validation_top1_error": round(error, 3),
    }
    return Trained(model, tuple(state.log), error, record)

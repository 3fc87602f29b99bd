"""Training by the paper's recipe (section 3.1), validated by the project's own evaluation."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vggbench.configs import CROP, Config
from vggbench.cost import Network
from vggbench.data import DataSet
from vggbench.errors import NumericsError, UnreadableImages, UsageError
from vggbench.evaluation import Job, Settings, evaluate
from vggbench.model import VGG
from vggbench.protocols import Protocol, TrainScale
from vggbench.results import error_rates
from vggbench.views import Input, NotAnImage, Rescale, decode, rescale
from vggbench.weights import Model
from vggbench.weights.files import tensors_hash

TRANSFERRED_CONVS = 4
"""Deeper nets take the first four convolutions and all fc layers of a trained A (section 3.1)."""
_STATISTICS_IMAGES = 1000


@dataclass(frozen=True)
class Recipe:
    """How a net is trained; the defaults are the paper's, section 3.1, unless a field says ours."""

    train_scale: TrainScale = field(default_factory=lambda: TrainScale(256, 256))
    batch_size: int = 256
    rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    dropout: float = 0.5
    epochs: int = 74
    drops: int = 3
    """The rate is divided by 10 this often, each time when the validation error has stopped improving."""
    patience: int = 5
    """Epochs without improvement before a drop; ours."""
    colour_std: float = 0.1
    """Standard deviation of Krizhevsky's alpha for the colour shift."""
    init: Literal["glorot", "he"] = "glorot"
    seed: int = 0


@dataclass(frozen=True)
class Statistics:
    """What a training set's pixels say: the input, and the principal components of colour in [0, 1]."""

    input: Input
    components: tuple[tuple[float, float, float], ...]
    """Rows: each component's three RGB parts times its standard deviation."""


@dataclass(frozen=True)
class Epoch:
    """One line of the log; errors in percent on the validation images, by `center` at the recipe's Q."""

    number: int
    rate: float
    loss: float
    top1_error: float
    seconds: float


Report = Callable[[Epoch], None]


def statistics(data: DataSet) -> Statistics:
    """Per-channel mean and deviation, and colour components, over up to 1,000 training images."""
    count = min(_STATISTICS_IMAGES, len(data))
    total, outer, pixels = np.zeros(3), np.zeros((3, 3)), 0
    for index in range(count):
        image = data.images[index * len(data) // count]
        values = rescale(_decoded(data, image.path, image.read()), CROP, Rescale()).reshape(3, -1)
        flat = values.numpy().astype(np.float64) / 255
        total += flat.sum(axis=1)
        outer += flat @ flat.T
        pixels += flat.shape[1]
    mean = total / pixels
    covariance = outer / pixels - np.outer(mean, mean)
    variances, vectors = np.linalg.eigh(covariance)
    # Krizhevsky's formula scales each eigenvector by its eigenvalue, pixels in [0, 1].
    components = tuple(tuple(float(v) for v in vectors[:, i] * variances[i]) for i in range(3))
    std = np.sqrt(np.diag(covariance))
    rounded = [tuple(round(float(v), 4) for v in values) for values in (mean, std)]
    return Statistics(Input("RGB", 1, rounded[0], rounded[1]), cast(Any, components))  # type: ignore[arg-type]


def train(
    config: Config,
    train_data: DataSet,
    val_data: DataSet,
    recipe: Recipe,
    *,
    width: float = 1.0,
    start: Model | None = None,
    settings: Settings | None = None,
    report: Report | None = None,
    step: Callable[[int], None] | None = None,
) -> tuple[Model, list[Epoch]]:
    """Train one net and return it with its log; `start` is a trained net whose layers it takes over.

    `step` hears how many images each step took. Raises NumericsError when the loss is NaN,
    UnreadableImages for a training image that cannot be decoded, DataError when the sets' classes differ.
    """
    settings = settings or Settings()
    torch.manual_seed(recipe.seed)
    names = train_data.folders
    stats = statistics(train_data)
    network = VGG(config, len(names), width)
    _initialise(network, recipe)
    if start is not None:
        transfer(start, network)
    _set_dropout(network, recipe.dropout)
    device = settings.torch_device
    network.to(device)
    network.to(memory_format=torch.channels_last)
    draft = Model(
        name=f"{config.name}@training",
        network=network,
        input=stats.input,
        classes=len(names),
        class_names=names,
        weights_hash="",
        train_scale=recipe.train_scale,
        net=Network(config, len(names), width),
    )
    labels = train_data.labels(names, len(names))
    log: list[Epoch] = []
    best: dict[str, Tensor] = {}
    optimiser = torch.optim.SGD(
        network.parameters(), lr=recipe.rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    for number, rate in _schedule(recipe, log):
        started = time.monotonic()
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = _epoch(network, optimiser, _batches(train_data, labels, stats, recipe, number, settings), draft, step)
        error = _validate(draft, val_data, recipe, settings)
        log.append(Epoch(number, rate, loss, error, round(time.monotonic() - started, 2)))
        if error <= min(epoch.top1_error for epoch in log):
            best = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
        if report:
            report(log[-1])
    network.load_state_dict(best)
    network.eval().requires_grad_(False)
    return replace(draft, name=f"{config.name}@trained", weights_hash=tensors_hash(best)), log


def transfer(start: Model, network: VGG) -> list[str]:
    """Copy from a trained net: all layers for the same config, else the first four convolutions and fc layers.

    Returns the names of the tensors that were copied; raises UsageError where shapes do not allow it.
    """
    source = start.network
    if not isinstance(source, VGG):
        raise UsageError(f"{start.name} is no VGG: expected a trained A to start from.")
    if _shapes(source) == _shapes(network):  # the same config, or A and A-LRN
        pairs = list(zip(network.state_dict(), source.state_dict(), strict=True))
    else:
        convs = zip(_conv_names(network), _conv_names(source), strict=False)
        modules = [*list(convs)[:TRANSFERRED_CONVS], *((f"classifier.{i}",) * 2 for i in (0, 3, 6))]
        pairs = [(f"{ours}.{kind}", f"{theirs}.{kind}") for ours, theirs in modules for kind in ("weight", "bias")]
    ours, theirs = network.state_dict(), source.state_dict()
    copied = []
    for name, other in pairs:
        if ours[name].shape != theirs[other].shape:
            if name.startswith("features"):
                continue
            raise UsageError(
                f"{start.name} has {other} of shape {tuple(theirs[other].shape)}: expected {tuple(ours[name].shape)}. "
                "Start from a net of the same width and classes."
            )
        ours[name].copy_(theirs[other])
        copied.append(name)
    return copied


class _Example(NamedTuple):
    crop: Tensor
    """(3, 224, 224) uint8"""
    shift: Tensor
    """(3,) added to every pixel, in units of 0 to 1"""
    label: int


class _Crops(Dataset[_Example]):
    """One random crop of each image; what is drawn depends on the seed, the epoch and the image alone."""

    def __init__(self, data: DataSet, labels: NDArray[np.int32], stats: Statistics, recipe: Recipe, epoch: int) -> None:
        self._data, self._labels, self._recipe, self._epoch = data, labels, recipe, epoch
        self._components = np.array(stats.components)

    def __getitem__(self, index: int) -> _Example:
        recipe, image = self._recipe, self._data.images[index]
        rng = np.random.default_rng((recipe.seed, self._epoch, index))
        scale = int(rng.integers(recipe.train_scale.low, recipe.train_scale.high + 1))
        pixels = rescale(_decoded(self._data, image.path, image.read()), scale, Rescale())
        top, left = (int(rng.integers(side - CROP + 1)) for side in pixels.shape[1:])
        crop = pixels[:, top : top + CROP, left : left + CROP]
        if rng.random() < 0.5:
            crop = crop.flip(2)
        shift = rng.normal(0, recipe.colour_std, 3) @ self._components
        return _Example(crop.contiguous(), torch.from_numpy(shift.astype(np.float32)), int(self._labels[index]))


def _decoded(data: DataSet, path: Path, encoded: bytes) -> Tensor:
    try:
        return decode(encoded)
    except NotAnImage as reason:
        raise UnreadableImages(
            f"{path} {reason}: expected an image, since training takes every image once an epoch. "
            f"Repair it or take it out of {data.name}."
        ) from reason


def _batches(
    data: DataSet, labels: NDArray[np.int32], stats: Statistics, recipe: Recipe, epoch: int, settings: Settings
) -> DataLoader[_Example]:
    order = np.random.default_rng((recipe.seed, epoch)).permutation(len(data)).tolist()
    workers = settings.loader_workers
    return DataLoader(
        _Crops(data, labels, stats, recipe, epoch),
        batch_size=recipe.batch_size,
        sampler=cast(Sequence[int], order),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )


def _epoch(
    network: VGG,
    optimiser: torch.optim.Optimizer,
    batches: DataLoader[_Example],
    model: Model,
    step: Callable[[int], None] | None,
) -> float:
    """One pass over the training images; returns the mean loss."""
    device = next(network.parameters()).device
    network.train()
    total, images = 0.0, 0
    for crops, shifts, labels in batches:
        pixels = crops.to(device).float() + 255 * shifts.to(device)[:, :, None, None]
        inputs = model.input.normalise(pixels).contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(network(inputs)[:, :, 0, 0], labels.to(device))
        if not torch.isfinite(loss):
            raise NumericsError(
                f"The loss is {loss.item()} after {images} images of this epoch, at rate "
                f"{optimiser.param_groups[0]['lr']:g}: expected a finite one. Lower --rate."
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.item() * len(labels)
        images += len(labels)
        if step:
            step(len(labels))
    return total / images


def _validate(model: Model, data: DataSet, recipe: Recipe, settings: Settings) -> float:
    """Top-1 error by `center` at the rule's Q, through the project's own evaluation."""
    network = cast(VGG, model.network)
    network.eval()
    hashed = replace(model, weights_hash=tensors_hash(network.state_dict()))
    with tempfile.TemporaryDirectory() as store:
        job = Job(hashed, Protocol("center"), recipe.train_scale.single)
        (run,) = evaluate(data, [job], store, settings)
        return error_rates(run, data, hashed).top1.percent


def _schedule(recipe: Recipe, log: list[Epoch]) -> Iterator[tuple[int, float]]:
    """Each epoch's number and rate: a drop when the error has stopped improving, an end after the last."""
    drops, best, since = 0, float("inf"), 0
    for number in range(recipe.epochs):
        yield number, recipe.rate / 10**drops
        best, since = (log[-1].top1_error, 0) if log[-1].top1_error < best else (best, since + 1)
        if since >= recipe.patience:
            drops, since = drops + 1, 0
            if drops > recipe.drops:
                return


def _initialise(network: VGG, recipe: Recipe) -> None:
    generator = torch.Generator().manual_seed(recipe.seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if recipe.init == "glorot":
                nn.init.xavier_uniform_(module.weight, generator=generator)
            else:
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu", generator=generator)
            assert module.bias is not None
            nn.init.zeros_(module.bias)


def _set_dropout(network: VGG, share: float) -> None:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = share


def _shapes(network: VGG) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def _conv_names(network: VGG) -> list[str]:
    return [f"features.{i}" for i, module in enumerate(network.features) if isinstance(module, nn.Conv2d)]


def recipe_record(recipe: Recipe, log: Sequence[Epoch]) -> dict[str, Any]:
    """The recipe and what came of it, for a file's metadata."""
    best = min(log, key=lambda epoch: epoch.top1_error)
    return asdict(recipe) | {
        "train_scale": str(recipe.train_scale),
        "epochs_run": len(log),
        "seconds": round(sum(epoch.seconds for epoch in log)),
        "validation_top1_error": round(best.top1_error, 3),
    }

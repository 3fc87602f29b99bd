"""Tensors become a network: names, count and every shape are compared, then copied; nothing is skipped or guessed."""

from pathlib import Path

import torch
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CONFIGS, MAX_WIDTH, STAGE_CHANNELS, Config

_MAX_CLASSES = 1_000_000
_COUNTERS = "num_batches_tracked"
"""Batch normalisation's, which only training needs and not every file has."""


def fitted(
    config: Config, tensors: dict[str, Tensor], path: Path, *, width: float | None = None, ceil_pool: bool = False
) -> VGG:
    """The network of `config` with exactly these tensors, by torchvision's names; `width` None is the tensors' own.

    Raises WeightsError for what is missing, too much, of another shape, or not finite.
    """
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith(_COUNTERS)}
    if not tensors:
        raise WeightsError(f"{path} holds no tensors: expected torchvision's names, features.0.weight and on.")
    first, last = tensors.get("features.0.weight"), tensors.get("classifier.6.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 2:
        raise WeightsError(
            f"{path} holds {len(tensors)} tensors, the first {next(iter(tensors))!r}: expected torchvision's names, "
            "features.0.weight to classifier.6.bias."
        )
    width = width or first.shape[0] / STAGE_CHANNELS[0]
    if not 0 < width <= MAX_WIDTH or not 0 < last.shape[0] <= _MAX_CLASSES:
        raise WeightsError(
            f"{path} has {first.shape[0]} channels after the first convolution and {last.shape[0]} classes: expected "
            f"up to {MAX_WIDTH * STAGE_CHANNELS[0]:g} and {_MAX_CLASSES:,}."
        )
    with torch.device("meta"):
        network = VGG(config, last.shape[0], width, ceil_pool=ceil_pool)
    misfit = _misfit(network, tensors)
    if misfit:
        raise WeightsError(f"{path} does not fit config {config.name}: {misfit}.{_guess(tensors)}")
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}
    broken = next((name for name, tensor in copies.items() if not tensor.isfinite().all()), None)
    if broken:
        raise WeightsError(f"{path} holds NaN or infinity in {broken}: expected finite weights. Copy the file again.")
    if not any(tensor.any() for tensor in copies.values()):
        raise WeightsError(
            f"{path} holds nothing but zeros: expected trained weights. Copy or download the file again."
        )
    counters = {name: torch.tensor(0) for name in network.state_dict() if name.endswith(_COUNTERS)}
    network.load_state_dict(copies | counters, assign=True)
    return frozen(network)


def frozen(network: VGG) -> VGG:
    """For evaluation alone."""
    return network.eval().requires_grad_(False)


def _misfit(network: VGG, tensors: dict[str, Tensor]) -> str | None:
    own = network.state_dict().items()
    expected = {name: tuple(tensor.shape) for name, tensor in own if not name.endswith(_COUNTERS)}
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        odd = f"without {missing[0]}" if missing else f"with {extra[0]}"
        return f"expected {len(expected)} tensors, found {len(tensors)}, {odd}"
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            return f"expected {name} of shape {shape}, found {tuple(tensors[name].shape)}"
        if not tensors[name].is_floating_point():
            return f"expected {name} in floating point, found {tensors[name].dtype}"
    return None


def _guess(tensors: dict[str, Tensor]) -> str:
    """Which config the tensors would fit, as a hint."""
    width = tensors["features.0.weight"].shape[0] / STAGE_CHANNELS[0]
    with torch.device("meta"):
        fitting = [
            config.name
            for config in CONFIGS.values()
            if _misfit(VGG(config, tensors["classifier.6.weight"].shape[0], width), tensors) is None
        ]
    return f" It fits {' and '.join(fitting)}." if fitting else ""

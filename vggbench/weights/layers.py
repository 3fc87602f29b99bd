"""What every reader of a foreign format yields: the layers with weights, in the order of the net."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from vggbench.errors import WeightsError, first_line
from vggbench.paper.configs import CONFIGS, FC6_KERNEL, Config
from vggbench.weights.description import Described, StatedInput, require_convolutions, rounds_up
from vggbench.weights.parts import FC_PLACES, LayerShape, PartOfNetError, convolution_places, norm_place, part_of

MAX_VALUES = 300_000_000
"""Most values of one file that are read: E at width 1 has 144 million."""
_MAX_AXES = 8
EPSILON = 1e-5
"""The epsilon of PyTorch's batch normalisation."""


class Norm(NamedTuple):
    """Batch normalisation after a convolution, (C,) each, for `EPSILON`."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    var: Tensor


class Weighted(NamedTuple):
    """One layer: `weight` (out, in, k, k) or (out, in), fc6's inputs in the order channel, row, column."""

    name: str
    weight: Tensor
    bias: Tensor
    norm: Norm | None = None


@dataclass(frozen=True)
class Foreign:
    """A net as another format has it, and what its file says of it."""

    layers: list[Weighted]
    described: tuple[Described, ...] = ()
    complete: bool = False
    """Whether `described` lists every layer of the net in order, or only those that the file says something about."""
    input: StatedInput | None = None
    class_names: tuple[str, ...] | None = None
    turned: bool = False
    """Whether the file's own word changed the tensors, whose hash then tells more than the file's."""


def by_torchvisions_names(config: Config, net: Foreign, path: Path) -> dict[str, Tensor]:
    """The layers as a state dict of `config`.

    Raises WeightsError where they are another net's, and PartOfNetError for a part of a net.
    """
    places, layers = (*convolution_places(config), *FC_PLACES), net.layers
    _refuse_part(net, path)
    convolutions = len(layers) - len(FC_PLACES)
    normed = {layer.norm is not None for layer in layers[: -len(FC_PLACES)]}
    if len(layers) != len(places) or normed != {config.batch_norm}:
        fitting = [
            other.name
            for other in CONFIGS.values()
            if len(other.convs) == convolutions and normed == {other.batch_norm} and other.name != "A-LRN"
        ]
        hint = f" Their number fits {' and '.join(fitting)}." if fitting else ""
        norms = "with" if True in normed else "without"
        raise WeightsError(
            f"{path} does not fit config {config.name}: expected {len(places)} layers with weights, found "
            f"{len(layers)} {norms} batch normalisation.{hint}"
        )
    tensors: dict[str, Tensor] = {}
    for place, layer in zip(places, layers, strict=True):
        flat = place in FC_PLACES and layer.weight.ndim == 4
        tensors[f"{place}.weight"] = layer.weight.flatten(1) if flat else layer.weight
        tensors[f"{place}.bias"] = layer.bias.flatten()
        if layer.norm:
            if not bool((layer.norm.var + EPSILON > 0).all()):
                raise WeightsError(f"{path} normalises {layer.name} by a variance that is not positive: expected one.")
            keys = ("weight", "bias", "running_mean", "running_var")
            tensors |= {f"{norm_place(place)}.{key}": t for key, t in zip(keys, layer.norm, strict=True)}
    return tensors


def _refuse_part(net: Foreign, path: Path) -> None:
    """Raise PartOfNetError for the convolutions of a config with another head, or none."""
    shapes = [LayerShape(layer.name, tuple(layer.weight.shape)) for layer in net.layers]
    part = part_of(shapes, batch_norm=any(layer.norm is not None for layer in net.layers))
    if part is None:
        return
    if net.complete:  # where a convolution departs, the head may do so for that alone
        require_convolutions(part.config, net.described, path)
    convolutions: dict[str, Tensor] = {}
    for place, layer in zip(convolution_places(part.config), net.layers, strict=False):
        convolutions |= {f"{place}.weight": layer.weight, f"{place}.bias": layer.bias.flatten()}
    raise PartOfNetError(path, part, convolutions, rounds_up(net.described, path), net.input)


def for_our_epsilon(var: Tensor, epsilon: float) -> Tensor:
    """The variance that gives with `EPSILON` what `var` gives with its own, (C,)."""
    return var + (epsilon - EPSILON)


def channels_first(weight: Tensor, channels: int) -> Tensor:
    """An fc6 whose inputs are in the order row, column, channel, (7 * 7 * C, out) -> (out, C * 7 * 7)."""
    maps = weight.view(FC6_KERNEL, FC6_KERNEL, channels, -1)
    return maps.permute(3, 2, 0, 1).reshape(weight.shape[1], -1)


@contextmanager
def whole(path: Path, what: str, expected: str) -> Iterator[None]:
    """Turn what a library raises on a damaged file, which is nearly anything, into one WeightsError."""
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsError(
            f"{path} is not a complete {what} ({first_line(error)}): expected {expected}. Copy or download it again."
        ) from error


def require_affordable(shape: tuple[int, ...], path: Path, name: str) -> None:
    """Raise WeightsError for a tensor that no VGG has, before memory is taken for it."""
    if len(shape) > _MAX_AXES:
        raise WeightsError(f"{path} claims a tensor {name} of {len(shape):,} axes: expected four at most.")
    if any(side < 0 for side in shape) or math.prod(shape) > MAX_VALUES:
        raise WeightsError(
            f"{path} claims a tensor {name} of shape {shape}: expected at most {MAX_VALUES:,} values. Do not trust it."
        )

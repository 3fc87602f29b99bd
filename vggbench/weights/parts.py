"""Parts of nets, known by the shapes of their layers: convolutions alone, without the last layer, with another head."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.paper.configs import CONFIGS, FC6_KERNEL, FC_SIZE, MAX_WIDTH, Config, scaled
from vggbench.weights.description import StatedInput


class LayerShape(NamedTuple):
    """One layer with weights: the file's name of it, and (out, in, k, k), or (out, in) of a fully connected one."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """The convolutions of `config` without all that follows them in it."""

    config: Config
    width: float
    departs: LayerShape | None
    """The first layer that is another than the config's; None where the file ends too early."""
    sentence: str
    """What was found, without a full stop."""


class PartOfNetError(WeightsError):
    """A file holds a part of a net: nothing can be evaluated by it, but a training can start from it, and its pooling
    stages describe images. `input` and `ceil_pool` are the file's own word, if it says them.
    """

    def __init__(
        self,
        path: Path,
        part: Part,
        convolutions: dict[str, Tensor],
        ceil_pool: bool | None = None,
        input: StatedInput | None = None,
    ) -> None:
        super().__init__(f"{path} {part.sentence}: expected a whole net. {_way_out(part, path)}.")
        self.path, self.part, self.convolutions = path, part, convolutions
        self.ceil_pool, self.input = ceil_pool, input
        """What the file says of its pooling and input, if anything."""


def part_of(layers: Sequence[LayerShape], *, batch_norm: bool = False) -> Part | None:
    """What the layers, in the net's order, are a part of; None for whole nets, and for those without a VGG's start."""
    if not layers or len(layers[0].shape) != 4:
        return None
    candidates = [own for own in CONFIGS.values() if own.batch_norm == batch_norm and own.name != "A-LRN"]
    fitting = [(own, width) for own in candidates if (width := _width(own, layers))]
    if not fitting:
        return None
    config, width = max(fitting, key=lambda found: len(found[0].convs))
    rest = layers[len(config.convs) :]
    expected = _head(config, width, rest[-1].shape[0] if len(rest) == len(_FC) else None)
    at = next(
        (i for i, (layer, shapes) in enumerate(zip(rest, expected, strict=False)) if layer.shape not in shapes), None
    )
    if at is None and len(rest) == len(_FC):
        return None
    departs = None if at is None else rest[at]
    return Part(config, width, departs, _sentence(config, rest, at, departs, expected))


FC_PLACES = ("classifier.0", "classifier.3", "classifier.6")
"""torchvision's names of fc6, fc7 and fc8."""


def convolution_places(config: Config) -> list[str]:
    """torchvision's names of a config's convolutions, `features.0` and on."""
    places, index = [], 0
    for layer in config.layers:
        if layer.kind == "conv":
            places.append(f"features.{index}")
            index += 2 + config.batch_norm
        elif layer.kind == "pool":
            index += 1
    return places


def norm_place(place: str) -> str:
    """torchvision's name of the batch normalisation after a convolution."""
    stem, _, index = place.rpartition(".")
    return f"{stem}.{int(index) + 1}"


_FC = ("fc6", "fc7", "fc8")
_Shapes = tuple[tuple[int, ...], ...]


def _width(config: Config, layers: Sequence[LayerShape]) -> float | None:
    """The width at which the first layers are exactly the config's convolutions; None where there is none.

    Rounded sizes leave it open; the largest, fc6's, says most.
    """
    convs, rest = layers[: len(config.convs)], layers[len(config.convs) :]
    sizes = [(rest[0].shape[0], FC_SIZE)] if rest else []
    sizes += [(own.shape[0], layer.channels) for own, layer in zip(convs, config.convs, strict=False)]
    for width in dict.fromkeys(size / channels for size, channels in sizes):
        if 0 < width <= MAX_WIDTH and [own.shape for own in convs] == _convolutions(config, width):
            return width
    return None


def _convolutions(config: Config, width: float) -> list[tuple[int, ...]]:
    channels, shapes = 3, list[tuple[int, ...]]()
    for layer in config.convs:
        inputs, channels = channels, scaled(layer.channels, width)
        shapes.append((channels, inputs, layer.kernel, layer.kernel))
    return shapes


def _head(config: Config, width: float, classes: int | None) -> list[_Shapes]:
    """fc6, fc7 and fc8, each as a matrix or as a convolution; the number of classes is free."""
    pooled, hidden = scaled(config.layers[-1].channels, width), scaled(FC_SIZE, width)
    fc7: _Shapes = ((hidden, hidden), (hidden, hidden, 1, 1))
    fc8: _Shapes = ((classes, hidden), (classes, hidden, 1, 1)) if classes else ()
    return [((hidden, pooled * FC6_KERNEL**2), (hidden, pooled, FC6_KERNEL, FC6_KERNEL)), fc7, fc8]


def _sentence(
    config: Config, rest: Sequence[LayerShape], at: int | None, departs: LayerShape | None, expected: list[_Shapes]
) -> str:
    convs = f"the {len(config.convs)} convolutions of {config.name}"
    if departs is None:
        if not rest:
            return f"holds {convs} and no layer after them"
        return f"holds {convs} and {' and '.join(_FC[: len(rest)])}, and no {' and '.join(_FC[len(rest) :])}"
    place = _FC[at] if at is not None and expected[at] else None
    instead = f", where {config.name} has {place} of {_size(expected[at or 0][0])}" if place else ""
    return f"holds {convs} with another head: {departs.name[:80]} of {_size(departs.shape)} departs{instead}"


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _way_out(part: Part, path: Path) -> str:
    name = part.config.name
    whole = (
        "A net with a head of its own comes in whole, as ONNX"
        if part.departs
        else "Save the whole net and name that file"
    )
    training = f"; `vggbench train {name} --from {name}@{path}` starts from the convolutions"
    return whole + ("" if part.config.batch_norm else training)

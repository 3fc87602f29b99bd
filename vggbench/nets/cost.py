"""Parameters, multiply-accumulates (MACs) and activations, in closed form.

1 MAC = 2 FLOPs. Bias additions, ReLU, pooling, LRN and batch normalisation are not counted;
`vggbench params --check` recounts with fvcore.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from vggbench.paper.configs import CROP, FC6_KERNEL, FC_SIZE, Config, scaled
from vggbench.paper.descriptors import Descriptor
from vggbench.paper.protocols import Protocol, rescaled_size


@dataclass(frozen=True)
class LayerCost:
    """One layer at one input size; sizes in pixels or positions, `receptive_field` in input pixels."""

    name: str
    kind: str
    channels: int
    height: int
    width: int
    receptive_field: int
    stride: int
    parameters: int = 0
    macs: int = 0

    @property
    def activations(self) -> int:
        """Outputs of a convolution (timm's and fvcore's count); 0 for other layers."""
        return self.channels * self.height * self.width if self.kind == "conv" else 0


@dataclass(frozen=True)
class Architecture:
    """What the cost of a net depends on, beside the input size."""

    config: Config
    classes: int = 1000
    width: float = 1.0
    ceil_pool: bool = False


@dataclass(frozen=True)
class Cost:
    """Sums over the layers of one net at one input size."""

    conv_parameters: int
    fc_parameters: int
    macs: int
    activations: int
    positions: int
    """Positions of the score map."""

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.conv_parameters + self.fc_parameters

    @property
    def mib(self) -> float:
        """Size of the parameters as float32, in MiB."""
        return self.parameters * 4 / 2**20


def layers(net: Architecture, height: int = CROP, width: int = CROP) -> list[LayerCost]:
    """Every layer of `net` on one `height` x `width` view, fc layers as convolutions over the last map."""
    rows: list[LayerCost] = []
    channels, field, stride = 3, 1, 1
    for layer in net.config.layers:
        if layer.kind == "pool":
            field, stride = field + stride, stride * 2
            height, width = (_pooled(side, net.ceil_pool) for side in (height, width))
            rows.append(LayerCost(layer.name, "pool", channels, height, width, field, stride))
        elif layer.kind == "lrn":
            rows.append(LayerCost(layer.name, "lrn", channels, height, width, field, stride))
        else:
            inputs, channels = channels, scaled(layer.channels, net.width)
            field += (layer.kernel - 1) * stride
            weights = inputs * channels * layer.kernel**2
            macs = weights * height * width
            parameters = weights + channels * (3 if net.config.batch_norm else 1)
            rows.append(LayerCost(layer.name, "conv", channels, height, width, field, stride, parameters, macs))
    return rows + _fc_layers(net, rows[-1])


def _fc_layers(net: Architecture, last: LayerCost) -> list[LayerCost]:
    height, width = last.height - FC6_KERNEL + 1, last.width - FC6_KERNEL + 1
    field = last.receptive_field + (FC6_KERNEL - 1) * last.stride
    hidden = scaled(FC_SIZE, net.width)
    sizes = (last.channels * FC6_KERNEL**2, hidden, hidden, net.classes)
    rows = []
    for name, (inputs, outputs) in zip(("fc6", "fc7", "fc8"), pairwise(sizes), strict=True):
        macs = inputs * outputs * height * width
        rows.append(LayerCost(name, "fc", outputs, height, width, field, last.stride, (inputs + 1) * outputs, macs))
    return rows


def _pooled(side: int, ceil: bool) -> int:
    return (side + 1) // 2 if ceil else side // 2


@lru_cache(maxsize=65536)
def cost(net: Architecture, height: int = CROP, width: int = CROP, last: str | None = None) -> Cost:
    """The sums over `layers`; up to the `last`, by its name, where the net ends there."""
    rows = layers(net, height, width)
    if last is not None:
        rows = rows[: [row.name for row in rows].index(last) + 1]
    return Cost(
        conv_parameters=sum(row.parameters for row in rows if row.kind == "conv"),
        fc_parameters=sum(row.parameters for row in rows if row.kind == "fc"),
        macs=sum(row.macs for row in rows),
        activations=sum(row.activations for row in rows),
        positions=rows[-1].height * rows[-1].width,
    )


def numbers_of(net: Architecture, descriptor: Descriptor) -> int:
    """D, the length of a descriptor: the layer's channels, times the positions of a crop's where they are flattened."""
    (row,) = (row for row in layers(net) if row.name == descriptor.layer)
    return row.channels * (row.height * row.width if descriptor.pool == "flatten" else 1)


def image_macs(
    net: Architecture, protocol: Protocol, scale: int, height: int, width: int, last: str | None = None
) -> int:
    """MACs of all views that `protocol` takes at Q = `scale` of an image of this original size, counted plainly.

    `last`: the layer that the net ends with, where that is not the config's.
    """
    if protocol.name != "dense":
        return protocol.view_count * cost(net, last=last).macs
    return protocol.view_count * cost(net, *rescaled_size(height, width, scale), last).macs


def mean_macs(net: Architecture, protocol: Protocol, scale: int, sizes: Iterable[tuple[int, int]]) -> float:
    """Mean of `image_macs` over images of these original (height, width)."""
    per_image = [image_macs(net, protocol, scale, height, width) for height, width in sizes]
    return sum(per_image) / len(per_image)

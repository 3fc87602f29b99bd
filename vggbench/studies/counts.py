"""What nets cost, counted in closed form: by input size, by layer, by protocol and Q."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vggbench.errors import UsageError
from vggbench.nets.cost import Architecture, Cost, LayerCost, cost, image_macs, layers
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol
from vggbench.paper.published import PARAMETERS_MILLIONS

if TYPE_CHECKING:
    from vggbench.weights.download import DownloadWatch
    from vggbench.weights.load import Model
    from vggbench.weights.spec import AnySpec

HEIGHT, WIDTH = 375, 500
"""The sides of an image of ILSVRC's most common size."""
SCALES = (224, 256, 288, 352, 384, 416, 512)
"""All test scales of the paper."""
FC_LAYERS = 3
_PROTOCOLS = ("center", "tencrop", "dense", "multicrop", "dense+multicrop")


@dataclass(frozen=True)
class NetCount:
    """A net on one input of `scale` x `scale`."""

    architecture: Architecture
    scale: int
    cost: Cost

    @property
    def paper_millions(self) -> int | None:
        """Parameters by the paper's Table 2; None for what is not one of its nets."""
        net = self.architecture
        is_paper = net.width == 1 and net.classes == 1000
        return PARAMETERS_MILLIONS.get(net.config.name) if is_paper else None


@dataclass(frozen=True)
class LayerCount:
    """One of its layers."""

    architecture: Architecture
    scale: int
    layer: LayerCost


@dataclass(frozen=True)
class ProtocolCount:
    """A protocol at one Q or over several, on an image of the commonest size."""

    protocol: str
    scales: tuple[int, ...]
    views: int
    macs: dict[str, int]
    """By config, per image."""


@dataclass(frozen=True)
class ModelCount:
    """Any network on one input of `scale` x `scale`: MACs in closed form of a VGG, else as fvcore counts them."""

    network: str
    classes: int
    scale: int
    parameters: int
    macs: int | None
    """None where nothing can count them; too few by what the `uncounted` operators do."""
    uncounted: tuple[str, ...] = ()


def by_model(
    texts: Sequence[str], scales: Sequence[int], width: float, classes: int, watch: "DownloadWatch | None" = None
) -> list[ModelCount]:
    """Each MODEL at each input size, without any the one that it takes; names alone have random weights.

    Raises UsageError for a size that a network does not take, and what loading it does.
    """
    from vggbench.weights.loading import require_model
    from vggbench.weights.spec import parse_model

    specs = list(dict.fromkeys(parse_model(text) for text in texts))
    for spec in specs:
        require_model(spec)
    return [found for spec in specs for found in _model_counts(spec, scales, width, classes, watch)]


def _model_counts(
    spec: "AnySpec", scales: Sequence[int], width: float, classes: int, watch: "DownloadWatch | None"
) -> list[ModelCount]:
    from vggbench.weights.load import LoadOptions
    from vggbench.weights.loading import load_any, without_weights
    from vggbench.weights.spec import ModelSpec

    if isinstance(spec, ModelSpec):
        return _of_vgg(spec.config.name, Architecture(spec.config, classes, width), scales or (CROP,))
    model = load_any(without_weights(spec), LoadOptions(otherwise="torchvision"), (), watch)
    if model.identity.architecture:
        return _of_vgg(spec.name, model.identity.architecture, scales or (CROP,))
    return [_of_any(spec.name, model, scale) for scale in scales or (model.identity.side,)]


def _of_vgg(name: str, net: Architecture, scales: Sequence[int]) -> list[ModelCount]:
    if min(scales) < CROP:
        raise UsageError(f"{name} does not take images of {min(scales)} x {min(scales)}: expected {CROP} or more.")
    found = [(scale, cost(net, scale, scale)) for scale in scales]
    return [ModelCount(name, net.classes, scale, own.parameters, own.macs) for scale, own in found]


def _of_any(name: str, model: "Model", scale: int) -> ModelCount:
    """A network that is not a VGG; at another size than its own it is traced once more. Raises UsageError."""
    from vggbench.weights.classifiers.libraries import counted_at

    own = model.identity
    macs, uncounted = (own.macs, own.uncounted) if scale == own.side else counted_at(model, scale)
    return ModelCount(name, own.classes, scale, own.parameters or 0, macs, uncounted)


def by_net(nets: Sequence[Architecture], scales: Sequence[int]) -> list[NetCount]:
    """Each net at each input size Q x Q."""
    return [NetCount(net, scale, cost(net, scale, scale)) for net in nets for scale in scales]


def by_layer(nets: Sequence[Architecture], scales: Sequence[int]) -> list[LayerCount]:
    """Each layer of each net at each input size Q x Q."""
    return [LayerCount(net, scale, layer) for net in nets for scale in scales for layer in layers(net, scale, scale)]


def by_protocol(nets: Sequence[Architecture], scales: Sequence[int]) -> list[ProtocolCount]:
    """Each protocol at each Q, crops at the first alone, and over the paper's three Qs where these are among them."""
    own = {name: scales if name == "dense" else scales[:1] for name in _PROTOCOLS[:-1]}
    rows = [_protocol(nets, name, (scale,)) for name, some in own.items() for scale in some]
    several = [three for three in ((224, 256, 288), (352, 384, 416), (256, 384, 512)) if set(three) <= set(scales)]
    return rows + [_protocol(nets, name, three) for three in several for name in _PROTOCOLS[2:]]


def _protocol(nets: Sequence[Architecture], protocols: str, scales: tuple[int, ...]) -> ProtocolCount:
    parts = [(Protocol.parse(name), scale) for name in protocols.split("+") for scale in scales]
    macs = {
        net.config.name: sum(image_macs(net, protocol, scale, HEIGHT, WIDTH) for protocol, scale in parts)
        for net in nets
    }
    return ProtocolCount(protocols, scales, sum(protocol.view_count for protocol, _ in parts), macs)

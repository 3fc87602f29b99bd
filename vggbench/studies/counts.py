"""What nets cost, counted in closed form: by input size, by layer, by protocol and Q."""

from collections.abc import Sequence
from dataclasses import dataclass

from vggbench.nets.cost import Architecture, Cost, LayerCost, cost, image_macs, layers
from vggbench.paper.protocols import Protocol
from vggbench.paper.published import PARAMETERS_MILLIONS

HEIGHT, WIDTH = 375, 500
"""Of an image of ILSVRC's commonest size."""
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
        is_paper = net.width == 1 and net.classes == 1000 and not net.config.batch_norm
        return PARAMETERS_MILLIONS[net.config.name] if is_paper else None


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

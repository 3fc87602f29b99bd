"""`vggbench params --cost`: what each protocol costs at each Q, in views and GMACs per image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vggbench.nets.cost import Architecture, image_macs
from vggbench.paper.protocols import Protocol
from vggbench.render.tables.table import Column, Table

HEIGHT, WIDTH = 375, 500
"""Of an image of ILSVRC's commonest size."""
SCALES = (224, 256, 288, 352, 384, 416, 512)
"""All test scales of the paper."""
_PROTOCOLS = ("center", "tencrop", "dense", "multicrop", "dense+multicrop")


@dataclass(frozen=True)
class _Row:
    protocol: str
    scales: tuple[int, ...]
    views: int
    macs: dict[str, int]


def cost_table(nets: Sequence[Architecture], scales: Sequence[int]) -> Table:
    """One row per protocol at each Q, and over the paper's three Qs where these are among them."""
    rows = [_row(nets, name, (scale,)) for name in _PROTOCOLS[:-1] for scale in _own(name, scales)]
    several = [three for three in ((224, 256, 288), (352, 384, 416), (256, 384, 512)) if set(three) <= set(scales)]
    rows += [_row(nets, name, three) for three in several for name in _PROTOCOLS[2:]]
    columns = [
        Column("Protocol", lambda r: r.protocol),
        Column("Q", lambda r: ",".join(map(str, r.scales))),
        Column("Views", lambda r: str(r.views), right=True),
        *(Column(net.config.name, _of(net.config.name), right=True) for net in nets),
    ]
    classes = nets[0].classes
    return Table(
        title=f"GMACs per image | an image of {WIDTH} x {HEIGHT}, {classes} {'class' if classes == 1 else 'classes'}",
        rows=rows,
        terminal=columns,
        markdown=columns,
        record=_record,
        notes=[
            "All views, counted plainly: crops that share convolutions cost less time and are counted alike.",
            f"1 MAC = 2 FLOPs. Crops cost the same at every Q. {WIDTH} x {HEIGHT} is ILSVRC's commonest size.",
        ],
    )


def _own(protocol: str, scales: Sequence[int]) -> Sequence[int]:
    """Crops are of one size whatever Q is."""
    return scales if protocol == "dense" else scales[:1]


def _row(nets: Sequence[Architecture], protocols: str, scales: tuple[int, ...]) -> _Row:
    parts = [(Protocol.parse(name), scale) for name in protocols.split("+") for scale in scales]
    macs = {
        net.config.name: sum(image_macs(net, protocol, scale, HEIGHT, WIDTH) for protocol, scale in parts)
        for net in nets
    }
    return _Row(protocols, scales, sum(protocol.view_count for protocol, _ in parts), macs)


def _of(name: str) -> Any:
    return lambda row: f"{row.macs[name] / 1e9:,.1f}"


def _record(row: _Row) -> dict[str, Any]:
    macs = {f"gmacs_{name}": value / 1e9 for name, value in row.macs.items()}
    return {"protocol": row.protocol, "test_scales": list(row.scales), "views": row.views} | macs

"""`vggbench params --cost`: what each protocol costs at each Q, in views and GMACs per image."""

from collections.abc import Sequence
from typing import Any

from vggbench.render.tables.table import Column, Table
from vggbench.studies.counts import HEIGHT, WIDTH, ProtocolCount


def cost_table(rows: Sequence[ProtocolCount], classes: int) -> Table:
    """One row per protocol at each Q, and over several Qs, of nets of so many classes."""
    columns = [
        Column("Protocol", lambda r: r.protocol),
        Column("Q", lambda r: ",".join(map(str, r.scales))),
        Column("Views", lambda r: str(r.views), right=True),
        *(Column(name, _of(name), right=True) for name in rows[0].macs),
    ]
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


def _of(name: str) -> Any:
    return lambda row: f"{row.macs[name] / 1e9:,.1f}"


def _record(row: ProtocolCount) -> dict[str, Any]:
    macs = {f"gmacs_{name}": value / 1e9 for name, value in row.macs.items()}
    return {"protocol": row.protocol, "test_scales": list(row.scales), "views": row.views} | macs

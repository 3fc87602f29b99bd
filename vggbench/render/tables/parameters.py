"""`vggbench params`: parameters, MACs and activations, per net and layer, and what each protocol costs at each Q."""

from collections.abc import Sequence
from typing import Any

from vggbench.nets.cost import Architecture
from vggbench.paper.published import SHALLOW
from vggbench.render.tables.footer import Note
from vggbench.render.tables.table import NONE, Column, Table
from vggbench.studies.counts import FC_LAYERS, HEIGHT, WIDTH, LayerCount, ModelCount, NetCount, ProtocolCount

_COUNTING = "Bias, ReLU, pooling and LRN are not counted."


def parameters_table(rows: Sequence[NetCount]) -> Table:
    """One row per net and input size Q x Q."""
    several = len({row.scale for row in rows}) > 1
    return Table(
        title=f"VGG configurations | {_what(rows)}",
        rows=rows,
        terminal=_columns(several=several),
        markdown=_markdown_columns(several=several),
        record=_record,
        notes=_notes([row.architecture for row in rows]),
    )


def models_table(rows: Sequence[ModelCount]) -> Table:
    """One row per network of any kind and input size."""
    columns = [
        Column("Network", lambda r: r.network, folds=True),
        Column("Input", lambda r: f"3x{r.scale}x{r.scale}", right=True),
        Column("Classes", lambda r: str(r.classes), right=True, from_width=90),
        Column("Params M", lambda r: f"{r.parameters / 1e6:.2f}", right=True),
        Column("MiB", lambda r: f"{4 * r.parameters / 2**20:.1f}", right=True, spare=True),
        Column("GMACs", lambda r: _giga(r, 1), right=True),
        Column("GFLOPs", lambda r: _giga(r, 2), right=True),
    ]
    uncounted = dict.fromkeys((row.network, row.uncounted) for row in rows if row.uncounted)
    notes: list[str | Note] = [
        Note('GFLOPs = 2 x GMACs; torchvision, OpenMMLab and fvcore print GMACs as "GFLOPs".', ("GFLOPs",)),
        "One view. VGGs in closed form; others by fvcore: convolutions, linear layers, products of matrices, "
        "attention. Bias, activations, pooling and normalisation are not counted. MiB: parameters as float32.",
        *(
            f"{name}: ≥, without its operators {', '.join(names)}, which fvcore cannot count."
            for name, names in uncounted
        ),
    ]
    if any(row.macs is None for row in rows):
        notes.append("-: operators of an ONNX file are not counted; its weights may have taken up normalisation.")
    markdown = [*columns[:3], Column("Parameters", lambda r: str(r.parameters), right=True), *columns[3:]]
    return Table("Networks | one view", rows, columns, markdown, _model_record, notes)


def _giga(row: ModelCount, times: int) -> str:
    return NONE if row.macs is None else f"{'≥' if row.uncounted else ''}{times * row.macs / 1e9:.2f}"


def _model_record(row: ModelCount) -> dict[str, Any]:
    return {
        "network": row.network,
        "classes": row.classes,
        "input": row.scale,
        "parameters": row.parameters,
        "bytes": 4 * row.parameters,
        "macs": row.macs,
        "flops": None if row.macs is None else 2 * row.macs,
        "uncounted_operators": list(row.uncounted),
    }


def layers_table(rows: Sequence[LayerCount], totals: Sequence[NetCount]) -> Table:
    """One row per layer of each net at each input size Q x Q; `totals` are of all layers."""
    columns = _layer_columns(several=len(totals) > 1)
    return Table(
        title=f"Layer by layer | {_what(totals)}",
        rows=rows,
        terminal=columns,
        markdown=columns,
        record=_layer_record,
        notes=[
            *map(_total, totals),
            Note("1 MAC = 2 FLOPs.", ("MACs",)),
            Note(_COUNTING, ("Parameters", "MACs"), same_line=True),
            Note("Field: the receptive field, in input pixels.", ("Field",), same_line=True),
            Note("Stride: in input pixels.", ("Stride",), same_line=True),
            "Three 3x3 layers see 7x7 with 27 C^2 weights; one 7x7 layer has 49 C^2 (paper, 2.3).",
            *([SHALLOW] if any(row.architecture.config.name == "B-5x5" for row in totals) else []),
        ],
    )


def _what(rows: Sequence[NetCount]) -> str:
    scales = {row.scale for row in rows}
    size = f"3x{rows[0].scale}x{rows[0].scale}" if len(scales) == 1 else "3xQxQ"
    classes = rows[0].architecture.classes
    return f"input {size}, {classes} {'class' if classes == 1 else 'classes'}, one view"


def _total(row: NetCount) -> str:
    name, own = row.architecture.config.name, row.cost
    return f"{name}, Q={row.scale}: {own.parameters} parameters, {own.macs} MACs."


def _layer_counts(row: NetCount) -> str:
    return f"{len(row.architecture.config.convs)}+{FC_LAYERS}"


def _paper(row: NetCount) -> str:
    return NONE if row.paper_millions is None else str(row.paper_millions)


def _notes(nets: Sequence[Architecture]) -> list[str | Note]:
    net = nets[0]
    notes: list[str | Note] = [
        Note(
            'GFLOPs = 2 x GMACs; torchvision, OpenMMLab and fvcore print GMACs as "GFLOPs".',
            ("GFLOPs", "GFLOPs (2 x MACs)"),
        ),
        _COUNTING,
        Note("Paper: Table 2.", ("Paper", "Paper (M)"), same_line=True),
        Note("MiB: float32.", ("MiB", "Size (MiB)"), same_line=True),
    ]
    if any(net.config.batch_norm for net in nets):
        notes.append("Of batch normalisation, only the two parameters per channel are counted; the paper has none.")
    if any(net.config.name == "B-5x5" for net in nets):
        notes.append(SHALLOW)
    if net.width != 1:
        notes.append(f"Width: {net.width:g} of the paper's channels.")
    if net.width != 1 or net.classes != 1000:
        notes.append("No column Paper: its Table 2 is for width 1 and 1000 classes.")
    return notes


def _columns(*, several: bool) -> list[Column]:
    columns = [
        Column("Net", lambda r: r.architecture.config.name),
        Column("Known as", lambda r: r.architecture.config.known_as or NONE, spare=True),
        Column("Layers", _layer_counts, right=True),
        Column("Params M", lambda r: f"{r.cost.parameters / 1e6:.2f}", right=True),
        Column("Paper", _paper, right=True, optional=True),
        Column("Conv M", lambda r: f"{r.cost.conv_parameters / 1e6:.2f}", right=True, spare=True),
        Column("FC M", lambda r: f"{r.cost.fc_parameters / 1e6:.2f}", right=True, spare=True),
        Column("MiB", lambda r: f"{r.cost.mib:.1f}", right=True, spare=True),
        Column("GMACs", lambda r: f"{r.cost.macs / 1e9:.2f}", right=True),
        Column("GFLOPs", lambda r: f"{2 * r.cost.macs / 1e9:.2f}", right=True),
    ]
    if several:  # make room at 80 columns
        columns = [column for column in columns if column.heading not in ("Known as", "MiB", "Layers")]
        columns.insert(1, Column("Q", lambda r: str(r.scale), right=True))
        columns.append(Column("Map", lambda r: str(r.cost.positions), right=True))
    return columns


def _markdown_columns(*, several: bool) -> list[Column]:
    columns = [
        Column("Network", lambda r: r.architecture.config.name),
        Column("Known as", lambda r: r.architecture.config.known_as or NONE),
        Column("Conv + FC layers", _layer_counts, right=True),
        Column("Parameters", lambda r: str(r.cost.parameters), right=True),
        Column("Params (M)", lambda r: f"{r.cost.parameters / 1e6:.2f}", right=True),
        Column("Paper (M)", _paper, right=True, optional=True),
        Column("Conv (M)", lambda r: f"{r.cost.conv_parameters / 1e6:.2f}", right=True),
        Column("FC (M)", lambda r: f"{r.cost.fc_parameters / 1e6:.2f}", right=True),
        Column("Size (MiB)", lambda r: f"{r.cost.mib:.1f}", right=True),
        Column("GMACs", lambda r: f"{r.cost.macs / 1e9:.2f}", right=True),
        Column("GFLOPs (2 x MACs)", lambda r: f"{2 * r.cost.macs / 1e9:.2f}", right=True),
        Column("Activations (M)", lambda r: f"{r.cost.activations / 1e6:.2f}", right=True),
    ]
    if several:
        columns.insert(1, Column("Q", lambda r: str(r.scale), right=True))
        columns.append(Column("Positions", lambda r: str(r.cost.positions), right=True))
    return columns


def _record(row: NetCount) -> dict[str, Any]:
    return {
        "network": row.architecture.config.name,
        "known_as": row.architecture.config.known_as,
        "width": row.architecture.width,
        "classes": row.architecture.classes,
        "input": row.scale,
        "conv_layers": len(row.architecture.config.convs),
        "fc_layers": FC_LAYERS,
        "parameters": row.cost.parameters,
        "paper_parameters_millions": row.paper_millions,
        "conv_parameters": row.cost.conv_parameters,
        "fc_parameters": row.cost.fc_parameters,
        "bytes": 4 * row.cost.parameters,
        "macs": row.cost.macs,
        "flops": 2 * row.cost.macs,
        "activations": row.cost.activations,
        "positions": row.cost.positions,
    }


def _layer_columns(*, several: bool) -> list[Column]:
    wide = 100 if several else 0
    which = [Column("Net", lambda r: r.architecture.config.name), Column("Q", lambda r: str(r.scale), right=True)]
    return [
        *(which if several else []),
        Column("Layer", lambda r: r.layer.name),
        Column("Output", lambda r: f"{r.layer.channels}x{r.layer.height}x{r.layer.width}", right=True),
        Column("Field", lambda r: str(r.layer.receptive_field), right=True),
        Column("Stride", lambda r: str(r.layer.stride), right=True, from_width=wide, spare=True),
        Column("Parameters", lambda r: str(r.layer.parameters or NONE), right=True),
        Column("MACs", lambda r: str(r.layer.macs or NONE), right=True),
        Column("Activations", lambda r: str(r.layer.activations or NONE), right=True, from_width=wide, spare=True),
    ]


def _layer_record(row: LayerCount) -> dict[str, Any]:
    layer = row.layer
    return {
        "network": row.architecture.config.name,
        "input": row.scale,
        "layer": layer.name,
        "kind": layer.kind,
        "channels": layer.channels,
        "height": layer.height,
        "width": layer.width,
        "receptive_field": layer.receptive_field,
        "stride": layer.stride,
        "parameters": layer.parameters,
        "macs": layer.macs,
        "activations": layer.activations,
    }


def cost_table(rows: Sequence[ProtocolCount], classes: int) -> Table:
    """One row per protocol at each Q, and over several Qs, of nets of so many classes."""
    columns = [
        Column("Protocol", lambda r: r.protocol),
        Column("Q", lambda r: ",".join(map(str, r.scales))),
        Column("Views", lambda r: str(r.views), right=True),
        *(Column(name, _gmacs_of(name), right=True) for name in rows[0].macs),
    ]
    return Table(
        title=f"GMACs per image | an image of {WIDTH} x {HEIGHT}, {classes} {'class' if classes == 1 else 'classes'}",
        rows=rows,
        terminal=columns,
        markdown=columns,
        record=_cost_record,
        notes=[
            "All views count in full; crops that share convolutions take less time and count the same.",
            f"1 MAC = 2 FLOPs. Crops cost the same at every Q. {WIDTH} x {HEIGHT} is ILSVRC's most common size.",
        ],
    )


def _gmacs_of(name: str) -> Any:
    return lambda row: f"{row.macs[name] / 1e9:,.1f}"


def _cost_record(row: ProtocolCount) -> dict[str, Any]:
    macs = {f"gmacs_{name}": value / 1e9 for name, value in row.macs.items()}
    return {"protocol": row.protocol, "test_scales": list(row.scales), "views": row.views} | macs

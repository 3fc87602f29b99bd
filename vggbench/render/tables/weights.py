"""`vggbench weights`: the released files, and one file layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggbench.errors import WeightsError, counted
from vggbench.images.preprocessing import INPUTS, Input
from vggbench.nets.vgg import VGG
from vggbench.render.tables.table import NONE, Column, Table
from vggbench.weights.download import find, place
from vggbench.weights.files import file_hash
from vggbench.weights.formats import format_name
from vggbench.weights.load import Model
from vggbench.weights.released import RELEASED, Published, Released, by_name


@dataclass(frozen=True)
class _Row:
    released: Released
    here: str
    """`yes`, `wrong` for bytes that are not the released ones, or none."""


@dataclass(frozen=True)
class _LayerRow:
    name: str
    shape: tuple[int, ...]
    values: int
    mean: float
    std: float


def released_table() -> Table:
    """One row a released file, and whether it lies on this machine."""
    return Table(
        title="Released weights of VGG nets on ILSVRC-2012",
        rows=[_Row(row, _here(row)) for row in RELEASED],
        terminal=[
            Column("Model", lambda r: r.released.name),
            Column("Size", lambda r: _size(r.released), right=True),
            Column("S", lambda r: str(r.released.train_scale or NONE)),
            Column("Input", lambda r: _input_name(r.released.input)),
            Column("Pool", lambda r: _pooling(r.released.ceil_pool)),
            Column("Published", lambda r: "; ".join(_figure(p) for p in r.released.published) or NONE),
            Column("Here", lambda r: r.here, optional=True),
            Column("File", lambda r: r.released.file, from_width=140),
        ],
        markdown=[
            Column("Model", lambda r: r.released.name),
            Column("File", lambda r: r.released.file),
            Column("Size", lambda r: r.released.megabytes, right=True),
            Column("Hash", lambda r: f"{r.released.algorithm} {r.released.digest}" if r.released.digest else NONE),
            Column("S", lambda r: str(r.released.train_scale or NONE)),
            Column("Input", lambda r: str(r.released.input)),
            Column("Pooling", lambda r: _pooling(r.released.ceil_pool)),
            Column("Published error (%)", lambda r: "; ".join(_stated(p) for p in r.released.published) or NONE),
            Column("Licence", lambda r: r.released.licence),
            Column("Address", lambda r: r.released.url),
        ],
        record=_record,
        notes=_notes(),
    )


def file_table(model: Model, path: Path) -> Table:
    """One file, layer by layer, and what is known of it; the model was loaded from it, so every shape fits."""
    assert isinstance(model.module, VGG)
    form = format_name(path)
    rows = [
        _LayerRow(name, tuple(tensor.shape), tensor.numel(), float(tensor.mean()), float(tensor.std(correction=0)))
        for name, tensor in model.module.state_dict().items()
        if tensor.is_floating_point()
    ]
    columns = [
        Column("Tensor", lambda r: r.name),
        Column("Shape", lambda r: "x".join(map(str, r.shape)), right=True),
        Column("Values", lambda r: str(r.values), right=True),
        Column("Mean", lambda r: f"{r.mean:.3g}", right=True),
        Column("Std", lambda r: f"{r.std:.3g}", right=True),
    ]
    return Table(
        title=f"{model.identity.name} | {path.name} | {form}{_bytes(path)}",
        rows=rows,
        terminal=columns,
        markdown=columns,
        record=lambda r: {"tensor": r.name, "shape": list(r.shape), "values": r.values, "mean": r.mean, "std": r.std},
        notes=_file_notes(model, path, rows),
    )


def _bytes(path: Path) -> str:
    return f", {path.stat().st_size:,} bytes" if path.is_file() else ""


def _hashed(model: Model, path: Path) -> str:
    if not path.is_file():
        return "of its weights "
    return "" if model.identity.weights_hash == file_hash(path) else "of its tensors "


def _file_notes(model: Model, path: Path, rows: Sequence[_LayerRow]) -> list[str]:
    released, net = by_name(model.identity.released), model.identity.architecture
    assert net is not None
    notes = [
        f"sha256 {_hashed(model, path)}{model.identity.weights_hash}",
        f"Recognised by its hash: {released.name}, {released.file}." if released and released.digest
        else f"{released.name}: no hash is on record to check it against." if released
        else "Not a released file.",
        f"Input {model.identity.input.in_full()}; {_pooling(net.ceil_pool)} pooling; "
        f"S={model.identity.train_scale or 'unknown'}.",
        "Layers and pooling: as is known of the file, or as it describes them." if model.identity.is_described
        else "Layers by order of tensors, pooling by --input: the file describes neither.",
    ]  # fmt: skip
    notes += [f"Published: {_stated(figure)}." for figure in released.published] if released else []
    notes += [f"Licence: {released.licence}."] if released else []
    values = sum(row.values for row in rows)
    notes.append(
        f"Checked: {len(rows)} tensors, {values:,} values, all finite, names and shapes as {net.config.name} has them "
        f"at width {net.width:g} with {counted(net.classes, 'class')}."
    )
    return notes


def _notes() -> list[str]:
    return [
        "Published: top-1 / top-5 error in percent, by the publisher's own protocol:",
        *dict.fromkeys(f"{row.source}: {_protocols(row)}" for row in RELEASED if row.published),
        "Input: the preprocessing that --input names; caffe is BGR, matconvnet RGB, both 0-255 minus mean.",
        "C and A-LRN: nobody has released any; vggbench train --plan C prints how to make them.",
        f"A missing file is downloaded when a MODEL names it, or put by hand, such as {place(RELEASED[0])}.",
        *(f"{row.name} is refused: {row.refused}." for row in RELEASED if row.refused),
    ]


def _protocols(row: Released) -> str:
    return "; ".join(figure.how for figure in row.published)


def _here(row: Released) -> str:
    try:
        return "yes" if find(row) else NONE
    except WeightsError:
        return "wrong"
    except OSError:
        return NONE


def _size(row: Released) -> str:
    return row.megabytes if row.size or row.mib else NONE


def _input_name(own: Input) -> str:
    return next((name for name, known in INPUTS.items() if known == own), "its own")


def _pooling(ceil: bool) -> str:
    return "ceil" if ceil else "floor"


def _figure(figure: Published) -> str:
    return f"{NONE if figure.top1 is None else _percent(figure.top1)}/{_percent(figure.top5)}"


def _percent(value: float) -> str:
    """As published, with one decimal at least."""
    return f"{value:.1f}" if value == round(value, 1) else f"{value:g}"


def _stated(figure: Published) -> str:
    return f"{_figure(figure)} ({figure.how})"


def _record(row: _Row) -> dict[str, Any]:
    released = row.released
    return {
        "model": released.name,
        "source": released.source,
        "config": released.config.name,
        "file": released.file,
        "url": released.url,
        "bytes": released.size,
        "mebibytes": released.mib,
        "hash_algorithm": released.algorithm if released.digest else None,
        "hash": released.digest,
        "licence": released.licence,
        "train_scale": str(released.train_scale) if released.train_scale else None,
        "input": str(released.input),
        "pooling": _pooling(released.ceil_pool),
        "published": "; ".join(_stated(figure) for figure in released.published) or None,
        "refused": released.refused,
        "here": row.here == "yes",
    }

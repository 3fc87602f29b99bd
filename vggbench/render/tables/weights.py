"""`vggbench weights`: the released files, and one file layer by layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vggbench.errors import counted
from vggbench.render.tables.table import NONE, Column, Table
from vggbench.weights.download import Listed
from vggbench.weights.released import Published, Released

if TYPE_CHECKING:
    from vggbench.weights.checked import CheckedFile

_HASHED = {"file": "", "tensors": "of its tensors ", "weights": "of its weights "}


def released_table(rows: Sequence[Listed]) -> Table:
    """One row a released file, and whether it lies on this machine."""
    return Table(
        title="Released weights of VGG nets on ILSVRC-2012",
        rows=rows,
        terminal=[
            Column("Model", lambda r: r.released.name),
            Column("Size", lambda r: _size(r.released), right=True),
            Column("S", lambda r: str(r.released.train_scale or NONE)),
            Column("Input", lambda r: r.input_name or "its own"),
            Column("Pool", lambda r: _pooling(r.released.ceil_pool)),
            Column("Published", lambda r: "; ".join(_figure(p) for p in r.released.published) or NONE),
            Column("Here", lambda r: r.here or NONE, optional=True),
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
        notes=_notes(rows),
    )


def file_table(found: "CheckedFile") -> Table:
    """One file, layer by layer, and what is known of it."""
    columns = [
        Column("Tensor", lambda r: r.name),
        Column("Shape", lambda r: "x".join(map(str, r.shape)), right=True),
        Column("Values", lambda r: str(r.values), right=True),
        Column("Mean", lambda r: f"{r.mean:.3g}", right=True),
        Column("Std", lambda r: f"{r.std:.3g}", right=True),
    ]
    size = "" if found.size is None else f", {found.size:,} bytes"
    return Table(
        title=f"{found.model.name} | {found.name} | {found.form}{size}",
        rows=found.layers,
        terminal=columns,
        markdown=columns,
        record=lambda r: {"tensor": r.name, "shape": list(r.shape), "values": r.values, "mean": r.mean, "std": r.std},
        notes=_file_notes(found),
    )


def _file_notes(found: "CheckedFile") -> list[str]:
    model, net, released = found.model, found.architecture, found.released
    given = model.input
    assert given
    notes = [
        f"sha256 {_HASHED[found.hash_of]}{model.weights_hash}",
        f"Recognised by its hash: {released.name}, {released.file}." if released and released.digest
        else f"{released.name}: no hash is on record to check it against." if released
        else "Not a released file.",
        f"Input {given.in_full()}; {_pooling(net.ceil_pool)} pooling; S={model.train_scale or 'unknown'}.",
        "Layers and pooling are as the file describes them, or as is known of it." if model.is_described
        else "Layers by order of tensors, pooling by --input: the file describes neither.",
    ]  # fmt: skip
    notes += [f"Published: {_stated(figure)}." for figure in released.published] if released else []
    notes += [f"Licence: {released.licence}."] if released else []
    values = sum(layer.values for layer in found.layers)
    notes.append(
        f"Checked: {len(found.layers)} tensors, {values:,} values, all finite, names and shapes as {net.config.name} "
        f"has them at width {net.width:g} with {counted(net.classes, 'class')}."
    )
    return notes


def _notes(rows: Sequence[Listed]) -> list[str]:
    released = [row.released for row in rows]
    return [
        "Published: top-1 / top-5 error in percent, by the publisher's own protocol:",
        *dict.fromkeys(f"{row.source}: {'; '.join(p.how for p in row.published)}" for row in released if row.published),
        "Input: the preprocessing that --input names; caffe is BGR, matconvnet RGB, both 0-255 minus mean.",
        "C, A-LRN and B-5x5: none are released; vggbench train --plan C prints how to make them.",
        f"A missing file is downloaded when a MODEL names it; by hand, put it at a place such as {rows[0].place}.",
        *(f"{row.name} is refused: {row.refused}." for row in released if row.refused),
    ]


def _size(row: Released) -> str:
    return row.megabytes if row.size or row.mib else NONE


def _pooling(ceil: bool) -> str:
    return "ceil" if ceil else "floor"


def _figure(figure: Published) -> str:
    return f"{NONE if figure.top1 is None else _percent(figure.top1)}/{_percent(figure.top5)}"


def _percent(value: float) -> str:
    """The figure as published, with one decimal at least."""
    return f"{value:.1f}" if value == round(value, 1) else f"{value:g}"


def _stated(figure: Published) -> str:
    return f"{_figure(figure)} ({figure.how})"


def _record(row: Listed) -> dict[str, Any]:
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

"""The tables of errors: `eval` (one net, a row per protocol and Q), `compare` and `fuse` (a row per net)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vggbench.data import DataSet
from vggbench.jobs import Settings
from vggbench.judging import ORIGINAL
from vggbench.metrics import LEAST_SIGNIFICANT, ErrorRate, holm
from vggbench.results import Paired, Reference, Row
from vggbench.tables.table import NONE, Column, Table
from vggbench.weights import Model

_MANY = 10_000
"""Images from which errors get two decimals and symmetric intervals."""


@dataclass(frozen=True)
class Circumstances:
    """What the notes under a table say: the data, how the networks were run, and the time it took."""

    data: DataSet
    settings: Settings
    provenance: Sequence[dict[str, Any]]


def eval_table(rows: Sequence[Row], about: Circumstances, gain: Paired | None = None) -> Table:
    """One model: its protocols and Qs; `gain` compares two of the rows."""
    model = rows[0].models[0]
    scale = f", S={model.train_scale}" if model.train_scale else ", S unknown"
    return Table(
        title=f"{model.name}{scale} | {data_title(about.data, rows[0])} | error, %",
        rows=rows,
        terminal=[
            Column("Protocol", lambda r: r.protocol),
            Column("Q", _scales),
            Column("Views", lambda r: str(r.views), right=True, from_width=100),
            *_error_columns(rows),
            Column("GMACs", gmacs, right=True, spare=True),
        ],
        markdown=_markdown_columns(rows),
        record=lambda row: error_record(row, about),
        notes=_notes(rows, about, gain),
    )


def nets_table(rows: Sequence[Row], about: Circumstances) -> Table:
    """Several models, or fusions of models: one row each, with parameters and cost."""
    measured = [row for row in rows if row.errors]
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    one_q = len({row.scales for row in rows}) == 1
    at = f", Q={_scales(rows[0])}" if one_q else ", Q by each net's S"
    what = f"{protocols[0]}{at}" if len(protocols) == 1 else "several protocols"
    columns = [
        Column("Network", lambda r: r.network, folds=True),
        *([] if len(protocols) == 1 else [Column("Protocol", lambda r: r.protocol, folds=True)]),
        Column("S", lambda r: r.train_scale or NONE),
        Column("Q", _scales),
        Column("Views", lambda r: str(r.views), right=True, from_width=100),
        *_error_columns(rows),
        *_against_columns(rows, from_width=0),
        Column("Params", _params, right=True, spare=True),
        Column("GMACs", gmacs, right=True, spare=True),
        Column("Images/s", _speed, right=True, from_width=100, spare=True),
    ]
    return Table(
        title=f"{data_title(about.data, measured[0] if measured else rows[0])} | {what} | error, %",
        rows=rows,
        terminal=columns,
        markdown=[*_markdown_columns(rows), *_against_in_full(rows)],
        record=lambda row: error_record(row, about),
        notes=_notes(rows, about),
    )


def _error_columns(rows: Sequence[Row]) -> list[Column]:
    return [
        *_labels_column(rows),
        Column("Top-1", lambda r: error_cell(r.errors.top1) if r.errors else "no weights"),
        Column("Top-5", lambda r: error_cell(r.errors.top5) if r.errors else NONE),
        Column("Published" if _publishers(rows) else "Paper", lambda r: _reference(r.reference, "/"), optional=True),
        Column("Diff", _difference, from_width=100, optional=True),
    ]


def _against_columns(rows: Sequence[Row], from_width: int) -> list[Column]:
    """The difference to the row that the table compares with, with a star where it is significant."""
    baseline = next((row.against.first for row in rows if row.against), None)
    if baseline is None:
        return []
    starred = _significant(rows)
    return [Column(f"vs {baseline}", lambda r: _points(r, starred), optional=True, from_width=from_width, spare=True)]


def _against_in_full(rows: Sequence[Row]) -> list[Column]:
    baseline = next((row.against.first for row in rows if row.against), None)
    if baseline is None:
        return []
    starred = _significant(rows)
    return [
        Column(f"Top-1 vs {baseline} (points)", lambda r: _points(r, starred)),
        Column("Paired 95% CI", lambda r: _paired_bounds(r.against) if r.against else NONE),
        Column("McNemar's p", lambda r: p_value(r.against.p) if r.against else NONE),
        Column("Images/s", _speed, right=True, optional=True),
    ]


def _significant(rows: Sequence[Row]) -> set[int]:
    """The rows, by `id`, whose difference stands after Holm's correction for the number of them."""
    tested = [row for row in rows if row.against]
    return {
        id(row)
        for row, p in zip(tested, holm([row.against.p for row in tested if row.against]), strict=True)
        if p < 0.05
    }


def _points(row: Row, starred: set[int]) -> str:
    if row.against is None:
        return NONE
    digits = 2 if row.against.images >= _MANY else 1
    return f"{row.against.points:+.{digits}f}{'*' if id(row) in starred else ''}"


def _paired_bounds(against: Paired) -> str:
    digits = 2 if against.images >= _MANY else 1
    low, high = against.interval
    return f"{low:+.{digits}f} to {high:+.{digits}f}"


def p_value(p: float) -> str:
    """Two digits, or that it is below a ten-thousandth."""
    return f"{p:.2g}" if p >= 1e-4 else "<0.0001"


def _speed(row: Row) -> str:
    return f"{row.images_per_second:,.3g}" if row.images_per_second else NONE


def _labels_column(rows: Sequence[Row]) -> list[Column]:
    """Where not all rows go by the data's own labels."""
    return [Column("Labels", lambda r: r.labels)] if any(row.labels != ORIGINAL.name for row in rows) else []


def _markdown_columns(rows: Sequence[Row]) -> list[Column]:
    return [
        Column("Network", lambda r: r.network),
        Column("S", lambda r: r.train_scale or NONE),
        Column("Q", _scales),
        Column("Protocol", lambda r: r.protocol),
        Column("Views", lambda r: str(r.views), right=True),
        Column("Images", lambda r: f"{r.errors.top1.images:,}" if r.errors else NONE, right=True),
        *_labels_column(rows),
        Column("Top-1 error (%)", lambda r: _percent(r.errors.top1) if r.errors else "no weights", right=True),
        Column("Top-1 95% CI", lambda r: _bounds(r.errors.top1) if r.errors else NONE),
        Column("Top-5 error (%)", lambda r: _percent(r.errors.top5) if r.errors else NONE, right=True),
        Column("Top-5 95% CI", lambda r: _bounds(r.errors.top5) if r.errors else NONE),
        Column("Ref. top-1 / top-5", lambda r: _reference(r.reference, " / "), optional=True),
        Column("Diff.", _difference, optional=True),
        Column("Params (M)", _params, right=True),
        Column("GMACs/image", gmacs, right=True),
        Column("Reference", lambda r: r.reference.source if r.reference else NONE, optional=True),
    ]


def error_record(row: Row, about: Circumstances) -> dict[str, Any]:
    """One row for JSON and CSV; keys may be added, never renamed."""
    nets = [model.net for model in row.models if model.net]
    top1, top5 = (row.errors.top1, row.errors.top5) if row.errors else (None, None)
    macs = None if row.macs is None else row.macs / 1e9
    total = about.data.total
    return {
        "network": row.network,
        "config": row.config,
        "weights": "+".join(model.name.partition("@")[2] for model in row.models) or None,
        "weights_hash": "+".join(model.weights_hash for model in row.models) or None,
        "width": nets[0].width if nets else 1.0,
        "classes": row.models[0].classes if row.models else 1000,
        "data": about.data.name,
        "train_scale": row.train_scale,
        "test_scales": list(row.scales),
        "protocol": row.protocol,
        "views": row.views,
        "images": top1.images if top1 else 0,
        "images_total": total,
        "skipped": row.skipped,
        "blacklisted": row.blacklisted,
        "doubtful": len(row.doubtful),
        "complete": row.images == total,
        "labels": row.labels,
        "top1_error": top1.percent if top1 else None,
        "top5_error": top5.percent if top5 else None,
        "top1_interval": list(top1.interval) if top1 else None,
        "top5_interval": list(top5.interval) if top5 else None,
        "reference_top1": row.reference.top1 if row.reference else None,
        "reference_top5": row.reference.top5 if row.reference else None,
        "reference_source": row.reference.source if row.reference else None,
        "parameters": row.parameters,
        "gmacs_per_image": macs,
        "gflops_per_image": None if macs is None else 2 * macs,
        "precision": about.settings.precision,
        "backend": row.backend,
        "input": "; ".join(dict.fromkeys(_input(model) for model in row.models)) or None,
        "rescale": str(about.settings.rescale),
        "signature": _long_signature(row, about) if row.models else None,
        "images_per_second": row.images_per_second,
        "against": row.against.first if row.against else None,
        "against_points": row.against.points if row.against else None,
        "against_interval": list(row.against.interval) if row.against else None,
        "against_p": row.against.p if row.against else None,
        "note": row.note,
    }


def _notes(rows: Sequence[Row], about: Circumstances, gain: Paired | None = None) -> list[str]:
    measured = [row for row in rows if row.errors]
    notes = []
    if measured:
        shape = "±" if measured[0].images >= _MANY else "Bounds:"
        notes.append(f"{shape} 95% Wilson, over images.{_paper_note(rows, about.data)}")
    notes += _counted_notes(measured)
    if measured and measured[0].images < _MANY:
        notes.append(_grain_note(measured[0].images))
    if gain:
        notes.append(_gain_note(gain, rows[0].labels))
    notes += _against_note(rows)
    if measured and not about.data.is_full_ilsvrc_val:
        notes.append("No reference column: published figures are for the whole ILSVRC-2012 val.")
    notes.append("GMACs per image, all views, counted plainly; 1 MAC = 2 FLOPs.")
    models = list({id(model): model for row in measured for model in row.models}.values())
    for text, names in _by_input(models).items():
        notes.append(text if len(_by_input(models)) == 1 else f"{', '.join(names)}: {text}")
    if measured:
        notes.append(f"{about.settings.rescale}, {_made(about)}")
        notes.append(_decoded_note(about, measured))
    unnamed = [model.name for model in models if model.class_names is None]
    if unnamed:
        notes.append(f"{', '.join(unnamed)} names no classes: its outputs are taken as the folders in sorted order.")
    notes += _inputs_note(models)
    notes += _origins_note(models)
    if any("@random" in model.name for model in models):
        notes.append("Random weights: these errors mean nothing.")
    notes += [f"{model.name} {_seen(model, about.data)}" for model in models if _seen(model, about.data)]
    notes += [row.note for row in rows if row.note]
    notes += _signatures(measured, about)
    return notes


def made_notes(rows: Sequence[Row], about: Circumstances) -> list[str]:
    """How rows were made: inputs, rescaling, decoders, time, and the first row's signature."""
    models = list({id(model): model for row in rows for model in row.models}.values())
    inputs = _by_input(models)
    notes = [_grain_note(rows[0].images)] if rows[0].images < _MANY else []
    notes += [text if len(inputs) == 1 else f"{', '.join(names)}: {text}" for text, names in inputs.items()]
    notes += [f"{about.settings.rescale}, {_made(about)}", _decoded_note(about, rows)]
    if any("@random" in model.name for model in models):
        notes.append("Random weights: these errors mean nothing.")
    notes += [f"{model.name} {_seen(model, about.data)}" for model in models if _seen(model, about.data)]
    return [*notes, _signature(rows[0], about)]


def _seen(model: Model, data: DataSet) -> str | None:
    """What a net's training had of exactly these images, if anything."""
    if data.fingerprint == model.trained_ids:
        return "was trained on these very images: on others it errs more."
    if data.fingerprint == model.validation_ids:
        return "is of the epoch that erred least on these very images: on others it may err more."
    return None


def _counted_notes(rows: Sequence[Row]) -> list[str]:
    """Which of the evaluated images do not count, and why."""
    found = []
    for row in {row.labels: row for row in rows if row.labels != ORIGINAL.name}.values():
        assert row.errors
        counted = row.errors.top1.images
        found.append(
            f"{row.labels}: right is any of the classes that ReaL (Beyer et al. 2020) lists for an image; of the "
            f"{row.images:,} images {counted:,} count, those without a class do not."
        )
    blacklisted = max((row.blacklisted for row in rows), default=0)
    if blacklisted:
        found.append(f"{_images(blacklisted)} of the blacklist do not count; the paper counts all.")
    return found


def _decoded_note(about: Circumstances, rows: Sequence[Row]) -> str:
    """The decoders, which can move a figure, and what they doubted."""
    made = [(entry.get("torchvision", NONE), entry.get("pillow", NONE)) for entry in about.provenance]
    decoders = "; ".join(f"torchvision {jpeg}, Pillow {other}" for jpeg, other in dict.fromkeys(made))
    note = f"Decoded by {decoders} (CMYK and other than JPEG); EXIF orientation ignored."
    doubtful = {image: why for row in rows for image, why in row.doubtful.items()}
    if doubtful:
        image, why = next(iter(doubtful.items()))
        note += (
            f" {_images(len(doubtful))} decoded with a complaint of libjpeg, {image} ({why}): vggbench data --verify "
            "lists all."
        )
    return note


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _grain_note(images: int) -> str:
    """From fewer images than this apart, even if one row errs on all that the other errs on, McNemar's p is over 5%."""
    return (
        f"One image is {100 / images:.2g} points. Rows closer than {LEAST_SIGNIFICANT} images, "
        f"{100 * LEAST_SIGNIFICANT / images:.2g} points, never differ significantly; many wider apart do not either."
    )


def _gain_note(gain: Paired, labels: str) -> str:
    p = p_value(gain.p)
    return (
        f"{gain.second} against {gain.first}: {gain.points:+.1f} points top-1 ({_paired_bounds(gain)}), {gain.mended} "
        f"images mended and {gain.spoiled} spoiled{'' if labels == ORIGINAL.name else f' by the labels {labels}'}, "
        f"McNemar's exact p {p if p.startswith('<') else f'= {p}'}."
    )


def _against_note(rows: Sequence[Row]) -> list[str]:
    compared = [row for row in rows if row.against]
    if not compared:
        return []
    count = f", Holm's correction for {len(compared)} tests" if len(compared) > 1 else ""
    return [
        f"vs {compared[0].against.first if compared[0].against else NONE}: points of top-1 error on the same images; "
        f"* significant at 5% (McNemar's exact test{count}). Interval, p: --format md."
    ]


def _paper_note(rows: Sequence[Row], data: DataSet) -> str:
    references = {row.reference.source for row in rows if row.reference} - _publishers(rows)
    sources = [f"Paper: {', '.join(sorted(source.partition(', ')[2] for source in references))}"] if references else []
    sources += [f"Published: {source}" for source in sorted(_publishers(rows))]
    if sources:
        return f" {'; '.join(sources)}, same S, Q, protocol; - none."
    if not data.is_full_ilsvrc_val:
        return ""
    if any(row.labels != ORIGINAL.name or row.blacklisted for row in rows):
        return " Published figures are by the original labels, over all images."
    return " The paper has no figure for these."


def _publishers(rows: Sequence[Row]) -> set[str]:
    """The sources of references that are not the paper's."""
    return {row.reference.source for row in rows if row.reference and not row.reference.source.startswith("paper")}


def _inputs_note(models: Sequence[Model]) -> list[str]:
    """How two sources of one config differ in what their weights need."""
    if len(models) != 2 or not models[0].net or not models[1].net or models[0].net.config != models[1].net.config:
        return []
    facts = [
        (
            model.input.channels,
            f"0-{model.input.range}",
            "mean alone" if set(model.input.std) == {1.0} else "mean and std",
            f"{'ceil' if model.net.ceil_pool else 'floor'} pooling",
            f"S {model.train_scale or 'unknown'}",
        )
        for model in models
        if model.net
    ]
    differ = [f"{one} against {other}" for one, other in zip(*facts, strict=True) if one != other]
    names = f"{models[0].name} and {models[1].name}"
    return [f"{names} differ in what they need: {'; '.join(differ)}." if differ else f"{names} need the same input."]


def _origins_note(models: Sequence[Model]) -> list[str]:
    """What it means that the weights of a table do not all come from the same training recipe."""
    by_origin: dict[str, list[str]] = {}
    for model in models:
        if model.net and "@random" not in model.name:
            origin = model.released.origin if model.released else "own files"
            by_origin.setdefault(origin, []).append(model.net.config.name)
    if len(by_origin) < 2:
        return []
    nets = " against ".join(f"{', '.join(names)} ({origin})" for origin, names in by_origin.items())
    depth = "depth with " if len({name for names in by_origin.values() for name in names}) > 1 else ""
    return [f"Weights of {len(by_origin)} origins: {nets} mixes {depth}training recipe and preprocessing."]


def _signatures(rows: Sequence[Row], about: Circumstances) -> list[str]:
    if not rows:
        return []
    widest = max(rows, key=lambda row: len(row.scales))
    if all(row.models == rows[0].models for row in rows):
        return [_signature(widest, about)]
    return [_signature(row, about) for row in rows]


def _signature(row: Row, about: Circumstances) -> str:
    from vggbench import __version__

    nets = " + ".join(f"{model.name}:{model.weights_hash[:8]}" for model in row.models)
    images = str(row.images) if row.images == about.data.total else f"{row.images}/{about.data.total}"
    return (
        f"vggbench {__version__} | {nets} | S{row.train_scale or NONE} | {about.data.name}:{images} | Q{_scales(row)}"
    )


def _long_signature(row: Row, about: Circumstances) -> str:
    """All that the figure depends on, ending in the hashes that name its runs."""
    inputs = "; ".join(dict.fromkeys(_input(model) for model in row.models))
    return " | ".join(
        [_signature(row, about), row.protocol, inputs, str(about.settings.rescale), about.settings.precision,
         "+".join(row.run_hashes)]
    )  # fmt: skip


def _made(about: Circumstances) -> str:
    ways = ", ".join(dict.fromkeys(f"{entry['backend']} on {entry['device']}" for entry in about.provenance))
    seconds = sum(entry["seconds"] for entry in about.provenance)
    return f"{about.settings.precision}, {ways}, {duration(seconds)} of forward passes"


def duration(seconds: float) -> str:
    """Seconds as people say them: 12 s, 4 min, 3 h 20, 12 days."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes >= 2 * 24 * 60:
        return f"{minutes / (24 * 60):,.0f} days"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d}"


def _by_input(models: Sequence[Model]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for model in models:
        found.setdefault(_input(model), []).append(model.name)
    return found


def _input(model: Model) -> str:
    pooling = f", {'ceil' if model.net.ceil_pool else 'floor'} pooling" if model.net else ""
    width = f", {model.net.width:g} of the paper's width" if model.net and model.net.width != 1 else ""
    return f"{model.input}{pooling}{width}"


def data_name(data: DataSet) -> str:
    """The images' name, and that the sample is one."""
    if data.is_sample:
        return data.name.replace("sample", "SAMPLE (drawn pictures)", 1)
    return "ILSVRC-2012 val" if data.is_full_ilsvrc_val else data.name


def data_title(data: DataSet, row: Row) -> str:
    """The images, and how many of them a row is of."""
    if not row.errors:
        return data_name(data)
    skipped = f" ({row.skipped} unreadable)" if row.skipped else ""
    subset = ", a subset" if len(data) != data.total else ""
    return f"{data_name(data)}, {row.images:,} of {data.total:,} images{skipped}{subset}"


def _scales(row: Row) -> str:
    return ",".join(str(scale) for scale in row.scales)


def gmacs(row: Row) -> str:
    """Per image, to print."""
    if row.macs is None:
        return NONE
    return f"{row.macs / 1e9:.1f}" if row.macs >= 1e10 else f"{row.macs / 1e9:.3f}"


def _params(row: Row) -> str:
    if row.parameters is None:
        return NONE
    return f"{row.parameters / 1e6:.{2 if row.parameters >= 1e7 else 3}f}"


def _percent(rate: ErrorRate) -> str:
    return f"{rate.percent:.{2 if rate.images >= _MANY else 1}f}"


def _bounds(rate: ErrorRate) -> str:
    digits = 2 if rate.images >= _MANY else 1
    low, high = rate.interval
    return f"{low:.{digits}f}-{high:.{digits}f}"


def error_cell(rate: ErrorRate) -> str:
    """An error with its interval, as wide as the number of images makes it."""
    if rate.images < _MANY:
        return f"{_percent(rate)} {_bounds(rate)}"
    low, high = rate.interval
    return f"{_percent(rate)} ±{(high - low) / 2:.2f}"


def _reference(reference: Reference | None, slash: str) -> str:
    return f"{reference.top1}{slash}{reference.top5}" if reference else NONE


def _difference(row: Row) -> str:
    if row.reference is None or row.errors is None:
        return NONE
    top1 = row.errors.top1.percent - row.reference.top1
    top5 = row.errors.top5.percent - row.reference.top5
    return f"{top1:+.1f} / {top5:+.1f}"

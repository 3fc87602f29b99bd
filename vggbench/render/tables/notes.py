"""What stands under a table: how it was made, of which images, what its intervals are, and its signature."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vggbench.data import DataSet
from vggbench.evaluation.jobs import Settings
from vggbench.metrics import LEAST_SIGNIFICANT
from vggbench.render.tables.cells import duration, images, is_many, p_value, paired_bounds, scales
from vggbench.render.tables.table import NONE, Note
from vggbench.results.judging import ORIGINAL
from vggbench.results.lines import Paired
from vggbench.results.rows import Row
from vggbench.store.identity import Identity
from vggbench.weights.released import by_name


@dataclass(frozen=True)
class Circumstances:
    """What the notes under a table say: the data, how the networks were run, and the time it took."""

    data: DataSet
    settings: Settings
    provenance: Sequence[dict[str, Any]]


GMACS_NOTE = Note("GMACs per image, all views, counted plainly; 1 MAC = 2 FLOPs.", ("GMACs", "GMACs/image"))


NO_TOP5 = "No top-5 error with five classes or fewer: all of them are among the five."


def notes(rows: Sequence[Row], about: Circumstances, gain: Paired | None = None) -> list[str | Note]:
    """All that a table of errors says under it; `gain` compares two of its rows."""
    measured = [row for row in rows if row.errors]
    found: list[str | Note] = []
    if measured:
        shape = "±" if is_many(measured[0].images) else "Bounds:"
        found.append(f"{shape} 95% Wilson, over images.{_paper_note(rows, about.data)}")
    found += _top5_note(measured)
    found += _counted_notes(measured)
    if measured and not is_many(measured[0].images):
        found.append(_grain_note(measured[0].images))
    if gain:
        found.append(_gain_note(gain, rows[0].labels))
    found += _against_note(rows)
    if measured and not about.data.is_full_ilsvrc_val:
        found.append("No reference column: published figures are for the whole ILSVRC-2012 val.")
    found.append(GMACS_NOTE)
    if any(row.images_per_second for row in measured):
        found.append(Note("Images/s: forward passes alone.", ("Images/s",), same_line=True))
    models = list({id(model): model for row in measured for model in row.models}.values())
    for text, names in _by_input(models).items():
        found.append(text if len(_by_input(models)) == 1 else f"{', '.join(names)}: {text}")
    if measured:
        found.append(f"{about.settings.rescale}, {_made(about)}")
        found.append(_decoded_note(about, measured))
    unnamed = [model.name for model in models if model.class_names is None and not about.data.by_index]
    if unnamed:
        found.append(f"{', '.join(unnamed)} names no classes: its outputs are taken as the folders in sorted order.")
    found += _taken_notes(models)
    found += _inputs_note(models)
    found += _origins_note(models)
    if any(model.is_random for model in models):
        found.append("Random weights: these errors mean nothing.")
    found += [f"{model.name} {_seen(model, about.data)}" for model in models if _seen(model, about.data)]
    found += [row.note for row in rows if row.note]
    found += _signatures(measured, about)
    return found


def made_notes(rows: Sequence[Row], about: Circumstances) -> list[str]:
    """How rows were made: inputs, rescaling, decoders, time, and the first row's signature."""
    models = list({id(model): model for row in rows for model in row.models}.values())
    inputs = _by_input(models)
    found = [] if is_many(rows[0].images) else [_grain_note(rows[0].images)]
    found += _top5_note(rows)
    found += [text if len(inputs) == 1 else f"{', '.join(names)}: {text}" for text, names in inputs.items()]
    found += [f"{about.settings.rescale}, {_made(about)}", _decoded_note(about, rows)]
    found += _taken_notes(models)
    if any(model.is_random for model in models):
        found.append("Random weights: these errors mean nothing.")
    found += [f"{model.name} {_seen(model, about.data)}" for model in models if _seen(model, about.data)]
    if len(models) > len(rows[0].models):
        found.append(f"Nets: {_named(models)}.")
    return [*found, _signature(rows[0], about)]


def _taken_notes(models: Sequence[Identity]) -> list[str]:
    """What was taken of files that hold several things."""
    return [f"{model.name}: {sentence}." for model in models for sentence in model.said]


def _top5_note(rows: Sequence[Row]) -> list[str]:
    return [NO_TOP5] if any(row.errors and row.errors.top5 is None for row in rows) else []


def _named(models: Sequence[Identity], between: str = ", ") -> str:
    return between.join(f"{model.name}:{model.weights_hash[:8]}" for model in models)


def _seen(model: Identity, data: DataSet) -> str | None:
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
        found.append(f"{images(blacklisted)} of the blacklist do not count; the paper counts all.")
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
            f" {images(len(doubtful))} decoded with a complaint of libjpeg, {image} ({why}): vggbench data --verify "
            "lists all."
        )
    return note


def _grain_note(total: int) -> str:
    """From fewer images than this apart, even if one row errs on all that the other errs on, McNemar's p is over 5%."""
    one, least = (100 * count / total for count in (1, LEAST_SIGNIFICANT))
    if least > 100:
        return f"{images(total)}: too few for any two rows to differ significantly."
    return (
        f"One image is {_brief(one)} points. Rows closer than {LEAST_SIGNIFICANT} images, {_brief(least)} points, "
        "never differ significantly; many wider apart do not either."
    )


def _brief(points: float) -> str:
    """Two digits, and never as 1e+02."""
    return f"{points:.0f}" if points >= 10 else f"{points:.2g}"


def _gain_note(gain: Paired, labels: str) -> str:
    p = p_value(gain.p)
    return (
        f"{gain.second} against {gain.first}: {gain.points:+.1f} points top-1 ({paired_bounds(gain)}), {gain.mended:,} "
        f"images mended and {gain.spoiled:,} spoiled{'' if labels == ORIGINAL.name else f' by the labels {labels}'}, "
        f"McNemar's exact p {p if p.startswith('<') else f'= {p}'}."
    )


def _against_note(rows: Sequence[Row]) -> list[Note]:
    compared = [row.against for row in rows if row.against]
    if not compared:
        return []
    count = f", Holm's correction for {len(compared)} tests" if len(compared) > 1 else ""
    heading = f"vs {compared[0].first}"
    in_full = f"Top-1 {heading} (points)"
    return [
        Note(
            f"{heading}: points of top-1 error on the same images; * significant at 5% (McNemar's exact test{count}).",
            (heading, in_full),
        ),
        Note("Interval, p: in Markdown, CSV, JSON.", (heading,), same_line=True),
    ]


def _paper_note(rows: Sequence[Row], data: DataSet) -> str:
    references = {row.reference.source for row in rows if row.reference} - publishers(rows)
    sources = [f"Paper: {', '.join(sorted(source.partition(', ')[2] for source in references))}"] if references else []
    sources += [f"Published: {source}" for source in sorted(publishers(rows))]
    if sources:
        return f" {'; '.join(sources)}, same S, Q, protocol; - none."
    if not data.is_full_ilsvrc_val:
        return ""
    if any(row.labels != ORIGINAL.name or row.blacklisted for row in rows):
        return " Published figures are by the original labels, over all images."
    return " The paper has no figure for these."


def publishers(rows: Sequence[Row]) -> set[str]:
    """The sources of references that are not the paper's."""
    return {row.reference.source for row in rows if row.reference and not row.reference.source.startswith("paper")}


def _inputs_note(models: Sequence[Identity]) -> list[str]:
    """How two sources of one config differ in what their weights need."""
    if (
        len(models) != 2
        or not models[0].architecture
        or not models[1].architecture
        or models[0].architecture.config != models[1].architecture.config
    ):
        return []
    facts = [
        (
            model.input.channels,
            f"0-{model.input.range}",
            "mean alone" if set(model.input.std) == {1.0} else "mean and std",
            f"{'ceil' if model.architecture.ceil_pool else 'floor'} pooling",
            f"S {model.train_scale or 'unknown'}",
        )
        for model in models
        if model.architecture
    ]
    differ = [f"{one} against {other}" for one, other in zip(*facts, strict=True) if one != other]
    names = f"{models[0].name} and {models[1].name}"
    return [f"{names} differ in what they need: {'; '.join(differ)}." if differ else f"{names} need the same input."]


def _origins_note(models: Sequence[Identity]) -> list[str]:
    """What it means that the weights of a table do not all come from the same training recipe."""
    by_origin: dict[str, list[str]] = {}
    for model in models:
        if model.architecture and not model.is_random:
            row = by_name(model.released)
            origin = row.origin if row else "own files"
            by_origin.setdefault(origin, []).append(model.architecture.config.name)
    if len(by_origin) < 2:
        return []
    nets = " against ".join(f"{', '.join(names)} ({origin})" for origin, names in by_origin.items())
    depth = "depth with " if len({name for names in by_origin.values() for name in names}) > 1 else ""
    return [f"Weights of {len(by_origin)} origins: {nets} mixes {depth}training recipe and preprocessing."]


def _signatures(rows: Sequence[Row], about: Circumstances) -> list[str]:
    """One for each net or fusion, with every Q of its rows."""
    by_start: dict[str, set[int]] = {}
    for row in rows:
        by_start.setdefault(_signature_start(row, about), set()).update(row.scales)
    return [f"{start} | Q{','.join(map(str, sorted(found)))}" for start, found in by_start.items()]


def _signature(row: Row, about: Circumstances) -> str:
    return f"{_signature_start(row, about)} | Q{scales(row)}"


def _signature_start(row: Row, about: Circumstances) -> str:
    from vggbench import __version__

    nets = _named(row.models, " + ")
    images = str(row.images) if row.images == about.data.total else f"{row.images}/{about.data.total}"
    return f"vggbench {__version__} | {nets} | S{row.train_scale or NONE} | {about.data.name}:{images}"


def long_signature(row: Row, about: Circumstances) -> str:
    """All that the figure depends on, ending in the hashes that name its runs."""
    inputs = "; ".join(dict.fromkeys(input_of(model) for model in row.models))
    made = [row.protocol, inputs, str(row.rescale), about.settings.precision, "+".join(row.run_hashes)]
    return " | ".join([_signature(row, about), *made])


def _made(about: Circumstances) -> str:
    ways = ", ".join(dict.fromkeys(f"{entry['backend']} on {entry['device']}" for entry in about.provenance))
    seconds = sum(entry["seconds"] for entry in about.provenance)
    return f"{about.settings.precision}, {ways}, {duration(seconds)} of forward passes"


def _by_input(models: Sequence[Identity]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for model in models:
        found.setdefault(input_of(model), []).append(model.name)
    return found


def input_of(model: Identity) -> str:
    """What a model expects, where it departs from the paper's width, and whether its file tells its layers apart."""
    pooling = f", {'ceil' if model.architecture.ceil_pool else 'floor'} pooling" if model.architecture else ""
    width = (
        f", {model.architecture.width:g} of the paper's width"
        if model.architecture and model.architecture.width != 1
        else ""
    )
    order = "" if model.is_described else ", layers by order of tensors"
    return f"{model.input}{pooling}{width}{order}"


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

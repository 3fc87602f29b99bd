"""What stands under a table, in words: how it was made, of which images, what its intervals are, and its signature."""

from collections.abc import Sequence

from vggbench.metrics import LEAST_SIGNIFICANT
from vggbench.paper.published import SHALLOW
from vggbench.render.tables.calibration import calibration_notes
from vggbench.render.tables.cells import duration, images, is_many, p_value, paired_bounds
from vggbench.render.tables.table import NONE, Note
from vggbench.results.circumstances import Circumstances
from vggbench.results.facts import Facts, Grain, Nets, facts_of
from vggbench.results.judging import ORIGINAL
from vggbench.results.lines import Paired
from vggbench.results.records import hashed_name, signature, signatures
from vggbench.results.rows import Row

GMACS_NOTE = Note("GMACs per image, all views, counted plainly; 1 MAC = 2 FLOPs.", ("GMACs", "GMACs/image"))
_NO_MACS = Note(
    "-: not known, as of predictions of other tools and ONNX files, and of dense of networks that are no VGG.",
    ("GMACs", "GMACs/image"), same_line=True,
)  # fmt: skip
NO_TOP5 = "No top-5 error with five classes or fewer: all of them are among the five."
RANDOM = "Random weights: these errors mean nothing."
_SEEN = {
    "learned from": "was trained on these very images: on others it errs more.",
    "chosen by": "is of the epoch that erred least on these very images: on others it may err more.",
}


def notes(rows: Sequence[Row], about: Circumstances, gain: Paired | None = None) -> list[str | Note]:
    """All that a table of errors says under it; `gain` compares two of its rows."""
    facts, measured = facts_of(rows, about.data), [row for row in rows if row.errors]
    has_others = measured and not about.data.is_full_ilsvrc_val
    unnamed = ", ".join(facts.nets.unnamed)
    return [
        *_interval_notes(facts, about),
        *([NO_TOP5] if facts.lacks_top5 else []),
        *_counted_notes(facts),
        *_grain_note(facts.grain),
        *([_gain_note(gain, rows[0].labels)] if gain else []),
        *_against_note(facts),
        *_mixed_note(facts),
        *calibration_notes(rows),
        *(["No reference column: published figures are for the whole ILSVRC-2012 val."] if has_others else []),
        GMACS_NOTE,
        *([_NO_MACS] if facts.without_macs else []),
        *([Note("Images/s: forward passes alone.", ("Images/s",), same_line=True)] if facts.has_speed else []),
        *_inputs_notes(facts.nets),
        *(_made_notes(facts, about) if measured else []),
        *([f"{unnamed} names no classes: its outputs are taken as the folders in sorted order."] if unnamed else []),
        *_taken_notes(facts.nets),
        *_differences_note(facts.nets),
        *_origins_note(facts.nets),
        *([f"{SHALLOW} Its images are ILSVRC-2012's."] if facts.nets.has_shallow_control else []),
        *_warnings(facts.nets),
        *facts.remarks,
        *signatures(measured, about),
    ]


def made_notes(rows: Sequence[Row], about: Circumstances) -> list[str]:
    """How measured rows were made: inputs, rescaling, decoders, time, and the first row's signature."""
    facts = facts_of(rows, about.data)
    found = _grain_note(facts.grain)
    found += [NO_TOP5] if facts.lacks_top5 else []
    found += _inputs_notes(facts.nets) + _made_notes(facts, about) + _taken_notes(facts.nets) + _warnings(facts.nets)
    if len(facts.nets.models) > len(rows[0].models):
        found.append(f"Nets: {', '.join(map(hashed_name, facts.nets.models))}.")
    return [*found, signature(rows[0], about)]


def _interval_notes(facts: Facts, about: Circumstances) -> list[str | Note]:
    """What the intervals are, by their shape."""
    if facts.grain is None:
        return []
    what = f"95% Wilson, over images.{_paper_note(facts, about)}"
    if is_many(facts.grain.images):
        return [f"± {what}"]
    return [Note(f"[low, high] {what}", ("Top-1",)), Note(f"Bounds: {what}", ("Top-1 95% CI",))]


def _inputs_notes(nets: Nets) -> list[str]:
    """What the nets expect, by name where it is not the same for all."""
    several = len(nets.by_input) > 1
    return [f"{', '.join(names)}: {text}" if several else text for text, names in nets.by_input.items()]


def _made_notes(facts: Facts, about: Circumstances) -> list[str]:
    if not about.ways:
        return []
    made = f"{about.settings.precision}, {', '.join(about.ways)}, {duration(about.seconds)} of forward passes"
    several = len(facts.rescales) > 1
    others = "all but own: " if facts.nets.presets else ""
    found = [f"{', '.join(names)}: {text}." if several else others + text for text, names in facts.rescales.items()]
    first = [*found, made] if several or not found else [f"{found[0]}, {made}"]
    first += [f"Crops of {', '.join(names)}: {side} x {side}." for side, names in facts.crops.items()]
    return [*_preset_notes(facts.nets), *first, *_whole_notes(facts), _decoded_note(facts, about)]


def _mixed_note(facts: Facts) -> list[str]:
    """Where a difference is not of networks alone."""
    if not facts.mixed:
        return []
    return [
        f"By different protocols: {'; '.join(facts.mixed)}. A difference is of network and protocol together; one "
        "protocol for all is asked for by its name, such as --center."
    ]


def _preset_notes(nets: Nets) -> list[str]:
    """How publishers evaluate their networks."""
    found = [f"own of {', '.join(names)}: {text}." for text, names in nets.presets.items()]
    return [*found, *(f"{name}: {remark}." for name, remark in nets.remarks)]


def _whole_notes(facts: Facts) -> list[str]:
    """What `dense` is of networks that are no VGG, and what their MACs lack."""
    found = [
        f"GMACs of {name} are without its operators {', '.join(names)}, which fvcore cannot count: marked ≥."
        for name, names in facts.uncounted.items()
    ]
    if facts.whole:
        found.append(
            f"dense of {', '.join(facts.whole)}, no VGG: its own pass over the whole rescaled image and its mirror. A "
            "map of scores is averaged over positions, as the paper does; a network that yields one score a class has "
            "averaged its last maps before its last layers instead: the same only where all that follows is linear."
        )
    return found


def _taken_notes(nets: Nets) -> list[str]:
    """What was taken of files that hold several things."""
    return [f"{model.name}: {sentence}." for model in nets.models for sentence in model.said]


def _warnings(nets: Nets) -> list[str]:
    """Why errors are not what they seem."""
    seen = [f"{name} {_SEEN[how]}" for name, how in nets.seen.items()]
    if not nets.random:
        return seen
    drawn = [model.name for model in nets.models if model.is_random]
    some = f"{', '.join(drawn)}: random weights, whose errors mean nothing."
    return [RANDOM if len(drawn) == len(nets.models) else some, *seen]


def _counted_notes(facts: Facts) -> list[str]:
    """Which of the evaluated images do not count, and why."""
    found = [
        f"{by.labels}: right is any of the classes that ReaL (Beyer et al. 2020) lists for an image; of the "
        f"{by.images:,} images {by.count:,} count, those without a class do not."
        for by in facts.counted
    ]
    if facts.classes_of_data and facts.nets.models:
        several = facts.nets.models[0].classes
        among = (
            f"{ORIGINAL.name}, data's classes: the image's class among those {facts.among:,} alone."
            if facts.among
            else "--classes-of-data only scores among those."
        )
        found.append(f"The data has {facts.classes_of_data:,} of the {several:,} classes of the networks. {among}")
    if facts.blacklisted:
        found.append(f"{images(facts.blacklisted)} of the blacklist do not count; the paper counts all.")
    return found


def _decoded_note(facts: Facts, about: Circumstances) -> str:
    """The decoders, which can move a figure, and what they doubted."""
    decoders = "; ".join(f"torchvision {jpeg or NONE}, Pillow {other or NONE}" for jpeg, other in about.decoders)
    note = f"Decoded by {decoders} (CMYK and other than JPEG); EXIF orientation ignored."
    if facts.doubtful:
        image, why = next(iter(facts.doubtful.items()))
        note += (
            f" {images(len(facts.doubtful))} decoded with a complaint of libjpeg, {image} ({why}): vggbench data "
            "--verify lists all."
        )
    return note


def _grain_note(grain: Grain | None) -> list[str]:
    """Of few images."""
    if grain is None or is_many(grain.images):
        return []
    if grain.least > 100:
        return [f"{images(grain.images)}: too few for any two rows to differ significantly."]
    return [
        f"One image is {_brief(grain.one)} points. Rows closer than {LEAST_SIGNIFICANT} images, "
        f"{_brief(grain.least)} points, never differ significantly; many wider apart do not either."
    ]


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


def _against_note(facts: Facts) -> list[Note]:
    if not facts.tests:
        return []
    count = f", Holm's correction for {facts.tests} tests" if facts.tests > 1 else ""
    heading = f"vs {facts.baseline}"
    in_full = f"Top-1 {heading} (points)"
    return [
        Note(
            f"{heading}: points of top-1 error on the same images; * significant at 5% (McNemar's exact test{count}).",
            (heading, in_full),
        ),
        Note("Interval, p: in Markdown, CSV, JSON.", (heading,), same_line=True),
    ]


def _paper_note(facts: Facts, about: Circumstances) -> str:
    sources = [f"Paper: {', '.join(facts.papers)}"] if facts.papers else []
    sources += [f"Published: {source}" for source in facts.publishers]
    if sources:
        return f" {'; '.join(sources)}, same S, Q, protocol; - none."
    if not about.data.is_full_ilsvrc_val:
        return ""
    if not facts.is_original:
        return " Published figures are by the original labels, over all images."
    return " The paper has no figure for these."


def _differences_note(nets: Nets) -> list[str]:
    """How two sources of one config differ in what their weights need."""
    if nets.differences is None:
        return []
    names = " and ".join(model.name for model in nets.models)
    if not nets.differences:
        return [f"{names} need the same input."]
    return [f"{names} differ in what they need: {'; '.join(f'{a} against {b}' for a, b in nets.differences)}."]


def _origins_note(nets: Nets) -> list[str]:
    """What it means that the weights of a table do not all come from the same training recipe."""
    if len(nets.origins) < 2:
        return []
    named = " against ".join(f"{', '.join(configs)} ({origin})" for origin, configs in nets.origins.items())
    depth = "depth with " if len({name for configs in nets.origins.values() for name in configs}) > 1 else ""
    return [f"Weights of {len(nets.origins)} origins: {named} mixes {depth}training recipe and preprocessing."]

"""Notes under a table of errors: intervals and tests, how it was made and from which images, and signatures."""

from collections.abc import Mapping, Sequence

from vggbench.metrics import LEAST_SIGNIFICANT
from vggbench.paper.published import SHALLOW
from vggbench.render.tables.calibration import calibration_notes
from vggbench.render.tables.cells import duration, images, is_many, p_value, paired_bounds
from vggbench.render.tables.footer import UNSIGNED, Note, Signed
from vggbench.render.tables.table import NONE
from vggbench.results.circumstances import Circumstances
from vggbench.results.facts import Facts, Grain, Nets, facts_of
from vggbench.results.judging import ORIGINAL
from vggbench.results.lines import Paired
from vggbench.results.records import hashed_name, shared_signature, signature, signatures
from vggbench.results.rows import Row

GMACS_NOTE = Note(
    "GMACs: per image, over all views, without savings by shared crops; 1 MAC = 2 FLOPs.", ("GMACs", "GMACs/image"),
    kind="gmacs", place="detail",
)  # fmt: skip
_NO_MACS = Note(
    "GMACs -: not known for predictions of other tools, ONNX files, and dense evaluation of networks other than VGGs.",
    ("GMACs", "GMACs/image"), kind="no-macs", place="detail",
)  # fmt: skip
_SPEED = Note("Images/s: forward passes alone.", ("Images/s",), kind="speed", place="detail")
NO_TOP5 = "No top-5 error: with five classes or fewer, all are among the five."
RANDOM = "Random weights: these errors mean nothing."
_SEEN = {
    "learned from": "was trained on these images: its error on others is higher.",
    "chosen by": "was selected by its error on these images: its error on others may be higher.",
}


def notes(rows: Sequence[Row], about: Circumstances, gain: Paired | None = None) -> list[Note]:
    """The notes under a table of errors, the most needed first; `gain` compares two of its rows."""
    facts, measured = facts_of(rows, about.data), [row for row in rows if row.errors]
    return [
        *_input_note(facts, about),
        *_preset_notes(facts.nets),
        *_interval_notes(facts),
        *([_gain_note(gain, rows[0].labels)] if gain else []),
        *_against_note(facts),
        *_reference_notes(facts, about),
        *_warnings(facts.nets),
        *_mixed_note(facts),
        *(Note(remark, kind="row", place="always") for remark in facts.remarks),
        *_no_top5(facts),
        *_counted_notes(facts),
        *_origins_note(facts.nets),
        *_grain_note(facts.grain),
        *(_made_notes(facts, about) if measured else []),
        *_taken_notes(facts.nets),
        *_differences_note(facts.nets),
        *calibration_notes(rows),
        GMACS_NOTE,
        *([_SPEED] if facts.has_speed else []),
        *([_NO_MACS] if facts.without_macs else []),
        *([Note(f"{SHALLOW} Its images are ILSVRC-2012's.", kind="shallow")] if facts.nets.has_shallow_control else []),
    ]


def signed(rows: Sequence[Row], about: Circumstances) -> Signed:
    """The signatures of a table of these rows."""
    measured = [row for row in rows if row.errors]
    return Signed(tuple(signatures(measured, about)), shared_signature(measured, about))


def made_notes(rows: Sequence[Row], about: Circumstances) -> list[Note]:
    """How measured rows were made: inputs, rescaling, decoders and time."""
    facts = facts_of(rows, about.data)
    found = [
        *_input_note(facts, about),
        *_preset_notes(facts.nets),
        *_warnings(facts.nets),
        *_no_top5(facts),
        *_grain_note(facts.grain),
    ]
    found += [*_made_notes(facts, about), *_taken_notes(facts.nets)]
    if len(facts.nets.models) > len(rows[0].models):
        names = ", ".join(map(hashed_name, facts.nets.models))
        found.append(Note(f"Nets: {names}.", kind="nets", place="detail"))
    return found


def made_signed(rows: Sequence[Row], about: Circumstances) -> Signed:
    """The signature of the first row."""
    return Signed((signature(rows[0], about),)) if rows else UNSIGNED


def _interval_notes(facts: Facts) -> list[Note]:
    """What the intervals are, by their shape."""
    if facts.grain is None:
        return []
    what = "95% Wilson interval over images."
    if is_many(facts.grain.images):
        return [Note(f"±: {what}", kind="interval", place="always")]
    return [
        Note(f"[low, high]: {what}", ("Top-1",), kind="interval", place="always"),
        Note("Intervals: 95% Wilson, over images.", ("Top-1 95% CI",), kind="interval"),
    ]


def _reference_notes(facts: Facts, about: Circumstances) -> list[Note]:
    """The source of published figures, or why there are none."""
    sources = [f"Paper: {', '.join(facts.papers)}"] if facts.papers else []
    sources += [f"Published: {source}" for source in facts.publishers]
    if sources:
        return [Note(f"{'; '.join(sources)}; same S, Q and protocol; - where there is none.", kind="reference")]
    if facts.grain is None:
        return []
    if not about.data.is_full_ilsvrc_val:
        why = "published figures are for the whole ILSVRC-2012 val."
    elif not facts.is_original:
        why = "published figures are by the original labels, over all images."
    else:
        why = "the paper has no figure for these."
    return [Note(f"No reference: {why}", kind="no-reference", place="detail")]


def _no_top5(facts: Facts) -> list[Note]:
    return [Note(NO_TOP5, kind="no-top5")] if facts.lacks_top5 else []


def _input_note(facts: Facts, about: Circumstances) -> list[Note]:
    """What the nets expect, and how images were rescaled for them, by name where that differs; and what ran them."""
    if facts.grain is None:
        return []
    inputs = _by_name(facts.nets.by_input, "")
    few = inputs if len(inputs) < 3 else [f"{len(inputs)} kinds of input"]
    if len(inputs) == 2 and len(list(facts.nets.by_input.values())[1]) > 1:
        few = [inputs[0], f"others: {list(facts.nets.by_input)[1]}"]
    rescales = _by_name(facts.rescales, "all but own: " if facts.nets.presets else "")
    ways = ", ".join([about.settings.precision, *about.ways]) if about.ways else ""
    time = f"{ways}, {duration(about.seconds)} of forward passes" if ways else ""
    text, brief = ("; ".join(filter(None, parts)) for parts in ([*inputs, *rescales, time], [*few, *rescales, ways]))
    return [Note(f"{text}.", kind="input", brief=None if text == brief else f"{brief}.", place="always")]


def _by_name(found: Mapping[str, tuple[str, ...]], alone: str) -> list[str]:
    """Each text, with the networks that it is of where there are several texts."""
    several = len(found) > 1
    return [f"{', '.join(names)}: {text}" if several else f"{alone}{text}" for text, names in found.items()]


def _made_notes(facts: Facts, about: Circumstances) -> list[Note]:
    if not about.ways:
        return []
    crops = [
        Note(f"Crops of {', '.join(names)}: {side} x {side}.", kind="crops") for side, names in facts.crops.items()
    ]
    return [*crops, *_whole_notes(facts), *_decoded_notes(facts, about)]


def _mixed_note(facts: Facts) -> list[Note]:
    """A warning if a difference is not of networks alone."""
    if not facts.mixed:
        return []
    brief = "The protocols differ, so a difference is of network and protocol together."
    return [
        Note(
            f"{brief} {'; '.join(facts.mixed)}. For the same protocol for all, name it, such as --center.",
            kind="mixed", brief=brief, place="always",
        )
    ]  # fmt: skip


def _preset_notes(nets: Nets) -> list[Note]:
    """How publishers evaluate their networks."""
    found = [f"own of {', '.join(names)}: {text}." for text, names in nets.presets.items()]
    remarks = [f"{name}: {remark}." for name, remark in nets.remarks]
    return [*(Note(text, kind="own", place="always") for text in found), *(Note(text, kind="own") for text in remarks)]


def _whole_notes(facts: Facts) -> list[Note]:
    """What `dense` is of networks that are not VGGs, and what their MACs lack."""
    found = [
        Note(
            f"GMACs ≥: fvcore cannot count the operators {', '.join(names)} of {name}.", kind="uncounted",
            place="detail",
        )
        for name, names in facts.uncounted.items()
    ]  # fmt: skip
    if facts.whole:
        brief = f"dense of {', '.join(facts.whole)}: one pass over the whole image, and one over its mirror."
        found.append(
            Note(
                f"{brief} A map of scores is averaged over positions, as in the paper. A network with one score "
                "per class averages its last feature maps instead, which is the same if all later layers are linear.",
                kind="dense", brief=brief,
            )
        )  # fmt: skip
    return found


def _taken_notes(nets: Nets) -> list[Note]:
    """What was taken of files that hold several things."""
    return [Note(f"{model.name}: {sentence}.", kind="taken") for model in nets.models for sentence in model.said]


def _warnings(nets: Nets) -> list[Note]:
    """Why errors are not what they seem."""
    found = [Note(f"{name} {_SEEN[how]}", kind="seen", place="always") for name, how in nets.seen.items()]
    if nets.random:
        drawn = [model.name for model in nets.models if model.is_random]
        some = f"{', '.join(drawn)}: random weights, whose errors mean nothing."
        text = RANDOM if len(drawn) == len(nets.models) else some
        found.append(Note(text, kind="random", place="always"))
    if nets.unnamed:
        found.append(
            Note(
                f"{', '.join(nets.unnamed)}: states no class names, so outputs are matched to folders in sorted order.",
                kind="unnamed", place="always",
            )
        )  # fmt: skip
    return found


def _counted_notes(facts: Facts) -> list[Note]:
    """Which of the evaluated images count, by which labels and among which classes."""
    found = [
        Note(
            f"{by.labels}: any class that ReaL (Beyer et al. 2020) lists for an image is right; {by.count:,} of "
            f"{by.images:,} images have one and count.",
            kind="labels",
            brief=f"{by.labels}: any class that ReaL lists is right; {by.count:,} of {by.images:,} images count.",
            place="always",
        )
        for by in facts.counted
    ]
    if facts.classes_of_data and facts.nets.models:
        several = facts.nets.models[0].classes
        has = f"The data has {facts.classes_of_data:,} of the networks' {several:,} classes"
        text = (
            f"{has}. {ORIGINAL.name}, data's classes: the most probable of those {facts.among:,}."
            if facts.among
            else f"{has}; --classes-of-data only scores among those."
        )
        found.append(Note(text, kind="classes", brief=f"{has}.", place="always"))
    if facts.blacklisted:
        text = f"{images(facts.blacklisted)} of the blacklist do not count; the paper counts all."
        found.append(Note(text, kind="blacklist", place="always"))
    return found


def _decoded_notes(facts: Facts, about: Circumstances) -> list[Note]:
    """What libjpeg complained of, and the decoders, which can move a figure."""
    found = []
    if facts.doubtful:
        image, why = next(iter(facts.doubtful.items()))
        brief = f"libjpeg complained of {images(len(facts.doubtful))}: see vggbench data --verify."
        text = f"{brief[:-1]}. The first is {image} ({why})."
        found.append(Note(text, kind="doubtful", brief=brief))
    decoders = "; ".join(f"torchvision {jpeg or NONE}, Pillow {other or NONE}" for jpeg, other in about.decoders)
    text = f"Decoders: {decoders} (CMYK, and formats other than JPEG); EXIF orientation is ignored."
    return [*found, Note(text, kind="decoders", place="detail")]


def _grain_note(grain: Grain | None) -> list[Note]:
    """How much one image counts, if there are few."""
    if grain is None or is_many(grain.images):
        return []
    if grain.least > 100:
        return [Note(f"{images(grain.images)}: too few for any two rows to differ significantly.", kind="grain")]
    brief = f"One image is {_brief(grain.one)} points; less than {_brief(grain.least)} points is never significant."
    text = (
        f"One image is {_brief(grain.one)} points. Rows that differ by fewer than {LEAST_SIGNIFICANT} images, "
        f"{_brief(grain.least)} points, never differ significantly; many that differ by more do not either."
    )
    return [Note(text, kind="grain", brief=brief)]


def _brief(points: float) -> str:
    """Two digits, and never as 1e+02."""
    return f"{points:.0f}" if points >= 10 else f"{points:.2g}"


def _gain_note(gain: Paired, labels: str) -> Note:
    p = p_value(gain.p)
    p = p if p.startswith("<") else f"= {p}"
    by = "" if labels == ORIGINAL.name else f" by the labels {labels}"
    return Note(
        f"{gain.second} against {gain.first}: {gain.points:+.1f} points top-1 ({paired_bounds(gain)}), "
        f"{gain.fixed:,} fixed, {gain.broken:,} broken{by}; McNemar's exact p {p}.",
        kind="gain", brief=f"{gain.second} minus {gain.first}: {gain.points:+.1f} points, p {p}.", place="always",
    )  # fmt: skip


def _against_note(facts: Facts) -> list[Note]:
    if not facts.tests:
        return []
    heading = f"vs {facts.baseline}"
    in_full = f"Top-1 {heading} (points)"
    after = f" after Holm's correction ({facts.tests} tests)" if facts.tests > 1 else ""
    text = f"{heading}: points of top-1 error on the same images; * significant at 5%"
    by = f"McNemar's exact test{after}"
    return [
        Note(
            f"{text}, by {by}. Markdown, CSV and JSON hold interval and p.", (heading,), kind="against",
            brief=f"{heading}: points of top-1 error; * significant at 5%{after}.",
        ),
        Note(f"{text}, by {by}.", (in_full,), kind="against"),
    ]  # fmt: skip


def _differences_note(nets: Nets) -> list[Note]:
    """How two sources of one config differ in what their weights need."""
    if nets.differences is None:
        return []
    names = " and ".join(model.name for model in nets.models)
    if not nets.differences:
        return [Note(f"{names} need the same input.", kind="differences", place="detail")]
    listed = "; ".join(f"{a} against {b}" for a, b in nets.differences)
    return [Note(f"{names} differ in what they need: {listed}.", kind="differences")]


def _origins_note(nets: Nets) -> list[Note]:
    """What it means that the weights of a table do not all come from the same training recipe."""
    if len(nets.origins) < 2:
        return []
    named = " against ".join(f"{', '.join(configs)} ({origin})" for origin, configs in nets.origins.items())
    depth = "depth, " if len({name for configs in nets.origins.values() for name in configs}) > 1 else ""
    end = f"a difference mixes {depth}training recipe and preprocessing."
    start = f"Weights of {len(nets.origins)} origins"
    return [Note(f"{start}, {named}: {end}", kind="origins", brief=f"{start}: {end}")]

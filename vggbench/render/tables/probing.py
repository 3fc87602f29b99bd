"""The table of `probe`: a row a set of features, what made it, and the paper's figure beside one that is alike."""

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vggbench.paper.probes import ProbeProtocol
from vggbench.render.tables.cells import error_cell, error_in_markdown
from vggbench.render.tables.table import NONE, Column, Table

if TYPE_CHECKING:
    from vggbench.studies.probing.probed import Probed, ProbeRow

_SHOWN = 8
"""Characters of a hash."""


def probing_table(found: "Probed") -> Table:
    """All rows by one protocol."""
    metric = found.protocol.metric

    def columns(*, markdown: bool) -> list[Column]:
        return [
            Column("Network", lambda row: network(row.descriptors.about), folds=True),
            Column("Layer", lambda row: _each(row, layer)),
            Column("Q", lambda row: _each(row, lambda about: ",".join(map(str, about["scales"])))),
            Column("Over Q", lambda row: _each(row, lambda about: about["over_scales"] or NONE), optional=True),
            Column("Numbers", lambda row: f"{row.descriptors.matrix.shape[1]:,}", right=True, spare=True),
            Column("C", _costs, right=True),
            Column(metric if metric == "mAP" else metric.capitalize(), _figure, right=True),
            Column("Top-1 error", lambda row: _error(row, markdown=markdown), right=True, optional=True),
            Column("Paper", _paper, right=True, optional=True),
            Column("Difference", _difference, right=True, optional=True),
        ]

    return Table(
        title=f"{found.protocol.title} | linear SVM on descriptors | {metric}, %",
        rows=found.rows,
        terminal=columns(markdown=False),
        markdown=columns(markdown=True),
        record=lambda row: _record(row, found),
        notes=_notes(found),
    )


def network(several: Sequence[Mapping[str, Any]]) -> str:
    """The nets of all files, each once."""
    return " + ".join(dict.fromkeys(str(model) for about in several for model in about["models"]))


def layer(about: Mapping[str, Any]) -> str:
    """The layer, and what is unusual of it."""
    flat = ", flattened" if about["pool"] == "flatten" else ""
    return f"{about['layer']}{'' if about['after_relu'] else ' before ReLU'}{flat}"


def _each(row: "ProbeRow", text: Any) -> str:
    return " + ".join(dict.fromkeys(text(about) for about in row.descriptors.about))


def _costs(row: "ProbeRow") -> str:
    texts = [f"{outcome.cost:g}" for outcome in row.outcomes]
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts)


def _figure(row: "ProbeRow") -> str:
    return _with_deviation(row.figure, row.deviation)


def _with_deviation(figure: float, deviation: float | None, digits: int = 2) -> str:
    return f"{figure:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")


def _error(row: "ProbeRow", *, markdown: bool) -> str:
    errors = [outcome.error for outcome in row.outcomes if outcome.error]
    if len(errors) == 1:
        return error_in_markdown(errors[0]) if markdown else error_cell(errors[0])
    return f"{statistics.fmean(error.percent for error in errors):.2f}" if errors else NONE


def _paper(row: "ProbeRow") -> str:
    if row.paper is None:
        return NONE
    return _with_deviation(row.paper[0], row.paper[1] if len(row.paper) > 1 else None, 1)


def _difference(row: "ProbeRow") -> str:
    return NONE if row.paper is None else f"{row.figure - row.paper[0]:+.2f}"


def _record(row: "ProbeRow", found: "Probed") -> dict[str, Any]:
    """For CSV and JSON; keys may be added, never renamed."""
    abouts, outcomes, request = row.descriptors.about, row.outcomes, found.request
    errors = [outcome.error for outcome in outcomes if outcome.error]
    return {
        "network": network(abouts),
        "layer": [layer(about) for about in abouts],
        "test_scales": [",".join(map(str, about["scales"])) for about in abouts],
        "over_scales": [about["over_scales"] for about in abouts],
        "views": [about["views"] for about in abouts],
        "numbers": int(row.descriptors.matrix.shape[1]),
        "protocol": found.protocol.name,
        "metric": found.protocol.metric,
        "figure": row.figure,
        "deviation": row.deviation,
        "by_split": [outcome.figure for outcome in outcomes],
        "top1_error": statistics.fmean(error.percent for error in errors) if errors else None,
        "top1_interval": list(errors[0].interval) if len(errors) == 1 else None,
        "classes": found.classes,
        "train_images": [outcome.train for outcome in outcomes],
        "test_images": [outcome.test for outcome in outcomes],
        "cost": [outcome.cost for outcome in outcomes],
        "costs_tried": list(request.costs),
        "held_out": [outcome.held_out for outcome in outcomes],
        "folds": found.folds,
        "seed": found.seed,
        "unconverged": row.fits.unconverged,
        "splits_sha256": found.splits_sha256,
        "data": abouts[0]["data"],
        "weights": [weights for about in abouts for weights in about["weights"]],
        "signatures": [signature for about in abouts for signature in about["signatures"]],
        "scikit_learn": found.sklearn,
        "paper": row.paper[0] if row.paper else None,
        "paper_deviation": row.paper[1] if row.paper and len(row.paper) > 1 else None,
        "by_class": _by_class(row),
    }


def _by_class(row: "ProbeRow") -> dict[str, float | None]:
    """The mean over the splits that test a class."""
    met: dict[str, list[float]] = {}
    for outcome in row.outcomes:
        for name, figure in outcome.by_class.items():
            met.setdefault(name, []).extend([] if figure is None else [figure])
    return {name: round(statistics.fmean(figures), 4) if figures else None for name, figures in met.items()}


def _notes(found: "Probed") -> list[str]:
    return [_meaning(found), f"{found.parts[0].upper()}{found.parts[1:]}.", _choice(found), *found.notes, *_made(found),
            *_unlike(found)]  # fmt: skip


def _meaning(found: "Probed") -> str:
    protocol = found.protocol
    if protocol.is_voc:
        rule = (
            "the mean of precision at recalls 0, 0.1 to 1" if protocol.has_eleven_points else "the area under the curve"
        )
        return (
            f"mAP: the mean over {found.classes} classes of VOC's average precision, by the rule of {protocol.year}: "
            f"{rule}, no precision below that at a higher recall."
        )
    several = len(found.rows[0].outcomes)
    deviation = f"; ± the standard deviation over the {several} splits (n - 1)" if several > 1 else ""
    return (
        f"Mean class recall: the mean over {found.classes} classes of the share of a class's test images that are "
        f"predicted as it{deviation}."
    )


def _choice(found: "Probed") -> str:
    costs, protocol = found.request.costs, found.protocol
    stacked = ", stacked ones made so again" if any(len(row.descriptors.about) > 1 for row in found.rows) else ""
    machine = f"LinearSVC of scikit-learn {found.sklearn}, one against the rest, on descriptors of length 1{stacked}"
    if len(costs) == 1:
        return f"{machine}; C={costs[0]:g} was given."
    tried = " ".join(f"{cost:g}" for cost in sorted(costs))
    if protocol.is_voc:
        where = f"on {found.held_out}"
    else:
        folds = (
            "a fifth of each class's" if found.folds == 1 else f"{_COUNTS[found.folds]} fifths in turn of each class's"
        )
        where = f"on {folds} training images (seed {found.seed})"
    return f"{machine}; C of {tried} by the {protocol.metric} {where}, then fitted to all that train."


_COUNTS = {2: "two", 3: "three", 4: "four", 5: "all five"}


def _made(found: "Probed") -> list[str]:
    """What made each net's descriptors, each once."""
    lines: dict[str, None] = {}
    for row in found.rows:
        for about in row.descriptors.about:
            for model, weights in zip(about["models"], about["weights"], strict=True):
                lines[f"{model}: weights {str(weights)[:_SHOWN]}"] = None
    signatures = dict.fromkeys(
        str(signature)[:_SHOWN] for row in found.rows for about in row.descriptors.about
        for signature in about["signatures"]
    )  # fmt: skip
    splits = f" Splits {found.splits_sha256[:_SHOWN]}." if found.splits_sha256 else ""
    return [f"{'; '.join(lines)}. Signatures {' '.join(signatures)}.{splits}"]


def _unlike(found: "Probed") -> list[str]:
    protocol = found.protocol
    if not protocol.scales or all(row.paper for row in found.rows):
        return []
    return [f"The paper's figures are of {papers_descriptors(protocol)}; a row unlike that in anything has none."]


def papers_descriptors(protocol: ProbeProtocol) -> str:
    """What the paper's figure of a set is of."""
    over = "averaged" if protocol.over_scales == "average" else "stacked"
    images = f"all {protocol.images:,} images" if protocol.images else "the test images, whose labels are not public"
    return (
        f"Oxford's D and E, fc7 after ReLU, the whole image and its mirror, Q={','.join(map(str, protocol.scales))} "
        f"{over}, and {images}"
    )

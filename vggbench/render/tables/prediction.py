"""The table of `predict`: the most probable classes of each image."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vggbench.render.tables.table import Column, Table

if TYPE_CHECKING:
    from vggbench.studies.prediction import Guess, Predictor

_KEYS = (
    "image", "rank", "class", "name", "probability", "network", "weights_hash", "protocol", "test_scales", "input",
    "rescale", "precision",
)  # fmt: skip


def prediction_table(predictor: "Predictor", rows: "Sequence[Guess]") -> Table:
    """The guesses of all images; those without a posterior are left to the caller to name."""
    how = _how(predictor)
    wnids = any(row.own != row.words for row in rows)
    model = predictor.model.identity
    return Table(
        title=f"{model.name}{' (SAMPLE: drawn pictures alone)' if model.source == 'sample' else ''} | {how}",
        rows=rows,
        terminal=[
            Column("Image", lambda r: r.image if r.rank == 1 else "", folds=True),
            Column("Class", lambda r: r.words, folds=True),
            *([Column("WordNet", lambda r: r.own, from_width=100)] if wnids else []),
            Column("%", lambda r: f"{100 * r.probability:.1f}", right=True),
        ],
        markdown=[
            Column("Image", lambda r: r.image),
            Column("Rank", lambda r: str(r.rank), right=True),
            Column("Class", lambda r: r.own),
            *([Column("Name", lambda r: r.words)] if wnids else []),
            Column("Probability (%)", lambda r: f"{100 * r.probability:.2f}", right=True),
        ],
        record=lambda row: _record(row, predictor),
        notes=[
            f"{model.input}{_pooling(predictor)}, {_rescaled(predictor)}, {predictor.settings.precision}",
            f"weights {model.weights_hash[:8]}, S {model.train_scale or 'unknown'}",
        ],
        keys=_KEYS,
    )


def _record(row: "Guess", predictor: "Predictor") -> dict[str, Any]:
    model = predictor.model.identity
    return {
        "image": row.image,
        "rank": row.rank,
        "class": row.own,
        "name": row.words,
        "probability": row.probability,
        "network": model.name,
        "weights_hash": model.weights_hash,
        "protocol": "+".join(dict.fromkeys(str(job.protocol) for job in predictor.jobs)),
        "test_scales": sorted({job.scale for job in predictor.jobs}),
        "input": f"{model.input}{_pooling(predictor)}",
        "rescale": _rescaled(predictor),
        "precision": predictor.settings.precision,
    }


def _how(predictor: "Predictor") -> str:
    scales: dict[str, list[str]] = {}
    for job in predictor.jobs:
        scales.setdefault(str(job.protocol), []).append(str(job.scale))
    return " + ".join(f"{protocol} at Q={','.join(own)}" for protocol, own in scales.items())


def _rescaled(predictor: "Predictor") -> str:
    how = predictor.settings.rescale
    return "; ".join(dict.fromkeys(str(job.rescale or how) for job in predictor.jobs))


def _pooling(predictor: "Predictor") -> str:
    net = predictor.model.identity.architecture
    return f", {'ceil' if net.ceil_pool else 'floor'} pooling" if net else ""

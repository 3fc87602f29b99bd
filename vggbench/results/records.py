"""A row for JSON and CSV, and the signature: what its figures depend on."""

from collections.abc import Sequence
from typing import Any

from vggbench import __version__
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import IMPORTED
from vggbench.results.circumstances import Circumstances
from vggbench.results.rows import Row
from vggbench.store.identity import Identity

_NAMED = 3
"""Networks that the one line of a table names with their hashes."""


def error_record(row: Row, about: Circumstances) -> dict[str, Any]:
    """One row for JSON and CSV; keys may be added, never renamed."""
    nets = [model.architecture for model in row.models if model.architecture]
    top1, top5 = (row.errors.top1, row.errors.top5) if row.errors else (None, None)
    macs = None if row.macs is None else row.macs / 1e9
    total = about.data.total
    return {
        "network": row.network,
        "config": row.config,
        "weights": "+".join(_weights(model) for model in row.models) or None,
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
        "crop": crops[0] if len(crops := sorted({part.crop for part in row.parts if part.crop})) == 1 else None,
        "scored_classes": row.among or (row.models[0].classes if row.models else None),
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
        "uncounted_operators": list(row.uncounted),
        "precision": None if any(model.is_imported for model in row.models) else about.settings.precision,
        "backend": row.backend,
        "input": "; ".join(dict.fromkeys(input_of(model) for model in row.models)) or None,
        "rescale": row.rescale or str(about.settings.rescale),
        "signature": long_signature(row, about) if row.models else None,
        "images_per_second": row.images_per_second,
        "against": row.against and row.against.first,
        "against_points": row.against and row.against.points,
        "against_interval": row.against and list(row.against.interval),
        "against_p": row.against and row.against.p,
        "against_p_holm": row.against and row.against.p_holm,
        "significant": row.against and row.against.is_significant,
        "note": row.note,
    } | _calibration_record(row)


def _calibration_record(row: Row) -> dict[str, Any]:
    """The keys of calibration, if it was asked for."""
    found = row.calibration
    if found is None:
        return {}
    return {
        "nll": found.nll,
        "nll_clamped": found.clamped,
        "brier": found.brier,
        "ece": found.ece,
        "ece_equal_mass": found.ece_equal_mass,
        "temperature": found.temperature,
        "ece_tempered": found.ece_tempered,
        "aurc": found.aurc,
    }


def _weights(model: Identity) -> str:
    """The source of the weights, and how they are run if otherwise than usual."""
    return (model.source or "") + (f" ({model.altered})" if model.altered else "")


def input_of(model: Identity) -> str:
    """What a model expects, where it departs from the paper's width, and whether its file tells its layers apart."""
    net = model.architecture
    if model.input is None:
        return f"imported from {model.source}, how it saw the images is not known"
    if model.kind:
        return model.input.in_full()
    pooling = f", {'ceil' if net.ceil_pool else 'floor'} pooling" if net else ""
    width = f", {net.width:g} of the paper's width" if net and net.width != 1 else ""
    order = "" if model.is_described else ", layers by order of tensors"
    return f"{model.input}{pooling}{width}{order}"


def signatures(rows: Sequence[Row], about: Circumstances) -> list[str]:
    """One for each net or fusion, with every Q of its rows."""
    by_start: dict[str, set[int]] = {}
    for row in rows:
        by_start.setdefault(_start(row, about), set()).update(row.scales)
    return [f"{start} | Q{','.join(map(str, sorted(found))) or '-'}" for start, found in by_start.items()]


def shared_signature(rows: Sequence[Row], about: Circumstances) -> str | None:
    """One line for rows of several networks, with hashes of up to three; None for one network or fusion."""
    if len(signatures(rows, about)) < 2:
        return None
    nets = list({net: None for row in rows for net in _nets(row).split(" + ")})
    named = " ".join(nets) if len(nets) <= _NAMED else f"{len(nets)} networks"
    train = ",".join(dict.fromkeys(row.train_scale or "-" for row in rows))
    scales = ",".join(map(str, sorted({scale for row in rows for scale in row.scales}))) or "-"
    counts = "; ".join(dict.fromkeys(_images(row, about) for row in rows))
    return f"vggbench {__version__} | {named} | S{train} | {counts} | Q{scales}"


def signature(row: Row, about: Circumstances) -> str:
    """In one line."""
    return f"{_start(row, about)} | Q{','.join(map(str, row.scales)) or '-'}"


def long_signature(row: Row, about: Circumstances) -> str:
    """All that the figure depends on, ending in the hashes that name its runs."""
    inputs = "; ".join(dict.fromkeys(input_of(model) for model in row.models))
    crops = sorted({part.crop for part in row.parts if part.crop not in (None, CROP)})
    inputs += f", crops of {', '.join(map(str, crops))}" if crops else ""
    ours = [] if row.protocol == IMPORTED else [str(row.rescale), about.settings.precision]
    made = [row.protocol, inputs, *ours, "+".join(row.run_hashes)]
    return " | ".join([signature(row, about), *made])


def _start(row: Row, about: Circumstances) -> str:
    return f"vggbench {__version__} | {_nets(row)} | S{row.train_scale or '-'} | {_images(row, about)}"


def _nets(row: Row) -> str:
    return " + ".join(hashed_name(model) for model in row.models)


def _images(row: Row, about: Circumstances) -> str:
    images = str(row.images) if row.images == about.data.total else f"{row.images}/{about.data.total}"
    return f"{about.data.name}:{images}"


def hashed_name(model: Identity) -> str:
    """The model's name with the beginning of its weights' hash."""
    return f"{model.name}:{model.weights_hash[:8]}"

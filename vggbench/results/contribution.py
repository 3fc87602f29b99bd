"""A result to hand in: the row, its signature and the hash of its posteriors; and what such a file must say."""

from collections.abc import Sequence
from typing import Any

from vggbench import __version__
from vggbench.data.imagenet import VAL_IMAGES
from vggbench.data.opening import ILSVRC_VAL
from vggbench.results.circumstances import Circumstances
from vggbench.results.judging import ORIGINAL
from vggbench.results.records import error_record
from vggbench.results.rows import Row
from vggbench.store.posteriors import posteriors_sha256
from vggbench.store.runs import Run

_KINDS: dict[str, type | tuple[type, ...]] = {
    "network": str, "config": str, "weights_hash": str, "data": str, "train_scale": (str, type(None)),
    "test_scales": list, "protocol": str, "images": int, "top1_error": float, "top5_error": float, "signature": str,
    "posteriors_sha256": str, "vggbench": str,
}  # fmt: skip
_NOT_HANDED_IN = ("significant", "images_per_second")
"""Keys of a row that are of its table or of the machine."""


def result_record(row: Row, about: Circumstances, runs: Sequence[Run]) -> dict[str, Any]:
    """What `runs export` writes for one row."""
    record = error_record(row, about)
    for name in [name for name in record if name.startswith("against") or name in _NOT_HANDED_IN]:
        del record[name]
    return record | {"posteriors_sha256": posteriors_sha256(runs), "vggbench": __version__}


def complaints(record: Any) -> list[str]:
    """Why a file is not a result over the whole ILSVRC-2012 validation set; none if it is."""
    if not isinstance(record, dict):
        return ["it is not a JSON object"]
    found = [
        f"{name} is {record.get(name)!r}" for name, kind in _KINDS.items() if not isinstance(record.get(name), kind)
    ]
    if found:
        return found
    if record["images"] != VAL_IMAGES:
        found.append(f"images is {record['images']:,}, expected {VAL_IMAGES:,}")
    if record["data"] != ILSVRC_VAL:
        found.append(f"data is {record['data']!r}, expected {ILSVRC_VAL!r}")
    if record.get("labels", ORIGINAL.name) != ORIGINAL.name:
        found.append(f"labels is {record['labels']!r}, expected {ORIGINAL.name!r}")
    if not 0 <= record["top5_error"] <= record["top1_error"] <= 100:
        found.append("the errors are none")
    if len(record["posteriors_sha256"]) != 64 or set(record["posteriors_sha256"]) - set("0123456789abcdef"):
        found.append("posteriors_sha256 is not a SHA-256")
    if not record["test_scales"] or not all(isinstance(scale, int) for scale in record["test_scales"]):
        found.append("test_scales are not numbers")
    return found

"""Rows of stored runs, whose models and images are not at hand."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vggbench.errors import StoreError, UsageError
from vggbench.evaluation.jobs import Settings
from vggbench.results.evaluated import Evaluated
from vggbench.results.judging import ORIGINAL, GroundTruth, require_val
from vggbench.store.posteriors import fuse
from vggbench.store.runs import Run


def stored(runs: Sequence[Run], truths: tuple[GroundTruth, ...] = (ORIGINAL,)) -> Evaluated:
    """Stored runs side by side, by the labels that they were given; raises UsageError, and StoreError for different
    images, or none.
    """
    for run in runs:
        if not run.images:
            damaged = f" ({run.damaged[0]} is damaged)" if run.damaged else ""
            raise StoreError(
                f"{run.title} holds no images{damaged}: expected one or more. Compute them by `vggbench runs --finish "
                f"{run.title}`, or repeat the command that began it."
            )
    fuse(*runs)  # refuses different images by name
    _require_equal(runs, "rescaling", lambda run: run.signature["rescale"])
    _require_equal(runs, "precision", lambda run: run.signature["precision"])
    labels = [run.labels() for run in runs]
    for run, own in zip(runs, labels, strict=True):
        differ = np.flatnonzero(own != labels[0])
        if len(differ):
            raise StoreError(
                f"{runs[0].title} and {run.title} have different labels for {run.images[differ[0]]}: expected the "
                "same. Evaluate both by the same ground truth."
            )
    require_val(truths, runs[0].data)
    return Evaluated(runs[0].data, runs, Settings.of_run(runs[0]), truths)


def _require_equal(runs: Sequence[Run], what: str, value: Callable[[Run], Any]) -> None:
    for run in runs[1:]:
        if value(run) != value(runs[0]):
            raise UsageError(
                f"{runs[0].title} and {run.title} differ in {what} ({value(runs[0])}; {value(run)}): expected the "
                "same, since one note under the table tells it of all."
            )

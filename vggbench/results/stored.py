"""Rows of stored runs, whose models and images are not at hand."""

from collections.abc import Sequence

import numpy as np

from vggbench.errors import StoreError, UsageError
from vggbench.evaluation.jobs import Settings
from vggbench.results.calibrated import require_metrics
from vggbench.results.evaluated import Evaluated
from vggbench.results.judging import ORIGINAL, GroundTruth, require_val
from vggbench.results.lines import require_comparable
from vggbench.store.identity import require_same_classes
from vggbench.store.runs import Run


def require_posteriors_of(runs: Sequence[Run]) -> None:
    """Raise UsageError for a run of descriptors, which has no error."""
    for run in runs:
        if run.descriptor:
            raise UsageError(
                f"{run.title} holds descriptors ({run.descriptor}): expected posteriors, as `vggbench eval` stores. "
                "`vggbench features` writes descriptors to a file."
            )


def stored(
    runs: Sequence[Run], truths: tuple[GroundTruth, ...] = (ORIGINAL,), metrics: Sequence[str] = ()
) -> Evaluated:
    """Stored runs side by side, by the labels that they were given; raises UsageError, and StoreError for different
    images, or none.
    """
    require_posteriors_of(runs)
    require_metrics(metrics, truths, [run.identity for run in runs])
    for run in runs:
        if not run.images:
            damaged = f" ({run.damaged[0]} is damaged)" if run.damaged else ""
            again = "" if run.identity.is_imported else f"Compute them by `vggbench runs --finish {run.title}`, or "
            what = f"{again}{'repeat' if again else 'Repeat'} the command that began it."
            raise StoreError(f"{run.title} holds no images{damaged}: expected one or more. {what}")
    require_same_classes([run.identity for run in runs])
    require_comparable(runs)
    labels = [run.labels() for run in runs]
    for run, own in zip(runs, labels, strict=True):
        differ = np.flatnonzero(own != labels[0])
        if len(differ):
            raise StoreError(
                f"{runs[0].title} and {run.title} have different labels for {run.images[differ[0]]}: expected the "
                "same. Evaluate both by the same ground truth."
            )
    require_val(truths, runs[0].data)
    return Evaluated(runs[0].data, runs, Settings.of_run(runs[0]), truths, metrics=tuple(metrics))

"""`--metrics calibration`: what the rows of a table say of it, each run being read for all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args

import numpy as np

from vggbench.data import DataSet
from vggbench.errors import UsageError, did_you_mean
from vggbench.results.calibration import Calibration, calibrations, halves_of
from vggbench.results.judging import GroundTruth, own_labels
from vggbench.results.lines import Line
from vggbench.store.identity import Identity
from vggbench.store.posteriors import batches_together

Metric = Literal["calibration"]
"""What can be asked for beside errors."""


@dataclass(frozen=True)
class Calibrated:
    """How far the posteriors of rows can be believed, by the data's labels; what was measured once is kept."""

    data: DataSet
    _found: dict[tuple[object, ...], Calibration] = field(default_factory=dict, repr=False)

    def of(self, lines: Sequence[Line], truth: GroundTruth) -> list[Calibration]:
        """The calibration of rows of the same classes and images, read together; `truth` may leave some of these out.

        Raises UsageError for a ground truth of several right classes, and for models of unknown posteriors.
        """
        require_single_labels([truth])
        require_all_posteriors([model for line in lines for model in line.models])
        lacking = {self._key(line, truth): line for line in lines if self._key(line, truth) not in self._found}
        if lacking:
            several = [line.posteriors for line in lacking.values()]
            model, images = lines[0].models[0], several[0].images
            found = calibrations(
                partial(batches_together, several),
                own_labels(several[0], self.data, model),
                halves_of(images),
                np.array([image not in truth.left_out for image in images]),
                truth.among(self.data, model),
            )
            self._found.update(zip(lacking, found, strict=True))
        return [self._found[self._key(line, truth)] for line in lines]

    def _key(self, line: Line, truth: GroundTruth) -> tuple[object, ...]:
        return (truth.left_out, truth.of_data, *line.key)


def require_metrics(metrics: Sequence[str], truths: Sequence[GroundTruth], models: Sequence[Identity] = ()) -> None:
    """Refuse, before anything is computed, metrics that are not known or cannot be had. Raises UsageError."""
    for metric in metrics:
        if metric not in get_args(Metric):
            known = get_args(Metric)
            raise UsageError(f"--metrics {metric}: expected {', '.join(known)}.{did_you_mean(metric, known)}")
    if metrics:
        require_single_labels(truths)
        require_all_posteriors(models)


def require_single_labels(truths: Sequence[GroundTruth]) -> None:
    """Raise UsageError where an image may have several right classes."""
    judged = next((truth for truth in truths if truth.classes is not None), None)
    if judged:
        raise UsageError(
            f"--metrics calibration with --labels {judged.name}, where an image may "
            "have several right classes: expected --labels original."
        )


def require_all_posteriors(models: Sequence[Identity]) -> None:
    """Raise UsageError for a model whose five best classes alone are known."""
    for model in models:
        if model.has_five_best:
            raise UsageError(
                f"Of {model.name} only the five best classes are known, and --metrics calibration needs the "
                "posteriors of all: expected a file with all classes."
            )

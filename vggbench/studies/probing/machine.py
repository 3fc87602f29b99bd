"""Linear SVMs by scikit-learn, one against the rest, with one C for all classes, chosen on what trains alone."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import DataError, UsageError
from vggbench.metrics import average_precision, mean_class_recall
from vggbench.studies.probing.fits import Fits

COSTS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""C to choose among."""
MOST_FOLDS = 5
MAX_ITERATIONS = 10_000
INSTALL = "pip install 'vggbench[probe]'"


def require_sklearn() -> str:
    """The version of scikit-learn; raises UsageError where it is not installed."""
    try:
        import sklearn
    except ImportError as error:
        raise UsageError(f"probe: the package scikit-learn is not installed. Expected it: {INSTALL}.") from error
    return str(sklearn.__version__)


def _given(
    question: Literal["predict", "decision_function"], matrix: NDArray[np.float32], labels: NDArray[np.integer],
    others: NDArray[np.float32], cost: float, seed: int, fits: Fits,
) -> NDArray[Any]:  # fmt: skip
    """LinearSVC with all else by default: squared hinge loss, L2 penalty, bias penalised as a weight is."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    def fit() -> tuple[NDArray[Any], bool]:
        machine = LinearSVC(C=cost, dual="auto", random_state=seed, max_iter=MAX_ITERATIONS)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", ConvergenceWarning)
            machine.fit(matrix, labels)
        stopped = [one for one in said if issubclass(one.category, ConvergenceWarning)]
        for one in said:
            if one not in stopped:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        return getattr(machine, question)(others), not stopped

    return fits.given(fit, (require_sklearn(), question, MAX_ITERATIONS, cost, seed, matrix, labels, others))


def predicted(
    matrix: NDArray[np.float32], labels: NDArray[np.integer], others: NDArray[np.float32], cost: float, seed: int,
    fits: Fits,
) -> NDArray[np.integer]:  # fmt: skip
    """The class of each of the others, (M,), by machines of C=`cost` that are fitted to (N, D) with (N,) labels."""
    return _given("predict", matrix, labels, others, cost, seed, fits)


def decisions(
    matrix: NDArray[np.float32], labels: NDArray[np.int8], others: NDArray[np.float32], cost: float, seed: int,
    fits: Fits,
) -> NDArray[np.float64]:  # fmt: skip
    """The (M, K) decisions on the others, by a machine a column of the (N, K) labels; those of 0 do not train."""
    found = np.empty((len(others), labels.shape[1]))
    for column, own in enumerate(labels.T):
        kept = own != 0
        found[:, column] = _given("decision_function", matrix[kept], own[kept], others, cost, seed, fits)
    return found


def require_both(labels: NDArray[np.int8], classes: Sequence[str], what: str) -> None:
    """Refuse a class of (N, K) labels without an image that shows it or without one that does not; raises DataError."""
    for name, own in zip(classes, labels.T, strict=True):
        for label, told in ((1, "that shows it"), (-1, "without it")):
            if not (own == label).any():
                raise DataError(f"Class {name} has no image {told} in {what}: expected one or more to train.")


def mean_average_precision(
    scores: NDArray[np.float64], labels: NDArray[np.int8], *, eleven_points: bool
) -> tuple[float, list[float | None]]:
    """The mean over the classes of (M, K) labels that are met, and each class's; None of one that is not."""
    each = [
        average_precision(score, truth, eleven_points=eleven_points) if (truth == 1).any() else None
        for score, truth in zip(scores.T, labels.T, strict=True)
    ]
    met = [one for one in each if one is not None]
    return (float(np.mean(met)) if met else 0.0), each


def fifths(labels: NDArray[np.integer], seed: int) -> NDArray[np.intp]:
    """Which of five parts each of N images is in: a fifth of each class, drawn by the seed."""
    part = np.empty(len(labels), np.intp)
    for name in np.unique(labels):
        own = np.flatnonzero(labels == name)
        order = np.random.default_rng((seed, int(name))).permutation(len(own))
        part[own[order]] = np.arange(len(own)) % MOST_FOLDS
    return part


def best_cost(costs: Sequence[float], judge: Callable[[float], float]) -> tuple[float, float | None]:
    """The C that `judge` gives the most, of equal ones the smallest, and what that is; None where there is one."""
    if len(costs) == 1:
        return costs[0], None
    judged = {cost: judge(cost) for cost in sorted(costs)}
    best = max(judged, key=lambda cost: judged[cost])
    return best, judged[best]


def choose_by_recall(
    matrix: NDArray[np.float32], labels: NDArray[np.integer], costs: Sequence[float], folds: int, seed: int, fits: Fits
) -> tuple[float, float | None]:
    """C by the mean class recall of the training images in the first `folds` fifths, each fitted to the other four."""
    part = fifths(labels, seed)

    def judge(cost: float) -> float:
        held, found = [], []
        for fold in range(folds):
            out = part == fold
            if out.any():
                held.append(labels[out])
                found.append(predicted(matrix[~out], labels[~out], matrix[out], cost, seed, fits))
        return mean_class_recall(np.concatenate(found), np.concatenate(held))

    return best_cost(costs, judge)


def choose_by_precision(
    fitting: tuple[NDArray[np.float32], NDArray[np.int8]], held: tuple[NDArray[np.float32], NDArray[np.int8]],
    costs: Sequence[float], seed: int, fits: Fits, *, eleven_points: bool,
) -> tuple[float, float | None]:  # fmt: skip
    """C by the mean average precision on a held-out part of the training images, given as descriptors and labels."""

    def judge(cost: float) -> float:
        scores = decisions(*fitting, held[0], cost, seed, fits)
        return mean_average_precision(scores, held[1], eleven_points=eleven_points)[0]

    return best_cost(costs, judge)

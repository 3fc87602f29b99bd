"""What values are, probabilities, their logarithms or logits, by one rule; and posteriors of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import DataError
from vggbench.store.predictions.classes import Order
from vggbench.store.predictions.part import ROWS, some

_SUMS, _HALF_SUMS = 1e-3, 1e-2
"""By how much the sum of a row's probabilities may differ from 1, in float32 and in float16."""
_RULE = "Write the softmax of all images, or the logits of all."
PROBABILITIES, LOGARITHMS, LOGITS = "probabilities", "log-probabilities", "logits"


@dataclass(frozen=True)
class _Marks:
    """What each row could be, (N,)."""

    sums: NDArray[np.float64]
    in_unit: NDArray[np.bool_]
    """Whether all its values lie in [0, 1]."""
    is_probable: NDArray[np.bool_]
    is_logarithm: NDArray[np.bool_]
    is_percent: NDArray[np.bool_]
    is_nearly: NDArray[np.bool_]
    """Whether it sums to 1 and its values leave [0, 1] by a rounding."""


def kind_of(values: NDArray[np.floating], images: Sequence[str], where: str) -> str:
    """(N, W) -> what they are.

    Probabilities where every row lies in [0, 1] and sums to 1; else their logarithms where no value is above 0 and the
    logarithm of the sum of every row's exponentials is 0; else logits. Raises DataError for rows that are
    probabilities among others that are not, for percentages, and for values in [0, 1] that do not sum to 1.
    """
    marks = _marks(values)
    if marks.is_probable.all():
        return PROBABILITIES
    if marks.is_nearly.all():
        raise DataError(
            f"{where} has rows that sum to 1 with values below 0 or above 1: expected probabilities. {_RULE}"
        )
    if marks.is_percent.all():
        raise DataError(f"{where} has percentages, rows that sum to 100: expected probabilities. Divide them by 100.")
    odd = np.flatnonzero(~marks.is_probable)
    named = some([images[place] for place in odd[:6]])
    if marks.is_probable.any():
        raise DataError(
            f"{where} has probabilities in some rows and not in {len(odd):,} of {len(images):,} ({named}): expected "
            f"one kind of values. {_RULE}"
        )
    if marks.in_unit.all():
        raise DataError(
            f"{where} has values from 0 to 1 that do not sum to 1 ({named}: {marks.sums[odd[0]]:.4g}): expected "
            "probabilities, their logarithms or logits. Write the logits, or more digits."
        )
    return LOGARITHMS if marks.is_logarithm.all() else LOGITS


def _marks(values: NDArray[np.floating]) -> _Marks:
    tolerance = _HALF_SUMS if values.dtype == np.float16 else _SUMS
    found: list[list[NDArray[np.float64] | NDArray[np.bool_]]] = []
    for batch in _batches(values):
        least, most = batch.min(axis=1), batch.max(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            sums = batch.sum(axis=1)
            logs = most + np.log(np.exp(batch - most[:, None]).sum(axis=1))
        to_one = np.abs(sums - 1) <= tolerance
        found.append([
            sums,
            (least >= 0) & (most <= 1),
            (least >= 0) & (most <= 1 + 1e-6) & to_one,
            (most <= 1e-6) & (np.abs(logs) <= tolerance),
            (least >= 0) & (most <= 100 + 1e-4) & (np.abs(sums - 100) <= 100 * tolerance),
            (least >= -tolerance) & (most <= 1 + tolerance) & to_one,
        ])  # fmt: skip
    sums, unit, probable, logarithm, percent, nearly = (np.concatenate(column) for column in zip(*found, strict=True))
    return _Marks(sums, unit.astype(bool), probable.astype(bool), logarithm.astype(bool), percent.astype(bool),
                  nearly.astype(bool))  # fmt: skip


def _batches(values: NDArray[np.floating]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(values), ROWS):
        yield values[start : start + ROWS].astype(np.float64)


def posteriors_of(
    values: NDArray[np.floating], order: Order, images: Sequence[str], paths: Sequence[Path]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """(N, W) -> (N, K) without a background, and what was decided.

    Probabilities and their logarithms are taken as they are; those that remain without a background are divided by
    their sum. Raises DataError for values that are not predictions.
    """
    where = some([str(path) for path in paths])
    kind = kind_of(values, images, where)
    said = {
        PROBABILITIES: "Its values are probabilities, taken as they are.",
        LOGARITHMS: "Its values are log-probabilities; their exponentials are taken as they are.",
        LOGITS: "Its values are logits; their softmax is taken.",
    }[kind]
    if order.background is None:
        if kind == PROBABILITIES:
            return np.ascontiguousarray(values, dtype=np.float32), (said,)
    elif kind != LOGITS:
        said = f"Its values are {kind}; those without the background are divided by their sum."
    found = np.empty((len(values), len(order.names)), np.float32)
    for number, batch in enumerate(_batches(values)):
        at = slice(number * ROWS, number * ROWS + len(batch))
        found[at] = _posteriors(batch, kind, order, images[at], where)
    return found, (said,)


def _posteriors(
    batch: NDArray[np.float64], kind: str, order: Order, images: Sequence[str], where: str
) -> NDArray[np.float64]:
    """Posteriors from (n, W) values in float64."""
    if order.background is not None:
        batch = np.delete(batch, order.background, axis=1)
    if kind == LOGARITHMS and order.background is None:
        return np.asarray(np.exp(batch), np.float64)
    if kind != PROBABILITIES:
        batch = np.exp(batch - batch.max(axis=1, keepdims=True))
    sums = batch.sum(axis=1, keepdims=True)
    if not sums.all():
        empty = [image for image, total in zip(images, sums[:, 0], strict=True) if not total]
        raise DataError(
            f"{where} has nothing but background for {some(empty)}: expected some probability of a class. Write logits."
        )
    shares: NDArray[np.float64] = batch / sums
    return shares

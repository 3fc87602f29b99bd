"""Whether posteriors are as sure as they are right: pure functions of arrays, a batch at a time.

NLL, Brier score, ECE and temperature scaling as in Guo et al., "On calibration of modern neural networks" (2017);
risk and coverage as in Geifman and El-Yaniv, "Selective classification for deep neural networks" (2017).
Confidence is the posterior of the most probable class, of equal ones the first, which is right where
`metrics.ranks` is 0.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BINS = 15
LEAST_POSTERIOR = float(np.finfo(np.float32).tiny)
"""What a label's posterior below it counts as in the NLL: float32's smallest normal number."""
COOLEST, HOTTEST = 1 / 8, 8
"""Temperatures between which the best is looked for."""
_POWERS = np.array([1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 1, 9 / 8, 5 / 4, 3 / 2, 2, 5 / 2, 3, 4, 6, 8])
"""Values of 1/T whose posteriors are summed: products of two roots and squares, without an exponential."""
_DEGREE = 5
"""The degree of the spline through the NLL at `_POWERS`; T is then right to a thousandth, except near both ends."""
_NEGLIGIBLE = np.float32(1e-9)
"""Share of an image's largest posterior that adds nothing to a sum of powers above 1, and keeps them from underflow."""
_ROWS = 256
"""Images at a time, whose roots and squares fit a processor's cache."""
_POINTS = 200
"""The points of a risk-coverage curve to draw."""


@dataclass(frozen=True)
class Bin:
    """Images of like confidence: how many, their mean confidence, and the share of them that is right."""

    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How far the posteriors of some images can be believed; all but the NLL and T are shares of 1."""

    images: int
    nll: float
    """Mean of -ln of the label's posterior."""
    clamped: int
    """Images whose label's posterior is below `LEAST_POSTERIOR`."""
    brier: float
    """Mean of the sum over classes of squared differences from 1 for the label and 0 for others: 0 to 2."""
    ece: float
    """Over bins of equal width."""
    ece_equal_mass: float
    temperature: float | None
    """Mean of the two that are fitted on one half of the images each; None where a half is empty."""
    ece_tempered: float | None
    """Over bins of equal width, each half at the temperature of the other."""
    aurc: float
    bins: tuple[Bin, ...] = field(repr=False)
    """The bins of equal width, without empty ones."""
    curve: tuple[tuple[float, float], ...] = field(repr=False)
    """Coverage, ascending, and the risk there, at `_POINTS` coverages or fewer."""


Passes = Callable[[], Iterable[Sequence[NDArray[np.floating]]]]
"""What reads all images from the first again: the posteriors (n, K) of each row of a table, some images at a time."""


@dataclass
class _Gathered:
    """What is kept of each image of one row, (n,) a batch, and of each half in sum."""

    confidence: list[NDArray[np.float64]] = field(default_factory=list)
    right: list[NDArray[np.bool_]] = field(default_factory=list)
    own: list[NDArray[np.float64]] = field(default_factory=list)
    """The label's posterior."""
    tempered: list[NDArray[np.float64]] = field(default_factory=list)
    """Confidence at the temperature of the other half."""
    squares: float = 0.0
    log_sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, len(_POWERS))))
    """The sum of the powers of all posteriors over that of the largest."""
    log_own: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    """The sum of the logarithm of the label's posterior over the largest."""


def calibrations(
    passes: Passes,
    labels: NDArray[np.integer],
    halves: NDArray[np.integer],
    counts: NDArray[np.bool_] | None = None,
    among: NDArray[np.integer] | None = None,
) -> list[Calibration]:
    """The calibration of each row of a table. Posteriors are read twice, a batch at a time, and none of them is kept.

    `labels`, `halves` (0 or 1) and `counts`, without which all count, are (N,), one for each image. `among`: the only
    classes that stand in line, ascending and all labels among them; their posteriors are divided by their sum, and
    are alike where that is 0.
    """
    counts = np.ones(len(labels), bool) if counts is None else counts
    labels = labels if among is None else np.searchsorted(among, labels)
    found: list[_Gathered] = []
    room = np.empty((0, 0, 0), np.float32)
    for rows, some in _counted(passes, counts, among):
        if not found:
            found, room = [_Gathered() for _ in rows], np.empty((7, _ROWS, rows[0].shape[1]), np.float32)
        for gathered, batch in zip(found, rows, strict=True):
            _gather(gathered, batch, labels[some], halves[some], room)
    sizes = np.bincount(halves[counts], minlength=2)
    powers = [_best_powers(gathered, sizes) for gathered in found]
    if sizes.min() > 0:
        for rows, some in _counted(passes, counts, among):
            for gathered, batch, best in zip(found, rows, powers, strict=True):
                gathered.tempered.append(_tempered(batch, best[1 - halves[some]], room[0]))
    return [_measured(gathered, best) for gathered, best in zip(found, powers, strict=True)]


def halves_of(images: Sequence[str]) -> NDArray[np.int64]:
    """0 or 1 for each image, by the SHA-256 of its id, whatever the order: (N,)."""
    return np.array([hashlib.sha256(image.encode()).digest()[0] & 1 for image in images], np.int64)


def _counted(
    passes: Passes, counts: NDArray[np.bool_], among: NDArray[np.integer] | None
) -> Iterator[tuple[list[NDArray[np.floating]], NDArray[np.int64]]]:
    """The posteriors of each row of images that count, and the places of those, a few at a time."""
    start = 0
    for batches in passes():
        for first in range(0, len(batches[0]), _ROWS):
            rows = [batch[first : first + _ROWS] for batch in batches]
            here = counts[start : start + len(rows[0])]
            places = np.flatnonzero(here) + start
            start += len(here)
            if len(places):
                kept = rows if here.all() else [row[here] for row in rows]
                yield [_among(row, among) for row in kept], places
    assert start == len(counts), "one label for every posterior"


def _among(batch: NDArray[np.floating], among: NDArray[np.integer] | None) -> NDArray[np.floating]:
    if among is None:
        return batch
    chosen = batch[:, among].astype(np.float64)
    total = chosen.sum(axis=1, keepdims=True)
    return np.where(total > 0, chosen / np.where(total > 0, total, 1), 1 / len(among))


def _gather(
    into: _Gathered,
    batch: NDArray[np.floating],
    labels: NDArray[np.integer],
    half: NDArray[np.integer],
    room: NDArray[np.float32],
) -> None:
    """Add a batch (n, K) to a row; `room` is (7, n or more, K), written over."""
    places = np.arange(len(batch))
    first = batch.argmax(axis=1)
    most, own = (batch[places, place].astype(np.float64) for place in (first, labels))
    sums = _sums_of_powers(_over_the_largest(batch, most, room[6]), room)
    into.confidence.append(most)
    into.right.append(first == labels)
    into.own.append(own)
    into.squares += float((most * most) @ sums[_POWERS.tolist().index(2)])
    log_own = np.log(np.maximum(own, LEAST_POSTERIOR)) - np.log(most)
    for number in (0, 1):
        into.log_sums[number] += np.log(sums[:, half == number]).sum(axis=1)
        into.log_own[number] += log_own[half == number].sum()


def _over_the_largest(
    batch: NDArray[np.floating], most: NDArray[np.float64], room: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(n, K) -> (n, K) from 0 to 1, in `room`."""
    ratios = room[: len(batch)]
    np.divide(batch, most.astype(batch.dtype)[:, None], out=ratios, casting="same_kind")
    return ratios


def _sums_of_powers(ratios: NDArray[np.float32], room: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sums over the classes of each of `_POWERS`: (n, K) -> (powers, n); six of `room` are written over."""
    half, quarter, eighth, whole, square, fourth = room[:6, : len(ratios)]
    np.sqrt(ratios, out=half)
    np.sqrt(half, out=quarter)
    np.sqrt(quarter, out=eighth)
    np.add(ratios, _NEGLIGIBLE, out=whole)
    np.multiply(whole, whole, out=square)
    np.add(square, _NEGLIGIBLE, out=fourth)
    np.multiply(fourth, fourth, out=fourth)
    factors = (
        (eighth, eighth), (eighth, quarter), (quarter, quarter), (eighth, half), (quarter, half), (half, half),
        (eighth, whole), (quarter, whole), (half, whole), (whole, whole), (half, square), (whole, square),
        (square, square), (square, fourth), (fourth, fourth),
    )  # fmt: skip
    products = [np.matmul(one[:, None, :], other[:, :, None])[:, 0, 0] for one, other in factors]
    return np.array([eighth.sum(axis=1), *products], np.float64)


def _best_powers(found: _Gathered, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """1/T of least NLL on each half, (2,); NaN for an empty one."""
    best = [
        best_power((sums - _POWERS * own) / size) if size else math.nan
        for sums, own, size in zip(found.log_sums, found.log_own, sizes, strict=True)
    ]
    return np.array(best)


def best_power(nll: NDArray[np.float64]) -> float:
    """1/T of the least NLL, which is convex in it, from the NLL at each of `_POWERS`; 1 where none is better."""
    from scipy.interpolate import make_interp_spline
    from scipy.optimize import minimize_scalar

    curve = make_interp_spline(np.log(_POWERS), nll, k=_DEGREE)
    grid = np.linspace(-math.log(HOTTEST), -math.log(COOLEST), 401)
    place = int(curve(grid).argmin())
    around = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
    lowest = float(minimize_scalar(curve, bounds=around, method="bounded", options={"xatol": 1e-8}).x)
    best = min((lowest, *around), key=lambda power: float(curve(power)))
    return math.exp(best) if float(curve(best)) < float(curve(0.0)) - 1e-9 else 1.0


def _tempered(
    batch: NDArray[np.floating], powers: NDArray[np.float64], room: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The largest of posteriors (n, K) each to its image's power 1/T (n,) and divided by their sum: (n,)."""
    logs = _over_the_largest(batch, batch.max(axis=1).astype(np.float64), room)
    with np.errstate(divide="ignore"):  # the logarithm of a posterior of 0, which stays 0
        np.log(logs, out=logs)
    logs *= powers.astype(np.float32)[:, None]
    total: NDArray[np.float64] = np.exp(logs, out=logs).sum(axis=1).astype(np.float64)
    return 1 / total


def _measured(found: _Gathered, powers: NDArray[np.float64]) -> Calibration:
    confidence, right, own = np.concatenate(found.confidence), np.concatenate(found.right), np.concatenate(found.own)
    bins = equal_width(confidence, right)
    risks = selective_risks(confidence, right)
    shown = np.unique(np.linspace(0, len(risks) - 1, _POINTS).round().astype(np.int64))
    tempered = np.concatenate(found.tempered) if found.tempered else None
    return Calibration(
        images=len(right),
        nll=float(-np.log(np.maximum(own, LEAST_POSTERIOR)).mean()) + 0.0,  # no negative zero
        clamped=int((own < LEAST_POSTERIOR).sum()),
        brier=(found.squares - 2 * float(own.sum())) / len(right) + 1,
        ece=error_of(bins),
        ece_equal_mass=error_of(equal_mass(confidence, right)),
        temperature=None if tempered is None else float((1 / powers).mean()),
        ece_tempered=None if tempered is None else error_of(equal_width(tempered, right)),
        aurc=float(risks.mean()),
        bins=bins,
        curve=tuple(zip(((shown + 1) / len(risks)).tolist(), risks[shown].tolist(), strict=True)),
    )


def equal_width(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """`BINS` bins [low, high) from 0 to 1, the last with 1; (N,) and (N,)."""
    edges = np.arange(1, BINS) / BINS
    return _bins(np.searchsorted(edges, confidence, side="right"), confidence, right)


def equal_mass(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """`BINS` bins of equally many images in order of confidence; equal ones share the bin that the first falls in."""
    _, group, sizes = np.unique(confidence, return_inverse=True, return_counts=True)
    starts = sizes.cumsum() - sizes
    return _bins((starts * BINS // len(confidence))[group], confidence, right)


def _bins(place: NDArray[np.integer], confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    images = np.bincount(place, minlength=BINS)
    sums = (np.bincount(place, weights, BINS) for weights in (confidence.astype(np.float64), right.astype(np.float64)))
    means = [(total / np.maximum(images, 1)).tolist() for total in sums]
    return tuple(Bin(*found) for found in zip(images.tolist(), *means, strict=True) if found[0])


def error_of(bins: Sequence[Bin]) -> float:
    """Expected calibration error: the distance of confidence and accuracy, over the images (Guo et al., equation 3)."""
    return sum(own.images * abs(own.accuracy - own.confidence) for own in bins) / sum(own.images for own in bins)


def selective_risks(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The top-1 error of the 1, 2, ... N most confident images, (N,), whose mean is the area under the curve (AURC).

    Among equal confidences every order is as good: a part of them errs as all of them do.
    """
    _, group, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    wrong = np.bincount(group, ~right, len(sizes))
    share = np.repeat(wrong / sizes, sizes)
    risks: NDArray[np.float64] = np.cumsum(share) / np.arange(1, len(share) + 1)
    return risks

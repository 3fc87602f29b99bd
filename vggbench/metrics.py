"""Errors, their intervals, and the comparison of two nets: pure functions of arrays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import NumericsError

Z95 = 1.959963984540054
"""Two-sided 95% quantile of the normal distribution."""


def ranks(posteriors: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Classes that stand before each image's label: (N, K) and (N,) -> (N,), 0 for a correct top-1.

    Among equal posteriors the lower class index stands first, so that a constant network
    scores chance. Raises NumericsError where a posterior is NaN.
    """
    if np.isnan(posteriors).any():
        raise NumericsError("A posterior is NaN: the network's weights or its preprocessing are wrong.")
    truth = np.take_along_axis(posteriors, labels[:, None].astype(np.int64), axis=1)
    earlier = np.arange(posteriors.shape[1]) < labels[:, None]
    before: NDArray[np.int32] = ((posteriors > truth) | ((posteriors == truth) & earlier)).sum(axis=1, dtype=np.int32)
    return before


def wilson(count: int, total: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval of a proportion count / total (Wilson 1927)."""
    assert 0 <= count <= total > 0
    share, spread = count / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (0.0 if count == 0 else low), (1.0 if count == total else high)


@dataclass(frozen=True)
class ErrorRate:
    """A share of wrong images, in percent, with its 95% Wilson interval."""

    wrong: int
    images: int

    @property
    def percent(self) -> float:
        """100 wrong / images."""
        return 100 * self.wrong / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound in percent."""
        low, high = wilson(self.wrong, self.images)
        return 100 * low, 100 * high

    @property
    def half_width(self) -> float:
        """Half of its interval, in points."""
        low, high = self.interval
        return (high - low) / 2


def top_k_error(label_ranks: NDArray[np.integer], k: int) -> ErrorRate:
    """The images whose label is not among the k most probable classes."""
    return ErrorRate(int((label_ranks >= k).sum()), len(label_ranks))


def top5_error(label_ranks: NDArray[np.integer], classes: int) -> ErrorRate | None:
    """The top-5 error; None for five classes or fewer, which are always among the five most probable."""
    return top_k_error(label_ranks, 5) if classes > 5 else None


@dataclass(frozen=True)
class Errors:
    """Top-1 and top-5 error of the same images; no top-5 where the net has five classes or fewer."""

    top1: ErrorRate
    top5: ErrorRate | None

    @classmethod
    def of(cls, label_ranks: NDArray[np.integer], classes: int) -> Self:
        """The error rate from the number of classes before each image's label, (N,)."""
        return cls(top_k_error(label_ranks, 1), top5_error(label_ranks, classes))

    def minus(self, top1: float, top5: float) -> tuple[float, float | None]:
        """The points by which they are above published errors."""
        return self.top1.percent - top1, None if self.top5 is None else self.top5.percent - top5


def at_chance(label_ranks: NDArray[np.integer], classes: int) -> bool:
    """Whether the top-1 error could well be a guesser's: P(as many correct by chance) above 5%."""
    images, correct = len(label_ranks), int((label_ranks < 1).sum())
    return 1 - sum(_binomial(images, i, 1 / classes) for i in range(correct)) > 0.05


def paired_interval(both: int, only_first: int, only_second: int, images: int, z: float = Z95) -> tuple[float, float]:
    """Interval of the second's error rate minus the first's, on the same images, as shares.

    Both nets err on `both` of the `images`, and just one of them on `only_first` and on `only_second`.
    Newcombe's square-and-add interval with Wilson's limits for paired shares (Newcombe 1998, method 10).
    """
    neither = images - both - only_first - only_second
    assert min(both, only_first, only_second, neither) >= 0 < images
    first, second = both + only_first, both + only_second
    shares = first / images, second / images
    (low1, high1), (low2, high2) = wilson(first, images, z), wilson(second, images, z)
    product = first * (images - first) * second * (images - second)
    covered = both * neither - only_first * only_second
    corrected = max(covered - images / 2, 0.0) if covered > 0 else float(covered)
    phi = corrected / math.sqrt(product) if product else 0.0
    below = _root(shares[1] - low2, high1 - shares[0], phi)
    above = _root(high2 - shares[1], shares[0] - low1, phi)
    difference = shares[1] - shares[0]
    return difference - below, difference + above


def _root(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(one * one - 2 * phi * one * other + other * other, 0.0))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p values: among several tests at once, those below 5% are significant together (Holm 1979)."""
    order = sorted(range(len(ps)), key=lambda place: ps[place])
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = largest
    return adjusted


SIGNIFICANT = 0.05
"""Below it a p, adjusted for all tests of a table, says that two nets differ."""
LEAST_SIGNIFICANT = 6
"""Images that two rows must differ by for McNemar's p to fall below 5%, whatever else they err on."""


def mcnemar(only_first_wrong: int, only_second_wrong: int) -> float:
    """Two-sided p of McNemar's exact test: the images on which just one of two nets errs are fair coin flips."""
    trials, fewer = only_first_wrong + only_second_wrong, min(only_first_wrong, only_second_wrong)
    return min(1.0, 2 * sum(_binomial(trials, i, 0.5) for i in range(fewer + 1)))


def _binomial(trials: int, successes: int, share: float) -> float:
    """Probability of exactly this many successes, through logarithms, so that thousands of trials do not overflow."""
    if share == 1:
        return float(successes == trials)
    ways = math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(trials - successes + 1)
    return math.exp(ways + successes * math.log(share) + (trials - successes) * math.log1p(-share))


def average_precision(
    scores: NDArray[np.floating], truth: NDArray[np.integer], *, eleven_points: bool = False
) -> float:
    """VOC's average precision of a class, 0 to 1, from (N,) scores and truths: 1 right, -1 wrong, 0 left out.

    Images are in falling order of score, equal ones in the order given. The area under the precision that no higher
    recall exceeds (`VOCap.m`, from 2010 on) or, with `eleven_points`, the mean of that precision at recalls 0, 0.1 to 1
    (`VOCevalcls.m` of 2007, here in whole numbers: recall is t where 10 hits are t of the class). Needs a 1.
    """
    assert (truth == 1).any(), "a class without an example has no precision"
    kept = truth != 0
    order = np.argsort(-scores[kept], kind="stable")
    hits = np.cumsum(truth[kept][order] == 1)
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    total = int(hits[-1])
    if eleven_points:
        reached = np.searchsorted(10 * hits, total * np.arange(11), side="left")
        return float(best[reached].sum() / 11)
    steps = np.diff(hits, prepend=0) > 0
    return float(best[steps].sum() / total)


def mean_class_recall(predicted: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """The mean, over the classes that (N,) labels hold, of the share of a class's images that are predicted as it."""
    right = predicted == labels
    return float(np.mean([right[labels == name].mean() for name in np.unique(labels)]))


@dataclass(frozen=True)
class Crossed:
    """The mean outcome of several seeds on the same images, both being samples; with an interval from two seeds up."""

    mean: float
    error: float
    """Standard error of the mean."""
    freedom: float
    """Degrees of freedom of `error`; 0 for a single seed."""

    @classmethod
    def of(cls, outcomes: NDArray[np.floating]) -> Self:
        """The mean of (S, N) outcomes, a row for each seed: whether a net errs, or how two nets of one seed differ.

        Seeds and images are random and crossed, as readers and cases are in studies of diagnosis: the mean squares of a
        two-way analysis of variance (Obuchowski & Rockette 1995), with Hillis's degrees of freedom (Hillis 2007).
        Seeds, being few, weigh most in these. Where images add nothing it is the t test over the S means.
        """
        seeds, images = outcomes.shape
        assert images > 1
        mean, by_seed, by_image = outcomes.mean(), outcomes.mean(1), outcomes.mean(0)
        if seeds == 1:
            return cls(float(mean), math.nan, 0)
        rest = outcomes - by_seed[:, None] - by_image + mean
        left = float((rest**2).sum()) / ((seeds - 1) * (images - 1))
        of_seeds = images * float(((by_seed - mean) ** 2).sum()) / (seeds - 1) or left  # S equal means
        of_images = seeds * float(((by_image - mean) ** 2).sum()) / (images - 1)
        whole = of_seeds + max(of_images - left, 0.0)
        freedom = (seeds - 1) * (whole / of_seeds) ** 2 if of_seeds else math.inf
        return cls(float(mean), math.sqrt(whole / (seeds * images)), freedom)

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the mean; without bounds for a single seed."""
        half = self.error * _t_quantile(self.freedom, 0.975) if self.freedom else math.inf
        return self.mean - half, self.mean + half

    @property
    def p(self) -> float:
        """Two-sided p of a mean of 0; 1 for a single seed."""
        from scipy.special import stdtr

        if not self.freedom or not self.mean:
            return 1.0
        return 2 * float(stdtr(self.freedom, -abs(self.mean) / self.error)) if self.error else 0.0


def _t_quantile(freedom: float, share: float) -> float:
    """The quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return Z95 if math.isinf(freedom) else float(stdtrit(freedom, share))

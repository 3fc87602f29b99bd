"""Ranks against a naive sort, intervals against published ones, McNemar's test against a sum of binomials."""

import itertools
import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats import contingency_tables, multitest, proportion

from vggbench.errors import NumericsError
from vggbench.metrics import (
    Z95,
    Crossed,
    ErrorRate,
    at_chance,
    holm,
    mcnemar,
    paired_interval,
    ranks,
    top_k_error,
    wilson,
)

patient = settings(deadline=None)

Floats = NDArray[np.floating]
Labels = NDArray[np.int32]


@st.composite
def labelled_posteriors(draw: st.DrawFn) -> tuple[Floats, Labels]:
    """(N, K) posteriors of few distinct values, so that ties abound, and (N,) labels."""
    images, classes = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    values = st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0])
    posteriors = draw(arrays.arrays(dtype, (images, classes), elements=values))
    labels = draw(arrays.arrays(np.int32, images, elements=st.integers(0, classes - 1)))
    return posteriors, labels


def naive_ranks(posteriors: Floats, labels: Labels) -> list[int]:
    """Sort the classes, most probable first and the lower index first among equals; find the label's place."""
    found = []
    for row, label in zip(posteriors.tolist(), labels.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda k: (-row[k], k))
        found.append(order.index(label))
    return found


# ---------------------------------------------------------------- ranks


@patient
@given(labelled_posteriors())
def test_ranks_are_places_in_a_stable_sort(case: tuple[Floats, Labels]) -> None:
    posteriors, labels = case
    assert ranks(posteriors, labels).tolist() == naive_ranks(posteriors, labels)


@patient
@given(labelled_posteriors())
def test_ranks_are_places_in_numpys_stable_argsort(case: tuple[Floats, Labels]) -> None:
    posteriors, labels = case
    order = np.argsort(-posteriors, axis=1, kind="stable")
    assert ranks(posteriors, labels).tolist() == np.argwhere(order == labels[:, None])[:, 1].tolist()


def test_ranks_worked_by_hand() -> None:
    posteriors = np.array([[0.2, 0.5, 0.2, 0.1]] * 4, dtype=np.float32)
    assert ranks(posteriors, np.arange(4, dtype=np.int32)).tolist() == [1, 0, 2, 3]


@patient
@given(labelled_posteriors())
def test_every_class_has_its_own_rank(case: tuple[Floats, Labels]) -> None:
    posteriors, _ = case
    classes = posteriors.shape[1]
    row = np.repeat(posteriors[:1], classes, axis=0)
    assert sorted(ranks(row, np.arange(classes)).tolist()) == list(range(classes))


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_a_constant_network_scores_chance(k: int, value: float) -> None:
    labels = np.repeat(np.arange(10, dtype=np.int32), 7)
    constant = np.full((70, 10), value, dtype=np.float32)
    assert top_k_error(ranks(constant, labels), k) == ErrorRate(wrong=70 - 7 * k, images=70)


def test_a_nan_is_an_error_wherever_it_stands() -> None:
    for place in range(3):
        posteriors = np.full((2, 3), 1 / 3, dtype=np.float32)
        posteriors[1, place] = np.nan
        with pytest.raises(NumericsError, match=r"A posterior is NaN"):
            ranks(posteriors, np.array([0, 1], dtype=np.int32))


def test_top_k_error_counts_ranks_from_k_on() -> None:
    label_ranks = np.array([0, 1, 4, 5, 999, 0], dtype=np.int32)
    assert top_k_error(label_ranks, 1) == ErrorRate(4, 6)
    assert top_k_error(label_ranks, 5) == ErrorRate(2, 6)
    assert top_k_error(label_ranks, 5).percent == pytest.approx(100 / 3)


# ---------------------------------------------------------------- Wilson's interval


def test_z95_is_the_normal_quantile() -> None:
    assert pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-12) == Z95


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), 857-872, Table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # by hand: (5 + z^2/2 -+ z sqrt(5/2 + z^2/4)) / (10 + z^2), z^2 = 3.84145882
        (5, 10, 0.2366, 0.7634),
        # TABLES.md: 24.40% and 7.20% of 50,000
        (12_200, 50_000, 0.2403, 0.2478),
        (3_600, 50_000, 0.0698, 0.0743),
    ],
)
def test_wilson_is_as_published(count: int, total: int, low: float, high: float) -> None:
    assert [round(bound, 4) for bound in wilson(count, total)] == [low, high]


@pytest.mark.parametrize("total", [1, 10, 50_000])
def test_wilson_at_the_bounds_is_closed(total: int) -> None:
    share = Z95**2 / (total + Z95**2)
    assert wilson(0, total)[0] == 0.0
    assert wilson(total, total)[1] == 1.0
    assert wilson(0, total)[1] == pytest.approx(share, rel=1e-12)
    assert wilson(total, total)[0] == pytest.approx(1 - share, rel=1e-12)


@patient
@given(st.integers(1, 60_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_bounds_are_where_the_score_test_just_rejects(case: tuple[int, int]) -> None:
    count, total = case
    low, high = wilson(count, total)
    assert 0 <= low <= count / total <= high <= 1
    for bound in {low, high} - {0.0, 1.0}:
        distance = abs(count / total - bound)
        assert distance == pytest.approx(Z95 * math.sqrt(bound * (1 - bound) / total), rel=1e-6, abs=1e-12)


@patient
@given(st.integers(1, 60_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_of_the_correct_mirrors_that_of_the_wrong(case: tuple[int, int]) -> None:
    count, total = case
    low, high = wilson(count, total)
    assert wilson(total - count, total) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_an_error_rate_is_in_percent() -> None:
    rate = ErrorRate(12_200, 50_000)
    assert rate.percent == 24.4
    assert tuple(round(bound, 2) for bound in rate.interval) == (24.03, 24.78)


# ---------------------------------------------------------------- McNemar's test


def binomial_tail(trials: int, fewer: int) -> Fraction:
    """P(at most `fewer` heads in `trials` fair flips), term by term."""
    pascal = [1]
    for _ in range(trials):
        pascal = [1, *(a + b for a, b in itertools.pairwise(pascal)), 1]
    return Fraction(sum(pascal[: fewer + 1]), 2**trials)


@patient
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_a_sum_of_binomials(first: int, second: int) -> None:
    expected = min(Fraction(1), 2 * binomial_tail(first + second, min(first, second)))
    assert mcnemar(first, second) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),
        (0, 1, 1.0),
        (1, 1, 1.0),
        (7, 7, 1.0),
        (0, 5, 0.0625),
        (0, 10, 2 / 1024),
        (1, 9, 22 / 1024),
        (2, 8, 112 / 1024),
        # Agresti's approval ratings; R's exact2x2 prints p-value = 3.716e-05
        (86, 150, 3.716e-05),
    ],
)
def test_mcnemar_known_values(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == pytest.approx(p, rel=2e-4)


@patient
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_does_not_mind_which_net_comes_first(first: int, second: int) -> None:
    assert mcnemar(first, second) == mcnemar(second, first)
    assert 0 < mcnemar(first, second) <= 1


def test_mcnemar_of_as_many_images_as_ilsvrc_gives() -> None:
    """Far beyond what floats hold in between; the normal approximation with continuity correction is close there."""
    first, second = 1_950, 2_050
    approximate = 2 * NormalDist().cdf(-(abs(first - second) - 1) / math.sqrt(first + second))
    assert mcnemar(first, second) == pytest.approx(approximate, rel=1e-2)


# ---------------------------------------------------------------- chance


def with_correct(correct: int, images: int) -> Labels:
    return np.where(np.arange(images) < correct, 0, 3).astype(np.int32)


@pytest.mark.parametrize(
    ("correct", "images", "classes", "chance"),
    [
        (0, 32, 1000, True),  # P(0 or more) = 1
        (1, 32, 1000, False),  # P(1 or more) = 1 - 0.999^32 = 0.0315
        (1, 51, 1000, False),  # 1 - 0.999^51 = 0.0497
        (1, 52, 1000, True),  # 1 - 0.999^52 = 0.0507
        (2, 64, 1000, False),
        (20, 32, 1000, False),
        (6, 32, 10, True),  # P(6 or more) = 0.0942
        (7, 32, 10, False),  # P(7 or more) = 0.0336
        (0, 1, 2, True),
        (1, 1, 2, True),
        (4, 4, 2, True),  # 1/16
        (5, 5, 2, False),  # 1/32
    ],
)
def test_at_chance_is_a_guessers_tail_above_5_percent(correct: int, images: int, classes: int, chance: bool) -> None:
    assert at_chance(with_correct(correct, images), classes) is chance


@patient
@given(st.integers(1, 96).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(2, 1000))
def test_at_chance_by_exact_fractions(case: tuple[int, int], classes: int) -> None:
    correct, images = case
    guess = Fraction(1, classes)
    tail = sum(
        (math.comb(images, i) * guess**i * (1 - guess) ** (images - i) for i in range(correct, images + 1)),
        Fraction(0),
    )
    if abs(tail - Fraction(1, 20)) > Fraction(1, 10**9):
        assert at_chance(with_correct(correct, images), classes) == (tail > Fraction(1, 20))


def test_only_top_1_counts_for_chance() -> None:
    label_ranks = np.array([1] * 32, dtype=np.int32)
    assert at_chance(label_ranks, 1000)


# ---------------------------------------------------------------- pairs

Counts = tuple[int, int, int, int]
"""Images on which both nets err, the first alone, the second alone, neither."""


@st.composite
def pairs(draw: st.DrawFn) -> Counts:
    counts = draw(st.tuples(*[st.integers(0, 60)] * 4).filter(lambda counts: sum(counts) > 0))
    return counts[0], counts[1], counts[2], counts[3]


@patient
@given(pairs())
def test_mcnemar_is_statsmodels(counts: Counts) -> None:
    both, first, second, neither = counts
    expected = contingency_tables.mcnemar([[neither, second], [first, both]], exact=True).pvalue
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


@patient
@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson_is_statsmodels_and_scipys(wrong: int, more: int) -> None:
    found = wilson(wrong, wrong + more)
    assert found == pytest.approx(proportion.proportion_confint(wrong, wrong + more, method="wilson"), abs=1e-12)
    assert found == pytest.approx(stats.binomtest(wrong, wrong + more).proportion_ci(method="wilson"), abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_is_statsmodels(ps: list[float]) -> None:
    assert holm(ps) == pytest.approx(multitest.multipletests(ps, method="holm")[1], abs=1e-12)


@patient
@given(pairs())
def test_swapping_the_nets_flips_the_sign_and_keeps_p(counts: Counts) -> None:
    both, first, second, _neither = counts
    low, high = paired_interval(both, first, second, sum(counts))
    assert paired_interval(both, second, first, sum(counts)) == pytest.approx((-high, -low), abs=1e-12)
    assert mcnemar(first, second) == mcnemar(second, first)


@patient
@given(pairs())
def test_the_interval_holds_the_difference_and_can_be_one(counts: Counts) -> None:
    both, first, second, _ = counts
    low, high = paired_interval(both, first, second, sum(counts))
    assert -1 - 1e-12 <= low <= (second - first) / sum(counts) <= high <= 1 + 1e-12


@patient
@given(pairs())
def test_the_interval_is_newcombes(counts: Counts) -> None:
    """By NumPy, from the correlation of the two nets' errors, image by image, and SciPy's limits of each share."""
    both, first, second, neither = counts
    one = np.repeat([1, 1, 0, 0], [both, first, second, neither])
    other = np.repeat([1, 0, 1, 0], [both, first, second, neither])
    n, p, q = len(one), one.mean(), other.mean()
    spread = one.std() * other.std()
    covariance = (one * other).mean() - p * q
    if covariance > 0:
        covariance = max(covariance - 1 / (2 * n), 0)
    phi = covariance / spread if spread > 1e-12 else 0.0
    l1, u1 = stats.binomtest(int(one.sum()), n).proportion_ci(method="wilson")
    l2, u2 = stats.binomtest(int(other.sum()), n).proportion_ci(method="wilson")
    corner = np.array([[1, -phi], [-phi, 1]])
    below, above = np.array([q - l2, u1 - p]), np.array([u2 - q, p - l1])
    expected = q - p - np.sqrt(max(below @ corner @ below, 0)), q - p + np.sqrt(max(above @ corner @ above, 0))
    assert paired_interval(both, first, second, n) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shares", [(0.2, 0.05, 0.02, 0.73), (0.02, 0.03, 0.03, 0.92), (0.25, 0.01, 0.01, 0.73)])
def test_the_interval_covers(shares: tuple[float, ...]) -> None:
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(400, shares, size=4000)
    truth = shares[2] - shares[1]
    covered = 0
    for both, first, second, _ in drawn.tolist():
        low, high = paired_interval(both, first, second, 400)
        covered += low <= truth <= high
    assert 0.94 <= covered / len(drawn) <= 0.975


# ---------------------------------------------------------------- seeds and images


def _differences(seeds: int, images: int, of_seeds: float, of_images: float, random: int) -> Floats:
    """How two equally good nets of each seed differ: -1, 0 or 1 on an image, as some are harder for one of the two."""
    rng = np.random.default_rng(random)
    both, own = rng.normal(0, 1.5, images), rng.normal(0, of_images, (2, images))
    levels = -2.2 + rng.normal(0, of_seeds, (seeds, 2, 1)) + both + own
    errs = rng.random((seeds, 2, images)) < 1 / (1 + np.exp(-levels))
    found: Floats = errs[:, 1].astype(float) - errs[:, 0]
    return found


def test_mean_squares_over_seeds_and_images_are_statsmodels() -> None:
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    seeds, images = 5, 30
    outcomes = _differences(seeds, images, 0.5, 1.0, 3)
    rows = [(outcomes[s, i], s, i) for s in range(seeds) for i in range(images)]
    frame = pd.DataFrame(rows, columns=["d", "seed", "image"])
    squares = anova_lm(ols("d ~ C(seed) + C(image)", frame).fit())["mean_sq"]
    of_seeds, of_images, left = squares["C(seed)"], squares["C(image)"], squares["Residual"]
    assert of_images > left
    whole = of_seeds + of_images - left
    found = Crossed.of(outcomes)
    assert found.mean == pytest.approx(outcomes.mean())
    assert found.error == pytest.approx(np.sqrt(whole / (seeds * images)))
    assert found.freedom == pytest.approx((seeds - 1) * (whole / of_seeds) ** 2)


def test_the_standard_error_is_that_of_a_mixed_model() -> None:
    """The mixed model has crossed random effects of seed and image, and is fitted by REML."""
    import statsmodels.api as sm

    seeds, images = 5, 24
    rng = np.random.default_rng(1)
    outcomes = 0.3 + rng.normal(0, 1, (seeds, 1)) + rng.normal(0, 1.5, images) + rng.normal(0, 1, (seeds, images))
    rows = [(outcomes[s, i], s, i) for s in range(seeds) for i in range(images)]
    frame = pd.DataFrame(rows, columns=["d", "seed", "image"])
    effects = {"seed": "0 + C(seed)", "image": "0 + C(image)"}
    model = sm.MixedLM.from_formula("d ~ 1", frame, groups=np.ones(len(frame)), vc_formula=effects, re_formula="0")
    fit = model.fit()
    assert Crossed.of(outcomes).error == pytest.approx(fit.bse["Intercept"], rel=0.01)


def test_with_images_that_add_nothing_it_is_the_t_test_over_seeds() -> None:
    from scipy.stats import ttest_1samp

    outcomes = np.array([[1.0, 0, 0, 1], [0, 1, 1, 1], [0, 1, 1, 0]])  # every image 1.33 or so; no image stands out
    means = outcomes.mean(1)
    found = Crossed.of(outcomes)
    expected = ttest_1samp(means, 0)
    assert found.freedom == 2
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval()))


@pytest.mark.parametrize(("of_seeds", "of_images"), [(0.4, 0.0), (0.4, 1.0), (0.0, 1.0)])
def test_95_of_100_intervals_hold_the_truth(of_seeds: float, of_images: float) -> None:
    """Over seeds and images both; one over images alone misses it several times as often where seeds differ."""
    tries, held, alone = 400, 0, 0
    for random in range(tries):
        outcomes = _differences(5, 200, of_seeds, of_images, random)
        low, high = Crossed.of(outcomes).interval
        held += low <= 0 <= high
        first = outcomes[0]
        alone += abs(first.mean()) <= 1.96 * first.std(ddof=1) / np.sqrt(len(first))
    assert 0.92 <= held / tries <= 0.985
    assert of_seeds == 0 or alone / tries < 0.85


def test_of_one_seed_nothing_can_be_told() -> None:
    found = Crossed.of(np.array([[1.0, 1, 1, 0]]))
    assert (found.mean, found.p, found.interval) == (0.75, 1.0, (-np.inf, np.inf))


def test_seeds_that_agree_wholly_leave_no_doubt_and_no_division_by_nought() -> None:
    always = Crossed.of(np.ones((3, 5)))
    assert (always.mean, always.interval, always.p) == (1.0, (1.0, 1.0), 0.0)
    never = Crossed.of(np.zeros((3, 5)))
    assert (never.interval, never.p) == ((0.0, 0.0), 1.0)
    means_agree = Crossed.of(np.array([[1.0, 0, 0, -1], [0, 1, -1, 0], [-1, 0, 0, 1]]))
    assert means_agree.mean == 0
    assert means_agree.interval[1] > 0.2

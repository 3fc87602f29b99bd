"""Calibration: equal to torchmetrics, scikit-learn and plain loops, whatever the order and the batches."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from vggbench.results.calibration import (
    BINS,
    COOLEST,
    LEAST_POSTERIOR,
    Calibration,
    calibrations,
    equal_mass,
    equal_width,
    error_of,
    halves_of,
    selective_risks,
)

Vggbench = Callable[..., Result]
KEYS = ["nll", "nll_clamped", "brier", "ece", "ece_equal_mass", "temperature", "ece_tempered", "aurc"]


Made = tuple[NDArray[np.float32], NDArray[np.int64]]


def drawn(images: int, classes: int, sharp: float = 1.0, seed: int = 0) -> Made:
    """Posteriors that are right as often as they say at `sharp` 1, too sure above, and labels."""
    draw = np.random.default_rng(seed)
    logits = draw.standard_normal((images, classes)) * 2
    logits[np.arange(images), draw.integers(0, classes, images)] += draw.exponential(5, images)
    labels = (softmax(logits).cumsum(axis=1) > draw.random((images, 1))).argmax(axis=1)
    return softmax(sharp * logits).astype(np.float32), labels


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def ids(count: int) -> list[str]:
    return [f"ILSVRC2012_val_{place + 1:08d}" for place in range(count)]


def of(
    posteriors: NDArray[np.floating],
    labels: NDArray[np.integer],
    images: Sequence[str] | None = None,
    batch: int = 300,
    **how: Any,
) -> Calibration:
    def passes() -> Iterator[list[NDArray[np.floating]]]:
        for start in range(0, len(labels), batch):
            yield [posteriors[start : start + batch]]

    (found,) = calibrations(passes, labels, halves_of(images or ids(len(labels))), **how)
    return found


# ---------------------------------------------------------------- others' figures


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("classes", "sharp"), [(2, 1.0), (12, 0.6), (12, 2.5), (1000, 1.4)])
def test_others_find_the_same(classes: int, sharp: float, kind: Any) -> None:
    posteriors, labels = drawn(2000, classes, sharp)
    posteriors = posteriors.astype(kind)
    found = of(posteriors, labels)
    exact = posteriors.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a float32's sum is not 1 in float64
        assert found.nll == pytest.approx(log_loss(labels, exact, labels=range(classes)), abs=1e-6)
        brier = brier_score_loss(labels, exact, labels=range(classes), scale_by_half=False) if classes > 2 else (
            2 * brier_score_loss(labels, exact[:, 1], scale_by_half=True)
        )  # fmt: skip
    assert found.brier == pytest.approx(brier, abs=1e-6)
    tensors = torch.from_numpy(posteriors), torch.from_numpy(labels)
    ece = multiclass_calibration_error(*tensors, num_classes=classes, n_bins=BINS, norm="l1")
    assert found.ece == pytest.approx(float(ece), abs=1e-6)


def test_a_plain_loop_finds_the_same() -> None:
    posteriors, labels = drawn(500, 12, 1.7, seed=3)
    found, pairs = of(posteriors, labels), []
    for row, label in zip(posteriors.tolist(), labels.tolist(), strict=True):
        pairs.append((max(row), row.index(max(row)) == label))
    gaps = [[right - sure for sure, right in pairs if low <= 15 * sure < low + 1] for low in range(15)]
    assert found.ece == pytest.approx(sum(abs(sum(gap)) for gap in gaps) / 500, abs=1e-7)
    pairs.sort(reverse=True)
    risks = [sum(not right for _, right in pairs[: count + 1]) / (count + 1) for count in range(500)]
    assert found.aurc == pytest.approx(sum(risks) / 500)
    some = np.array(sorted(pairs)[:495])
    apart = [float((part[:, 1] - part[:, 0]).sum()) for part in np.array_split(some, 15)]
    mass = error_of(equal_mass(some[:, 0], some[:, 1] > 0))
    assert mass == pytest.approx(sum(map(abs, apart)) / 495)


# ---------------------------------------------------------------- temperature


def fitted(posteriors: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """1/T by a search that knows every posterior."""
    logs = np.log(posteriors.astype(np.float64))
    own = logs[np.arange(len(labels)), labels]

    def nll(power: float) -> float:
        return float((np.log(np.exp(power * logs).sum(axis=1)) - power * own).mean())

    return float(minimize_scalar(nll, bounds=(1 / 8, 4), method="bounded", options={"xatol": 1e-9}).x)


@pytest.mark.parametrize("classes", [2, 12, 300])
@pytest.mark.parametrize("sharp", [0.5, 0.8, 1.0, 1.3, 2.0, 3.5])
def test_temperature_is_that_of_a_full_search(classes: int, sharp: float) -> None:
    posteriors, labels = drawn(1500, classes, sharp, seed=1)
    posteriors = np.maximum(posteriors, 1e-30)
    half = halves_of(ids(1500))
    powers = [fitted(posteriors[half == own], labels[half == own]) for own in (0, 1)]
    found = of(posteriors, labels)
    assert found.temperature == pytest.approx(sum(1 / power for power in powers) / 2, rel=2e-3)
    assert found.temperature == pytest.approx(sharp, rel=0.15)
    tempered = posteriors.astype(np.float64) ** np.array(powers)[1 - half][:, None]
    tempered /= tempered.sum(axis=1, keepdims=True)
    bins = equal_width(tempered.max(axis=1), posteriors.argmax(axis=1) == labels)
    assert found.ece_tempered == pytest.approx(error_of(bins), abs=2e-3)


def test_calibrated_data_needs_none_and_too_sure_nets_get_better() -> None:
    calm, labels = drawn(6000, 12)
    found = of(calm, labels)
    assert found.temperature == pytest.approx(1, abs=0.05)
    assert found.ece < 0.03
    sure, labels = drawn(6000, 12, 2.0)
    found = of(sure, labels)
    assert found.ece > 0.08
    assert found.ece_tempered is not None
    assert found.ece_tempered < 0.03


def test_an_image_does_not_choose_its_own_temperature() -> None:
    """Other labels in one half change the confidences of the other alone."""
    posteriors, labels = drawn(800, 12, 1.5)
    half = halves_of(ids(800))
    other = np.where(half == 0, (labels + 1) % 12, labels)
    before = of(posteriors, labels)
    after = of(posteriors, other)
    assert before.temperature is not None
    assert after.temperature is not None
    assert after.temperature > before.temperature
    alone = of(posteriors[:1], labels[:1])
    assert (alone.temperature, alone.ece_tempered) == (None, None)


# ---------------------------------------------------------------- properties


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.sampled_from([2, 5, 40]), st.integers(0, 10**6), st.integers(1, 90))
def test_neither_order_nor_batches_matter(images: int, classes: int, seed: int, batch: int) -> None:
    posteriors, labels = drawn(images, classes, 1.5, seed)
    posteriors = np.round(posteriors, 1)  # many equal confidences, and posteriors of 0
    posteriors[:, 0] += 1e-3
    names, order = ids(images), np.random.default_rng(seed).permutation(images)
    one = of(posteriors, labels, names)
    other = of(posteriors[order], labels[order], [names[place] for place in order], batch)
    for key in KEYS[:1] + KEYS[2:]:
        first, second = getattr(one, key.replace("nll_", "")), getattr(other, key.replace("nll_", ""))
        assert first == second or first == pytest.approx(second, rel=1e-4, abs=1e-6)
    assert one.clamped == other.clamped
    assert sum(own.images for own in one.bins) == images


@given(st.integers(1, 60), st.integers(2, 20))
def test_a_perfect_net(images: int, classes: int) -> None:
    labels = np.arange(images) % classes
    found = of(np.eye(classes, dtype=np.float32)[labels], labels)
    assert (found.nll, found.ece, found.ece_equal_mass, found.aurc, found.clamped) == (0, 0, 0, 0, 0)
    assert found.brier == pytest.approx(0, abs=1e-6)
    assert found.temperature in (None, 1)


def test_a_nearly_perfect_net_is_made_as_sure_as_may_be() -> None:
    labels = np.arange(600) % 10
    posteriors = 0.9 * np.eye(10, dtype=np.float32)[labels] + 0.01
    assert of(posteriors, labels).temperature == pytest.approx(COOLEST, abs=0.1)


@given(st.integers(2, 60), st.integers(2, 20))
def test_a_constant_net(images: int, classes: int) -> None:
    labels = np.arange(images) % classes
    found = of(np.full((images, classes), 1 / classes, np.float32), labels)
    accuracy = float((labels == 0).mean())
    assert found.nll == pytest.approx(math.log(classes), rel=1e-6)
    assert found.brier == pytest.approx(1 - 1 / classes, abs=1e-6)
    assert found.ece == found.ece_equal_mass == pytest.approx(abs(accuracy - 1 / classes), abs=1e-6)
    assert found.aurc == pytest.approx(1 - accuracy), "no order is better than another"
    assert len(found.bins) == 1


def test_a_wrong_and_certain_net_is_clamped_and_counted() -> None:
    posteriors = np.eye(4, dtype=np.float32)[[0, 1, 2, 3]]
    found = of(posteriors, np.array([1, 1, 2, 3]))
    assert found.clamped == 1
    assert found.nll == pytest.approx(-math.log(LEAST_POSTERIOR) / 4)
    assert found.brier == pytest.approx(2 / 4)
    assert found.aurc == pytest.approx(1 / 4)


def test_an_edge_belongs_to_the_bin_above_and_1_to_the_last() -> None:
    confidence = np.array([place / BINS for place in range(1, BINS)] + [1.0])
    bins = equal_width(confidence, np.ones(BINS, bool))
    assert [own.images for own in bins] == [1] * (BINS - 2) + [2]
    assert [own.confidence for own in bins[:-1]] == pytest.approx([place / BINS for place in range(1, BINS - 1)])


@given(st.lists(st.sampled_from([0.2, 0.3, 0.9, 1.0]), min_size=1, max_size=60))
def test_equal_confidences_share_a_bin(confidence: list[float]) -> None:
    bins = equal_mass(np.array(confidence), np.ones(len(confidence), bool))
    means = {round(own.confidence, 6) for own in bins}
    assert len(bins) <= len(set(confidence))
    assert sum(own.images for own in bins) == len(confidence)
    assert len(means) == len(bins)


def test_bins_of_equal_mass_are_of_as_many_images() -> None:
    confidence = np.random.default_rng(0).random(15 * 7 + 4)
    assert {own.images for own in equal_mass(confidence, confidence > 0.5)} == {7, 8}


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.7]), st.booleans()), min_size=1, max_size=7), st.integers(0, 99))
def test_risk_of_equal_confidences_is_the_mean_over_their_orders(pairs: list[tuple[float, bool]], seed: int) -> None:
    confidence, right = np.array([sure for sure, _ in pairs]), np.array([own for _, own in pairs])
    draw, total = np.random.default_rng(seed), np.zeros(len(pairs))
    for _ in range(400):
        order = np.lexsort((draw.random(len(pairs)), -confidence))
        total += np.cumsum(~right[order]) / np.arange(1, len(pairs) + 1)
    np.testing.assert_allclose(selective_risks(confidence, right), total / 400, atol=0.15)
    assert selective_risks(confidence, right)[-1] == pytest.approx((~right).mean())


def test_halves_go_by_ids_alone() -> None:
    names = ids(2000)
    half = halves_of(names)
    assert halves_of(names[::-1]).tolist() == half[::-1].tolist()
    assert 900 < half.sum() < 1100


# ---------------------------------------------------------------- what counts


def test_images_left_out_do_not_count() -> None:
    posteriors, labels = drawn(700, 12, 1.3)
    counts = np.random.default_rng(1).random(700) < 0.6
    names = np.array(ids(700))
    one = of(posteriors, labels, counts=counts)
    other = of(posteriors[counts], labels[counts], names[counts].tolist())
    assert one.images == int(counts.sum())
    assert one.aurc == other.aurc
    assert (one.nll, one.brier, one.temperature) == pytest.approx((other.nll, other.brier, other.temperature), rel=1e-5)


def test_among_fewer_classes_posteriors_are_divided_by_their_sum() -> None:
    posteriors, labels = drawn(400, 12)
    among = np.array([1, 3, 4, 8])
    labels = among[labels % 4]
    fewer = posteriors[:, among].astype(np.float64)
    fewer /= fewer.sum(axis=1, keepdims=True)
    one, other = of(posteriors, labels, among=among), of(fewer, np.searchsorted(among, labels))
    assert one == other
    nothing = of(np.eye(12, dtype=np.float32)[[0, 0]], np.array([1, 3]), among=among)
    assert nothing.nll == pytest.approx(math.log(4)), "all alike where nothing is said of them"

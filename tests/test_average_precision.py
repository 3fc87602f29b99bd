"""VOC's average precision against the devkit's own lines, in exact fractions: `VOCevalcls.m` of 2007, `VOCap.m`."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbench.metrics import average_precision, mean_class_recall

IMAGES = st.lists(st.tuples(st.integers(-3, 3), st.sampled_from((1, -1, 0))), min_size=1, max_size=40).filter(
    lambda images: any(truth == 1 for _, truth in images)
)


def devkit(images: list[tuple[int, int]], *, eleven: bool) -> float:
    """Line by line: sort(-out); tp = gt > 0; fp = gt < 0; cumsum; rec; prec; then each year's ap."""
    ranked = sorted(images, key=lambda image: -image[0])  # stable, as MATLAB's sort
    hits, misses, recalls, precisions = 0, 0, [], []
    total = sum(truth > 0 for _, truth in images)
    for _, truth in ranked:
        hits, misses = hits + (truth > 0), misses + (truth < 0)
        recalls.append(Fraction(hits, total))
        precisions.append(Fraction(hits, hits + misses) if hits + misses else None)
    pairs = [
        (recall, precision) for recall, precision in zip(recalls, precisions, strict=True) if precision is not None
    ]
    if eleven:
        return float(sum(max(p for r, p in pairs if r >= Fraction(t, 10)) for t in range(11)) / Fraction(11))
    recall = [Fraction(0), *(r for r, _ in pairs), Fraction(1)]
    precision = [Fraction(0), *(p for _, p in pairs), Fraction(0)]
    for at in range(len(precision) - 2, -1, -1):
        precision[at] = max(precision[at], precision[at + 1])
    return float(sum(((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall))), Fraction(0)))


@pytest.mark.parametrize("eleven", [True, False])
@given(images=IMAGES)
def test_it_is_the_devkits(images: list[tuple[int, int]], eleven: bool) -> None:
    scores, truth = np.array([s for s, _ in images], float), np.array([t for _, t in images])
    assert average_precision(scores, truth, eleven_points=eleven) == pytest.approx(
        devkit(images, eleven=eleven), abs=1e-12
    )


@given(images=IMAGES, others=st.lists(st.integers(-3, 3), max_size=10))
def test_difficult_images_count_for_nothing(images: list[tuple[int, int]], others: list[int]) -> None:
    more = [*images, *((score, 0) for score in others)]
    for eleven in (True, False):
        found = [
            average_precision(
                np.array([s for s, _ in some], float), np.array([t for _, t in some]), eleven_points=eleven
            )
            for some in (images, more)
        ]
        assert found[0] == found[1]


def test_by_hand() -> None:
    scores, truth = np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, -1, 1, -1])
    assert average_precision(scores, truth) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(scores, truth, eleven_points=True) == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)
    assert average_precision(scores, -truth) == pytest.approx(0.5), "the best precision at any recall from there on"


def test_recall_of_a_tenth_is_reached_exactly() -> None:
    """3 of 10 is a recall of 0.3, which 0.1 * 3 in floating point exceeds."""
    truth = np.array([1] * 3 + [-1] * 60 + [1] * 7)
    scores = np.arange(len(truth), 0, -1.0)
    assert average_precision(scores, truth, eleven_points=True) == pytest.approx((4 * 1 + 7 * 10 / 70) / 11)


def test_a_class_weighs_as_much_as_another() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    assert mean_class_recall(np.zeros(100, int), labels) == 0.5
    assert mean_class_recall(labels, labels) == 1.0

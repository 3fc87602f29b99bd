"""Errors class by class, what classes are taken for, and the rows that nothing cheaper is better than."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vggbench.results.rows import Row
from vggbench.store.per_image import PerImage


@dataclass(frozen=True)
class ClassErrors:
    """The K classes that have images, the worst first; of equal errors the lower index first."""

    classes: NDArray[np.int64]
    """(K,) their indices."""
    images: NDArray[np.int64]
    """(K,)"""
    wrong: NDArray[np.int64]
    """(K,)"""

    @property
    def percent(self) -> NDArray[np.float64]:
        """(K,) top-1 errors."""
        errors: NDArray[np.float64] = 100 * self.wrong / self.images
        return errors


@dataclass(frozen=True)
class Confusion:
    """The R classes with most wrong images, the C that they are taken for most, and how often."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    percent: NDArray[np.float64]
    """(R, C) of the row's images; NaN where row and column are the same class."""


def counts_by_class(found: PerImage, classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(K,) images and wrong images of each class."""
    images = np.bincount(found.labels, minlength=classes)
    wrong = np.bincount(found.labels[found.ranks > 0], minlength=classes)
    return images, wrong


def errors_by_class(found: PerImage, classes: int) -> ClassErrors:
    """The errors of all classes that have images."""
    images, wrong = counts_by_class(found, classes)
    there = np.flatnonzero(images)
    order = there[np.argsort(-100 * wrong[there] / images[there], kind="stable")]
    return ClassErrors(order, images[order], wrong[order])


def confused(found: PerImage, classes: int, most_rows: int, most_columns: int) -> Confusion | None:
    """What the worst classes are taken for; None without an error."""
    images, wrong = counts_by_class(found, classes)
    rows = _largest(wrong, most_rows)
    if not rows:
        return None
    said = found.classes[:, 0]
    taken = np.bincount(said[np.isin(found.labels, rows) & (said != found.labels)], minlength=classes)
    columns = _largest(taken, most_columns)
    share = np.array([
        [100 * np.sum((found.labels == row) & (said == column)) / images[row] for column in columns] for row in rows
    ])  # fmt: skip
    return Confusion(rows, columns, np.where(np.equal.outer(rows, columns), np.nan, share))


def _largest(counts: NDArray[np.integer], most: int) -> tuple[int, ...]:
    """The places of the largest counts, without zeros."""
    return tuple(place for place in np.argsort(-counts, kind="stable")[:most].tolist() if counts[place])


def pareto(rows: Sequence[Row]) -> list[Row]:
    """The rows that no cheaper or equally cheap one matches, cheapest first."""
    front: list[Row] = []
    for row in sorted(rows, key=lambda r: (r.macs or 0, r.errors.top1.percent if r.errors else 0)):
        assert row.errors
        if not front or row.errors.top1.percent < min(r.errors.top1.percent for r in front if r.errors):
            front.append(row)
    return front

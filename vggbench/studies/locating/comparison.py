"""How far two values of a stage are apart, in a unit that says something, and from where on they differ."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
_FEW = 0.005
"""Share of the values of pixels that may be off by a level where the rule is the same: SIMD and scalar code round."""
_MUCH_CLOSER = 0.1
_CLOSER = 0.25


@dataclass(frozen=True)
class Tolerance:
    """From where on values of a stage differ; `unit` is what the largest difference is counted in."""

    same: float
    """What float32 rounds to where every step is the same."""
    rounding: float
    """What is told as rounding where no candidate is much closer: whole levels for shares, half precision."""
    unit: str
    allows_few: bool = False
    """Whether a few values may be off by `rounding` in what is the same."""

    def of_half(self) -> "Tolerance":
        """For values that were stored in 16 bits."""
        return Tolerance(
            8 * self.same, max(self.rounding, 6 * self.rounding * (not self.allows_few)), self.unit, self.allows_few
        )


LEVELS = Tolerance(0.02, 1.05, "levels of 255", allows_few=True)
"""The tolerance for pixels, and for the input once its mean and deviation are undone."""
LARGEST = Tolerance(1e-4, 5e-3, "of the largest value")
"""The tolerance for what layers give, and for logits without their mean."""
PROBABILITY = Tolerance(2e-4, 2e-3, "of the largest probability")


class Fit(NamedTuple):
    """How far apart, in the tolerance's unit; all infinite where even the shapes differ."""

    mean: float
    largest: float
    share: float
    """The share of the values that differ by more than the tolerance's `same`."""

    def is_same(self, tolerance: Tolerance) -> bool:
        """Equal up to what float32 rounds."""
        return self.largest <= tolerance.same

    def is_rounding(self, tolerance: Tolerance) -> bool:
        """Within what other roundings make of the same."""
        return self.largest <= tolerance.rounding

    def explains(self, before: "Fit", tolerance: Tolerance) -> bool:
        """Whether it makes a difference vanish."""
        few = tolerance.allows_few and self.share <= _FEW and self.largest <= tolerance.rounding
        return (self.is_same(tolerance) or few) and self.mean <= _MUCH_CLOSER * before.mean

    def nearly_explains(self, before: "Fit", tolerance: Tolerance) -> bool:
        """Whether what it leaves of a difference may be rounding."""
        return self.is_rounding(tolerance) and self.mean <= _CLOSER * before.mean


APART = Fit(np.inf, np.inf, 1.0)


def fit(theirs: Array, ours: Array, unit: Array | float, tolerance: Tolerance) -> Fit:
    """Compare values of one shape; 1 in our numbers is `unit` in the tolerance's."""
    if theirs.shape != ours.shape:
        return APART
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(theirs - ours)
        apart = np.where(theirs == ours, 0, apart) * unit  # equal infinities, as log-softmax has them
    if not np.isfinite(apart).all():
        return APART
    return Fit(float(apart.mean()), float(apart.max()), float((apart > tolerance.same).mean()))


def unit_of_largest(ours: Array, *, centred: bool = False) -> float:
    """What makes the largest value 1; of scores, to which a constant may be added, without their mean."""
    values = ours[np.isfinite(ours)]
    values = values - values.mean() if centred and values.size else values
    return 1 / max(float(np.abs(values).max(initial=0)), 1e-30)

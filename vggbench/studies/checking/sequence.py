"""A confidence sequence for a share among finitely many images, drawn one by one without replacement.

The prior-posterior ratio martingale of Waudby-Smith and Ramdas, "Confidence sequences for sampling without
replacement" (NeurIPS 2020, section 2). Of N images M are wrong. A prior over M, and the posterior after t images
with s wrong ones, give R_t(M) = prior(M) / posterior_t(M). For the true M that is a supermartingale which begins at 1
and is never negative: by Ville's inequality it ever reaches 1 / alpha with a probability of at most alpha, whenever one
looks and stops. The prior is any; a good one only makes wrong claims fall sooner.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln

_SHIFT, _SPREAD = 1 / 7, 1 / 14
"""By how much, as a share of the claimed error, wrong set-ups are expected to err more, and the deviation of that."""
_LEAST = 0.002
"""The least error, as a share, that a prior is for: a claim nearer to 0 has the prior of this one."""


@dataclass(frozen=True)
class Sequence:
    """What is known of the `wrong` images among `images` when they are drawn at random one after the other.

    `a` and `b` are those of the beta-binomial prior over how many are wrong.
    """

    images: int
    a: float
    b: float

    @classmethod
    def against(cls, share: float, images: int) -> "Sequence":
        """With a prior for a claimed error (a share): that it is a seventh higher, since faults rarely help."""
        mean = min(max(share, _LEAST) * (1 + _SHIFT), 0.98)
        deviation = max(share, _LEAST) * _SPREAD
        together = max(mean * (1 - mean) / deviation**2 - 1, 2.0)
        return cls(images, mean * together, (1 - mean) * together)

    def log_ratio(self, claimed: int, seen: int, wrong: int) -> float:
        """log R_t(M) of `claimed` = M after `seen` = t images, s = `wrong` of them; infinite where M cannot be."""
        return float(self.log_ratios(np.array([claimed]), seen, wrong)[0])

    def log_ratios(self, claimed: NDArray[np.integer], seen: int, wrong: int) -> NDArray[np.float64]:
        """The same of several claims, (C,) -> (C,)."""
        possible = (claimed >= wrong) & (claimed <= self.images - (seen - wrong))
        some = np.where(possible, claimed, wrong)
        prior = _log_probability(some, self.images, self.a, self.b)
        left = self.images - seen
        posterior = _log_probability(some - wrong, left, self.a + wrong, self.b + seen - wrong)
        return np.where(possible, prior - posterior, np.inf)

    def is_refuted(self, claimed: int, seen: int, wrong: int, alpha: float) -> bool:
        """Whether the claim is refuted at this level by what was seen."""
        return self.log_ratio(claimed, seen, wrong) >= -math.log(alpha)

    def interval(self, seen: int, wrong: int, alpha: float) -> tuple[int, int]:
        """The fewest and the most wrong images of all that are not refuted at this level."""
        counts = np.arange(wrong, self.images - (seen - wrong) + 1)
        kept = counts[self.log_ratios(counts, seen, wrong) < -np.log(alpha)]
        return int(kept[0]), int(kept[-1])


def _log_probability(count: NDArray[np.integer], images: int, a: float, b: float) -> NDArray[np.float64]:
    """log P(count) of a beta-binomial distribution over 0 to `images`."""
    choices = gammaln(images + 1) - gammaln(count + 1) - gammaln(images - count + 1)
    found: NDArray[np.float64] = choices + betaln(count + a, images - count + b) - betaln(a, b)
    return found

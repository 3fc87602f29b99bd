"""A finding, and a check that ends in one, whatever happens in it."""

import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import UsageError, VggbenchError, first_line

Verdict = Literal["right", "wrong", "short", "absent", ""]
"""`short`: there is too little of something, and no figure is wrong for that; `absent`: does not exist here; none of
a plain fact."""


@dataclass(frozen=True)
class Seen:
    """What a check or a look at the machine saw."""

    found: str
    difference: float | None = None
    """The largest, of posteriors or of losses."""
    tolerance: float | None = None
    verdict: Verdict = "right"
    said: str = ""
    """What is wrong or short, what was expected and what to do."""
    details: dict[str, Any] = field(default_factory=dict)
    """Plain values, for a bug report."""


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    part: str
    name: str
    seen: Seen


@dataclass(frozen=True)
class Check:
    """A question to the machine: `look` answers it, or raises."""

    part: str
    name: str
    look: Callable[[], Seen]

    def run(self) -> Finding:
        """The answer; a UsageError says that something is absent here, any other error that something is wrong."""
        try:
            seen = self.look()
        except UsageError as error:
            seen = Seen("not here", verdict="absent", said=str(error))
        except Exception as error:
            said = str(error) if isinstance(error, VggbenchError) else f"{type(error).__name__}: {first_line(error)}."
            seen = Seen("an error", verdict="wrong", said=said, details={"traceback": traceback.format_exc()})
        return Finding(self.part, self.name, seen)


def fact(found: str, **details: Any) -> Seen:
    """What is so, be it good or bad."""
    return Seen(found, verdict="", details=details)


def judged(found: str, difference: float, tolerance: float, said: str, **details: Any) -> Seen:
    """Right up to the tolerance; else, as where there is no number, wrong, and then it is `said` how."""
    shown = difference if math.isfinite(difference) else None  # JSON has no other
    if difference <= tolerance:
        return Seen(found, shown, tolerance, details=details)
    return Seen(found, shown, tolerance, "wrong", said, details)


def compared(
    found: NDArray[np.floating], expected: NDArray[np.floating], tolerance: float, images: Sequence[str]
) -> Seen:
    """Posteriors (N, K) beside those expected: wrong where any is further off than `tolerance`."""
    if found.shape != expected.shape:
        (rows, classes), (wanted, known) = found.shape, expected.shape
        said = f"There are {rows} x {classes} posteriors: expected {wanted} x {known}."
        return Seen(f"{rows} x {classes} posteriors", None, tolerance, "wrong", said)
    apart = np.abs(found.astype(np.float64) - expected)
    apart[np.isnan(apart)] = np.inf
    image, label = divmod(int(apart.argmax()), apart.shape[1])
    bound = f"at most {tolerance:g} apart" if tolerance else "the same bits"
    own, other = found[image, label], expected[image, label]
    said = f"Class {label} of {images[image]} has {own:.7g}: expected {other:.7g}, {bound}."
    return judged(
        f"{len(images)} images", float(apart.max()), tolerance, said, classes=expected.shape[1],
        top_posterior=float(expected.max()),
    )  # fmt: skip

"""Whether a loss grows instead of falling."""

import math
from collections import deque

_STEPS = 5
"""That a mean is of."""
_TIMES, _AGAIN = 3.0, 10.0
"""So many times the lowest is told of; and so many times what was told last."""


class Trend:
    """The mean loss of the last steps against the lowest such mean, which counts for no less than guessing gives."""

    def __init__(self, classes: int) -> None:
        self._guessing = math.log(classes)
        self._last = deque[float](maxlen=_STEPS)
        self._told = 0.0
        self.lowest = math.inf
        """The first loss, or the lowest mean of several steps since."""

    @property
    def now(self) -> float:
        """The mean over the last steps."""
        return sum(self._last) / len(self._last)

    def grows(self, loss: float) -> bool:
        """Take one more step's loss in; whether it is time to tell that it grows."""
        self._last.append(loss)
        if len(self._last) in (1, _STEPS):
            self.lowest = min(self.lowest, self.now)
        told = len(self._last) == _STEPS and self.now > max(
            _TIMES * max(self.lowest, self._guessing), _AGAIN * self._told
        )
        if told:
            self._told = self.now
        return told

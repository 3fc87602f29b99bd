"""A published pair of errors, and what the images seen so far say of it."""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import UsageError
from vggbench.evaluation.jobs import Job
from vggbench.paper.protocols import OWN
from vggbench.paper.published import Member, published
from vggbench.studies.checking.sequence import Sequence
from vggbench.weights.released import by_name

LEVEL = 0.01
"""At which a claim is refuted, top-1 and top-5 together: half of it each."""


@dataclass(frozen=True)
class Claim:
    """Errors in percent, and who says so; top-5 may be unknown, or top-1."""

    top1: float | None
    top5: float | None
    source: str
    digits: int
    """Decimals that are stated: any error that rounds to them is what is claimed."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `28.41/9.62`, or one error alone, `28.41`. Raises UsageError."""
        match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)(?:/(\d{1,3}(?:\.\d+)?))?", text.strip(), re.ASCII)
        top1, top5 = (float(match[1]), float(match[2]) if match[2] else None) if match else (-1.0, None)
        if not 0 <= top1 <= 100 or (top5 is not None and not 0 <= top5 <= top1):
            raise UsageError(
                f"--expect {text}: expected top-1 and top-5 error in percent, such as 28.41/9.62, or the first alone."
            )
        stated = [number.partition(".")[2] for number in text.strip().split("/")]
        return cls(top1, top5, "--expect", max(map(len, stated)))

    @classmethod
    def of_job(cls, job: Job) -> Self | None:
        """What is published for exactly these weights by exactly this protocol at this Q; None where nothing is."""
        own, protocol = job.identity, job.protocol
        if protocol.name == OWN:
            preset = own.preset
            is_theirs = preset is not None and preset.top1 is not None and own.is_published
            return cls(preset.top1, preset.top5, preset.source, 3) if preset and is_theirs else None
        released = by_name(own.released)
        for figure in released.published if released and released.digest else ():
            if (figure.protocol, figure.scales) == (str(protocol), (job.scale,)):
                source = f"{released.source}, {figure.how}" if released else ""
                return cls(figure.top1, figure.top5, source, figure.digits)
        net = own.architecture
        if net is None or net.width != 1 or net.classes != 1000 or own.train_scale is None or released is None:
            return None
        found = published(str(protocol), (Member(net.config.name, str(own.train_scale), (job.scale,)),))
        return cls(found.top1, found.top5, f"the paper, Table {found.table}", 1) if found else None


@dataclass(frozen=True)
class Judged:
    """A claim after some of `total` images, drawn at random; `ranks` (t,) as `metrics.ranks` has them."""

    claim: Claim
    total: int
    ranks: NDArray[np.int32]
    classes: int

    @property
    def seen(self) -> int:
        """Images."""
        return len(self.ranks)

    @cached_property
    def intervals(self) -> dict[int, tuple[float, float]]:
        """Errors in percent by top-k that are not refuted, for each k that is claimed."""
        found = {}
        for k, share in self._claimed.items():
            low, high = Sequence.against(share, self.total).interval(self.seen, self._wrong(k), LEVEL / 2)
            found[k] = (100 * low / self.total, 100 * high / self.total)
        return found

    @cached_property
    def refuted(self) -> tuple[int, ...]:
        """The k whose claimed error is refuted: 1, 5, both or none."""
        return tuple(k for k, share in self._claimed.items() if self._is_refuted(k, share))

    def _is_refuted(self, k: int, share: float) -> bool:
        """Whether each number of wrong images is that rounds to the claim, or comes nearest to it."""
        half = 0.5 * 0.1**self.claim.digits / 100
        low, high = math.ceil((share - half) * self.total), math.floor((share + half) * self.total)
        nearest = round(share * self.total)
        counts = np.clip(np.arange(min(low, nearest), max(high, nearest) + 1), 0, self.total)
        ratios = Sequence.against(share, self.total).log_ratios(counts, self.seen, self._wrong(k))
        return bool((ratios >= -math.log(LEVEL / 2)).all())

    @property
    def _claimed(self) -> dict[int, float]:
        """Errors as shares."""
        claimed = {1: self.claim.top1, 5: self.claim.top5 if self.classes > 5 else None}
        return {k: percent / 100 for k, percent in claimed.items() if percent is not None}

    def _wrong(self, k: int) -> int:
        return int((self.ranks >= k).sum())

"""What is asked of `probe`, and what it finds."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vggbench.metrics import ErrorRate
from vggbench.paper.probes import ProbeProtocol
from vggbench.studies.probing.descriptors import Descriptors
from vggbench.studies.probing.fits import Fits
from vggbench.studies.probing.machine import COSTS

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What is asked for; None: the protocol's own."""

    protocol: str = "folders"
    test: Sequence[Path] = ()
    data: Path | None = None
    train_per_class: int | None = None
    test_per_class: int | None = None
    """0: all others."""
    splits: int | None = None
    seed: int | None = None
    split_file: Path | None = None
    costs: Sequence[float] = COSTS
    folds: int | None = None
    each: bool = False
    runs: str | Path | None = None
    """What machines give is kept in this folder until `Probed.forget`, or, without one, nowhere."""

    @property
    def kept(self) -> Path | None:
        """The folder in `runs` for what machines give."""
        return None if self.runs is None else Path(self.runs) / "probe"

    @property
    def is_papers(self) -> bool:
        """Whether the images that train and test are as many as the paper's, and C is chosen."""
        own = (self.train_per_class, self.test_per_class, self.splits)
        return own == (None, None, None) and len(self.costs) > 1


@dataclass(frozen=True)
class Outcome:
    """One split: the metric in percent, C and what it reached on held-out training images, and how many images."""

    figure: float
    cost: float
    held_out: float | None
    train: int
    test: int
    error: ErrorRate | None
    """Top-1; None of a VOC."""
    by_class: dict[str, float | None]
    """Average precision of a VOC's classes, else recall, in percent; None of a class that no test image shows."""
    wrong: tuple[str, ...] | None = None
    """Test images of a class that are predicted as another; None of a VOC."""
    twins: int = 0
    """Test images whose descriptor is that of an image that trains, number for number."""


@dataclass(frozen=True)
class ProbeRow:
    """One set of features."""

    descriptors: Descriptors
    outcomes: tuple[Outcome, ...]
    fits: Fits
    paper: tuple[float, ...] | None
    """The published figure, where it is of the same nets, descriptors, images and protocol."""

    @property
    def figure(self) -> float:
        """The mean over the splits, in percent."""
        return statistics.fmean(outcome.figure for outcome in self.outcomes)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the splits (n - 1); None of one."""
        return statistics.stdev(outcome.figure for outcome in self.outcomes) if len(self.outcomes) > 1 else None


@dataclass(frozen=True)
class Probed:
    """Rows by one protocol on the same images, and how they came about."""

    protocol: ProbeProtocol
    request: Request
    rows: tuple[ProbeRow, ...]
    parts: str
    """Which images trained and which tested."""
    folds: int
    seed: int
    classes: int
    sklearn: str
    splits_sha256: str | None = None
    held_out: str = "images held out of what trains"
    """What chose C of a VOC."""
    notes: tuple[str, ...] = ()

    def forget(self) -> None:
        """Remove what was kept to resume by, once the figures are where they belong."""
        for row in self.rows:
            row.fits.forget()


@dataclass(frozen=True)
class Manner:
    """How C is chosen."""

    costs: tuple[float, ...]
    folds: int
    seed: int


def notes_of(rows: Sequence[ProbeRow], manner: Manner) -> tuple[str, ...]:
    """What a reader must know of the fitting."""
    notes = []
    stopped, fitted = sum(row.fits.unconverged for row in rows), sum(row.fits.fitted for row in rows)
    if stopped:
        notes.append(f"{stopped:,} of {fitted:,} fits stopped before they had converged.")
    twins = max(sum(outcome.twins for outcome in row.outcomes) for row in rows)
    if twins:
        notes.append(
            f"{twins:,} test images have the very descriptor of one that trains: the same picture under two names?"
        )
    costs = [outcome.cost for row in rows for outcome in row.outcomes]
    for end, what in ((min(manner.costs), "smallest"), (max(manner.costs), "largest")):
        if len(manner.costs) > 1 and end in costs:
            notes.append(f"C={end:g} is the {what} tried: others may do better (--costs).")
    return tuple(notes)

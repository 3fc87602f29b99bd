"""Which stored runs make one row of a table, and two rows of it beside each other, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vggbench.data import DataSet
from vggbench.errors import StoreError, UsageError
from vggbench.files import digest
from vggbench.metrics import SIGNIFICANT, mcnemar, paired_interval
from vggbench.paper.protocols import OWN, Protocol
from vggbench.results.judging import ORIGINAL, GroundTruth
from vggbench.store.identity import Identity, require_same_classes
from vggbench.store.posteriors import Posteriors, fuse
from vggbench.store.runs import Run


@dataclass(frozen=True)
class Line:
    """The runs that make one row, and their mean."""

    protocol: str
    runs: tuple[Run, ...]
    posteriors: Posteriors
    shares: Sequence[float] | None = None
    """The shares of the nets in a weighted fusion."""

    @classmethod
    def find(cls, lines: Sequence[Self], protocol: str, scales: Sequence[int]) -> Self | None:
        """The row of this protocol and these Qs."""
        found = (line for line in lines if line.protocol == protocol and line.own_scales == tuple(scales))
        return next(found, None)

    @property
    def key(self) -> tuple[object, ...]:
        """What its posteriors are a mean of, and in which order and shares."""
        return self.protocol, tuple(run.folder for run in self.runs), tuple(self.shares or ())

    @property
    def own_scales(self) -> tuple[int, ...]:
        """All Qs, ascending."""
        return tuple(sorted({run.scale for run in self.runs if run.scale}))

    @property
    def title(self) -> str:
        """For messages: dense at Q=256,384."""
        scales = ",".join(str(scale) for scale in self.own_scales)
        return f"{self.protocol} at Q={scales}" if scales else self.protocol

    @property
    def models(self) -> tuple[Identity, ...]:
        """The nets, each once."""
        return tuple({run.identity.key: run.identity for run in self.runs}.values())

    def scales(self, model: Identity) -> tuple[int, ...]:
        """The Qs of one of the nets."""
        return tuple(sorted({run.scale for run in self.runs if run.identity.key == model.key}))


@dataclass(frozen=True)
class Ranking:
    """The rank of the right class on each image of `data`; each run is read once, whatever rows it is part of."""

    data: DataSet
    _found: dict[tuple[object, ...], NDArray[np.int32]] = field(default_factory=dict, repr=False)

    def of(self, lines: Sequence[Line], truth: GroundTruth) -> list[NDArray[np.int32]]:
        """`GroundTruth.ranks` of rows of the same classes and images; truths are told apart by their names."""
        assert all(line.posteriors.images == lines[0].posteriors.images for line in lines), (
            "rows are of the same images"
        )
        lacking = {self._key(line, truth): line for line in lines if self._key(line, truth) not in self._found}
        if lacking:
            several = [line.posteriors for line in lacking.values()]
            found = truth.ranks(several, self.data, lines[0].models[0])
            self._found.update(zip(lacking, found, strict=True))
        return [self._found[self._key(line, truth)] for line in lines]

    def _key(self, line: Line, truth: GroundTruth) -> tuple[object, ...]:
        return (truth.name, truth.left_out, truth.of_data, *line.key)


@dataclass(frozen=True)
class Paired:
    """Two rows of one table, image by image; `fixed` are wrong in the first alone, `broken` in the second."""

    first: str
    second: str
    fixed: int
    broken: int
    both: int
    """Wrong in both."""
    images: int
    p_holm: float | None = None
    """`p` adjusted by Holm for all tests of its table; None until `correction.corrected` has seen them."""

    @property
    def points(self) -> float:
        """The second's top-1 error minus the first's, in points."""
        return 100 * (self.broken - self.fixed) / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of `points`."""
        low, high = paired_interval(self.both, self.fixed, self.broken, self.images)
        return 100 * low, 100 * high

    @property
    def p(self) -> float:
        """McNemar's exact test, two-sided."""
        return mcnemar(self.fixed, self.broken)

    @property
    def is_significant(self) -> bool:
        """Whether the difference stands at 5% among all tests of its table."""
        assert self.p_holm is not None, "correction.corrected takes all rows of a table"
        return self.p_holm < SIGNIFICANT


def paired(first: Line, second: Line, ranking: Ranking, truth: GroundTruth = ORIGINAL) -> Paired:
    """Compare the top-1 errors of two rows on the same images."""
    wrong, also = (ranks >= 1 for ranks in ranking.of([first, second], truth))
    fixed, broken, both = (int(count.sum()) for count in (wrong & ~also, also & ~wrong, wrong & also))
    same = [model.key for model in first.models] == [model.key for model in second.models]
    titles = (first.title, second.title) if same else (_names(first), _names(second))
    return Paired(*titles, fixed, broken, both, len(wrong))


def _names(line: Line) -> str:
    return " + ".join(model.name for model in line.models)


def model_lines(runs: Sequence[Run], model: Identity) -> list[Line]:
    """The rows of one of several models: each protocol at each Q, over all Qs, and dense with multicrop over all Qs."""
    runs = [run for run in runs if run.identity.key == model.key]
    lines: list[Line] = []
    over_scales: dict[str, Line] = {}
    _require_different(runs)
    for protocol in dict.fromkeys(run.protocol for run in runs):
        own = tuple(sorted((run for run in runs if run.protocol == protocol), key=lambda run: run.scale))
        lines += [Line(str(protocol), (run,), run) for run in own]
        if protocol.combines:
            over_scales[protocol.name] = Line(str(protocol), own, fuse(*own))
            if len(own) > 1:
                lines.append(over_scales[protocol.name])
    if len(over_scales) == 2:
        dense, multicrop = over_scales["dense"], over_scales["multicrop"]
        name = f"{dense.protocol}+{multicrop.protocol}"
        lines.append(Line(name, dense.runs + multicrop.runs, fuse(dense.posteriors, multicrop.posteriors)))
    return lines


def _require_different(runs: Sequence[Run]) -> None:
    """Refuse two runs that would be averaged as if they were of two Qs. Raises UsageError."""
    known: dict[object, Run] = {}
    for run in runs:
        other = known.setdefault((str(run.protocol), run.scale), run)
        if other is not run:
            raise UsageError(
                f"{other.title} and {run.title} are both {run.protocol} at Q={run.scale} of {run.identity.name}: "
                "expected one of them."
            )


def require_comparable(runs: Sequence[Run]) -> None:
    """Raise StoreError for runs of different images, UsageError for other rescaling or precision.

    What publishers do, and what others ran, is by each one's own rescaling, which the table tells.
    """
    fuse(*runs)  # refuses different images by name
    _require_different_models(runs)
    ours = [run for run in runs if not run.identity.is_imported]
    for what, key, error, several in (
        ("files", "data", StoreError, runs),
        ("rescaling", "rescale", UsageError, [run for run in ours if run.protocol.name != OWN]),
        ("precision", "precision", UsageError, ours),
    ):
        for run in several[1:]:
            one, other = several[0].signature[key], run.signature[key]
            if digest(one) != digest(other):
                raise error(
                    f"{several[0].title} and {run.title} differ in {what} ({one}; {other}): expected the same, since "
                    "one note under the table tells it of all."
                )


def _require_different_models(runs: Sequence[Run]) -> None:
    """Refuse the same weights at the same input by two names, which would be averaged as two. Raises UsageError."""
    known: dict[object, str] = {}
    for run in runs:
        own = run.identity
        name = known.setdefault((own.weights, own.input, own.side, own.altered), own.name)
        if name != own.name:
            raise UsageError(f"{name} and {own.name} are the same weights: expected different ones.")


def most_complete(lines: Sequence[Line]) -> list[Line]:
    """The last row, or all rows of the last protocol where its Qs never combine."""
    if Protocol.parse(lines[-1].protocol.split("+")[-1]).combines:
        return [lines[-1]]
    return [line for line in lines if line.protocol == lines[-1].protocol]


def fused_line(lines: Sequence[Line], shares: Sequence[float] | None = None) -> Line:
    """ConvNet fusion (paper, section 4.4): the mean over nets, or a weighted one.

    Raises UsageError unless their classes are the same.
    """
    require_same_classes([line.models[0] for line in lines])
    runs = tuple(run for line in lines for run in line.runs)
    protocols = dict.fromkeys(line.protocol for line in lines)
    return Line(", ".join(protocols), runs, fuse(*(line.posteriors for line in lines), shares=shares), shares)

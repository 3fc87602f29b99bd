"""Which stored runs make one row of a table, and two rows of it beside each other, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from vggbench.data import DataSet
from vggbench.errors import UsageError
from vggbench.metrics import SIGNIFICANT, mcnemar, paired_interval
from vggbench.paper.protocols import Protocol
from vggbench.results.judging import ORIGINAL, GroundTruth
from vggbench.store.posteriors import Scores, fuse
from vggbench.store.runs import Run

if TYPE_CHECKING:
    from vggbench.evaluation.jobs import Job
    from vggbench.evaluation.plan import Plan
    from vggbench.weights.load import Model


@dataclass(frozen=True)
class Part:
    """A run and the job that it is of."""

    job: "Job"
    run: Run


class _Ranked(NamedTuple):
    """Ranks, and what they are by, which thereby stays itself."""

    data: DataSet
    truth: GroundTruth
    ranks: NDArray[np.int32]


@dataclass(frozen=True)
class Line:
    """The runs that make one row, and their mean."""

    protocol: str
    parts: tuple[Part, ...]
    scores: Scores
    shares: Sequence[float] | None = None
    """Of the nets in a weighted fusion."""
    _ranks: dict[tuple[int, int], _Ranked] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def find(cls, lines: Sequence[Self], protocol: str, scales: Sequence[int]) -> Self | None:
        """The row of this protocol and these Qs."""
        found = (line for line in lines if line.protocol == protocol and line.own_scales == tuple(scales))
        return next(found, None)

    @property
    def own_scales(self) -> tuple[int, ...]:
        """All Qs, ascending."""
        return tuple(sorted({part.job.scale for part in self.parts}))

    @property
    def title(self) -> str:
        """For messages: dense at Q=256,384."""
        return f"{self.protocol} at Q={','.join(str(scale) for scale in self.own_scales)}"

    @property
    def models(self) -> "tuple[Model, ...]":
        """The nets, each once."""
        return tuple({id(part.job.model): part.job.model for part in self.parts}.values())

    def scales(self, model: "Model") -> tuple[int, ...]:
        """The Qs of one of the nets."""
        return tuple(sorted({part.job.scale for part in self.parts if part.job.model is model}))

    def ranks(self, data: DataSet, truth: GroundTruth) -> NDArray[np.int32]:
        """`GroundTruth.ranks` of these scores."""
        if (id(data), id(truth)) not in self._ranks:
            rank_together([self], data, truth)
        return self._ranks[id(data), id(truth)].ranks


@dataclass(frozen=True)
class Paired:
    """Two rows of one table, image by image; `mended` are wrong in the first alone, `spoiled` in the second."""

    first: str
    second: str
    mended: int
    spoiled: int
    both: int
    """Wrong in both."""
    images: int
    p_holm: float | None = None
    """`p` adjusted by Holm for all tests of its table; None until `correction.corrected` has seen them."""

    @property
    def points(self) -> float:
        """The second's top-1 error minus the first's, in points."""
        return 100 * (self.spoiled - self.mended) / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of `points`."""
        low, high = paired_interval(self.both, self.mended, self.spoiled, self.images)
        return 100 * low, 100 * high

    @property
    def p(self) -> float:
        """McNemar's exact test, two-sided."""
        return mcnemar(self.mended, self.spoiled)

    @property
    def is_significant(self) -> bool:
        """Whether the difference stands at 5% among all tests of its table."""
        assert self.p_holm is not None, "correction.corrected takes all rows of a table"
        return self.p_holm < SIGNIFICANT


def rank_together(lines: Sequence[Line], data: DataSet, truth: GroundTruth) -> None:
    """Find the `ranks` of lines of the same classes and images; each run is read once, whatever it is part of."""
    assert all(line.scores.images == lines[0].scores.images for line in lines), "rows of a table cover the same images"
    lines = list({id(line): line for line in lines if (id(data), id(truth)) not in line._ranks}.values())
    if not lines:
        return
    found = truth.ranks([line.scores for line in lines], data, lines[0].models[0])
    for line, ranks in zip(lines, found, strict=True):
        line._ranks[id(data), id(truth)] = _Ranked(data, truth, ranks)


def paired(first: Line, second: Line, data: DataSet, truth: GroundTruth = ORIGINAL) -> Paired:
    """Compare the top-1 errors of two rows on the same images."""
    assert tuple(first.scores.images) == tuple(second.scores.images), "rows of one table cover the same images"
    wrong, also = (line.ranks(data, truth) >= 1 for line in (first, second))
    mended, spoiled, both = (int(count.sum()) for count in (wrong & ~also, also & ~wrong, wrong & also))
    titles = (first.title, second.title) if first.models == second.models else (_names(first), _names(second))
    return Paired(*titles, mended, spoiled, both, len(wrong))


def _names(line: Line) -> str:
    return " + ".join(model.name for model in line.models)


def model_lines(plan: "Plan", model: "Model") -> list[Line]:
    """The rows of one model in an evaluation."""
    return lines_of([Part(job, run) for job, run in zip(plan.jobs, plan.runs, strict=True) if job.model is model])


def lines_of(parts: Sequence[Part]) -> list[Line]:
    """The rows of one model's runs: each protocol at each Q, over all Qs, and dense with multicrop over all Qs."""
    protocols = {part.job.protocol: None for part in parts}
    lines: list[Line] = []
    over_scales: dict[str, Line] = {}
    for protocol in protocols:
        own = tuple(sorted((part for part in parts if part.job.protocol == protocol), key=lambda part: part.job.scale))
        lines += [Line(str(protocol), (part,), part.run) for part in own]
        if protocol.combines:
            over_scales[protocol.name] = Line(str(protocol), own, fuse(*(part.run for part in own)))
            if len(own) > 1:
                lines.append(over_scales[protocol.name])
    if len(over_scales) == 2:
        dense, multicrop = over_scales["dense"], over_scales["multicrop"]
        name = f"{dense.protocol}+{multicrop.protocol}"
        lines.append(Line(name, dense.parts + multicrop.parts, fuse(dense.scores, multicrop.scores)))
    return lines


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
    parts = tuple(part for line in lines for part in line.parts)
    protocols = dict.fromkeys(line.protocol for line in lines)
    return Line(", ".join(protocols), parts, fuse(*(line.scores for line in lines), shares=shares), shares)


def require_same_classes(models: "Sequence[Model]") -> None:
    """Raise UsageError where models have different classes, or the same in another order."""
    for other in models[1:]:
        if (other.class_names, other.classes) != (models[0].class_names, models[0].classes):
            raise UsageError(
                f"{models[0].name} and {other.name} have different classes or order: expected the same list. "
                "Compare and fuse nets that were trained on the same classes."
            )

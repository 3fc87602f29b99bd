"""From stored runs to the rows of a table: which runs make a row, its errors, its cost, its reference."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from vggbench.configs import Config
from vggbench.cost import Network, cost, mean_macs
from vggbench.data import DataSet
from vggbench.errors import UsageError
from vggbench.evaluation import Plan
from vggbench.jobs import Job, Settings
from vggbench.judging import ORIGINAL, GroundTruth
from vggbench.metrics import ErrorRate, mcnemar, paired_interval, top5_error, top_k_error
from vggbench.paper import Member, published
from vggbench.protocols import Protocol, TrainScale
from vggbench.scores import Run, Scores, fuse
from vggbench.views import Rescale
from vggbench.weights import Model


@dataclass(frozen=True)
class Errors:
    """Top-1 and top-5 error of the same images; no top-5 where the net has five classes or fewer."""

    top1: ErrorRate
    top5: ErrorRate | None

    @classmethod
    def of(cls, label_ranks: NDArray[np.integer], classes: int) -> Self:
        """From the classes that stand before each image's label, (N,)."""
        return cls(top_k_error(label_ranks, 1), top5_error(label_ranks, classes))


@dataclass(frozen=True)
class Reference:
    """A published figure for exactly this row, errors in percent."""

    top1: float
    top5: float
    source: str


@dataclass(frozen=True)
class Part:
    """A run and the job that it is of."""

    job: Job
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
    def models(self) -> tuple[Model, ...]:
        """The nets, each once."""
        return tuple({id(part.job.model): part.job.model for part in self.parts}.values())

    def scales(self, model: Model) -> tuple[int, ...]:
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


@dataclass(frozen=True)
class Row:
    """One protocol of one model on one data set; errors None where there are no weights."""

    network: str
    models: tuple[Model, ...]
    protocol: str
    scales: tuple[int, ...]
    train_scale: str | None
    views: int
    parameters: int | None
    macs: float | None
    images: int = 0
    """Images that were evaluated; `errors` says how many of them count."""
    skipped: int = 0
    errors: Errors | None = None
    labels: str = ORIGINAL.name
    blacklisted: int = 0
    """Evaluated images that were to be left out."""
    doubtful: Mapping[str, str] = field(default_factory=dict)
    """Images that were decoded although libjpeg complained, and of what."""
    reference: Reference | None = None
    config: str | None = None
    note: str | None = None
    run_hashes: tuple[str, ...] = ()
    backend: str | None = None
    rescale: str | None = None
    """How its images were rescaled."""
    images_per_second: float | None = None
    """Over the forward passes, as they were run; sharing of work shows here."""
    against: Paired | None = None
    """This row beside the one that the table compares with, by the same ground truth."""


def error_rates(scores: Scores, data: DataSet, model: Model, truth: GroundTruth = ORIGINAL) -> Errors:
    """The errors of a run or a fusion, by the labels that `data` has now; every image is counted once."""
    (found,) = truth.ranks([scores], data, model)
    return Errors.of(found, model.classes)


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


def model_lines(plan: Plan, model: Model) -> list[Line]:
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


def require_same_classes(models: Sequence[Model]) -> None:
    """Raise UsageError where models have different classes, or the same in another order."""
    for other in models[1:]:
        if (other.class_names, other.classes) != (models[0].class_names, models[0].classes):
            raise UsageError(
                f"{models[0].name} and {other.name} have different classes or order: expected the same list. "
                "Compare and fuse nets that were trained on the same classes."
            )


def row(line: Line, data: DataSet, settings: Settings, truth: GroundTruth = ORIGINAL) -> Row:
    """Measure one row."""
    models = line.models
    train_scales = [str(model.train_scale) if model.train_scale else None for model in models]
    known = [scale for scale in train_scales if scale]
    skipped = len({image for part in line.parts for image in part.run.unreadable})
    return Row(
        network=_fused_name(models, line.shares),
        models=models,
        protocol=line.protocol,
        scales=line.own_scales,
        train_scale=_joined(known) if len(known) == len(models) else None,
        views=sum(part.job.protocol.view_count for part in line.parts),
        parameters=_sum([cost(model.net).parameters if model.net else None for model in models]),
        macs=_sum([_part_macs(part) for part in line.parts]),
        images=len(line.scores.images),
        skipped=skipped,
        errors=Errors.of(line.ranks(data, truth), models[0].classes),
        labels=truth.name,
        blacklisted=len(truth.left_out & set(line.scores.images)),
        doubtful={image: why for part in line.parts for image, why in part.run.doubtful.items()},
        reference=_reference(line, data, settings) if truth.is_original and not line.shares else None,
        config="+".join(model.net.config.name if model.net else "other" for model in models),
        backend=" + ".join(dict.fromkeys(str(part.run.signature["backend"]) for part in line.parts)),
        run_hashes=tuple(part.run.title.rpartition("-")[2] for part in line.parts),
        rescale="; ".join(dict.fromkeys(str(part.job.rescale or settings.rescale) for part in line.parts)),
        images_per_second=_images_per_second(line),
    )


def unmeasured_row(
    config: Config,
    name: str,
    protocols: Sequence[Protocol],
    scales: tuple[int, ...],
    train_scale: TrainScale | None,
    sizes: Sequence[tuple[int, int]],
    note: str,
    reference: Reference | None,
) -> Row:
    """The row of a net that has no weights: its parameters and cost at the paper's width, and what to do."""
    net = Network(config)
    return Row(
        network=name,
        models=(),
        protocol="+".join(str(protocol) for protocol in protocols),
        scales=scales,
        train_scale=str(train_scale) if train_scale else None,
        views=sum(protocol.view_count for protocol in protocols) * len(scales),
        parameters=cost(net).parameters,
        macs=sum(_mean_macs(net, protocol, scale, sizes) for protocol in protocols for scale in scales),
        reference=reference,
        config=config.name,
        note=note,
    )


def paper_reference(protocol: str, members: tuple[Member, ...]) -> Reference | None:
    """The paper's figure for these nets, S, Qs and protocol."""
    found = published(protocol, members)
    return Reference(found.top1, found.top5, f"paper, Table {found.table}") if found else None


def _reference(line: Line, data: DataSet, settings: Settings) -> Reference | None:
    """The paper's figure, or else the publisher's: beside a full ILSVRC run of just that, in fp32, only."""
    if any(part.job.rescale or part.job.model.altered for part in line.parts):
        return None
    if settings.rescale != Rescale() or settings.precision not in ("fp32", "tf32"):
        return None
    if not data.is_full_ilsvrc_val or any(part.run.unreadable for part in line.parts):
        return None
    if not all(_is_the_papers(model.net) for model in line.models):
        return None
    members = tuple(
        Member(model.net.config.name, str(model.train_scale), line.scales(model)) for model in line.models if model.net
    )
    return paper_reference(line.protocol, members) or _publishers_reference(line)


def _is_the_papers(net: Network | None) -> bool:
    return net is not None and net.width == 1 and net.classes == 1000


def _publishers_reference(line: Line) -> Reference | None:
    released = line.models[0].released
    if len(line.models) > 1 or released is None or released.digest is None:  # without a hash it may be any file
        return None
    for figure in released.published:
        if (figure.protocol, figure.scales) == (line.protocol, line.own_scales) and figure.top1 is not None:
            return Reference(figure.top1, figure.top5, f"{released.source}, {figure.how}")
    return None


def _part_macs(part: Part) -> float | None:
    net, how = part.job.model.net, part.job.rescale
    sizes = [(1, 1)] if how and how.square else part.run.sizes()
    return _mean_macs(net, part.job.protocol, part.job.scale, sizes) if net else None


def _mean_macs(net: Network, protocol: Protocol, scale: int, sizes: Sequence[tuple[int, int]]) -> float:
    counted = Counter(sizes)
    total = sum(mean_macs(net, protocol, scale, [size]) * count for size, count in counted.items())
    return total / len(sizes)


def _images_per_second(line: Line) -> float | None:
    seconds = sum(entry.get("seconds", 0.0) for part in line.parts for entry in part.run.provenance)
    return len(line.scores.images) / seconds if seconds else None


def _sum(values: Sequence[Any]) -> Any:
    """The sum, or None where one is unknown."""
    return None if any(value is None for value in values) else sum(values)


def _fused_name(models: Sequence[Model], shares: Sequence[float] | None) -> str:
    if shares is None:
        return " + ".join(model.name for model in models)
    return " + ".join(f"{share:g} {model.name}" for share, model in zip(shares, models, strict=True))


def _joined(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else " + ".join(values)

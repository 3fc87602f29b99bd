"""The rows of a table from stored runs: which runs make a row, its errors, its cost and its reference."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vggbench.data import DataSet
from vggbench.images.preprocessing import Rescale
from vggbench.metrics import Errors
from vggbench.nets.cost import Architecture, cost, mean_macs
from vggbench.paper.configs import Config
from vggbench.paper.protocols import IMPORTED, OWN, Protocol, TrainScale
from vggbench.paper.published import Member, published
from vggbench.results.calibration import Calibration
from vggbench.results.judging import ORIGINAL, GroundTruth
from vggbench.results.lines import Line, Paired, Ranking
from vggbench.store.identity import Identity
from vggbench.store.posteriors import Posteriors
from vggbench.store.runs import Run
from vggbench.weights.released import by_name

if TYPE_CHECKING:
    from vggbench.weights.load import Model


@dataclass(frozen=True)
class Reference:
    """A published figure for exactly this row, errors in percent."""

    top1: float
    top5: float
    source: str


@dataclass(frozen=True)
class Part:
    """One of the runs that a row is a mean of: whose, by which protocol, at which Q, from images rescaled how."""

    network: str
    protocol: str
    scale: int
    rescale: str
    crop: int | None
    """Side of its crops; None of the whole image, or where it is not known."""


@dataclass(frozen=True)
class Row:
    """One protocol of one model on one data set; errors None where there are no weights."""

    network: str
    models: tuple[Identity, ...]
    protocol: str
    scales: tuple[int, ...]
    train_scale: str | None
    views: int
    parameters: int | None
    macs: float | None
    """Per image, all views; more where operators are `uncounted`."""
    images: int = 0
    """Images that were evaluated; `errors` says how many of them count."""
    skipped: int = 0
    errors: Errors | None = None
    labels: str = ORIGINAL.name
    among: int | None = None
    """Classes that stand in line, where they are not all of the model's."""
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
    uncounted: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    images_per_second: float | None = None
    """Over the forward passes, as they were run; sharing of work shows here."""
    against: Paired | None = None
    """This row beside the one that the table compares with, by the same ground truth."""
    calibration: Calibration | None = None
    """How far its posteriors can be believed, where that was asked for."""

    @property
    def difference(self) -> tuple[float, float | None] | None:
        """Top-1 and top-5 error minus those of the reference, in points; None without both."""
        if self.errors is None or self.reference is None:
            return None
        return self.errors.minus(self.reference.top1, self.reference.top5)


def error_rates(
    posteriors: Posteriors, data: DataSet, model: "Model | Identity", truth: GroundTruth = ORIGINAL
) -> Errors:
    """The errors of a run or a fusion, by the labels that `data` has now; every image is counted once."""
    identity = model if isinstance(model, Identity) else model.identity
    (found,) = truth.ranks([posteriors], data, identity)
    return Errors.of(found, identity.classes)


def row(line: Line, ranking: Ranking, truth: GroundTruth = ORIGINAL) -> Row:
    """Measure one row."""
    models = line.models
    among = truth.among(ranking.data, models[0])
    has_imported = any(model.is_imported for model in models)
    train_scales = [str(model.train_scale) if model.train_scale else None for model in models]
    known = [scale for scale in train_scales if scale]
    skipped = len({image for run in line.runs for image in run.unreadable})
    return Row(
        network=_fused_name(models, line.shares),
        models=models,
        protocol=line.protocol,
        scales=line.own_scales,
        train_scale=_joined(known) if len(known) == len(models) else None,
        views=0 if has_imported else sum(run.protocol.view_count for run in line.runs),
        parameters=_sum(
            [cost(model.architecture).parameters if model.architecture else model.parameters for model in models]
        ),
        macs=_sum([_run_macs(run) for run in line.runs]),
        images=len(line.posteriors.images),
        skipped=skipped,
        errors=Errors.of(ranking.of([line], truth)[0], models[0].classes if among is None else len(among)),
        labels=truth.name,
        among=None if among is None else len(among),
        blacklisted=len(truth.left_out & set(line.posteriors.images)),
        doubtful={image: why for run in line.runs for image, why in run.doubtful.items()},
        reference=_reference(line, ranking.data) if truth.is_original and not line.shares else None,
        config="+".join(
            model.architecture.config.name if model.architecture else model.kind or "other" for model in models
        ),
        backend=" + ".join(dict.fromkeys(str(run.signature["backend"]) for run in line.runs)),
        run_hashes=tuple(run.short_hash for run in line.runs),
        rescale="; ".join(dict.fromkeys(str(run.rescale or "unknown") for run in line.runs)),
        parts=tuple(
            Part(
                run.identity.name,
                str(run.protocol),
                run.scale,
                str(run.rescale or "unknown"),
                None if run.protocol.name in ("dense", IMPORTED) else run.protocol.crop,
            )
            for run in line.runs
        ),
        uncounted=tuple(dict.fromkeys(name for model in models for name in model.uncounted)),
        images_per_second=None if has_imported else _images_per_second(line),
    )


def unmeasured_row(
    config: Config | None,
    name: str,
    protocols: Sequence[Protocol],
    scales: tuple[int, ...],
    train_scale: TrainScale | None,
    sizes: Sequence[tuple[int, int]],
    note: str,
    reference: Reference | None,
) -> Row:
    """The row of a net that has no weights: its parameters and cost at the paper's width, and what to do."""
    net = Architecture(config) if config else None
    return Row(
        network=name,
        models=(),
        protocol="+".join(str(protocol) for protocol in protocols),
        scales=scales,
        train_scale=str(train_scale) if train_scale else None,
        views=sum(protocol.view_count for protocol in protocols) * len(scales),
        parameters=cost(net).parameters if net else None,
        macs=sum(_mean_macs(net, one, scale, sizes) for one in protocols for scale in scales) if net else None,
        reference=reference,
        config=config.name if config else "other",
        note=note,
    )


def paper_reference(protocol: str, members: tuple[Member, ...]) -> Reference | None:
    """The paper's figure for these nets, S, Qs and protocol."""
    found = published(protocol, members)
    return Reference(found.top1, found.top5, f"paper, Table {found.table}") if found else None


def _reference(line: Line, data: DataSet) -> Reference | None:
    """The paper's figure, or else the publisher's: beside a full ILSVRC run of just that, in fp32, only."""
    if not data.is_full_ilsvrc_val or not all(_may_be_published(run) for run in line.runs):
        return None
    if line.protocol == OWN:
        return _presets_reference(line)
    if any(run.rescale != Rescale() for run in line.runs):
        return None
    if not all(_is_the_papers(model.architecture) for model in line.models):
        return None
    members = tuple(
        Member(model.architecture.config.name, str(model.train_scale), line.scales(model))
        for model in line.models
        if model.architecture
    )
    return paper_reference(line.protocol, members) or _publishers_reference(line)


def _may_be_published(run: Run) -> bool:
    """Whether it is of weights as they are, run here over all images, in full precision."""
    own = run.identity
    is_full = run.signature["precision"] in ("fp32", "tf32") and not run.unreadable
    return is_full and own.altered is None and not own.is_imported


def _is_the_papers(net: Architecture | None) -> bool:
    return net is not None and net.width == 1 and net.classes == 1000


def _presets_reference(line: Line) -> Reference | None:
    """What was published for just these weights: of the library's own, or of a file that is known to be them."""
    model = line.models[0]
    preset = model.preset
    if len(line.models) > 1 or preset is None or preset.top1 is None or preset.top5 is None or not model.is_published:
        return None
    return Reference(preset.top1, preset.top5, preset.source)


def _publishers_reference(line: Line) -> Reference | None:
    released = by_name(line.models[0].released)
    if len(line.models) > 1 or released is None or released.digest is None:  # without a hash it may be any file
        return None
    for figure in released.published:
        if (figure.protocol, figure.scales) == (line.protocol, line.own_scales) and figure.top1 is not None:
            return Reference(figure.top1, figure.top5, f"{released.source}, {figure.how}")
    return None


def _run_macs(run: Run) -> float | None:
    net, macs = run.identity.architecture, run.identity.macs
    if net is None:
        return macs * run.protocol.view_count if macs and run.protocol.name != "dense" else None
    sizes = [(1, 1)] if run.rescale and run.rescale.square else run.sizes()
    return _mean_macs(net, run.protocol, run.scale, sizes)


def _mean_macs(net: Architecture, protocol: Protocol, scale: int, sizes: Sequence[tuple[int, int]]) -> float:
    counted = Counter(sizes)
    total = sum(mean_macs(net, protocol, scale, [size]) * count for size, count in counted.items())
    return total / len(sizes)


def _images_per_second(line: Line) -> float | None:
    seconds = sum(entry.get("seconds", 0.0) for run in line.runs for entry in run.provenance)
    return len(line.posteriors.images) / seconds if seconds else None


def _sum(values: Sequence[Any]) -> Any:
    """The sum, or None where one is unknown."""
    return None if any(value is None for value in values) else sum(values)


def _fused_name(models: Sequence[Identity], shares: Sequence[float] | None) -> str:
    if shares is None:
        return " + ".join(model.name for model in models)
    return " + ".join(f"{share:g} {model.name}" for share, model in zip(shares, models, strict=True))


def _joined(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else " + ".join(values)

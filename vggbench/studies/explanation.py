"""Why one net scores differently from tool to tool: the same weights under single changes from the paper's recipe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from vggbench.errors import UsageError
from vggbench.evaluation.jobs import Job, own_job
from vggbench.evaluation.plan import Plan
from vggbench.images.pixels import has_other_decoders
from vggbench.images.preprocessing import DecoderName, FilterName, Input, Rescale
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import MODERN_SCALE, OWN, Protocol, modern_scale, resolve_scales
from vggbench.results.circumstances import Circumstances
from vggbench.results.correction import corrected
from vggbench.results.evaluated import Evaluated
from vggbench.results.judging import ORIGINAL
from vggbench.results.lines import Line, Ranking, paired
from vggbench.results.records import error_record
from vggbench.results.rows import Row, row
from vggbench.weights.fit import frozen
from vggbench.weights.load import Model
from vggbench.weights.released import RELEASED, Published, by_name

if TYPE_CHECKING:
    from pandas import DataFrame

DENSE = Protocol("dense")
TEST_SCALE = "test scale"
_CAFFES_RESIZE, _NEARLY_WHOLE = 256, 227


@dataclass(frozen=True)
class Change:
    """One departure from the paper's recipe; `apply` gives its job, or None where a model has nothing to change."""

    name: str
    what: str
    apply: Callable[[Job], Job | None]
    costly: bool = False
    source: str | None = None
    """For a toolkit's recipe, the source of its released weights, whose published figure stands beside the row."""


@dataclass(frozen=True)
class Explained:
    """What was changed, the job, and its row, which is compared with the recipe's on the same images."""

    name: str
    what: str
    job: Job
    row: Row
    published: tuple[Published, str] | None = None
    base: str = "paper's recipe"
    """The row that it departs from."""

    @property
    def is_told_by_name(self) -> bool:
        """Whether `what` adds nothing to `name`."""
        return self.what == TEST_SCALE


@dataclass(frozen=True)
class Explanation:
    """The rows of one net, the paper's recipe first, and how they were made."""

    rows: list[Explained]
    about: Circumstances

    def to_pandas(self) -> "DataFrame":
        """A row each, with the keys that JSON has."""
        from pandas import DataFrame

        return DataFrame([record_of(row, self.about) for row in self.rows])


def record_of(row: Explained, about: Circumstances) -> dict[str, Any]:
    """One row for JSON and CSV; keys may be added, never renamed."""
    return error_record(row.row, about) | {
        "change": row.name,
        "what": row.what,
        "against": row.base if row.row.against else None,
        "published_top1": row.published[0].top1 if row.published else None,
        "published_top5": row.published[0].top5 if row.published else None,
    }


def _at(scale: int) -> Callable[[Job], Job | None]:
    return lambda job: replace(job, scale=scale) if job.scale != scale else None


def _by(
    name: Literal["center", "tencrop", "multicrop"], scale: int | None = None, how: Rescale | None = None
) -> Callable[[Job], Job | None]:
    return lambda job: replace(job, protocol=Protocol(name), scale=scale or job.scale, rescale=how or job.rescale)


def _of_vgg(apply: Callable[[Job], Job | None]) -> Callable[[Job], Job | None]:
    """Make a change for crops of 224 alone: None for networks that already begin with a central crop of their own."""
    return lambda job: apply(job) if job.identity.architecture or job.identity.kind is None else None


def _rescaled(**changes: Any) -> Callable[[Job], Job | None]:
    """Rescale otherwise than all images are, or than its publisher does."""
    return lambda job: replace(job, rescale=replace(job.rescale or Rescale(), **changes))


def _decoded(decoder: DecoderName) -> Callable[[Job], Job | None]:
    """Decode as other toolkits ask of libjpeg, if it can be asked here."""
    return lambda job: _rescaled(decoder=decoder)(job) if has_other_decoders() else None


def _otherwise(filter: FilterName) -> Callable[[Job], Job | None]:
    """Rescale by another filter than the publisher's."""
    return lambda job: _rescaled(filter=filter)(job) if job.rescale else None


def _of_tensors(job: Job) -> Job | None:
    """Rescale as torchvision and timm do for tensors, if the publisher uses Pillow."""
    is_possible = job.rescale and job.rescale.filter in ("nearest", "bilinear", "bicubic")
    return _rescaled(library="PyTorch")(job) if is_possible else None


def _input(change: Callable[[Input], Input], name: str) -> Callable[[Job], Job | None]:
    return lambda job: replace(job, model=_altered(job.model, name, input=change(job.model.input)))


def _altered(model: Model, how: str, **changes: Any) -> Model:
    return model.with_identity(name=f"{model.identity.name} ({how})", altered=how, **changes)


def _swapped(given: Input) -> Input:
    """The other channel order under the same statistics."""
    return replace(given, channels="RGB" if given.channels == "BGR" else "BGR")


def _mean_reversed(given: Input) -> Input:
    one, two, three = given.mean
    return replace(given, mean=(three, two, one))


def _other_range(given: Input) -> Input:
    """Values 255 times too small or, where 0-1 is right, too large: mean and all."""
    factor = 1 / 255 if given.range == 255 else 255.0
    one, two, three = (value * factor for value in given.mean)
    return replace(given, range=1 if given.range == 255 else 255, mean=(one, two, three))


def _other_pooling(job: Job) -> Job | None:
    """The same tensors in a net that rounds pooled sizes the other way."""
    network, net = job.model.module, job.identity.architecture
    if not isinstance(network, VGG) or net is None:
        return None
    with torch.device("meta"):
        other = VGG(network.config, network.classes, network.width, ceil_pool=not network.ceil_pool)
    other.load_state_dict(network.state_dict(), assign=True)
    turned = replace(net, ceil_pool=other.ceil_pool)
    model = _altered(job.model, "ceil" if other.ceil_pool else "floor", architecture=turned)
    return replace(job, model=replace(model, module=frozen(other)))


CHANGES: tuple[Change, ...] = (
    Change(
        "centre, Q=256", "the central 224 x 224 alone, as torchvision and timm", _of_vgg(_by("center", MODERN_SCALE))
    ),
    Change("centre crop", "the central 224 x 224 alone, same Q", _of_vgg(_by("center"))),
    Change("whole image", "and its mirror, by dense, same Q", lambda job: replace(job, protocol=DENSE)),
    Change("ten crops", "corners, centre, mirrors, same Q", _by("tencrop")),
    Change("multi-crop", "50 views, same Q", _by("multicrop"), costly=True),
    Change("Q=256", TEST_SCALE, _at(256)),
    Change("Q=384", TEST_SCALE, _at(384)),
    Change("Q=512", TEST_SCALE, _at(512)),
    Change("no mirror", "one view less", lambda job: replace(job, protocol=replace(job.protocol, mirror=False))),
    Change("bicubic", "filter of the rescaling", _rescaled(filter="bicubic")),
    Change("bilinear", "filter of the rescaling", _otherwise("bilinear")),
    Change("tensor resize", "by PyTorch on tensors, not by Pillow", _of_tensors),
    Change("no antialias", "samples of the filter alone, as OpenCV", _rescaled(antialias=False, library="PyTorch")),
    Change("fast DCT", "JPEGs by libjpeg's fast DCT", _decoded("fast DCT")),
    Change("plain upsampling", "JPEGs' chroma not smoothed as it is enlarged", _decoded("plain upsampling")),
    Change("warped", "to a square of Q x Q, proportions lost", _rescaled(square=True)),
    Change(
        "227, centre 224", "shorter side 227, so that the crop is nearly the image",
        _of_vgg(_by("center", _NEARLY_WHOLE)),
    ),
    Change("channels swapped", "RGB for BGR, or BGR for RGB; same mean", _input(_swapped, "channels swapped")),
    Change("mean reversed", "the mean of red from blue, of blue from red", _input(_mean_reversed, "mean reversed")),
    Change("scale of 255", "pixels 0-1 for 0-255 or the reverse, mean alike", _input(_other_range, "scale of 255")),
    Change("pooling", "floor for ceil, or ceil for floor", _other_pooling),
    Change(
        "softmax first", "posteriors of positions averaged, not scores",
        lambda job: replace(job, protocol=replace(job.protocol, softmax_first=True)),
    ),
)  # fmt: skip

RECIPES: tuple[Change, ...] = (
    Change("torchvision", "shorter side 256, bilinear, centre 224", _by("center", 256), source="torchvision"),
    Change("timm", "crop_pct 0.875: as torchvision, bilinear", _by("center", 256), source="timm"),
    Change("MatConvNet", "shorter side 256, border 32, bilinear, centre 224", _by("center", 256), source="matconvnet"),
    Change(
        "Keras", "warped to 224 x 224 by nearest neighbour, load_img's default",
        _by("center", CROP, Rescale("nearest", square=True)),
    ),
    Change(
        "Caffe", "warped to 256 x 256, centre 224",
        _by("center", _CAFFES_RESIZE, Rescale(antialias=False, square=True)),
    ),
)  # fmt: skip
"""What each toolkit's code or documentation does with an image; how a published figure was made is not always said.
Keras states errors of a single centre crop, which is not what its `load_img` makes: its row stands beside none."""


def jobs_of(model: Model, *, recipes: bool = False, costly: bool = False) -> list[tuple[str, str, Job]]:
    """Name, explanation and job of each row, the recipe first; but for toolkits', a job stands there once.

    The recipe is the paper's or, for a network that is not a VGG, its publisher's own; the changes are those that it
    can take.
    """
    found = [_recipe(model)]
    (_, _, base) = found[0]
    for change in RECIPES if recipes else CHANGES:
        job = _possible(change.apply(base)) if costly or not change.costly else None
        if job is not None and (recipes or all(job != other for _, _, other in found)):
            found.append((change.name, change.what, job))
    return found


def _recipe(model: Model) -> tuple[str, str, Job]:
    """What the rows depart from."""
    own, crop = model.identity, model.identity.side
    if own.architecture or own.kind is None:
        (scale,) = resolve_scales((), own.train_scale)
        return "paper's recipe", f"dense at Q={scale}, with the mirror", Job(model, DENSE, scale)
    if own.preset:
        return "own recipe", str(own.preset), own_job(model)
    job = Job(model, Protocol("center", crop=crop), modern_scale(crop))
    return "centre crop", f"the central {crop} x {crop} at Q={job.scale}", job


def _possible(job: Job | None) -> Job | None:
    """A job as its network can take it: crops of its side; None where there is nothing to change, or it cannot."""
    if job is None or job.identity.architecture or job.identity.kind is None:
        return job
    if job.protocol.softmax_first or (job.protocol.is_central and not job.protocol.mirror):
        return None
    job = job if job.protocol.name == OWN else replace(job, protocol=replace(job.protocol, crop=job.identity.side))
    try:
        job.require_possible()
    except UsageError:
        return None
    return job


def changed_jobs(model: Model, *, recipes: bool = False, costly: bool = False) -> list[Job]:
    """The jobs of `jobs_of` alone."""
    return [job for _, _, job in jobs_of(model, recipes=recipes, costly=costly)]


def explained_by(found: Evaluated, *, recipes: bool = False, costly: bool = False) -> Explanation:
    """The rows of a finished evaluation of their jobs."""
    assert found.session
    (model,) = found.session.models
    return Explanation(explained(found.session.plan, jobs_of(model, recipes=recipes, costly=costly)), found.about)


def explained(plan: Plan, rows: Sequence[tuple[str, str, Job]]) -> list[Explained]:
    """Measure the rows of a finished plan of their jobs, in their order; the first is what the others depart from."""
    runs = [plan.run_of(job) for _, _, job in rows]
    lines = [Line(str(run.protocol), (run,), run) for run in runs]
    ranking = Ranking(plan.data)
    ranking.of(lines, ORIGINAL)  # all at once, so that each run is read once
    measured = [
        replace(row(line, ranking), against=None if line is lines[0] else paired(lines[0], line, ranking))
        for line in lines
    ]
    return [
        Explained(name, what, job, own, _published(name, job) if _may_be_published(plan, job) else None, rows[0][0])
        for (name, what, job), own in zip(rows, corrected(measured), strict=True)
    ]


def _may_be_published(plan: Plan, job: Job) -> bool:
    """Whether a published figure may stand beside it: the whole validation set, in fp32, with every image counted."""
    own, settings = job.identity.architecture, plan.settings
    return (
        plan.data.is_full_ilsvrc_val
        and settings.precision in ("fp32", "tf32")
        and settings.rescale == Rescale()
        and not any(run.unreadable for run in plan.runs)
        and own is not None
        and own.width == 1
    )


def _published(name: str, job: Job) -> tuple[Published, str] | None:
    """What a toolkit published for these very weights by its recipe."""
    recipe = next((recipe for recipe in RECIPES if recipe.name == name and recipe.source), None)
    own = by_name(job.identity.released)
    if recipe is None or own is None or own.digest is None:
        return None
    for released in RELEASED:
        if (released.source, released.config, released.origin) == (recipe.source, own.config, own.origin):
            figure = next((one for one in released.published if one.top1 is not None), None)
            return (figure, released.source) if figure else None
    return None

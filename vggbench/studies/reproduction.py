"""The paper's tables of errors from stored runs: which rows a set of nets can give, and what the others lack."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vggbench.data import DataSet, is_sample
from vggbench.errors import UsageError, did_you_mean
from vggbench.evaluation.jobs import Job, own_job
from vggbench.paper.configs import CONFIGS, CROP, PAPER
from vggbench.paper.protocols import Protocol, modern_scale
from vggbench.paper.published import RESULTS, Member, Result
from vggbench.results.evaluated import Evaluated
from vggbench.results.lines import Line, fused_line
from vggbench.results.rows import Row
from vggbench.store.identity import Identity
from vggbench.weights.released import RELEASED, Published, Released, released

if TYPE_CHECKING:
    from vggbench.weights.load import Model

ERROR_TABLES = (3, 4, 5, 6)
TRANSFER_TABLE = 11
TABLES = (1, 2, *ERROR_TABLES, 7, TRANSFER_TABLE)
_NOT_COVERED = {8: "localisation", 9: "localisation", 10: "localisation", 12: "action classification"}
_JITTERED_SCALES = (256, 384, 512)
"""The paper's Qs for nets of a jittered S, as its Table 7's are."""
_PAPERS_DIGIT = 0.1
"""Points that the last digit of the paper's figures is worth."""
_ROUNDING = 1e-9
"""Points by which float64 may miss a decimal figure."""


@dataclass(frozen=True)
class Measured:
    """One printed row of the paper and what is measured for it here; `row` None where a net is lacking."""

    result: Result
    row: Row | None
    lacking: tuple[Member, ...] = ()

    def is_comparable(self, data: DataSet) -> bool:
        """Whether the paper's figure may stand beside what is measured, or in place of what is not."""
        return data.is_full_ilsvrc_val and (self.row is None or self.row.reference is not None)

    @property
    def difference(self) -> tuple[float, float | None] | None:
        """Top-1 and top-5 error minus the paper's, in points; None where they do not compare."""
        if self.row is None or self.row.errors is None or self.row.reference is None:
            return None
        return self.row.errors.minus(self.result.top1, self.result.top5)

    @property
    def agrees(self) -> bool:
        """Whether both errors are the paper's, to the digit that it prints."""
        off = self.difference
        return off is not None and all(value is not None and abs(value) < _PAPERS_DIGIT / 2 for value in off)


@dataclass(frozen=True)
class Remedy:
    """What to do about a net without weights here: the released file that it is, if any, and what trains it."""

    released: str | None
    command: str


@dataclass(frozen=True)
class Check:
    """A released net by its publisher's own protocol."""

    released: Released
    published: Published
    row: Row | None
    note: str | None = None

    def points(self, k: int) -> float | None:
        """The measured top-k error (k 1 or 5) minus the published one; None without both, or if they do not compare."""
        if self.row is None or self.row.errors is None or self.row.reference is None:
            return None
        if k == 1:
            return None if self.published.top1 is None else self.row.errors.top1.percent - self.published.top1
        top5 = self.row.errors.top5
        return None if top5 is None else top5.percent - self.published.top5

    def images_off(self, k: int) -> int | None:
        """How many more images are wrong by top-k than was published; None as `points`, or if too few digits."""
        points = self.points(k)
        if points is None or self.row is None or 100 / self.row.images < 0.1**self.published.digits:
            return None
        return round(points * self.row.images / 100)

    @property
    def agrees(self) -> bool | None:
        """Whether the errors that were published are those measured, to the digits published; None as `points`."""
        found = [abs(points) for k in (1, 5) if (points := self.points(k)) is not None]
        return max(found) <= 0.5 * 0.1**self.published.digits + _ROUNDING if found else None


def results_of(numbers: Sequence[int]) -> list[Result]:
    """The printed rows of errors of these tables; Table 7's own are rows of Tables 5 and 6."""
    wanted = {*numbers, *((5, 6) if 7 in numbers else ())}
    return [result for result in RESULTS if result.table in wanted]


def parse_tables(texts: Sequence[str]) -> tuple[int, ...]:
    """Table numbers, or all where none is named; raises UsageError."""
    for text in texts:
        if text in map(str, _NOT_COVERED):
            raise UsageError(
                f"Table {text} is of {_NOT_COVERED[int(text)]}, which vggbench does not cover: expected numbers from 1 "
                "to 7, or 11."
            )
        if text not in map(str, TABLES):
            raise UsageError(
                f"{text!r} is not a table of errors or nets: expected numbers from 1 to 7, 11, or torchvision."
            )
    return tuple(sorted({int(text) for text in texts})) or TABLES


def nets_for(named: Sequence[str], data: str | None) -> list[str]:
    """The nets named, and bare names of the paper's others: the sample's six, or those released."""
    given = {text.partition("@")[0] for text in named}
    on_sample = data is None or is_sample(data)
    usual = PAPER if on_sample else [name for name in PAPER if released(CONFIGS[name], "oxford")]
    return [*named, *(name for name in usual if name not in given)]


def jobs_for(model: "Model", results: Sequence[Result]) -> list[Job]:
    """All that the rows take of one net of its config and S; rows may take the same."""
    return [
        Job(model, Protocol.parse(protocol), scale)
        for result in results
        for member in result.members
        if is_member(model.identity, member)
        for protocol in result.protocol.split("+")
        for scale in member.scales
    ]


def jobs_of(model: "Model", results: Sequence[Result], beside: Sequence[str] = ()) -> list[Job]:
    """Jobs for a net of the paper's, as its rows take them, or for one of `beside`, as `neighbours` shows them."""
    return neighbour_jobs(model) if model.identity.name in beside else jobs_for(model, results)


def neighbour_jobs(model: "Model") -> list[Job]:
    """Another network as its publisher evaluates it, and by the paper's dense and multicrop at its three Qs.

    Qs grow with the crops that it takes, 224 being the paper's. Without dense where it takes no images of any size.
    """
    side, own = model.identity.side, model.identity
    several = [
        Job(model, Protocol(name, crop=side), scale * side // CROP)
        for name in ("dense", "multicrop")
        for scale in _JITTERED_SCALES
    ]
    first = own_job(model) if own.preset else Job(model, Protocol("center", crop=side), modern_scale(side))
    return [first, *(job for job in several if _is_possible(job))]


def neighbours(found: Evaluated, names: Sequence[str]) -> list[Row]:
    """Two rows of each: as its publisher evaluates it, and by all of the paper's protocols that it can take."""
    several = [found.lines(model) for model in found.models if model.name in names]
    return found.measured([line for lines in several for line in (lines[0], lines[-1])])


def _is_possible(job: Job) -> bool:
    try:
        job.require_possible()
    except UsageError:
        return False
    return True


def is_member(model: Identity, member: Member) -> bool:
    """Whether a net is of this config and S."""
    config = model.architecture.config.name if model.architecture else None
    return (config, str(model.train_scale)) == (member.config, member.train_scale)


def reproduced(found: Evaluated, results: Sequence[Result]) -> list[Measured]:
    """Each row with what is measured for it, from a finished evaluation."""
    lines = [(result, *_line(result, found)) for result in results]
    rows = iter(found.measured([line for _, line, _ in lines if line]))
    return [Measured(result, next(rows) if line else None, lacking) for result, line, lacking in lines]


def lacking_members(models: Sequence[Identity], results: Sequence[Result]) -> list[tuple[Result, tuple[Member, ...]]]:
    """Each row and the nets that it lacks, before anything is measured."""
    return [(result, _lacking(result, models)) for result in results]


def _lacking(result: Result, models: Sequence[Identity]) -> tuple[Member, ...]:
    return tuple(member for member in result.members if not any(is_member(model, member) for model in models))


def _line(result: Result, found: Evaluated) -> tuple[Line | None, tuple[Member, ...]]:
    lacking = _lacking(result, found.models)
    if lacking:
        return None, lacking
    parts = []
    for member in result.members:
        model = next(model for model in found.models if is_member(model, member))
        part = Line.find(found.lines(model), result.protocol, member.scales)
        assert part, "its jobs were planned"
        parts.append(part)
    return (parts[0] if len(parts) == 1 else fused_line(parts)), ()


def remedies(rows: Sequence[Measured], data: str) -> dict[Member, Remedy]:
    """For each net that any of the rows lacks; it is trained on the images at `data`."""
    return {
        member: Remedy(_released_name(member), training_command(member, data))
        for found in rows
        for member in found.lacking
    }


def _released_name(member: Member) -> str | None:
    """The file's name if there is one: Oxford's D and E, of S=256-512, are all that was released."""
    public = released(CONFIGS[member.config], "oxford")
    return public.name if public and str(public.train_scale) == member.train_scale else None


def training_command(member: Member, data: str) -> str:
    """What trains a net that nobody has released, the last of the chain that `train --plan` prints."""
    from vggbench.train.plan import chain

    stages = [stage for stage in chain(CONFIGS[member.config]) if str(stage.recipe.train_scale) == member.train_scale]
    own = [stage for stage in stages if stage.config.name == member.config]
    return own[0].command(data, 1.0) if own else shlex.join(["vggbench", "train", "--plan", member.config])


def checks_of(source: str) -> list[tuple[Released, Published]]:
    """A source's nets that were published by one of our protocols; raises UsageError."""
    published = [(row, figure) for row in RELEASED if row.digest for figure in row.published if figure.protocol]
    found = [(row, figure) for row, figure in published if row.source == source]
    if not found:
        known = dict.fromkeys(row.source for row, _ in published)
        raise UsageError(
            f"reproduce {source}: expected table numbers from 1 to 7, 11, or one of {', '.join(known)}."
            f"{did_you_mean(source, known)}"
        )
    return found


def check_jobs(model: "Model", checks: Sequence[tuple[Released, Published]]) -> list[Job]:
    """The publisher's own protocols at their Qs."""
    return [
        Job(model, Protocol.parse(str(figure.protocol)), scale)
        for released, figure in checks
        if model.identity.released == released.name
        for scale in figure.scales
    ]


def checked(found: Evaluated, checks: Sequence[tuple[Released, Published]]) -> list[Check]:
    """Each publication with what is measured for it, or why its net is not there."""
    notes = {entry.name: entry.note for entry in found.entries if entry.note}
    return [
        Check(published, figure, _check(found, published, figure), notes.get(published.name))
        for published, figure in checks
    ]


def _check(found: Evaluated, published: Released, figure: Published) -> Row | None:
    model = next((model for model in found.models if model.released == published.name), None)
    if model is None:
        return None
    line = Line.find(found.lines(model), str(figure.protocol), figure.scales)
    assert line, "its jobs were planned"
    return found.measured([line])[0]

"""Complete runs scored by ground truths: the rows of their table, alone, compared or fused."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from vggbench.data import DataSet, ImageFile, open_data
from vggbench.errors import StoreError, UsageError, VggbenchError, in_python
from vggbench.evaluation.jobs import Job, Settings
from vggbench.files import digest
from vggbench.metrics import at_chance
from vggbench.paper.protocols import OWN, Protocol, TrainScale, resolve_scales
from vggbench.paper.published import RESULTS, Member, Result
from vggbench.results.calibrated import Calibrated, require_metrics
from vggbench.results.circumstances import Circumstances
from vggbench.results.correction import corrected
from vggbench.results.fusions import require_members, require_posteriors, require_several, require_shares
from vggbench.results.judging import ORIGINAL, GroundTruth, ground_truths, own_labels, require_val
from vggbench.results.lines import (
    Line,
    Paired,
    Ranking,
    fused_line,
    model_lines,
    most_complete,
    paired,
    require_comparable,
)
from vggbench.results.records import error_record
from vggbench.results.rows import Row, paper_reference, row, unmeasured_row
from vggbench.store.identity import Identity, require_same_classes
from vggbench.store.per_image import PerImage, frame_of, per_image, without_probabilities
from vggbench.store.runs import Run
from vggbench.weights.released import released
from vggbench.weights.spec import AnySpec, ModelSpec

if TYPE_CHECKING:
    from pandas import DataFrame

    from vggbench.evaluation.listening import Listener
    from vggbench.evaluation.models import Entry
    from vggbench.evaluation.request import Request
    from vggbench.evaluation.session import Session
    from vggbench.weights.load import Model

_SIZES_LOOKED_AT = 1000


def each(found: "Evaluated") -> list[Row]:
    """All rows of each model: its protocols at each Q, over all Qs, and combined, the last tested by its `gain`."""
    rows: list[Row] = []
    for model in found.models:
        rows += found.measured(found.lines(model))
        gain, place = found.gain(model), len(rows) - len(found.truths)  # of the last line by the first ground truth
        if gain:
            rows[place] = replace(rows[place], against=gain)
    return corrected(rows)


@dataclass(frozen=True)
class Evaluated:
    """Complete runs of the same images, and the ground truths that their rows go by."""

    data: DataSet
    runs: Sequence[Run]
    settings: Settings
    truths: tuple[GroundTruth, ...] = (ORIGINAL,)
    session: "Session | None" = None
    """What computed them; None of runs that were taken from the store by name."""
    how: "Callable[[Evaluated], list[Row]]" = each
    """What `rows` are: of `each` model, `compared`, or `fused`."""
    metrics: tuple[str, ...] = ()
    """Beside errors: `calibration`."""

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of its table; raises UsageError where runs do not combine as they would have to."""
        self.complete_runs()
        return self.how(self)

    def to_pandas(self) -> "DataFrame":
        """A row each, with the keys that JSON has."""
        from pandas import DataFrame

        return DataFrame([error_record(found, self.about) for found in self.rows])

    @in_python
    def compare(self, *others: Self, against: Literal["first", "best"] = "first", every: bool = False) -> Self:
        """These beside others of the same images: a row a model, or `every` row, each tested against one model's.

        Raises UsageError for other classes and ground truths, StoreError for other images.
        """
        return replace(self.joined(*others), how=partial(compared, every=every, against=against))

    @in_python
    def fuse(self, *others: Self, shares: Sequence[float] | None = None) -> Self:
        """The mean of these and others, by shares or alike (paper, section 4.4); raises as `compare`."""
        joined = self.joined(*others)
        require_several([model.name for model in joined.models], len(joined.models))
        kept = None if shares is None else [float(share) for share in shares]
        require_shares(kept, len(joined.models))
        return replace(joined, how=partial(fused, shares=kept))

    @in_python
    def per_image(self, model: str | None = None) -> "DataFrame":
        """One row per image, by one model's most complete row: `store.per_image.frame_of`; raises UsageError."""
        self.complete_runs()
        named = [own for own in self.models if model in (None, own.name)]
        if len(named) != 1:
            names = ", ".join(own.name for own in self.models)
            raise UsageError(f"per_image({model!r}): expected the name of one model, of {names}.")
        return frame_of(self.of_each_image(self.whole_line(named[0])), named[0].names_of_classes)

    def joined(self, *others: Self) -> Self:
        """These and others in one; raises as `compare`."""
        several = [self, *others]
        if any(getattr(one.how, "func", None) is fused for one in several):
            raise UsageError("A fusion is one row and no model: expected evaluations, to compare or fuse all at once.")
        require_same_classes([model for one in several for model in one.models])
        runs = list({digest(run.signature): run for one in several for run in one.complete_runs()}.values())
        require_comparable(runs)
        labels = [own_labels(one.runs[0], one.data, one.models[0]).tolist() for one in several]
        if any(one.truths != self.truths or own != labels[0] for one, own in zip(several, labels, strict=True)):
            raise UsageError("They use different ground truths: expected the same labels for all.")
        metrics = tuple(dict.fromkeys(metric for one in several for metric in one.metrics))
        return replace(self, runs=runs, session=None if others else self.session, metrics=metrics)

    def complete_runs(self) -> Sequence[Run]:
        """The runs; raises StoreError for those of a dry run, and where other processes have a share still to do."""
        if self.session and not self.session.speaks:
            raise StoreError(
                "This evaluation is not complete: expected one without dry_run, or the shares of all processes done. "
                "Evaluate again then; nothing is computed twice."
            )
        return self.runs

    @cached_property
    def models(self) -> list[Identity]:
        """What was evaluated, each once."""
        return list({run.identity.key: run.identity for run in self.runs}.values())

    @property
    def entries(self) -> "Sequence[Entry]":
        """What was asked for, in that order, with or without weights."""
        return self.session.entries if self.session else ()

    @cached_property
    def pictures(self) -> dict[str, ImageFile]:
        """The image files by their ids; of stored runs those at the place on record, as far as they are there."""
        known = {image.id: image for image in self.data.images}
        place = None if self.session else self.runs[0].about.get("place")
        with contextlib.suppress(VggbenchError):
            known |= {image.id: image for image in open_data(str(place)).images if image.id in known} if place else {}
        return known

    @property
    def about(self) -> Circumstances:
        """What the notes under its table say."""
        return Circumstances(self.data, self.settings, self.provenance)

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """What computed the blocks of all runs: versions, devices, seconds."""
        return [entry for run in self.runs for entry in run.provenance]

    @property
    def is_at_chance(self) -> bool:
        """Whether the first row's top-1 error could well be a guesser's."""
        model = self.models[0]
        (found,) = self.ranking.of(self.lines(model)[:1], self.truths[0])
        among = self.truths[0].among(self.data, model)
        return at_chance(found, model.classes if among is None else len(among))

    @cached_property
    def ranking(self) -> Ranking:
        """The ranking of the images, so that each run is read once."""
        return Ranking(self.data)

    @cached_property
    def calibrated(self) -> Calibrated:
        """The calibration of rows, so that each run is read once."""
        return Calibrated(self.data)

    def lines(self, model: Identity) -> list[Line]:
        """The rows of one model."""
        return model_lines(self.runs, model)

    def whole_line(self, model: Identity) -> Line:
        """Its most complete row; raises UsageError where its Qs do not combine into one."""
        found = most_complete(self.lines(model))
        if len(found) > 1:
            protocol = found[0].runs[0].protocol
            raise UsageError(f"{model.name}: {protocol} does not combine several Qs: expected one of its runs.")
        return found[0]

    def gain(self, model: Identity) -> Paired | None:
        """The last row of a model against its dense evaluation at one Q, where both are there."""
        lines = self.lines(model)
        baseline = Line.find(lines, "dense", resolve_scales((), model.train_scale))
        if baseline is None or len(lines[-1].runs) < 2:
            return None
        return paired(baseline, lines[-1], self.ranking, self.truths[0])

    def measured(self, lines: Sequence[Line], baseline: Sequence[Line] = ()) -> list[Row]:
        """Measure rows of the same images by each ground truth, each beside that of `baseline` which it compares to."""
        for truth in self.truths if lines else ():
            self.ranking.of([*lines, *baseline], truth)  # all at once, so that each run is read once
            if self.metrics:
                self.calibrated.of(lines, truth)
        return [self._row(line, truth, _like(line, baseline)) for line in lines for truth in self.truths]

    def _row(self, line: Line, truth: GroundTruth, baseline: Line | None) -> Row:
        found = row(line, self.ranking, truth)
        if self.metrics:
            found = replace(found, calibration=self.calibrated.of([line], truth)[0])
        if baseline is None or baseline.key == line.key:
            return found
        return replace(found, against=paired(baseline, line, self.ranking, truth))

    def row_without_weights(self, entry: "Entry") -> Row:
        """The row of a net without weights: its cost on these images, and the paper's figure on ILSVRC alone."""
        spec = entry.spec
        assert self.session, "a stored run has its weights"
        assert spec, "a model that is given has its weights"
        request = self.session.request
        config = spec.config if isinstance(spec, ModelSpec) else None
        train_scale = request.load_options.train_scale or _expected_scale(spec)
        protocols = request.chosen_protocols if config or request.protocols else [Protocol(OWN)]
        kinds = [protocol for protocol in protocols if protocol.combines] or protocols[-1:]
        scales = request.scales_of(kinds[-1], train_scale)
        protocol = "+".join(str(kind) for kind in kinds)
        member = Member(config.name if config else "other", str(train_scale), scales)
        reference = paper_reference(protocol, (member,))  # none without S
        on_ilsvrc = self.data.is_full_ilsvrc_val
        note = f"{entry.name}: {entry.note}"
        if reference and not on_ilsvrc:
            note += (
                f" The paper has {reference.top1} / {reference.top5} ({reference.source.partition(', ')[2]}, "
                "on ILSVRC-2012 val)."
            )
        return unmeasured_row(
            config, entry.name, kinds, scales, train_scale, self._sizes(), note, reference if on_ilsvrc else None
        )

    def _sizes(self) -> list[tuple[int, int]]:
        """The images' sizes: from the store, or those of a thousand from their headers where nothing was run."""
        from vggbench.evaluation.plan import sizes

        return self.runs[0].sizes() if self.runs else sizes(self.data, min(len(self.data), _SIZES_LOOKED_AT))

    def of_each_image(self, line: Line) -> PerImage:
        """What a row says of each image, by the labels that the data has now."""
        found = per_image(line.posteriors, own_labels(line.posteriors, self.data, line.models[0]))
        return without_probabilities(found) if line.models[0].has_five_best else found


def compared(found: Evaluated, *, every: bool = False, against: str = "first", order: str = "given") -> list[Row]:
    """One row a net, or `every` row; each net beside the first or the best one on the same images."""
    chosen = {model.key: found.lines(model) if every else most_complete(found.lines(model)) for model in found.models}
    baseline = _baseline(found, list(chosen.values()), against)
    rows: list[Row] = []
    if found.session:
        for entry in found.entries:
            own = chosen[entry.model.identity.key] if entry.model else None
            rows += found.measured(own, baseline) if own else [found.row_without_weights(entry)]
    else:
        rows = [row for own in chosen.values() for row in found.measured(own, baseline)]
    return corrected(_ordered(rows, order))


def _baseline(found: Evaluated, lines: Sequence[list[Line]], against: str) -> list[Line]:
    """The rows of the net that the others are compared with."""
    if len(lines) < 2 or against == "first":
        return lines[0] if lines else []
    wrong = [found.measured(own[-1:])[0] for own in lines]
    return min(zip(wrong, lines, strict=True), key=lambda pair: _top1(pair[0]))[1]


def _ordered(rows: Sequence[Row], order: str) -> list[Row]:
    """Rows without weights come last where errors or costs decide."""
    if order == "error":
        return sorted(rows, key=_top1)
    if order == "cost":
        return sorted(rows, key=lambda row: (row.errors is None, row.macs or float("inf")))
    return list(rows)


def _top1(row: Row) -> float:
    return row.errors.top1.percent if row.errors else float("inf")


def fused(found: Evaluated, shares: Sequence[float] | None = None, paper: Result | None = None) -> list[Row]:
    """All models together, one row a ground truth, then each by itself; each model by its most complete row.

    The fusion is tested against the best of its models, by the first ground truth. Raises UsageError.
    """
    require_members(found.models, paper)
    require_shares(shares, len(found.models))
    require_posteriors(found.models)
    lines = [found.whole_line(model) for model in found.models]
    best = _baseline(found, [[line] for line in lines], "best")
    return corrected(found.measured([fused_line(lines, shares)], best) + found.measured(lines))


def evaluated(
    request: "Request",
    listener: "Listener | None" = None,
    *,
    labels: Sequence[str] = (),
    blacklist: Path | None = None,
    classes_of_data: Sequence[str] = (),
    metrics: Sequence[str] = (),
    check: "Callable[[Sequence[Model]], None] | None" = None,
    jobs_of: "Callable[[Model], list[Job]] | None" = None,
) -> Evaluated:
    """Conduct a session whose rows go by `labels`, original, `real=FILE` or both, without the images of `blacklist`.

    `classes_of_data`: all, only or both; by `only` the classes that the data has alone stand in line. `metrics`:
    `calibration` beside errors.

    `check` and `jobs_of` are those of `Hooks`. Raises as `conduct`, and UsageError and DataError for labels that
    are not of these images.
    """
    from vggbench.evaluation.session import Hooks, conduct

    truths = ground_truths(labels, blacklist, classes_of_data)
    require_metrics(metrics, truths)
    session = conduct(request, listener, Hooks(partial(require_val, truths), check, jobs_of))
    return Evaluated(session.data, session.plan.runs, session.settings, truths, session, metrics=tuple(metrics))


def _like(line: Line, others: Sequence[Line]) -> Line | None:
    """The only one of others, or the one of the same protocol and Qs."""
    return others[0] if len(others) == 1 else Line.find(others, line.protocol, line.own_scales)


def _expected_scale(spec: AnySpec) -> TrainScale | None:
    """S of the released file that was not to be had; else of the paper's best net, jittered where it trained one."""
    if not isinstance(spec, ModelSpec):
        return None
    known = released(spec.config, spec.source) if spec.source else None
    if known:
        return known.train_scale
    scales = {
        member.train_scale for result in RESULTS for member in result.members if member.config == spec.config.name
    }
    return TrainScale.parse(max(scales, key=len)) if scales else None

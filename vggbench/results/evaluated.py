"""A finished session judged by its ground truths: the rows of its tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from vggbench.evaluation.jobs import Job
from vggbench.evaluation.listening import Listener
from vggbench.evaluation.models import Entry
from vggbench.evaluation.plan import sizes
from vggbench.evaluation.request import Request
from vggbench.evaluation.session import Hooks, Session, conduct
from vggbench.paper.protocols import TrainScale, resolve_scales
from vggbench.paper.published import RESULTS, Member
from vggbench.results.judging import GroundTruth, ground_truths, require_val
from vggbench.results.lines import Line, Paired, model_lines, paired, rank_together
from vggbench.results.rows import Row, paper_reference, row, unmeasured_row
from vggbench.store.per_image import PerImage, per_image
from vggbench.weights.load import Model
from vggbench.weights.released import released
from vggbench.weights.spec import ModelSpec

_SIZES_LOOKED_AT = 1000


@dataclass(frozen=True)
class Evaluated:
    """A session and the ground truths that its rows go by; without results where the session does not speak."""

    session: Session
    truths: tuple[GroundTruth, ...]
    _lines: dict[Model, list[Line]] = field(default_factory=dict, repr=False)

    def lines(self, model: Model) -> list[Line]:
        """The rows of one model, the same ones each time, so that its runs are read once."""
        if model not in self._lines:
            self._lines[model] = model_lines(self.session.plan, model)
        return self._lines[model]

    def gain(self, model: Model) -> Paired | None:
        """The last row of a model against its dense evaluation at one Q, where both are there."""
        lines = self.lines(model)
        baseline = Line.find(lines, "dense", resolve_scales((), model.train_scale))
        if baseline is None or len(lines[-1].parts) < 2:
            return None
        return paired(baseline, lines[-1], self.session.data, self.truths[0])

    def rows(self, lines: Sequence[Line], baseline: Sequence[Line] = ()) -> list[Row]:
        """Measure rows of the same images by each ground truth, each beside that of `baseline` which it compares to."""
        for truth in self.truths:
            rank_together([*lines, *baseline], self.session.data, truth)
        return [self._row(line, truth, _like(line, baseline)) for line in lines for truth in self.truths]

    def _row(self, line: Line, truth: GroundTruth, baseline: Line | None) -> Row:
        data = self.session.data
        found = row(line, data, self.session.settings, truth)
        if baseline is None or baseline is line:
            return found
        return replace(found, against=paired(baseline, line, data, truth))

    def row_without_weights(self, entry: Entry) -> Row:
        """The row of a net without weights: its cost on these images, and the paper's figure on ILSVRC alone."""
        request, spec = self.session.request, entry.spec
        assert spec, "a model that is given has its weights"
        train_scale = request.load_options.train_scale or _expected_scale(spec)
        protocols = request.chosen_protocols
        kinds = [protocol for protocol in protocols if protocol.combines] or protocols[-1:]
        scales = request.scales_of(kinds[-1], train_scale)
        protocol = "+".join(str(kind) for kind in kinds)
        member = Member(spec.config.name, str(train_scale), scales)
        reference = paper_reference(protocol, (member,))  # none without S
        on_ilsvrc = self.session.data.is_full_ilsvrc_val
        note = f"{entry.name}: {entry.note}"
        if reference and not on_ilsvrc:
            note += (
                f" The paper has {reference.top1} / {reference.top5} ({reference.source.partition(', ')[2]}, "
                "on ILSVRC-2012 val)."
            )
        return unmeasured_row(
            spec.config, entry.name, kinds, scales, train_scale, self._sizes(), note, reference if on_ilsvrc else None
        )

    def _sizes(self) -> list[tuple[int, int]]:
        """The images' sizes: from the store, or those of a thousand from their headers where nothing was run."""
        plan = self.session.plan
        return plan.runs[0].sizes() if plan.runs else sizes(plan.data, min(len(plan.data), _SIZES_LOOKED_AT))

    def per_image(self, line: Line) -> PerImage:
        """What a row says of each image, by the labels that the data has now."""
        model, data = line.models[0], self.session.data
        labels = data.labels(model.class_names, model.classes)
        if len(line.scores.images) != len(labels):
            place = {image.id: index for index, image in enumerate(data.images)}
            labels = labels[[place[image] for image in line.scores.images]]
        return per_image(line.scores, labels)


def evaluated(
    request: Request,
    listener: Listener | None = None,
    *,
    labels: Sequence[str] = (),
    blacklist: Path | None = None,
    check: Callable[[Sequence[Model]], None] | None = None,
    jobs_of: Callable[[Model], list[Job]] | None = None,
) -> Evaluated:
    """Conduct a session whose rows go by `labels`, original, `real=FILE` or both, without the images of `blacklist`.

    `check` and `jobs_of` are those of `Hooks`. Raises as `conduct`, and UsageError and DataError for labels that
    are not of these images.
    """
    truths = ground_truths(labels, blacklist)
    hooks = Hooks(partial(require_val, truths), check, jobs_of)
    return Evaluated(conduct(request, listener, hooks), truths)


def _like(line: Line, others: Sequence[Line]) -> Line | None:
    """The only one of others, or the one of the same protocol and Qs."""
    return others[0] if len(others) == 1 else Line.find(others, line.protocol, line.own_scales)


def _expected_scale(spec: ModelSpec) -> TrainScale | None:
    """S of the released file that was not to be had; else of the paper's best net, jittered where it trained one."""
    known = released(spec.config, spec.source) if spec.source else None
    if known:
        return known.train_scale
    scales = {
        member.train_scale for result in RESULTS for member in result.members if member.config == spec.config.name
    }
    return TrainScale.parse(max(scales, key=len)) if scales else None

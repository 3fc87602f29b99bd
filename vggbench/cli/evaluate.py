"""What eval, compare and fuse have in common: open, plan, forecast, evaluate."""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vggbench.cache import at_home
from vggbench.cli.models import Entry, load, load_options_of, require_loaded
from vggbench.cli.options import EvalOptions
from vggbench.cli.output import require_folder
from vggbench.cli.progress import Progress
from vggbench.cli.terminal import say, warn
from vggbench.data import EXPECTED, SAMPLE, DataSet, is_sample, open_data
from vggbench.data.labelling import NO_FILE
from vggbench.errors import DataError, UsageError, counted
from vggbench.evaluation.forecast import forecast
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.loop import execute, finish
from vggbench.evaluation.plan import Plan, prepare, sizes
from vggbench.evaluation.processes import World, joined, own_device, share_threads
from vggbench.evaluation.shares import is_last, parse_share
from vggbench.images.preprocessing import Rescale
from vggbench.images.reading import no_room
from vggbench.paper.protocols import ANY_SCALE, MODERN_SCALE, Protocol, TrainScale, resolve_scales
from vggbench.paper.published import RESULTS, Member
from vggbench.render.tables.cells import duration
from vggbench.render.tables.notes import Circumstances
from vggbench.results.judging import GroundTruth, ground_truths, require_val
from vggbench.results.lines import Line, Paired, model_lines, paired, rank_together
from vggbench.results.rows import Row, paper_reference, row, unmeasured_row
from vggbench.store.runs import Store
from vggbench.weights.load import Model
from vggbench.weights.released import released
from vggbench.weights.spec import ModelSpec
from vggbench.weights.unfetched import require_source

_SIZES_LOOKED_AT = 1000
_WORTH_SAYING = 0.8
"""Of the time that another way would take."""


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation."""

    entries: list[Entry]
    plan: Plan
    about: Circumstances
    protocols: list[Protocol]
    truths: tuple[GroundTruth, ...]
    _lines: dict[int, list[Line]] = field(default_factory=dict)

    @property
    def models(self) -> list[Model]:
        """Those that were evaluated."""
        return [entry.model for entry in self.entries if entry.model]

    def lines(self, model: Model) -> list[Line]:
        """The rows of one model, the same ones each time, so that its runs are read once."""
        return self._lines.setdefault(id(model), model_lines(self.plan, model))

    def gain(self, model: Model, lines: Sequence[Line]) -> Paired | None:
        """The last row of a model against its dense evaluation at one Q, where both are there."""
        baseline = Line.find(lines, "dense", resolve_scales((), model.train_scale))
        if baseline is None or len(lines[-1].parts) < 2:
            return None
        return paired(baseline, lines[-1], self.plan.data, self.truths[0])

    def rows(self, lines: Sequence[Line], baseline: Sequence[Line] = ()) -> list[Row]:
        """Measure rows of the same images by each ground truth, each beside that of `baseline` which it compares to."""
        for truth in self.truths:
            rank_together([*lines, *baseline], self.plan.data, truth)
        return [self._row(line, truth, _like(line, baseline)) for line in lines for truth in self.truths]

    def _row(self, line: Line, truth: GroundTruth, baseline: Line | None) -> Row:
        data = self.plan.data
        found = row(line, data, self.plan.settings, truth)
        return (
            found
            if baseline is None or baseline is line
            else replace(found, against=paired(baseline, line, data, truth))
        )


def _like(line: Line, others: Sequence[Line]) -> Line | None:
    """The only one of others, or the one of the same protocol and Qs."""
    return others[0] if len(others) == 1 else Line.find(others, line.protocol, line.own_scales)


def evaluation(
    texts: Sequence[str],
    options: EvalOptions,
    *,
    keep_going: bool = False,
    at_least: int = 1,
    check: Callable[[Sequence[Model]], None] | None = None,
    jobs_of: Callable[[Model], list[Job]] | None = None,
) -> Evaluation | None:
    """Evaluate models as the options say; None after a dry run, and in all but one of several processes.

    `check` sees the models before anything is computed and may refuse them, by an error; `jobs_of` says what is
    evaluated of each, rather than the options. Raises, after a dry run, as `require_loaded`.
    """
    _require(at_least, len(set(texts)), texts)
    protocols = protocols_of(options)
    settings = settings_of(options)
    _require_possible(texts, options, protocols, keep_going=keep_going)
    truths = ground_truths(options.labels or (), options.blacklist)
    share_threads()
    with joined(settings.torch_device) as world:
        if world.size > 1:
            settings = replace(settings, share=(world.rank, world.size))
        with contextlib.nullcontext() if world.is_first else contextlib.redirect_stderr(io.StringIO()):
            data = _data(options, texts)
            require_val(truths, data)
            for note in data.notes:
                say(f"Note: {note}.")
            entries = load(texts, options, data, keep_going=keep_going)
            _require(at_least, len(entries), texts)
            if check:
                check([entry.model for entry in entries if entry.model])
            find_jobs = jobs_of or (lambda model: _jobs(model, protocols, options))
            jobs = [job for entry in entries if entry.model for job in find_jobs(entry.model)]
            plan = prepare(data, jobs, Store(options.runs), settings)
            _begin(plan, options)
            if options.dry_run:
                _say_lacking(entries)
                require_loaded(entries)
                return None
            with Progress(plan) as progress:
                execute(plan, progress)
            progress.summary()
        world.wait()
        if not _speaks_for_all(plan, options, world):
            return None
    if settings.share != (0, 1):
        plan = prepare(data, jobs, Store(options.runs), replace(settings, share=(0, 1)))
        finish(plan)
    provenance = [entry for run in plan.runs for entry in run.provenance]
    if options.verbose:
        _say_how(plan)
    return Evaluation(entries, plan, Circumstances(data, settings, provenance), protocols, truths)


def _require_possible(
    texts: Sequence[str], options: EvalOptions, protocols: Sequence[Protocol], *, keep_going: bool
) -> None:
    """All that can be refused before images are listed and weights are read. Raises VggbenchError."""
    load_options_of(options)
    for protocol in protocols:
        scales_of(protocol, options, ANY_SCALE)
    if options.ground_truth not in (None, NO_FILE) and not at_home(str(options.ground_truth)).exists():
        raise DataError(f"There is no {options.ground_truth}: expected a ground truth, from --ground-truth.")
    require_folder(options.runs, "--runs", to_write=False)  # a finished store is only read
    for spec in [ModelSpec.parse(text) for text in texts]:
        if not keep_going:
            require_source(spec if spec.source else ModelSpec(spec.config, options.weights))
        elif spec.path is None:  # a file that lacks keeps its row
            require_source(spec)


def _say_lacking(entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.note:
            say(f"Note: {entry.spec.name}: {entry.note}")


def _begin(plan: Plan, options: EvalOptions) -> None:
    for path in plan.damaged:
        say(f"Note: {path} is damaged; its images are computed again.")
    if not plan.jobs:
        return
    if options.dry_run or any(plan.missing):
        _announce(plan, options)
        if plan.workers < plan.settings.loader_workers:
            say(f"Note: {no_room('reading images', plan.workers)}")


def _speaks_for_all(plan: Plan, options: EvalOptions, world: World) -> bool:
    """Whether this process prints: the first under torchrun, the last to finish of those with --share, or the only."""
    if options.share is None:
        return world.is_first
    if is_last(options.runs, [run.title for run in plan.runs], plan.settings.share):
        return True
    say(f"--share {options.share} is done; the last process to finish its share prints the table.")
    return False


def _say_how(plan: Plan) -> None:
    """Which way each run was computed."""
    for job, run in zip(plan.jobs, plan.runs, strict=True):
        for entry in run.provenance:
            shared = entry.get("shared_stages")
            crops = "" if shared is None else f", crops share {counted(shared, 'stage')}" if shared else ", plain crops"
            say(
                f"{job.title}: {entry['backend']} {entry['backend_version']} on {entry['device']}, "
                f"{counted(entry['threads'], 'thread')}, batches of {entry['batch_size']}{crops}, "
                f"{duration(entry['seconds'])}."
            )


def _require(at_least: int, count: int, texts: Sequence[str]) -> None:
    if count < at_least:
        raise UsageError(f"{' '.join(texts)}: expected two or more different models.")


def row_without_weights(done: Evaluation, entry: Entry, options: EvalOptions) -> Row:
    """The row of a net without weights: its cost on these images, and the paper's figure on ILSVRC alone."""
    train_scale = load_options_of(options).train_scale or _expected_scale(entry.spec)
    kinds = [protocol for protocol in done.protocols if protocol.combines] or done.protocols[-1:]
    scales = scales_of(kinds[-1], options, train_scale)
    protocol = "+".join(str(kind) for kind in kinds)
    reference = paper_reference(protocol, (Member(entry.spec.config.name, str(train_scale), scales),))  # none without S
    on_ilsvrc = done.plan.data.is_full_ilsvrc_val
    note = f"{entry.spec.name}: {entry.note}"
    if reference and not on_ilsvrc:
        note += (
            f" The paper has {reference.top1} / {reference.top5} ({reference.source.partition(', ')[2]}, "
            "on ILSVRC-2012 val)."
        )
    return unmeasured_row(
        entry.spec.config, entry.spec.name, kinds, scales, train_scale, _sizes(done.plan), note,
        reference if on_ilsvrc else None,
    )  # fmt: skip


def _data(options: EvalOptions, texts: Sequence[str]) -> DataSet:
    """The images asked for; the built-in sample where nothing names any images or weights."""
    path = options.data
    if path is None:
        named = next((text for text in texts if "@" in text), options.weights and f"--weights {options.weights}")
        if named:
            raise UsageError(
                f"No images for {named}: expected --data PATH, or the path in $VGGBENCH_DATA; or --data sample. "
                f"PATH is {EXPECTED}."
            )
        warn("No --data, no $VGGBENCH_DATA: this is the built-in SAMPLE, not ImageNet.")
        path = SAMPLE
    if not is_sample(path) and _is_missing(path):
        raise UsageError(f"There is no {path}: expected images, from --data or $VGGBENCH_DATA.")
    data = open_data(path, options.ground_truth)
    return data if options.limit is None else data.subset(options.limit)


def _is_missing(path: str) -> bool:
    try:
        return not Path(path).expanduser().exists()
    except (OSError, RuntimeError):
        return False  # `open_data` says why


def protocols_of(options: EvalOptions) -> list[Protocol]:
    """What the command line asks for; raises UsageError."""
    asked = [name for name in ("center", "tencrop", "dense", "multicrop") if getattr(options, name)]
    grid = f"multicrop{'' if options.grid == 1 else options.grid}"
    if options.grid != 1 and "multicrop" not in asked:
        raise UsageError("--grid is for --multicrop, which was not asked for: add it, or leave --grid out.")
    return [Protocol.parse(grid if name == "multicrop" else name) for name in asked or ["dense"]]


def scales_of(protocol: Protocol, options: EvalOptions, train_scale: TrainScale | None) -> tuple[int, ...]:
    """The Qs of a protocol; raises UsageError."""
    if not options.scales and not protocol.combines:
        return (MODERN_SCALE,)
    return resolve_scales(options.scales or (), train_scale)


def _jobs(model: Model, protocols: Sequence[Protocol], options: EvalOptions) -> list[Job]:
    return [
        Job(model, protocol, scale)
        for protocol in protocols
        for scale in scales_of(protocol, options, model.train_scale)
    ]


def settings_of(options: EvalOptions) -> Settings:
    """How networks are run; raises UsageError."""
    settings = Settings(
        device=own_device(options.device),
        precision=options.precision,
        backend=options.backend,
        compile=options.compile,
        share=parse_share(options.share) if options.share else (0, 1),
        batch_size=options.batch_size,
        workers=options.workers,
        rescale=Rescale(options.filter, options.antialias),
        skip_unreadable=options.skip_bad_images,
    )
    assert settings.torch_device  # refuses a device that is not there, before anything is loaded
    return settings


def _announce(plan: Plan, options: EvalOptions) -> None:
    """The forecast, on stderr."""
    expected = forecast(plan)
    jobs, images = len(plan.jobs), len(plan.data)
    done = plan.stored_results
    kept = f" ({done:,} of {jobs * images:,} results are stored already)" if done else ""
    say(
        f"{counted(images, 'image')}, {counted(jobs, 'run')}{kept}: {counted(expected.views, 'view')}, "
        f"{expected.gmacs:,.{1 if expected.gmacs >= 10 else 3}f} GMACs per image."
    )
    if expected.images:
        say(
            f"About {duration(expected.seconds)} on {expected.device} ({counted(expected.threads, 'thread')}, "
            f"{expected.rate:.1f} GMAC/s in a short probe), {_size(expected.disk_bytes)} in {options.runs}/."
        )
        if expected.seconds_on_grid is not None and expected.seconds_on_grid < _WORTH_SAYING * expected.seconds:
            say(f"With --grid 8, whose crops share their convolutions: about {duration(expected.seconds_on_grid)}.")
        say("Interrupt it at any time: the same command carries on where it was.")
    else:
        say("Nothing is left to compute.")


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):.1f} MB"


def _expected_scale(spec: ModelSpec) -> TrainScale | None:
    """S of the released file that was not to be had; else of the paper's best net, jittered where it trained one."""
    row = released(spec.config, spec.source) if spec.source else None
    if row:
        return row.train_scale
    scales = {
        member.train_scale for result in RESULTS for member in result.members if member.config == spec.config.name
    }
    return TrainScale.parse(max(scales, key=len)) if scales else None


def _sizes(plan: Plan) -> list[tuple[int, int]]:
    """The images' sizes: from the store, or those of a thousand from their headers where nothing was run."""
    if plan.runs:
        return plan.runs[0].sizes()
    return sizes(plan.data, min(len(plan.data), _SIZES_LOOKED_AT))

"""What the commands that evaluate share: options become a request, and a session's messages go to stderr."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from itertools import repeat
from typing import Any, TypeVar

from vggbench.cache import cache_folder
from vggbench.cli.options import EvalOptions
from vggbench.cli.output import put_json
from vggbench.cli.progress import DownloadProgress, Progress
from vggbench.cli.terminal import say, warn
from vggbench.data import SAMPLE
from vggbench.errors import counted
from vggbench.evaluation.forecast import Forecast
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.listening import Listener
from vggbench.evaluation.plan import Plan
from vggbench.evaluation.request import Manner, Request
from vggbench.evaluation.session import Session
from vggbench.inference.choice import by_width, possible
from vggbench.inference.choices import BackendName
from vggbench.inference.measured import kept_answer, kind_of
from vggbench.paper.protocols import PROTOCOLS
from vggbench.render.tables.cells import duration
from vggbench.results.evaluated import Evaluated, evaluated
from vggbench.weights.load import Model

_WORTH_SAYING = 0.8
"""The share of the present time below which another way is worth a sentence."""
_Asked = TypeVar("_Asked", bound=Manner)


class Teller(Listener):
    """Prints it."""

    def __init__(self, *, on_sample: bool = False, forecasts: bool = True) -> None:
        self._on_sample, self.forecasts = on_sample, forecasts
        self._expected: Forecast | None = None

    def note(self, sentence: str) -> None:
        """One line, and that it is beside the point."""
        say(f"Note: {sentence}")

    def say(self, sentence: str) -> None:
        """One line."""
        say(sentence)

    def opening(self) -> None:
        """Say that nobody asked for the sample."""
        if self._on_sample:
            warn("No --data, no $VGGBENCH_DATA: this is the built-in SAMPLE, not ImageNet.")

    def planned(self, plan: Plan, expected: Forecast | None) -> None:
        """The forecast, where there is one."""
        self._expected = expected
        jobs, images, done = len(plan.jobs), len(plan.data), plan.stored_results
        if expected is None:
            say(f"{counted(images, 'image')}, {counted(jobs, 'run')}.")
            return
        kept = f" ({done:,} of {jobs * images:,} results are stored already)" if done else ""
        cost = f", {expected.gmacs:,.{1 if expected.gmacs >= 10 else 3}f} GMACs" if expected.gmacs else ""
        say(
            f"{counted(images, 'image')}, {counted(jobs, 'run')}{kept}: {counted(expected.views, 'view')}{cost} per "
            "image."
        )
        if not expected.images:
            say("Nothing is left to compute.")
            return
        rate = f", {expected.rate:.1f} GMAC/s in a short probe" if expected.rate else ""
        say(
            f"About {duration(expected.seconds)} on {expected.device} ({counted(expected.threads, 'thread')}{rate}), "
            f"{_size(expected.disk_bytes)} in {plan.runs[0].folder.parent}/."
        )
        say(_what_takes_longer(plan, expected))
        if expected.seconds_on_grid is not None and expected.seconds_on_grid < _WORTH_SAYING * expected.seconds:
            say(f"With --grid 8, whose crops share their convolutions: about {duration(expected.seconds_on_grid)}.")
        say("You can interrupt it at any time; the same command resumes it.")

    @contextmanager
    def evaluating(self, plan: Plan) -> Iterator[Progress]:
        """A bar, and at the end what was read."""
        with Progress(plan, self._expected) as progress:
            yield progress
        progress.summary()

    def downloading(self) -> DownloadProgress:
        """A bar."""
        return DownloadProgress()


def evaluation(
    texts: Sequence[str],
    options: EvalOptions,
    *,
    keep_going: bool = False,
    check: Callable[[Sequence[Model]], None] | None = None,
    jobs_of: Callable[[Model], list[Job]] | None = None,
) -> Evaluated | None:
    """Evaluate models as the options say; None after a dry run, and in all but one of several processes."""
    is_bare = not options.weights and not any("@" in text or ":" in text for text in texts)
    on_sample = options.data is None and is_bare
    data = SAMPLE if on_sample else options.data
    request = asked(Request, options, models=tuple(texts), data=data, keep_going=keep_going)
    found = evaluated(
        request, Teller(on_sample=on_sample), labels=options.labels or (), blacklist=options.blacklist,
        classes_of_data=options.classes_of_data or (), metrics=options.metrics or (), check=check, jobs_of=jobs_of,
    )  # fmt: skip
    assert found.session
    if options.dry_run and options.format == "json":
        _put_forecast(found.session)
    if not found.session.speaks:
        return None
    if options.verbose:
        _say_how(found.session.plan)
    return found


def _put_forecast(session: Session) -> None:
    """Print the forecast as JSON: a dry run writes no file. Only the first of several processes has one."""
    lacking = {entry.name: entry.note for entry in session.entries if entry.note}
    if session.forecast:
        put_json(session.forecast.record(session.plan) | {"without_weights": lacking}, "json", None)


def asked(kind: type[_Asked], options: Any, **others: Any) -> _Asked:
    """The request that options make, whose fields have their names but for the protocols."""
    protocols = [name for name in PROTOCOLS if getattr(options, name, False)]
    values = {item.name: getattr(options, item.name) for item in fields(kind) if hasattr(options, item.name)}
    return kind(**values | {"protocols": protocols, "scales": options.scales or ()} | others)


def _what_takes_longer(plan: Plan, expected: Forecast) -> str:
    """Reading or computing, which go on at the same time."""
    by = counted(plan.workers, "process") if plan.workers else "the main process"
    times = {
        f"reading by {by}": expected.reading,
        "computing": expected.computing,
    }
    longer, shorter = sorted(times, key=lambda what: -times[what])
    return (
        f"{longer[0].upper()}{longer[1:]} takes longer: {duration(times[longer])}, {shorter} "
        f"{duration(times[shorter])}{' at the same time' if plan.workers else ' besides'}."
    )


def _say_how(plan: Plan) -> None:
    """Which way each run was computed, and what `auto` went by."""
    if plan.settings.backend == "auto" and not plan.settings.compile:
        for sentence in dict.fromkeys(map(_went_by, plan.jobs, plan.backends, repeat(plan.settings))):
            say(f"--backend auto: {sentence}")
    for job, run in zip(plan.jobs, plan.runs, strict=True):
        for entry in run.provenance:
            shared = entry.get("shared_stages")
            crops = "" if shared is None else f", crops share {counted(shared, 'stage')}" if shared else ", plain crops"
            say(
                f"{job.title}: {entry['backend']} {entry['backend_version']} on {entry['device']}, "
                f"{counted(entry['threads'], 'thread')}, batches of {entry['batch_size']}{crops}, "
                f"{duration(entry['seconds'])}."
            )


def _went_by(job: Job, backend: BackendName, settings: Settings) -> str:
    """What led `auto` to this backend."""
    if settings.torch_device.type != "cpu" or len(possible(job.model, settings.torch_device, settings.precision)) == 1:
        return f"{job.identity.name} can only be run by {backend} here."
    kept = kept_answer(job.model, job.protocol)
    if kept and kept.backend == backend:
        return str(kept)
    if by_width(job.model, job.protocol) == backend and not kept:
        return (
            f"{kind_of(job.model, job.protocol)}: {backend} by a fixed rule; no measurement is kept in "
            f"{cache_folder()}/."
        )
    return f"{job.title}: {backend}, with which its stored run began."


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):.1f} MB"

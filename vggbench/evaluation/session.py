"""An evaluation from words to stored posteriors: open, load, plan, forecast, compute, alone or with other processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vggbench.cache import at_home
from vggbench.data import EXPECTED, SAMPLE, DataSet, is_sample, open_data
from vggbench.data.labelling import NO_FILE
from vggbench.errors import DataError, UsageError
from vggbench.evaluation.forecast import Forecast, forecast
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.listening import Listener
from vggbench.evaluation.loop import execute, finish
from vggbench.evaluation.models import Entry, load_all, require_loaded, require_sources
from vggbench.evaluation.plan import Plan, prepare
from vggbench.evaluation.processes import (
    World,
    joined,
    patiently,
    require_one_store,
    require_same,
    share_threads,
)
from vggbench.evaluation.request import Request
from vggbench.evaluation.shares import is_last
from vggbench.files import near_path, require_folder
from vggbench.images.reading import no_room
from vggbench.inference.devices import fallen_back
from vggbench.store.recording import Store
from vggbench.weights.load import Model


@dataclass(frozen=True)
class Session:
    """A request and what came of it."""

    request: Request
    entries: list[Entry]
    """The models asked for, in their order."""
    plan: Plan
    settings: Settings
    forecast: Forecast | None = None
    """Set if one was wanted, and something was left to compute."""
    speaks: bool = False
    """Whether the runs are complete and this process is the one to show them.

    That is not so after a dry run, nor in all but one of several processes.
    """

    @property
    def data(self) -> DataSet:
        """The images."""
        return self.plan.data

    @property
    def models(self) -> list[Model]:
        """The models that were evaluated."""
        return [entry.model for entry in self.entries if entry.model]


@dataclass(frozen=True)
class Hooks:
    """What a caller decides once images are open and models are loaded, before anything is computed.

    The checks refuse by raising; `jobs_of` says what is evaluated of a model, rather than the request.
    """

    check_data: Callable[[DataSet], None] | None = None
    check_models: Callable[[Sequence[Model]], None] | None = None
    jobs_of: Callable[[Model], list[Job]] | None = None


def conduct(request: Request, listener: Listener | None = None, hooks: Hooks | None = None) -> Session:
    """Compute what the store lacks of a request, in one pass over the images; under torchrun with all processes.

    Raises UsageError for a request that cannot be, before images are listed and weights are read; later
    what opening, loading and `evaluate` raise; after a dry run as `require_loaded`.
    """
    listener, hooks = listener or Listener(), hooks or Hooks()
    settings = request.settings
    share_threads(settings.beside)
    with joined(settings.torch_device) as world:
        require_possible(request)  # by all together: a process that refuses ends the others
        if not request.dry_run:
            require_one_store(world, request.runs)
        if world.size > 1:
            settings = replace(settings, share=(world.rank, world.size))
        told = listener if world.is_first else Listener()
        begun = _begun(request, settings, told, hooks, forecasts=request.dry_run or listener.forecasts)
        require_same(world, [f"{run.title} in blocks of {run.block}" for run in begun.plan.runs])
        if request.dry_run:
            require_loaded(begun.entries)
            return begun
        with told.evaluating(begun.plan) as watch:
            execute(begun.plan, watch)
        world.wait()
        if not _speaks_for_all(begun, world, told):
            return begun
    if settings.share == (0, 1):
        return replace(begun, speaks=True)
    plan = patiently(lambda: _of_all(begun), lambda plan: not any(run.absent for run in plan.runs))
    finish(plan)
    return replace(begun, plan=plan, speaks=True)


def _of_all(begun: Session) -> Plan:
    """What all processes together have computed, as it is seen now."""
    return prepare(begun.data, begun.plan.jobs, Store(begun.request.runs), replace(begun.settings, share=(0, 1)))


def require_possible(request: Request) -> Settings:
    """Refuse all that can be refused before images are listed and weights are read. Raises VggbenchError."""
    protocols, settings, _ = request.chosen_protocols, request.settings, request.load_options
    for protocol in protocols:
        request.has_several_scales(protocol)
    if request.limit is not None and request.limit < 1:
        raise UsageError(f"--limit {request.limit}: expected 1 or more images.")
    if request.ground_truth not in (None, NO_FILE) and not at_home(str(request.ground_truth)).exists():
        raise DataError(f"There is no {request.ground_truth}: expected a ground truth, from --ground-truth.")
    require_folder(request.runs, "--runs", to_write=False)  # a finished store is only read
    require_sources(request)
    return settings


def _begun(request: Request, settings: Settings, listener: Listener, hooks: Hooks, *, forecasts: bool) -> Session:
    """Planned, and nothing computed yet."""
    listener.opening()
    data = opened_for(request)
    if hooks.check_data:
        hooks.check_data(data)
    for note in data.notes:
        listener.note(f"{note}.")
    entries = load_all(request, data, listener)
    models = [entry.model for entry in entries if entry.model]
    if hooks.check_models:
        hooks.check_models(models)
    jobs = [job for model in models for job in (hooks.jobs_of or request.jobs_of)(model)]
    plan = prepare(data, jobs, Store(request.runs), settings, reads_only=request.dry_run)
    expected = _announced(plan, listener, dry_run=request.dry_run, forecasts=forecasts)
    for entry in entries if request.dry_run else ():
        if entry.note:
            listener.note(f"{entry.name}: {entry.note}")
    return Session(request, entries, plan, settings, expected)


def opened_for(request: Request) -> DataSet:
    """The images asked for; raises UsageError and DataError."""
    found = request.data
    if found is None:
        given = f"--weights {request.weights}" if request.weights else _name(request.each_model[0])
        named = next((name for name in map(_name, request.each_model) if "@" in name), given)
        raise UsageError(
            f"No images for {named}: expected --data PATH, or the path in $VGGBENCH_DATA; or --data sample. "
            f"PATH is {EXPECTED}."
        )
    if not isinstance(found, DataSet):
        if not is_sample(found) and _is_missing(found):
            near = near_path(at_home(str(found)), (SAMPLE,))
            raise UsageError(f"There is no {found}: expected images, from --data or $VGGBENCH_DATA.{near}")
        found = open_data(found, request.ground_truth, may_lack_labels=request.descriptor is not None)
    return found if request.limit is None else found.subset(request.limit)


def _name(model: str | Model) -> str:
    return model if isinstance(model, str) else model.identity.name


def _is_missing(path: str | Path) -> bool:
    try:
        return not Path(path).expanduser().exists()
    except (OSError, RuntimeError):
        return False  # `open_data` says why


def _announced(plan: Plan, listener: Listener, *, dry_run: bool, forecasts: bool) -> Forecast | None:
    """Tell of what will be computed, with a forecast where one is wanted."""
    for path in plan.damaged:
        listener.note(f"{path} is damaged; its images are computed again.")
    if not plan.jobs or not (dry_run or any(plan.missing)):
        return None
    if fallen := fallen_back(plan.settings.device, plan.settings.torch_device):
        listener.note(fallen)
    expected = forecast(plan) if forecasts else None
    listener.planned(plan, expected)
    if plan.workers < plan.settings.loader_workers:
        listener.note(no_room("reading images", plan.workers))
    return expected


def _speaks_for_all(begun: Session, world: World, listener: Listener) -> bool:
    """Whether this process goes on: the first under torchrun, the last to finish of those that share, or the only."""
    share = begun.request.share
    if share is None:
        return world.is_first
    if is_last(begun.request.runs, [run.title for run in begun.plan.runs], begun.plan.settings.share):
        return True
    listener.say(f"--share {share} is done; the last process to finish its share prints the table.")
    return False

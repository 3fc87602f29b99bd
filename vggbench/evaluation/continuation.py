"""Stored runs computed to their end, with the models and images that their records name."""

from collections.abc import Sequence

from vggbench.data import open_data
from vggbench.errors import StoreError, UsageError, VggbenchError, counted
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.listening import Listener
from vggbench.evaluation.loop import execute
from vggbench.evaluation.models import load_for
from vggbench.evaluation.plan import Plan, prepare
from vggbench.images.preprocessing import INPUTS
from vggbench.store.recording import Store
from vggbench.store.runs import Run
from vggbench.weights.load import LoadOptions
from vggbench.weights.spec import parse_model
from vggbench.weights.trunks import up_to


def finish_runs(runs: Sequence[Run], settings: Settings, listener: Listener | None = None) -> None:
    """Compute what runs lack, one after the other; raises VggbenchError at the end if some could not be."""
    listener = listener or Listener()
    problems = []
    for run in runs:
        listener.say(f"{run.title}: {counted(run.total - run.done, 'image')} to compute.")
        try:
            plan = continuation(run, settings)
            with listener.evaluating(plan) as watch:
                execute(plan, watch)
        except VggbenchError as error:
            problems.append(f"{run.title}: {error}")
    if problems:
        raise VggbenchError(" ".join(problems))


def continuation(run: Run, settings: Settings) -> Plan:
    """What computes the images that a run lacks, with the model and images that its record names.

    Raises UsageError where it names none, StoreError where they are no longer the same, and what opening them does.
    """
    spec, place = run.identity.spec, run.about.get("place")
    if not spec or not place:
        raise UsageError(
            f"{run.title} does not say where its {'images' if spec else 'weights'} are: expected a run of this version "
            "of a file or of a named source. Repeat the command that began it; it resumes."
        )
    opened = open_data(str(place), may_lack_labels=run.descriptor is not None)
    data = opened.subset(run.total)
    if data.fingerprint != run.signature["data"]:
        shuffled = opened.shuffled()  # `check` began it, or these are other images
        data = shuffled if shuffled.fingerprint == run.signature["data"] else data
    model = load_for(run.descriptor, parse_model(str(spec)), _load_options(run), data)
    model = model.with_identity(name=run.identity.name)
    if run.descriptor:
        model = up_to(model, run.descriptor)
    job = Job(model, run.protocol, run.scale, run.rescale, run.descriptor)
    plan = prepare(data, [job], Store(run.folder.parent), Settings.of_run(run, settings))
    if plan.runs[0].title != run.title:  # it ends in the hash of the signature
        raise StoreError(
            f"{run.title} was begun with other images, weights or settings than {place} and {spec} give now: expected "
            "the same. Delete it with --delete, or repeat the command that began it."
        )
    return plan


def _load_options(run: Run) -> LoadOptions:
    """What had to be stated when the run began."""
    model = run.identity
    assert model.input, "an imported run is whole"
    known = next((name for name, value in INPUTS.items() if value == model.input), None)
    stated = known or model.input.as_text()
    width = model.architecture.width if model.architecture else 1.0
    return LoadOptions(model.train_scale, stated, width, ema=model.averaged, size=model.side)

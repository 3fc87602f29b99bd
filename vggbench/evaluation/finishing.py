"""Stored runs computed to their end, by what their records name."""

from collections.abc import Sequence

from vggbench.errors import VggbenchError, counted
from vggbench.evaluation.jobs import Settings
from vggbench.evaluation.listening import Listener
from vggbench.evaluation.loop import execute
from vggbench.store.stored import StoredRun, continuation


def finish_runs(runs: Sequence[StoredRun], settings: Settings, listener: Listener | None = None) -> None:
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

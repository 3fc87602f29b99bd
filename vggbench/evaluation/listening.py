"""Who is told what a session does on the way."""

from contextlib import AbstractContextManager, nullcontext

from vggbench.evaluation.forecast import Forecast
from vggbench.evaluation.jobs import Watch
from vggbench.evaluation.plan import Plan
from vggbench.weights.download import DownloadWatch


class Listener:
    """What a session tells while it goes on; this one listens to nothing."""

    forecasts = False
    """Whether a session makes a forecast for it, which takes a second or so for each kind of network."""

    def note(self, sentence: str) -> None:
        """Something that bears on the figures or on what is done."""

    def say(self, sentence: str) -> None:
        """How far things are."""

    def opening(self) -> None:
        """All that can be refused at once has not been; the images are opened next."""

    def planned(self, plan: Plan, expected: Forecast | None) -> None:
        """What will be computed; a forecast for those who want one, and in a dry run."""

    def evaluating(self, plan: Plan) -> AbstractContextManager[Watch]:
        """Listens to the evaluation of a plan, as long as it lasts."""
        return nullcontext(Watch())

    def downloading(self) -> AbstractContextManager[DownloadWatch]:
        """Listens to the loading of one model, and to its download if there is one."""
        return nullcontext(DownloadWatch())

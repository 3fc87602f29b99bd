"""What goes to stderr while an evaluation or a training runs: progress with an estimate, and the errors so far."""

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from vggbench.cli.terminal import say, say_progress, warn
from vggbench.errors import counted
from vggbench.evaluation.jobs import Job, Watch
from vggbench.metrics import at_chance, top5_error, top_k_error
from vggbench.progress import bar, rate, shows_bars
from vggbench.render.tables.cells import duration
from vggbench.train.recipe import Epoch, Recipe, TrainWatch
from vggbench.weights.download import DownloadWatch

if TYPE_CHECKING:
    from vggbench.evaluation.forecast import Forecast
    from vggbench.evaluation.plan import Plan

_LINE_EVERY = 30.0
"""Seconds between lines where stderr is no terminal."""
_LEAST_LEFT = 0.5
"""Seconds, under which there is no point in saying what is left."""


def _time_left(how: str, seconds: float) -> str:
    """The words for an estimate; empty if nothing is left."""
    return f", {how} {duration(seconds)} left" if seconds >= _LEAST_LEFT else ""


class _WithBar:
    """Takes the bar away at the end, whatever the end is."""

    _bar: Any = None

    def _start_bar(self, total: float | None, completed: float = 0.0) -> None:
        """On a terminal, if progress is wanted, in place of the one before."""
        self._stop_bar()
        if shows_bars():
            self._bar = bar()
            self._bar.add_task("", total=total, completed=completed, rate="", said="")
            self._bar.start()

    def _move_bar(self, completed: float, said: str, pace: str = "", total: float | None = None) -> None:
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=completed, total=total, said=said, rate=pace)

    def _stop_bar(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_bar()


@dataclass
class _Pace:
    """How fast one run goes: the images that were computed of it, and the time that they took."""

    left: float
    """Images."""
    expected: float
    """Seconds of an image as the forecast has them, or else in proportion to its work."""
    images: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        return rate(self.images, self.seconds)


def _seconds_left(paces: Sequence[_Pace], elapsed: float) -> float:
    """What is left: each run at its own measured pace, and those not begun as expected, or so much slower or quicker.

    `elapsed` seconds were more than the runs' own if they waited for images; so it will be.
    """
    measured = sum(pace.seconds for pace in paces)
    expected = sum(pace.images * pace.expected for pace in paces)
    if not measured or not expected:
        return sum(pace.left * pace.expected for pace in paces)
    slower = measured / expected
    left = sum(pace.left * (pace.seconds / pace.images if pace.images else pace.expected * slower) for pace in paces)
    return left * max(1.0, elapsed / measured)


class Progress(_WithBar, Watch):
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, plan: "Plan", expected: "Forecast | None" = None) -> None:
        self._plan = plan
        self._runs = [place for place, blocks in enumerate(plan.missing) if blocks]
        self._started = self._spoken = time.monotonic()
        self._place, self._turned = 0, self._started
        each = expected.each if expected else plan.work_per_image
        self._paces = [_Pace(*both) for both in zip(plan.missing_images, each, strict=True)]
        self._errors = [""] * len(plan.jobs)
        self._warned: set[str] = set()

    def __enter__(self) -> Self:
        if self._runs:
            self._start_bar(None)
        return self

    def begin(self) -> None:
        """The estimate counts from here."""
        self._started = self._spoken = time.monotonic()

    def turn(self, job: Job) -> None:
        """Show images/s and errors of this run from here on."""
        self._place, self._turned = self._plan.jobs.index(job), time.monotonic()

    def advance(self, work: float) -> None:
        """Move the bar: it counts seconds."""
        now, pace = time.monotonic(), self._paces[self._place]
        images = work / self._plan.work_per_image[self._place]
        pace.images, pace.left = pace.images + images, max(0.0, pace.left - images)
        pace.seconds, self._turned = pace.seconds + now - self._turned, now
        elapsed = now - self._started
        left = _seconds_left(self._paces, elapsed)
        self._move_bar(elapsed, self._said, str(pace), total=elapsed + left)
        if not self._bar and now - self._spoken > _LINE_EVERY:
            self._spoken = now
            say_progress(f"{elapsed / (elapsed + left):4.0%} done{_time_left('about', left)}, {pace} in {self._said}.")

    @property
    def _said(self) -> str:
        """Which run is under way, and its errors so far."""
        which = f"run {self._runs.index(self._place) + 1} of {len(self._runs)}"
        return f"{which}{self._errors[self._place]}: {self._plan.jobs[self._place].title}"

    def block(self, job: Job, label_ranks: NDArray[np.int32]) -> None:
        """Show the errors so far; warn once where the first block looks like guessing."""
        top1, top5 = top_k_error(label_ranks, 1), top5_error(label_ranks, job.identity.classes)
        also = f" top-5 {top5.percent:.1f}" if top5 else ""
        self._errors[self._place] = f", top-1 {top1.percent:.1f}{also} % of {top1.images:,}"
        self._move_bar(time.monotonic() - self._started, self._said, str(self._paces[self._place]))
        first = job.identity.weights_hash not in self._warned  # at another input, as in `explain`, it may well guess
        self._warned.add(job.identity.weights_hash)
        if first and not job.identity.is_random and at_chance(label_ranks, job.identity.classes):
            warn(
                f"Warning: {job.title} is no better than chance on its first {counted(top1.images, 'image')}. "
                f"Class order or "
                "preprocessing is probably wrong: check --input, the folders' names, and the file."
            )

    def summary(self) -> None:
        """What was read, and for how many runs."""
        if self._plan.images_read:
            say(
                f"Read and decoded {counted(self._plan.images_read, 'image')} once for "
                f"{counted(len(self._runs), 'run')}, in {duration(time.monotonic() - self._started)}."
            )


class VerifyProgress(_WithBar):
    """A bar while `total` images are decoded, or what else is `done` to them."""

    def __init__(self, total: int, done: str = "decoded") -> None:
        self._total, self._done, self._started = total, done, time.monotonic()
        self._spoken = self._started

    def __enter__(self) -> Self:
        self._start_bar(self._total)
        return self

    def update(self, done: int) -> None:
        """Move the bar, or say now and then how far it is."""
        pace = rate(done, time.monotonic() - self._started)
        self._move_bar(done, f"{done:,} of {self._total:,} images", pace)
        if not self._bar and self._total and time.monotonic() - self._spoken > _LINE_EVERY:
            self._spoken = time.monotonic()
            say_progress(f"{done:,} of {counted(self._total, 'image')} {self._done}.")


class DownloadProgress(_WithBar, DownloadWatch):
    """A sentence, and on a terminal a bar of bytes."""

    def __init__(self) -> None:
        self._done, self._spoken, self._moves = 0, time.monotonic(), False
        self._started = self._spoken

    def begin(self, sentence: str) -> None:
        """Say it."""
        say(sentence)

    def update(self, count: int) -> None:
        """Move the bar, or say now and then how far it is."""
        if not self._moves:
            self._moves, self._done, self._started = True, 0, time.monotonic()
            self._start_bar(self.total or None)
        self._done += count
        said = f"{self._done / 1e6:,.0f}{f' of {self.total / 1e6:,.0f}' if self.total else ''} MB"
        self._move_bar(self._done, said, rate(self._done / 1e6, time.monotonic() - self._started, "MB"))
        if not self._bar and time.monotonic() - self._spoken > _LINE_EVERY:
            self._spoken = time.monotonic()
            say_progress(said)

    def reset(self) -> None:
        """Pooch counts once more, all at once, at the end."""
        self._done = 0

    def close(self) -> None:
        """Take the bar away; a second try starts another."""
        self._stop_bar()
        self._moves = False


class TrainProgress(_WithBar, TrainWatch):
    """A line for each epoch, and on a terminal a bar below them."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._images = self._total = 0
        self._measured, self._started = 0, time.monotonic()
        self._measuring = self._doubted = self._keeping = False
        self._before, self._spoken = 0, self._started
        self.stops = False

    def measured(self, images: int, of: int) -> None:
        """Move a bar of its own; say once what for."""
        if not self._measuring:
            self._measuring = True
            say(f"Measuring the mean and colour components of {counted(of, 'image')}, once.")
            self._start_bar(of, 0)
        self._move_bar(images, f"{images:,} images", rate(images, time.monotonic() - self._started))
        self._heed()

    def begun(self, epochs: Sequence[Epoch], images: int, epoch_images: int) -> None:
        """Say what a checkpoint had already."""
        self._images, self._total = len(epochs) * epoch_images + images, self._recipe.epochs * epoch_images
        self._started = time.monotonic()
        if self._images:
            say(f"Resumes in epoch {len(epochs) + 1} after {images:,} of its images, from the checkpoint.")
        self._start_bar(self._total, self._images)

    def doubted(self, image: str) -> None:
        """Say it of the first."""
        if not self._doubted:
            self._doubted = True
            say(
                f"Note: libjpeg complained, and the image is trained on as decoded: {image}. "
                "vggbench data --verify lists all such images."
            )

    def divided(self, images: int, parts: int) -> None:
        """Say it, each time."""
        say(
            f"Note: there is not enough memory for {counted(images, 'image')} at once. From here on gradients "
            f"are added "
            f"up over {parts:,} parts, as with --accumulate {parts}."
        )

    def step(self, images: int, loss: float) -> None:
        """Move the bar; raises KeyboardInterrupt if a signal came during the step."""
        self._images, self._measured = self._images + images, self._measured + images
        self._move_bar(self._images, f"loss {loss:.3f}", rate(self._measured, time.monotonic() - self._started))
        self._heed()

    def grows(self, now: float, lowest: float, rate: float) -> None:
        """Say it, and what to change."""
        warn(
            f"Warning: the loss grows to {now:,.4g} over the last steps from {lowest:,.4g}: --rate {rate:g} is too "
            f"high. Interrupt it, and start again with --rate {rate / 10:g}."
        )

    def kept(self, crops: int, of: int) -> None:
        """Move a bar of its own; say once what for, and now and then how far it is."""
        if not self._keeping:
            self._keeping, self._started, self._before = True, time.monotonic(), crops
            say(f"Computing what the frozen layers give for {counted(of, 'crop')}, once for all epochs.")
            self._start_bar(of, crops)
        spent = time.monotonic() - self._started
        self._move_bar(crops, f"{crops:,} crops", rate(crops - self._before, spent, "crops"))
        if not self._bar and time.monotonic() - self._spoken > _LINE_EVERY:
            self._spoken = time.monotonic()
            left = spent * (of - crops) / max(crops - self._before, 1)
            say_progress(f"{crops:,} of {counted(of, 'crop')}{_time_left('about', left)}.")
        self._heed()

    def _heed(self) -> None:
        if self.stops:
            raise KeyboardInterrupt

    def epoch(self, epoch: Epoch) -> None:
        """One line."""
        left = (time.monotonic() - self._started) * (self._total - self._images) / max(self._measured, 1)
        say(
            f"Epoch {epoch.number}/{self._recipe.epochs}  rate {epoch.rate:g}  loss {epoch.loss:.3f}  "
            f"top-1 error {epoch.top1_error:.1f}%  {duration(epoch.seconds)}{_time_left('at most', left)}"
        )


@contextlib.contextmanager
def stopping(progress: TrainProgress) -> Iterator[TrainProgress]:
    """A first Ctrl-C or SIGTERM ends the training after the step under way, with a checkpoint; a second one at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        if progress.stops:
            raise KeyboardInterrupt
        progress.stops = True
        say("Stopping after this step; a second interrupt stops at once.")

    heeded = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]  # not under nohup
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        with progress:
            yield progress
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""What stderr shows while something runs: one line on a terminal, lines now and then elsewhere, nothing if unwanted."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import CLASSES, Result

from vggbench import INPUTS, Job, Model, Protocol, Settings, open_data
from vggbench.cli import progress as shown
from vggbench.cli.progress import Progress, VerifyProgress
from vggbench.cli.terminal import put, say, speak, warn
from vggbench.evaluation.forecast import forecast
from vggbench.evaluation.jobs import Watch
from vggbench.evaluation.loop import execute
from vggbench.evaluation.plan import Plan, prepare
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CONFIGS
from vggbench.progress import rate, told
from vggbench.render.tables.cells import duration
from vggbench.store.recording import Store

LONG = "/a/very/long/path/" + "folder-with-a-name/" * 6 + "image.JPEG"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """All that was ever drawn, without what moves the cursor."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\r", re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue()))
        return [line for line in re.split(r"[\r\n]+", plain) if line.strip()]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Terminal]:
    """Make stderr one, of so many columns."""

    def make(columns: int) -> Terminal:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stderr", Terminal())
        assert isinstance(sys.stderr, Terminal)
        return sys.stderr

    return make


@pytest.fixture(autouse=True)
def _spoken() -> Iterator[None]:
    speak()
    yield
    speak()


@pytest.fixture
def plan(pictures: Path, tmp_path: Path) -> Plan:
    """Three runs of a narrow net with a long name on four pictures."""
    net = VGG(CONFIGS["A"], 4, 1 / 64)
    model = Model.wrap("A-net-with-quite-a-long-name", net, INPUTS["torchvision"], CLASSES)
    jobs = [Job(model, Protocol("center"), 256), Job(model, Protocol("dense"), 256), Job(model, Protocol("dense"), 384)]
    return prepare(open_data(pictures), jobs, Store(tmp_path / "runs"), Settings(device="cpu", workers=0))


class Clock:
    """`time.monotonic` of the progress; it stands unless it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(shown, "time", SimpleNamespace(monotonic=lambda: self.now))


# ---------------------------------------------------------------- lines


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_lines_of_a_terminal_are_broken_between_words_alone(columns: int, terminal: Callable[[int], Terminal]) -> None:
    stream = terminal(columns)
    sentence = f"Note: {LONG} is damaged, its images are computed again, and 1f2e3d4c5b6a-of-another-hash stays whole."
    put(sentence)
    lines = stream.getvalue().splitlines()
    assert " ".join(lines) == sentence
    assert all(len(line) <= columns or " " not in line for line in lines)
    assert len(lines) > 1


def test_lines_of_a_pipe_are_not_broken(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    sentence = f"Note: {LONG} " + "word " * 100
    say(sentence)
    assert capfd.readouterr().err == f"{sentence}\n"


def test_an_error_is_broken_between_words_too(
    vggbench: Callable[..., Result], terminal: Callable[[int], Terminal]
) -> None:
    stream = terminal(60)
    assert vggbench("eval", f"D@{LONG}", "--data", "sample").code == 1
    lines = stream.getvalue().splitlines()
    assert any(LONG in line for line in lines)
    assert all(len(line) <= 60 or " " not in line for line in lines)


def test_what_is_said_above_a_bar_stays_whole(terminal: Callable[[int], Terminal]) -> None:
    stream = terminal(60)
    for _ in told([1, 2], "Drawing", 2, done=float):
        say(f"Note: {LONG} is left out, since it is no image.")
    assert LONG in stream.lines()
    assert any(line.startswith("Note:") for line in stream.lines())


# ---------------------------------------------------------------- the bar


@pytest.mark.parametrize("columns", [60, 80])
def test_the_bar_has_its_speed_its_end_and_its_run(
    columns: int, plan: Plan, terminal: Callable[[int], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, clock = terminal(columns), Clock(monkeypatch)
    with Progress(plan) as progress:
        progress.begin()
        for job, work in list(zip(plan.jobs, plan.work_per_image, strict=True))[:2]:
            progress.turn(job)
            for _ in range(4):
                clock.now += 0.5 if job is plan.jobs[0] else 4
                progress.advance(work)
            progress.block(job, np.zeros(4, np.int32))
            progress._bar.refresh()
    lines = stream.lines()
    assert max(map(len, lines)) <= columns
    assert any(re.search(r"^ *\d+% [━╸╺]+ 2\.0 images/s +[\d:-]+ left run 1 of 3", line) for line in lines)
    assert any("0.25 images/s" in line and "left run 2 of 3, top" in line for line in lines), "of the run under way"
    assert columns < 80 or any("run 2 of 3, top-1 0.0 " in line for line in lines)


def test_an_evaluation_tells_whose_work_is_done(plan: Plan) -> None:
    """Images/s and k of n go by it."""

    class Told(Watch):
        def __init__(self) -> None:
            self.work: list[tuple[Job, float]] = []

        def turn(self, job: Job) -> None:
            self.work.append((job, 0.0))

        def advance(self, work: float) -> None:
            job, before = self.work.pop()
            self.work.append((job, before + work))

    watch = Told()
    execute(plan, watch)
    assert [job for job, _ in watch.work] == plan.jobs
    assert [work for _, work in watch.work] == pytest.approx([4 * work for work in plan.work_per_image])


def test_a_pipe_has_a_line_now_and_then(
    plan: Plan, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    with Progress(plan) as progress:
        progress.begin()
        progress.turn(plan.jobs[0])
        for _ in range(4):
            clock.now += 20
            progress.advance(plan.work_per_image[0])
    done = plan.work_per_image[0] * 2 / sum(plan.missing_work)
    assert capfd.readouterr().err.splitlines() == [
        f"{done:4.0%} done, about {duration(40 * (1 - done) / done)} left, 0.05 images/s in run 1 of 3: "
        f"{plan.jobs[0].title}.",
        f"{2 * done:4.0%} done, about {duration(40 * (1 - done) / done - 40)} left, 0.05 images/s in run 1 of 3: "
        f"{plan.jobs[0].title}.",
    ]


def test_the_estimate_takes_each_run_at_its_own_pace(
    plan: Plan, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that were not begun have the forecast, corrected by how wrong it was for the others."""
    clock = Clock(monkeypatch)
    expected = replace(forecast(plan), each=(1.0, 3.0, 10.0))
    with Progress(plan, expected) as progress:
        progress.begin()
        progress.turn(plan.jobs[0])
        clock.now += 5
        progress.advance(2 * plan.work_per_image[0])  # 2.5 seconds an image
        clock.now += 5
        progress.turn(plan.jobs[1])
        clock.now += 30
        progress.advance(3 * plan.work_per_image[1])  # 10
    measured, wrong, waited = 35, 35 / (2 * 1 + 3 * 3), 40 / 35
    left = (2 * 2.5 + 1 * 10 + 4 * 10 * wrong) * waited
    assert measured * waited == 40
    assert capfd.readouterr().err == (
        f"{40 / (40 + left):4.0%} done, about {duration(left)} left, 0.10 images/s in run 2 of 3: "
        f"{plan.jobs[1].title}.\n"
    )


@pytest.mark.parametrize("switches", [{"quiet": True}, {"progress": False}])
@pytest.mark.parametrize("columns", [None, 80])
def test_unwanted_progress_is_neither_drawn_nor_said(
    switches: dict[str, bool], columns: int | None, plan: Plan, terminal: Callable[[int], Terminal],
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stream, clock = terminal(columns) if columns else None, Clock(monkeypatch)
    speak(**switches)
    with Progress(plan) as progress, VerifyProgress(4) as verified:
        progress.turn(plan.jobs[0])
        clock.now += 100
        progress.advance(plan.work_per_image[0])
        verified.update(3)
    say("A notice.")
    warn("Warning: it is wrong.")
    err = stream.getvalue() if stream else capfd.readouterr().err
    assert err == ("" if "quiet" in switches else "A notice.\n") + "Warning: it is wrong.\n"


@pytest.mark.parametrize(
    ("count", "seconds", "text"),
    [(1, 0, "0.00"), (1, 8, "0.12"), (25, 2, "12.5"), (1000, 8, "125"), (10_000, 1, "10,000")],
)
def test_a_speed_is_short(count: float, seconds: float, text: str) -> None:
    assert rate(count, seconds) == f"{text} images/s"


# ---------------------------------------------------------------- --quiet and --no-progress


def test_quiet_leaves_the_table_alone(vggbench: Callable[..., Result], few_drawn: Path, tmp_path: Path) -> None:
    """The sample is drawn, nets are checked and evaluated; the warning that this is no ImageNet stays."""
    command = ("eval", "A", "--center", "--workers", 0, "--device", "cpu")
    loud, quiet = vggbench(*command), vggbench(*command, "--quiet", "--runs", tmp_path / "others")
    assert "1 run" in loud.err
    assert quiet.err == "No --data, no $VGGBENCH_DATA: this is the built-in SAMPLE, not ImageNet.\n"
    assert quiet.out.splitlines()[:4] == loud.out.splitlines()[:4]
    assert vggbench("eval", "A", "--data", "sample-dev", "--center", "-q").err == ""
    assert vggbench("eval", "A", "--grid", "4", "--quiet").err == "vggbench: --grid 4: expected 1 or 8.\n"


def test_without_progress_notices_stay(vggbench: Callable[..., Result], few_drawn: Path) -> None:
    done = vggbench("eval", "A", "--data", "sample-heldout", "--center", "--no-progress", "--workers", 0)
    assert done.err.startswith("Drawing the sample's 12 heldout pictures, once.\n")
    assert "Read and decoded 12 images once for 1 run" in done.err


def test_who_imports_the_library_hears_nothing(few_drawn: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import logging

    logging.getLogger("vggbench").setLevel(logging.NOTSET)
    open_data("sample-train")
    assert capfd.readouterr() == ("", "")

"""How long work takes: warm, in turn, long enough, and with one wait for the device."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from vggbench.inference import timing

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Bench:
    """A clock that work moves on, and what was done and waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.done = 0.0, ""
        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(timing, "wait_for", lambda device: self.do("|", 0))
        monkeypatch.setattr(timing, "LEAST", 0.3)

    def do(self, name: str, *seconds: float) -> int:
        """Takes so long; the last of several from then on."""
        count = self.done.count(name)
        self.now += seconds[min(count, len(seconds) - 1)]
        self.done += name
        return count

    def work(self, name: str, *seconds: float) -> Callable[[], int]:
        return lambda: self.do(name, *seconds)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_each_is_warm_and_they_take_turns(bench: Bench) -> None:
    found = timing.in_turn([bench.work("a", 0.9, 0.125), bench.work("b", 0.9, 0.25)], CPU)
    assert bench.done.replace("|", "") == "ab" + "ab" + "ab" + "a"
    assert [[run.seconds for run in runs] for runs in found] == [pytest.approx([0.125] * 3), pytest.approx([0.25] * 2)]
    assert [[run.result for run in runs] for runs in found] == [[1, 2, 3], [1, 2]]
    assert bench.done.startswith("|a||b||a|"), "nothing that was begun before is timed, and nothing is left running"


def test_a_long_first_run_is_enough_on_a_cpu_alone(bench: Bench) -> None:
    (found,) = timing.in_turn([bench.work("a", 2)], CPU)
    assert [run.seconds for run in found] == [2]
    (found,) = timing.in_turn([bench.work("b", 5, 2)], CUDA)
    assert [run.seconds for run in found] == [2], "the first one loads libraries there"


def test_the_shortest_run_was_disturbed_least() -> None:
    assert timing.shortest([timing.Timed(2), timing.Timed(1), timing.Timed(3)]) == 1


def test_runs_without_a_wait_last_long_enough(bench: Bench) -> None:
    assert timing.seconds_each(bench.work("a", 0.5, 0.01), CUDA) == 0.5
    assert timing.seconds_each(bench.work("b", 0.1, 0.01), CUDA) == pytest.approx(0.01)
    *_, last, end = bench.done.rpartition("|b")
    assert len(last + end) > 30, "thirty of a hundredth of a second"


def test_the_slowest_start_is_no_part_of_it(bench: Bench) -> None:
    assert timing.seconds_each(bench.work("a", 0.29, 0.001), CUDA) == pytest.approx(0.001)


def test_a_cpu_is_not_waited_for() -> None:
    timing.wait_for(CPU)
    with pytest.raises((AssertionError, RuntimeError)):  # there is none here
        timing.wait_for(CUDA if not torch.cuda.is_available() else torch.device("cuda", 99))

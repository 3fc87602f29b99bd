"""Processes as torchrun starts them, on one store or not, alive or not; forked here, since torchrun takes long."""

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from children import Child, wait_until
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from vggbench import INPUTS, Model, Settings
from vggbench.data import DataSet
from vggbench.errors import StoreError, VggbenchError
from vggbench.evaluation import liveness, processes
from vggbench.evaluation.processes import World, joined, patiently, require_one_store, require_same
from vggbench.evaluation.request import Request
from vggbench.evaluation.session import conduct
from vggbench.paper.configs import CONFIGS
from vggbench.train import session as training

CPU = torch.device("cpu")
HOST = socket.gethostname()
CLASSES = ("apple", "boat", "fish", "house")
Launch = Callable[[Callable[[int], object]], list[Child]]


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launch]:
    """Start a function of the rank in two processes as torchrun does, impatient ones; errors are told as by the CLI."""
    for name, seconds in (("_BEAT", 0.05), ("_SILENCE", 60.0), ("_GRACE", 0.5)):
        monkeypatch.setattr(liveness, name, seconds)
    monkeypatch.setattr(processes, "_WAITS", (0.01, 0.02))
    store = TCPStore("127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=20))
    started: list[Child] = []

    def run(do: Callable[[int], object], rank: int) -> None:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port),
            "TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_USE_AGENT_STORE": "True",
        }  # fmt: skip
        try:
            do(rank)
        except VggbenchError as error:
            print(f"vggbench: {error}", file=sys.stderr, flush=True)
            os._exit(error.exit_code)
        os._exit(0)

    def start(do: Callable[[int], object]) -> list[Child]:
        for rank in (0, 1):
            folder = tmp_path / f"rank{rank}"
            folder.mkdir()
            started.append(Child(folder, partial(run, do, rank)))
        return started

    yield start
    for child in started:
        child.end()


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch, launch: Launch) -> float:
    """Seconds after which a process is taken for dead, few."""
    monkeypatch.setattr(liveness, "_SILENCE", 1.0)
    return liveness._SILENCE


def _request(runs: Path, pictures: Path, network: Callable[[Tensor], Tensor], **others: object) -> Request:
    model = Model.wrap("net", network, INPUTS["torchvision"], CLASSES, identity="net 1")
    usual = {"protocols": "center", "scales": 224, "device": "cpu", "workers": 0}
    return Request(models=model, data=pictures, runs=runs, **usual | others)  # type: ignore[arg-type]


def _colours(images: Tensor) -> Tensor:
    return torch.cat([images.mean((2, 3)), images[:, :1].amax((2, 3))], dim=1) * 3


def _refuses(*whatever: object, **more: object) -> DataSet:
    raise AssertionError("images were listed")


def _said(children: list[Child]) -> list[str]:
    """What each said at its end, which was no success."""
    for child in children:
        assert child.wait(30) == 1, child.err
    return [child.err for child in children]


@pytest.mark.parametrize("kind", ["eval", "train"])
def test_two_stores_are_refused_before_the_first_image(
    kind: str, launch: Launch, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vggbench.evaluation.session.open_data", _refuses)
    monkeypatch.setattr("vggbench.train.session.open_training_data", _refuses)
    stores = [tmp_path / "shared", tmp_path / "own"]

    def evaluate(rank: int) -> None:
        conduct(_request(stores[rank], pictures, _colours))

    def train(rank: int) -> None:
        asked = training.TrainRequest(config=CONFIGS["A"], data=str(pictures), device="cpu", runs=stores[rank])
        training.conduct(asked)

    first, second = _said(launch({"eval": evaluate, "train": train}[kind]))
    assert first == second
    assert first == (
        f"vggbench: Process 1 on {HOST} does not see in its --runs {stores[1]} what Process 0 on {HOST} wrote to "
        f"{stores[0]}: expected one folder, on a file system that all processes share. Name it with --runs.\n"
    )
    assert list(stores[0].iterdir()) == [], "nothing is left of the check"


def test_two_processes_that_agree_make_one_run(launch: Launch, many_pictures: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"

    def evaluate(rank: int) -> None:
        found = conduct(_request(runs, many_pictures, _colours))
        print(found.speaks, found.plan.images_read if rank else len(found.plan.runs[0].images), flush=True)

    children = launch(evaluate)
    assert [child.wait(30) for child in children] == [0, 0], [child.err for child in children]
    assert [child.out for child in children] == ["True 70\n", "False 32\n"]
    assert [path.name for path in runs.iterdir() if path.name.startswith(".processes")] == []


def test_processes_asked_for_different_runs_are_refused(launch: Launch, pictures: Path, tmp_path: Path) -> None:
    scales = ([224, 256], [224, 288])

    def evaluate(rank: int) -> None:
        conduct(_request(tmp_path / "runs", pictures, _colours, scales=scales[rank]))

    first, second = _said(launch(evaluate))
    assert first == second
    assert f"Process 0 on {HOST} would compute net-center-Q256-" in first
    assert f", and Process 1 on {HOST} net-center-Q288-" in first
    assert "expected the same command, images, weights, versions and kind of device for all." in first
    assert not list((tmp_path / "runs").glob("net-*")), "nothing was begun"


def _wait_for_ever(*whatever: object) -> None:
    while True:
        time.sleep(0.005)


@pytest.mark.parametrize("is_reachable", [True, False])
def test_a_process_that_is_killed_ends_the_others(
    is_reachable: bool,
    launch: Launch,
    many_pictures: Path,
    tmp_path: Path,
    silence: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of a forward pass, and also where no signal reaches it, as inside a collective."""
    if is_reachable:
        monkeypatch.setattr(liveness, "_GRACE", 60.0)

    def network(images: Tensor) -> Tensor:
        if not is_reachable:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        (tmp_path / f"begun{os.environ['RANK']}").touch()
        _wait_for_ever()
        raise AssertionError

    children = launch(lambda rank: conduct(_request(tmp_path / "runs", many_pictures, network)))
    wait_until(lambda: all((tmp_path / f"begun{rank}").exists() for rank in (0, 1)))
    children[1].signal(signal.SIGKILL)
    (said,) = _said(children[:1])
    assert said == (
        f"vggbench: Process 1 on {HOST} has not responded for {silence:.0f} seconds: expected all processes of "
        "this run to continue. Its own output says more; finished work is kept, and the same command resumes.\n"
    )


def test_processes_whose_blocks_differ_are_refused(launch: Launch, many_pictures: Path, tmp_path: Path) -> None:
    """As they do on a CPU and an accelerator."""

    def evaluate(rank: int) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Settings, "block_for", lambda *images: 16 << rank)
            conduct(_request(tmp_path / "runs", many_pictures, _colours))

    first, _ = _said(launch(evaluate))
    assert re.search(r"would compute net-center-Q224-\w+ in blocks of 16, and Process 1 .* in blocks of 32: exp", first)


def test_a_process_that_fails_ends_one_that_computes(launch: Launch, tmp_path: Path) -> None:
    def work(rank: int) -> None:
        with joined(CPU):
            if rank:
                wait_until((tmp_path / "begun").exists)
                raise StoreError("The disk is full.")
            (tmp_path / "begun").touch()
            _wait_for_ever()

    first, second = _said(launch(work))
    assert second == "vggbench: The disk is full.\n"
    assert first.startswith(f"vggbench: Process 1 on {HOST} failed: expected all processes of this run to continue.")


def test_a_process_that_is_killed_ends_one_that_waits_for_it(launch: Launch, tmp_path: Path) -> None:
    """Which gloo notices by itself."""

    def work(rank: int) -> None:
        with joined(CPU) as world:
            if rank:
                wait_until((tmp_path / "begun").exists)
                os.kill(os.getpid(), signal.SIGKILL)
            (tmp_path / "begun").touch()
            world.wait()

    (said,) = _said(launch(work)[:1])
    assert said.startswith("vggbench: Another process of this run ended (")
    assert said.endswith("Its own output says more; finished work is kept, and the same command resumes.\n")


def test_processes_that_were_all_stopped_for_long_go_on(launch: Launch, tmp_path: Path, silence: float) -> None:
    def work(rank: int) -> None:
        with joined(CPU) as world:
            (tmp_path / f"begun{rank}").touch()
            wait_until((tmp_path / "goes on").exists)
            world.wait()

    children = launch(work)
    wait_until(lambda: all((tmp_path / f"begun{rank}").exists() for rank in (0, 1)))
    for child in children:
        child.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    wait_until(lambda: time.monotonic() - stopped > 1.2 * silence)
    for child in children:
        child.signal(signal.SIGCONT)
    (tmp_path / "goes on").touch()
    assert [child.wait(30) for child in children] == [0, 0], [child.err for child in children]


def test_a_process_that_is_done_early_is_not_missed(launch: Launch, tmp_path: Path, silence: float) -> None:
    def work(rank: int) -> None:
        with joined(CPU):
            if rank == 0:
                began = time.monotonic()
                wait_until(lambda: (tmp_path / "done").exists() and time.monotonic() - began > 1.3 * silence)
        (tmp_path / "done").touch()

    children = launch(work)
    (tmp_path / "done").touch()
    assert [child.wait(30) for child in children] == [0, 0], [child.err for child in children]


class _Two(World):
    """Process 0 of two, of which the other says what is given."""

    others: list[object]

    def gather(self, own: object) -> list[object]:  # type: ignore[override]
        return [own, self.others.pop(0)]


def _two(*others: object) -> _Two:
    world = _Two(0, 2, ("a", "b"))
    object.__setattr__(world, "others", list(others))
    return world


def test_what_processes_exchange_about_their_store(tmp_path: Path) -> None:
    require_one_store(_two(None, (True, "/runs")), tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []
    with pytest.raises(StoreError, match=r"^Process 1 on b does not see in its --runs /own what Process 0 on a wrote"):
        require_one_store(_two(None, (False, "/own")), tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_store_that_may_only_be_read_is_not_checked(tmp_path: Path) -> None:
    file = tmp_path / "runs"
    file.touch()
    require_one_store(_two(None, (True, "/runs")), file / "below")


def test_the_first_difference_is_named() -> None:
    require_same(_two(["x", "y"]), ["x", "y"])
    with pytest.raises(VggbenchError, match=r"^Process 0 on a would compute y, and Process 1 on b z: expected"):
        require_same(_two(["x", "z"]), ["x", "y"])
    with pytest.raises(VggbenchError, match="would compute y, and Process 1 on b nothing more: expected"):
        require_same(_two(["x"]), ["x", "y"])


def test_a_network_file_system_is_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    assert patiently(lambda: len(waited), lambda found: found >= 3) == 3
    assert waited == sorted(waited), "ever longer"
    assert patiently(lambda: "no", lambda found: found == "yes") == "no"
    assert 5 < sum(waited[3:]) < 15, "some seconds"


def test_blocks_that_are_seen_late_are_waited_for(
    many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    conduct(_request(runs, many_pictures, _colours, share="1/2"))
    (block,) = runs.glob("*/posteriors/000000*")
    late = block.rename(tmp_path / "late")
    monkeypatch.setattr(time, "sleep", lambda seconds: late.exists() and late.rename(block))
    assert conduct(_request(runs, many_pictures, _colours, share="2/2")).plan.runs[0].is_finished


def test_nccl_is_told_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[object] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(dist, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(dist, "init_process_group", lambda name, **more: begun.append((name, more["device_id"])))
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: begun.append("ended"))
    monkeypatch.setattr(torch.cuda, "set_device", begun.append)
    monkeypatch.setattr(World, "gather", lambda self, own: [own, own])
    monkeypatch.setattr(processes, "watching", lambda *known: nullcontext())
    device = torch.device("cuda:1")
    with joined(device) as world:
        assert (world.rank, world.size, world.name(1)) == (1, 2, f"Process 1 on {HOST}")
    assert begun == [device, ("nccl", device), "ended"]

"""Images read by worker processes: packed lists, and signals that reach the whole group."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import torch
from children import wait_until
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset

from vggbench.errors import DataError
from vggbench.images.reading import Packed, from_workers


@given(st.lists(st.text() | st.integers() | st.tuples(st.text(), st.none())))
def test_a_packed_list_gives_back_its_items(items: list[object]) -> None:
    packed = Packed(items)
    assert [packed[index] for index in range(len(packed))] == items


@pytest.mark.thorough
@pytest.mark.parametrize("command", ["eval", "train"])
def test_a_signal_to_the_whole_group_ends_in_one_sentence(command: str, many_pictures: Path, tmp_path: Path) -> None:
    common = ["--data", str(many_pictures), "--runs", str(tmp_path / "runs"), "--workers", "2", "--width", "0.0625"]
    arguments = {
        "eval": ["eval", "D@random", "--multicrop", "--scales", "256", *common],
        "train": ["train", "D", "--output", str(tmp_path / "d.safetensors"), "--batch-size", "8", *common],
    }[command]
    process = subprocess.Popen(
        [sys.executable, "-m", "vggbench", *arguments], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_until(lambda: len(psutil.Process(process.pid).children()) == 2)  # of which the second has just begun
    os.killpg(process.pid, signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130, told
    assert told.splitlines()[-1].startswith("vggbench: Interrupted.")
    assert "Traceback" not in told


class _Item(NamedTuple):
    place: int
    pixels: Tensor


class _Failing(Dataset[_Item]):
    """Items of which the fourth does something else."""

    def __init__(self, what: Callable[[], object]) -> None:
        self._what = what

    def __getitem__(self, place: int) -> _Item:
        if place == 3:
            self._what()
        return _Item(place, torch.zeros(10_000, dtype=torch.uint8))


def _raise(error: BaseException) -> None:
    raise error


def _raise_unpicklable() -> None:
    class LocalError(Exception):
        def __init__(self, one: str, two: str) -> None:
            super().__init__(one)

    raise LocalError("one", "two")


def _leave_no_room() -> None:
    """No file, shared memory among it, may grow: as on a full /dev/shm."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda: _raise(ValueError("no good")), r"ValueError: no good"),
        (_raise_unpicklable, r"LocalError: one"),
        (lambda: _raise(MemoryError()), r"\(MemoryError\)"),
        (lambda: _raise(SystemExit(3)), r"SystemExit: 3"),
        (lambda: _raise(KeyboardInterrupt()), r"\(KeyboardInterrupt\)"),
        (_leave_no_room, r"File too large"),
    ],
    ids=["error", "unpicklable", "memory", "exit", "interrupt", "no room"],
)
def test_whatever_fails_in_a_reading_process_is_one_sentence(what: Callable[[], object], said: str) -> None:
    stream = from_workers(_Failing(what), range(6), 2)
    with pytest.raises(DataError, match=rf"^A process that reads images died .*{said}.*--workers 0"):
        list(stream)
    assert multiprocessing.active_children() == []


def test_a_killed_reading_process_is_met_where_its_images_are_awaited() -> None:
    """Some seconds, after which PyTorch looks whether its processes live; until then the main process works on."""

    def die() -> None:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    stream = from_workers(_Failing(die), range(6), 1)
    next(stream)
    time.sleep(1.5)  # PyTorch's handler of SIGCHLD would raise here
    with pytest.raises(DataError, match=r"^A process that reads images died"):
        list(stream)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("where", "raised"),
    [
        ("this thread", KeyboardInterrupt),
        ("another thread", KeyboardInterrupt),
        (OSError("no room for a process"), DataError),
        (ValueError("what nobody thought of"), ValueError),
    ],
    ids=str,
)
def test_what_ends_their_start_ends_those_that_have_begun(
    where: str | Exception, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the program would wait for them at its end, for ever: they ignore the signal that is sent to them there."""
    start, begun, done = multiprocessing.Process.start, list[object](), threading.Event()
    other = threading.Thread(target=done.wait)  # which no signal is held back from
    other.start()

    def starting(self: multiprocessing.Process) -> None:
        if begun and isinstance(where, Exception):
            raise where
        start(self)
        begun.append(self)
        if len(begun) == 2:
            assert other.ident
            signal.pthread_kill(other.ident if where == "another thread" else threading.get_ident(), signal.SIGINT)
            time.sleep(0.1)

    monkeypatch.setattr(multiprocessing.Process, "start", starting)
    heeded = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(raised):
            next(from_workers(_Failing(list), range(6), 2))
        wait_until(lambda: multiprocessing.active_children() == [])
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, heeded)
        done.set()
        other.join()
        for child in multiprocessing.active_children():
            child.kill()


def test_in_the_main_process_an_error_keeps_its_traceback() -> None:
    with pytest.raises(ValueError, match="no good"):
        list(from_workers(_Failing(lambda: _raise(ValueError("no good"))), range(6), 0))


def test_an_error_of_the_main_process_ends_the_program(tmp_path: Path) -> None:
    """Although a traceback that is kept holds on to reading processes that heed no SIGTERM; some seconds to start."""
    script = tmp_path / "script.py"
    script.write_text(
        "import torch\n"
        "from vggbench.images.reading import from_workers\n"
        "stream = from_workers([torch.zeros(9)] * 90, range(90), 2)\n"
        "next(stream)\n"
        "raise ValueError('a bug')\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.endswith("ValueError: a bug\n")

"""Children of this process, which has imported everything already: a fresh interpreter takes seconds to do so."""

import faulthandler
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


class Child:
    """A function in a forked process; it is told apart from a program of its own by its start alone."""

    def __init__(self, folder: Path, do: Callable[[], object]) -> None:
        self._out, self._err = folder / "out", folder / "err"
        for path in (self._out, self._err):
            path.touch()
        self._process = multiprocessing.get_context("fork").Process(target=self._run, args=(do,))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def _run(self, do: Callable[[], object]) -> None:
        """Away from pytest: a group of its own, the usual signals, one thread, and files for what it prints."""
        import torch

        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        torch.set_num_threads(1)  # OpenMP's others are not forked, and it would wait for them
        faulthandler.disable()
        for number, path in ((1, self._out), (2, self._err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        do()

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it has said so far."""
        return self._err.read_text()

    @property
    def code(self) -> int | None:
        """Its exit status; minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send one to it, or to it and all that it started."""
        (os.killpg if group else os.kill)(self.pid, number)

    def end(self) -> None:
        """Leave nothing of it behind."""
        with suppress(ProcessLookupError):
            self.signal(signal.SIGKILL, group=True)
        self._process.join()

    def wait(self, seconds: float = 60) -> int | None:
        """Its exit status."""
        self._process.join(seconds)
        return self.code


def command_line(*arguments: object) -> Callable[[], None]:
    """`python -m vggbench` with these arguments, for a child."""

    def run() -> None:
        from vggbench.__main__ import main

        sys.argv = ["vggbench", *map(str, arguments)]
        main()

    return run


def run_script(script: str, *arguments: object, folder: Path) -> str:
    """What a script prints that would otherwise be `python -c`; it must succeed, and its warnings are its own."""

    def run() -> None:
        warnings.simplefilter("ignore")
        sys.argv = ["-c", *map(str, arguments)]
        exec(script, {})

    child = Child(folder, run)
    assert child.wait(600) == 0, child.err
    return child.out


def wait_until(happened: Callable[[], object], seconds: float = 60) -> None:
    """Look every few milliseconds; fail when it never happens."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)

"""Ctrl-C and SIGTERM: one sentence and exit status 130 in every phase of a start."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from conftest import Result

SENTENCE = "vggbench: Interrupted. Finished work is kept; the same command resumes.\n"
HELD = """
import importlib.abc, signal, sys
from vggbench import __main__ as start

class Hold(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            print("held", flush=True)
            signal.sigtimedwait([], 30) if not {swallows} else swallow()

def swallow():
    try:
        signal.sigtimedwait([], 30)
    except BaseException:
        pass

sys.meta_path.insert(0, Hold())
sys.argv = ["vggbench", {words}]
start.main()
"""
"""The command line, which waits in the middle of importing a module; `swallow` stands for libraries that go on."""


@contextmanager
def heeding() -> Iterator[None]:
    """A shell's background jobs ignore Ctrl-C, and so do the processes that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("module", "words", "swallows"),
    [
        ("vggbench.cli.main", ("params",), False),
        ("typer", ("params",), False),
        ("vggbench.render.tables.parameters", ("params",), False),
        ("vggbench.render.tables.parameters", ("params",), True),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_importing_is_one_sentence(
    number: signal.Signals, module: str, words: tuple[str, ...], swallows: bool
) -> None:
    code = HELD.format(module=module, words=", ".join(map(repr, words)), swallows=swallows)
    with heeding():
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err, out) == (130, SENTENCE, "")


def test_a_process_told_to_ignore_ctrl_c_goes_on_ignoring_it() -> None:
    """As under nohup, or in a shell's background."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from vggbench.cli.signals import heed_signals, forget_signals\n"
        "heed_signals(); signal.raise_signal(signal.SIGINT); forget_signals(); signal.raise_signal(signal.SIGINT)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_done_ends_at_once() -> None:
    """While Python ends, which takes seconds after PyTorch, an interrupt would print a traceback."""
    code = (
        "import atexit, signal, sys\n"
        "atexit.register(signal.raise_signal, signal.SIGINT)\n"
        "from vggbench import __main__ as start\n"
        "sys.argv = ['vggbench', '--version']\nstart.main()"
    )
    with heeding():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    assert done.stdout.startswith("vggbench ")


def test_the_command_begins_with_the_signals() -> None:
    """Before its own modules, and before Typer, which take a tenth of a second."""
    code = "import sys, vggbench.__main__; print([n for n in ('typer', 'vggbench.cli.app') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_calls_main_has_their_own_handlers_back(
    number: signal.Signals, vggbench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(number: int, frame: object) -> None:
        raise AssertionError("a handler of the caller's, while the command line runs")

    monkeypatch.setattr("vggbench.cli.main.app", lambda: signal.raise_signal(number))
    before = signal.signal(number, own)
    try:
        with pytest.raises(KeyboardInterrupt):
            vggbench("params")
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, before)

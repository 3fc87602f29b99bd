"""Ctrl-C and SIGTERM: one sentence and exit status 130, from the first import on.

Nothing is imported here that is not there already: until it is, Python itself would answer.
"""

import os
import signal
from types import FrameType

INTERRUPTED = "vggbench: Interrupted. Finished work is kept; the same command resumes."
EXIT_STATUS = 130
_ENDING = (signal.SIGINT, signal.SIGTERM)
_IMPORTING = "<frozen importlib._bootstrap>"


def heed_signals() -> None:
    """Answer both from here on, unless whoever started the process ignores them, as nohup and `&` do."""
    for number in _ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def forget_signals() -> None:
    """Let both end the process at once, as is right when its work is done: Python's own end can take seconds."""
    for number in _ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class HeededSignals:
    """Answers both inside a `with`; whoever runs it in a process of theirs has their own handlers back afterwards."""

    def __enter__(self) -> None:
        self._before = {number: signal.getsignal(number) for number in _ENDING}
        heed_signals()

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            if handler is not None:  # another language's, which Python cannot put back
                signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _is_importing(frame):  # libraries swallow an exception there, or turn it into another
        os.write(2, f"{INTERRUPTED}\n".encode())
        os._exit(EXIT_STATUS)
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False

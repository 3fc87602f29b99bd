"""How the command line starts and ends."""

import os
import sys

import vggbench.cli.commands  # noqa: F401 - each registers itself
from vggbench.cli.app import app
from vggbench.cli.signals import EXIT_STATUS, INTERRUPTED, HeededSignals
from vggbench.cli.terminal import degrade, find_a_home, keep_libraries_quiet, put
from vggbench.errors import VggbenchError

__all__ = ["app", "main"]

_ENVIRONMENT = {"THP_MEM_ALLOC_ENABLE": "1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128", "ORT_DISABLE_TELEMETRY": "1"}
"""Read by PyTorch when it starts: large pages are faster, and a small cache keeps memory flat over many image sizes.

ONNX Runtime would send events home, and warn where it cannot write to the user's home folder.
"""


def main() -> None:
    """Run the command line; errors for the user become one sentence and an exit status."""
    with HeededSignals():
        degrade()
        find_a_home()
        keep_libraries_quiet()
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        _run()


def _run() -> None:
    try:
        app()
    except VggbenchError as error:
        put(f"vggbench: {error}")
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if stop.code == EXIT_STATUS:  # Typer's answer to KeyboardInterrupt
            put(INTERRUPTED)
        raise

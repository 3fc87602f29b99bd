"""The application that the commands belong to, and how it starts and ends."""

import os
import sys
from typing import Annotated

import typer

from vggbench.cli.terminal import degrade, find_a_home, keep_libraries_quiet
from vggbench.errors import VggbenchError, printable
from vggbench.signals import EXIT_STATUS, INTERRUPTED, heed_signals

_ENVIRONMENT = {"THP_MEM_ALLOC_ENABLE": "1", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128", "ORT_DISABLE_TELEMETRY": "1"}
"""Read by PyTorch when it starts: large pages are faster, and a small cache keeps memory flat over many image sizes.

ONNX Runtime would send events home, and warn where it cannot write to the user's home folder.
"""

app = typer.Typer(
    name="vggbench",
    help="Evaluate VGG networks by the paper's own protocols (arXiv 1409.1556).\n\n"
    "Example, with no file of your own: vggbench eval D --scales 256 384 512 --dense --multicrop",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Options before the command."""
    if version:
        from vggbench import __version__

        print(f"vggbench {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; errors for the user become one sentence and an exit status."""
    heed_signals()
    degrade()
    find_a_home()
    keep_libraries_quiet()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        app()
    except VggbenchError as error:
        print(f"vggbench: {printable(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if stop.code == EXIT_STATUS:  # Typer's answer to KeyboardInterrupt
            print(INTERRUPTED, file=sys.stderr)
        raise

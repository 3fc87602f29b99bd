"""The application that the commands belong to, and how a command is made of a function."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from vggbench.cli.parsing import Command, Commands, with_options

app = typer.Typer(
    name="vggbench",
    cls=Commands,
    help="Evaluate VGG networks by the paper's own protocols (arXiv 1409.1556).\n\n"
    "Example, with no file of your own: vggbench eval D --scales 256 384 512 --dense --multicrop",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def command(name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command; its parameter `options`, a dataclass, stands for an option for each field."""

    def register(function: Callable[..., None]) -> Callable[..., Any]:
        app.command(name, cls=Command)(with_options(function))
        return function

    return register


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Options before the command."""
    if version:
        from vggbench import __version__

        print(f"vggbench {__version__}")
        raise typer.Exit

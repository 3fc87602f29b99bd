"""The application that the commands belong to, and how a command is made of a function."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from vggbench.cli.environment import VARIABLES
from vggbench.cli.parsing import Command, Commands, with_options
from vggbench.cli.questions import overview

app = typer.Typer(
    name="vggbench",
    cls=Commands,
    help="Evaluate VGG networks, and any classifier, by the paper's protocols (arXiv 1409.1556).\n\n"
    "`vggbench` alone prints which command answers which question.\n\n"
    "Example, with no file of your own: vggbench quickstart",
    epilog="Environment variables: " + ", ".join(variable.name for variable in VARIABLES) + ".",
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
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Options before the command."""
    if version:
        from vggbench import __version__

        print(f"vggbench {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(overview(), end="")

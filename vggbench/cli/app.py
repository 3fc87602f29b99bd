"""The application that the commands belong to, and how it starts and ends."""

from typing import Annotated

import typer

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

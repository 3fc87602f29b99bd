"""`train`: the paper's recipe."""

from typing import Annotated

import typer

from vggbench.cli.app import app
from vggbench.cli.options import TrainOptions
from vggbench.cli.parsing import SeveralValues, with_options


@app.command(cls=SeveralValues)
@with_options
def train(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A, A-LRN, B, C, D or E.")],
    options: TrainOptions,
) -> None:
    """Train one net by the paper's recipe, into a .safetensors that says how it was made.

    Example: vggbench train D --data imagenet --train-scale 256-512 --from A@a.safetensors --output d.safetensors
    """
    from vggbench.cli.training import training
    from vggbench.paper.configs import config_named

    training(config_named(config), options)

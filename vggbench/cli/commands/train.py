"""`train`: the paper's recipe."""

from typing import Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import TrainOptions


@command()
def train(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A, A-LRN, B, C, D or E.")],
    options: TrainOptions,
) -> None:
    """Train one net by the paper's recipe, into a .safetensors that says how it was made.

    Example: vggbench train D --data imagenet --train-scale 256-512 --from A@a.safetensors --output d.safetensors
    """
    options.recipe()  # refuses one that cannot be, before PyTorch is imported
    from vggbench.cli.training import training
    from vggbench.paper.configs import config_named

    training(config_named(config), options)

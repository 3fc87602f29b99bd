"""`export`: models for other tools."""

from pathlib import Path
from typing import Annotated, Literal

from vggbench.cli.app import command
from vggbench.cli.options import OUTPUT, Ema, InputName, ModelName, StatedTrainScale, option, word


@command()
def export(
    model: ModelName,
    to: Annotated[Literal["safetensors", "torchvision", "onnx"], word("safetensors, torchvision or onnx.", OUTPUT)],
    output: Annotated[Path | None, option("The file; default: CONFIG-SOURCE with the format's ending.", OUTPUT)] = None,
    input: InputName = None,
    ema: Ema = False,
    train_scale: StatedTrainScale = None,
) -> None:
    """Write a model for other tools: our safetensors, torchvision's state dict, or ONNX for images of any size.

    Example: vggbench export D@oxford --to onnx --output d.onnx
    """
    from vggbench.cli.weights import export as work

    work(model, to, output, input, train_scale, ema=ema)

"""`export`: models for other tools."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vggbench.cli.app import command
from vggbench.cli.options import Ema, InputName, ModelName, StatedTrainScale, option, word
from vggbench.cli.output import require_file
from vggbench.cli.panels import OUTPUT


@command()
def export(
    model: ModelName,
    to: Annotated[
        Literal["safetensors", "torchvision", "onnx"],
        word("Write this format: safetensors, torchvision or onnx.", OUTPUT),
    ],
    output: Annotated[
        Path | None, option("Write this file. Default: CONFIG-SOURCE with the format's ending.", OUTPUT)
    ] = None,
    input: InputName = None,
    ema: Ema = False,
    train_scale: StatedTrainScale = None,
) -> None:
    """Write a model for other tools: as safetensors, torchvision's state dict, or ONNX for images of any size.

    Example: vggbench export D@oxford --to onnx --output d.onnx
    """
    from vggbench.cli.progress import DownloadProgress
    from vggbench.weights.export import export_path, exported
    from vggbench.weights.loading import load_file

    path = export_path(model, to, output)
    require_file(path, "--output")
    with DownloadProgress() as watch:
        loaded = load_file(model, train_scale, input, watch, ema=ema)
    said = exported(loaded, to, path)
    typer.echo(f"{path}: {loaded.identity.name}, {path.stat().st_size / 1e6:,.1f} MB. {said}")

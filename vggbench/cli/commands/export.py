"""`export`: models for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from vggbench.cli.app import app
from vggbench.cli.options import INPUT_WORDS, Ema, ModelName
from vggbench.cli.output import require_file
from vggbench.cli.parsing import SeveralValues


@app.command(cls=SeveralValues)
def export(
    model: ModelName,
    to: Annotated[str, typer.Option(help="safetensors, torchvision or onnx.")],
    output: Annotated[
        Path | None, typer.Option(help="The file; default: CONFIG-SOURCE with the format's ending.")
    ] = None,
    input: Annotated[str | None, typer.Option(help=f"What a file that does not say it expects: {INPUT_WORDS}")] = None,
    ema: Ema = False,
    train_scale: Annotated[str | None, typer.Option(help="S of a file that does not say it.")] = None,
) -> None:
    """Write a model for other tools: our safetensors, torchvision's state dict, or ONNX for images of any size.

    Example: vggbench export D@oxford --to onnx --output d.onnx
    """
    from vggbench.cli.progress import DownloadProgress
    from vggbench.weights.export import export_path, exported
    from vggbench.weights.unfetched import load_file

    path = export_path(model, to, output)
    require_file(path, "--output")
    with DownloadProgress() as watch:
        loaded = load_file(model, train_scale, input, watch, ema=ema)
    said = exported(loaded, to, path)
    typer.echo(f"{path}: {loaded.identity.name}, {path.stat().st_size / 1e6:,.1f} MB. {said}")

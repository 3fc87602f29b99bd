"""The work of `weights` and `export`: load one model, show or write it."""

from pathlib import Path

import typer

from vggbench.cli.output import require_file
from vggbench.cli.progress import DownloadProgress
from vggbench.errors import UsageError
from vggbench.paper.protocols import TrainScale
from vggbench.render.tables.table import Table
from vggbench.render.tables.weights import file_table
from vggbench.weights.export import EXPORTERS
from vggbench.weights.load import LoadOptions, Model, load_model
from vggbench.weights.spec import RANDOM, ModelSpec
from vggbench.weights.unfetched import require_source


def show(text: str, input: str | None, *, ema: bool = False) -> Table:
    """One weights file, checked."""
    spec = ModelSpec.parse(text)
    model = _loaded(spec, LoadOptions(input=input, ema=ema))
    assert model.path is not None
    return file_table(model, model.path)


def export(
    text: str, to: str, output: Path | None, input: str | None, train_scale: str | None, *, ema: bool = False
) -> None:
    """Write one model in another format."""
    ending, write = EXPORTERS[to]
    spec = ModelSpec.parse(text)
    path = output or Path(f"{spec.config.name}-{Path(spec.source or '').stem}{ending}")
    if path.suffix != ending or not path.absolute().parent.is_dir():
        raise UsageError(f"--output {path}: expected a file that ends in {ending}, in a folder that exists.")
    require_file(path, "--output")
    stated = TrainScale.parse(train_scale) if train_scale else None
    model = _loaded(spec, LoadOptions(stated, input, ema=ema))
    if model.path and path.exists() and path.samefile(model.path):
        raise UsageError(f"--output {path} is the file that is read: expected another.")
    said = write(model, path)
    typer.echo(f"{path}: {model.name}, {path.stat().st_size / 1e6:,.1f} MB. {said}")


def _loaded(spec: ModelSpec, options: LoadOptions) -> Model:
    if spec.source == RANDOM:
        raise UsageError(f"{spec.name} is no file: expected a released model such as D@oxford, or D@FILE.")
    require_source(spec)
    with DownloadProgress() as watch:
        return load_model(spec, options, (), watch)

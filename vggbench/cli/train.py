"""The `train` command's work: refuse early, train, save, and say what came of it."""

import shlex
import sys
from dataclasses import fields
from pathlib import Path

import typer

from vggbench.cli.options import TrainOptions
from vggbench.cli.progress import TrainProgress, say
from vggbench.configs import MAX_WIDTH, Config
from vggbench.data import open_training_data
from vggbench.errors import UsageError
from vggbench.evaluation import Settings
from vggbench.protocols import TrainScale
from vggbench.tables.errors import duration
from vggbench.train import Recipe, train
from vggbench.views import INPUTS
from vggbench.weights import LoadOptions, Model, ModelSpec, load_model, save_model


def training(config: Config, options: TrainOptions) -> None:
    """Train one net as the options say, and write it."""
    recipe, output = _recipe(options), _output(options.output)
    if not 0 < options.width <= MAX_WIDTH:
        raise UsageError(f"--width {options.width}: expected a number above 0 and up to {MAX_WIDTH:g}.")
    if options.data is None:
        raise UsageError(
            "No images to train on: expected --data FOLDER with train/ and val/, or --data sample; training never "
            "takes the sample unasked."
        )
    settings = Settings(device=options.device, workers=options.workers)
    assert settings.torch_device  # refuses a device that is not there
    train_data, val_data = open_training_data(options.data)
    for note in (*train_data.notes, *val_data.notes):
        say(f"Note: {note}.")
    start = _start(options, train_data.folders)
    say(
        f"Training {config.name} at S={recipe.train_scale} on {len(train_data):,} images of {train_data.name}, "
        f"{len(train_data.folders)} classes; validating on {len(val_data):,} of {val_data.name}."
    )
    say("Interrupt it at any time: the same command carries on where it was.")
    with TrainProgress(recipe) as watch:
        trained = train(
            config, train_data, val_data, recipe, width=options.width, start=start, runs=options.runs,
            settings=settings, watch=watch,
        )  # fmt: skip
    command = shlex.join(["vggbench", *sys.argv[1:]])
    save_model(trained.model, output, recipe=trained.record | {"command": command}, half=recipe.half)
    typer.echo(
        f"{output}: {config.name}, S={recipe.train_scale}, {trained.top1_error:.1f}% top-1 error on {val_data.name} "
        f"({len(val_data):,} images, center, Q={recipe.train_scale.single}), {len(trained.log)} epochs in "
        f"{duration(trained.record['seconds'])}."
    )


def _recipe(options: TrainOptions) -> Recipe:
    taken = {item.name for item in fields(Recipe)} & {item.name for item in fields(TrainOptions)}
    values = {name: getattr(options, name) for name in taken}
    return Recipe(**values | {"train_scale": TrainScale.parse(options.train_scale)})


def _output(path: Path | None) -> Path:
    if path is None or path.suffix != ".safetensors":
        raise UsageError(f"--output {path or 'is missing'}: expected a file such as D.safetensors.")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UsageError(f"--output {path}: expected a file in a folder that exists.")
    return path


def _start(options: TrainOptions, folders: tuple[str, ...]) -> Model | None:
    if options.input not in (None, *INPUTS):
        raise UsageError(f"--input {options.input}: expected one of {', '.join(INPUTS)}.")
    if options.start is None:
        return None
    return load_model(ModelSpec.parse(options.start), LoadOptions(input=options.input), folders)

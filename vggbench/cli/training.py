"""The `train` command's work: refuse early, train, save, and say what came of it."""

import contextlib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from vggbench.cli.options import TrainOptions
from vggbench.cli.output import require_file, require_folder
from vggbench.cli.progress import DownloadProgress, TrainProgress, stopping
from vggbench.cli.terminal import say
from vggbench.data import DataSet, is_sample, open_training_data
from vggbench.errors import UsageError, counted
from vggbench.evaluation.jobs import Settings
from vggbench.evaluation.processes import World, joined, own_device, share_threads
from vggbench.images.reading import no_room
from vggbench.inference.devices import device_name
from vggbench.paper.configs import PAPER, Config
from vggbench.render.tables.cells import duration
from vggbench.train.loop import Trained, chosen_from, train, training_workers
from vggbench.train.plan import TRAIN_IMAGES, chain, seconds_per_image
from vggbench.train.recipe import Recipe
from vggbench.train.start import convolutions_alone
from vggbench.train.step import Running
from vggbench.weights.load import LoadOptions, Model, load_model, save_model
from vggbench.weights.parts import PartOfNetError
from vggbench.weights.spec import ModelSpec
from vggbench.weights.unfetched import require_source


def training(config: Config, options: TrainOptions) -> None:
    """Train one net as the options say, and write it; under torchrun, with all processes together."""
    if config.batch_norm:
        raise UsageError(
            f"{config.name} has batch normalisation, which the paper's recipe has not: expected one of "
            f"{', '.join(PAPER)}."
        )
    if options.plan:
        print_plan(config, options)
        return
    recipe, output = options.recipe(), _output(options.output)
    if options.data is None:
        raise UsageError(
            "No images to train on: expected --data FOLDER with train/ and val/, or --data sample; training never "
            "takes the sample unasked."
        )
    settings = _settings(options)
    source = _start_spec(options)
    require_folder(options.runs, "--runs")
    share_threads()
    with joined(settings.torch_device) as world:
        running = _running(options, world)
        tell = say if world.is_first else _keep_silent
        train_data, val_data = _opened(options.data, world)
        for note in (*train_data.notes, *val_data.notes):
            tell(f"Note: {note}.")
        start = _start(source, options, train_data.class_names, tell)
        tell(_announcement(config, recipe, train_data, val_data, world))
        workers = training_workers(recipe, running)
        if workers < running.settings.loader_workers:
            tell(f"Note: {no_room('reading images', workers)}")
        tell("Interrupt it at any time: the same command carries on where it was.")
        with stopping(TrainProgress(recipe)) if world.is_first else contextlib.nullcontext() as watch:
            trained = train(
                config, train_data, val_data, recipe, width=options.width, start=start, runs=options.runs,
                running=running, watch=watch,
            )  # fmt: skip
        if world.is_first:
            _save(trained, output, recipe, val_data)


def print_plan(config: Config, options: TrainOptions) -> None:
    """The commands from nothing to the paper's rows, as a script: what each takes here, and what it gives."""
    running, data = _running(options, World()), options.data or "imagenet"
    if is_sample(data):
        raise UsageError("--plan leads to the paper's rows on ILSVRC: expected its folder in --data, or none.")
    say("A short probe of each net's training on this device comes first.")
    stages = chain(config)
    nets = dict.fromkeys(stage.config for stage in stages)
    seconds = {net: seconds_per_image(net, options.width, running) for net in nets}
    device = f"{device_name(running.settings.torch_device)}, {running.settings.precision}"
    for stage in stages:
        epochs, each = stage.recipe.epochs, seconds[stage.config]
        typer.echo(f"# {stage.config.name}, S={stage.recipe.train_scale}: {stage.why}.")
        typer.echo(
            f"# At most {counted(epochs, 'epoch')} of {TRAIN_IMAGES:,} images: "
            f"{duration(epochs * TRAIN_IMAGES * each)} at {1 / each:.3g} images/s ({device}, without the reading of "
            "images)."
        )
        typer.echo(stage.command(data, options.width, options.precision))
        for row in stage.rows() if options.width == 1 else ():
            typer.echo(f"# Table {row.table}: {row.top1} / {row.top5} %\n{stage.evaluation(row, data)}")
        typer.echo()


def _announcement(config: Config, recipe: Recipe, train_data: DataSet, val_data: DataSet, world: World) -> str:
    together = f" in {world.size} processes" if world.size > 1 else ""
    last = len(train_data) % recipe.batch_size
    ragged = f"; the last batch of an epoch has {last:,}" if last else ""
    return (
        f"Training {config.name} at S={recipe.train_scale}{together} on {counted(len(train_data), 'image')} "
        f"of {train_data.name}, {counted(len(train_data.class_names), 'class')}, {recipe.batch_size:,} a step{ragged}; "
        f"validating on {len(val_data):,} of {val_data.name}."
    )


def _opened(path: str, world: World) -> tuple[DataSet, DataSet]:
    """The images; the sample is drawn by the first process alone."""
    if world.is_first:
        opened = open_training_data(path)
    world.total(0)
    return opened if world.is_first else open_training_data(path)


def _save(trained: Trained, output: Path, recipe: Recipe, val_data: DataSet) -> None:
    command = shlex.join(["vggbench", *sys.argv[1:]])
    save_model(trained.model, output, recipe=trained.record | {"command": command}, half=recipe.half)
    typer.echo(
        f"{output}: {trained.model.name.partition('@')[0]}, S={recipe.train_scale}, {trained.top1_error:.1f}% top-1 "
        f"error on {val_data.name} ({counted(len(val_data), 'image')}, center, Q={recipe.train_scale.single}), "
        f"{chosen_from(len(trained.log))}; {duration(trained.record['seconds'])}."
    )


def _keep_silent(sentence: str) -> None:
    """What the other processes of a training say."""


def _running(options: TrainOptions, world: World) -> Running:
    return Running(_settings(options), options.accumulate, options.compile, options.checkpoint_minutes, world)


def _settings(options: TrainOptions) -> Settings:
    return Settings(device=own_device(options.device), precision=options.precision, workers=options.workers)


def _output(path: Path | None) -> Path:
    if path is None or path.suffix != ".safetensors":
        raise UsageError(f"--output {path or 'is missing'}: expected a file such as D.safetensors.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--output {path}: expected a file in a folder that exists.")
    require_file(path, "--output")
    return path


def _start_spec(options: TrainOptions) -> ModelSpec | None:
    if options.start is None:
        return None
    spec = ModelSpec.parse(options.start)
    require_source(spec)
    return spec


def _start(
    spec: ModelSpec | None, options: TrainOptions, folders: tuple[str, ...], tell: Callable[[str], None]
) -> Model | None:
    if spec is None:
        return None
    with DownloadProgress() as watch:
        try:
            return load_model(spec, LoadOptions(input=options.input, ema=options.ema), folders, watch)
        except PartOfNetError as found:
            if found.part.config != spec.config:
                raise
            tell(f"{spec.name} {found.part.sentence}. Its convolutions start the training; --init draws the fc layers.")
            return convolutions_alone(found, spec.name, options.input, folders)

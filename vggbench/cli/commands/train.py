"""`train`: the paper's recipe."""

import shlex
import sys
from contextlib import AbstractContextManager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.output import require_file
from vggbench.cli.terminal import say
from vggbench.cli.train_options import TrainOptions
from vggbench.errors import UsageError, counted
from vggbench.paper.configs import Config, config_named
from vggbench.train.recipe import Recipe, TrainWatch

if TYPE_CHECKING:
    from vggbench.data import DataSet
    from vggbench.evaluation.processes import World
    from vggbench.train.loop import Trained
    from vggbench.train.session import TrainListener, TrainRequest


@command()
def train(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A, A-LRN, B, C, D, E or B-5x5.")],
    options: TrainOptions,
) -> None:
    """Train one net by the paper's recipe, and write a .safetensors that says how it was made.

    Example: vggbench train D --data imagenet --train-scale 256-512 --from A@a.safetensors --output d.safetensors
    """
    options.recipe()  # refuses one that cannot be, before PyTorch is imported
    from vggbench.train.session import conduct, require_trainable

    net = config_named(config)
    require_trainable(net, options.width)
    if options.plan:
        _print_plan(net, options)
        return
    request, output = _request(net, options), _output(options.output)
    found = conduct(request, _teller(request))
    if found:
        trained, val_data = found
        _save(trained, output, val_data)


def _request(config: Config, options: TrainOptions) -> "TrainRequest":
    from vggbench.train.session import TrainRequest

    own = {item.name for item in fields(TrainRequest)} & {item.name for item in fields(options)}
    takes_scale = options.train_scale is None
    return TrainRequest(
        config=config,
        recipe=options.recipe(),
        takes_scale=takes_scale,
        **{name: getattr(options, name) for name in own},
    )


def _output(path: Path | None) -> Path:
    if path is None or path.suffix != ".safetensors":
        raise UsageError(f"--output {path or 'is missing'}: expected a file such as D.safetensors.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--output {path}: expected a file in a folder that exists.")
    require_file(path, "--output")
    return path


def _teller(request: "TrainRequest") -> "TrainListener":
    """What is printed while it goes on."""
    from vggbench.cli.evaluating import Teller
    from vggbench.cli.progress import TrainProgress, stopping
    from vggbench.train.session import TrainListener

    class TrainTeller(Teller, TrainListener):
        def opened(self, recipe: Recipe, train_data: "DataSet", val_data: "DataSet", world: "World") -> None:
            say(_announcement(request.config, recipe, train_data, val_data, world))

        def training(self) -> AbstractContextManager[TrainWatch]:
            return stopping(TrainProgress(request.recipe))

    return TrainTeller()


def _announcement(config: Config, recipe: Recipe, train_data: "DataSet", val_data: "DataSet", world: "World") -> str:
    classes = counted(len(train_data.class_names), "class")
    together = f" in {world.size} processes" if world.size > 1 else ""
    fixed = f", fixed crops at {recipe.train_scale.single}," if recipe.crops == "fixed" else ""
    last = len(train_data) % recipe.batch_size
    ragged = f"; the last batch of an epoch has {last:,}" if last else ""
    return (
        f"Training {config.name} at S={recipe.train_scale}{fixed}{together} on {counted(len(train_data), 'image')} "
        f"of {train_data.name}, {classes}, {recipe.batch_size:,} a step{ragged}; "
        f"validating on {len(val_data):,} of {val_data.name}."
    )


def _save(trained: "Trained", output: Path, val_data: "DataSet") -> None:
    from vggbench.render.tables.cells import duration
    from vggbench.train.loop import chosen_from
    from vggbench.weights.load import save_model

    net, scale = trained.model.identity.architecture, trained.model.identity.train_scale
    assert net
    assert scale
    command = shlex.join(["vggbench", *sys.argv[1:]])
    save_model(trained.model, output, recipe=trained.record | {"command": command}, half=trained.record["half"])
    typer.echo(
        f"{output}: {net.config.name}, S={scale}, {trained.top1_error:.1f}% top-1 error "
        f"on {val_data.name} ({counted(len(val_data), 'image')}, center, Q={scale.single}), "
        f"{chosen_from(len(trained.log))}; {duration(trained.record['seconds'])}."
    )


def _print_plan(config: Config, options: TrainOptions) -> None:
    """The commands from nothing to the paper's rows, as a script: what each takes here, and what it gives."""
    from vggbench.data import is_sample
    from vggbench.inference.devices import device_name
    from vggbench.render.tables.cells import duration
    from vggbench.train.plan import TRAIN_IMAGES, chain, seconds_per_image

    running, data = _request(config, options).running(), options.data or "imagenet"
    if is_sample(data):
        raise UsageError("--plan is for the paper's rows on ILSVRC: expected its folder in --data, or none.")
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

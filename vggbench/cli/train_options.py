"""The options of `train`, each once."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from vggbench.cli.options import (
    INPUT_WORDS,
    RUNS,
    Device,
    Precision,
    Workers,
    number,
    option,
    read_by,
    train_scale_option,
    width_option,
    word,
)
from vggbench.cli.panels import DATA, OUTPUT, RECIPE, RUNNING, START
from vggbench.images.preprocessing import require_input
from vggbench.paper.protocols import TrainScale
from vggbench.train.recipe import Cropping, Init, Layers, Normalise, Pixels, Recipe


@dataclass(frozen=True)
class TrainOptions:
    """What a training can be told; see each help text."""

    train_scale: Annotated[
        str | None,
        train_scale_option(
            "Train at this S: 256, 384, or 256-512 (jittered). Default: that of --from if it states one, else 256.",
            RECIPE,
        ),
    ] = None
    crops: Annotated[
        Cropping,
        word(
            "Crop at random, or fixed (ours): one of ten crops an image, at one scale. With fixed, frozen layers "
            "are computed once.",
            RECIPE,
        ),
    ] = "random"
    epochs: Annotated[int, option("Stop after this number of epochs.", RECIPE, metavar="N")] = 74
    batch_size: Annotated[int, option("Train with this number of images per step.", RECIPE, metavar="N")] = 256
    rate: Annotated[float, option("Start with this learning rate.", RECIPE, metavar="N")] = 0.01
    drops: Annotated[int, option("Divide the rate by 10 this number of times.", RECIPE, metavar="N")] = 3
    patience: Annotated[
        int, option("Drop the rate after this number of epochs without a lower error (ours).", RECIPE, metavar="N")
    ] = 5
    momentum: Annotated[float, option("Set the momentum.", RECIPE, metavar="N")] = 0.9
    weight_decay: Annotated[float, option("Multiply the L2 penalty by this.", RECIPE, metavar="N")] = 5e-4
    dropout: Annotated[
        float, option("Drop out this share of the first two fc layers' outputs.", RECIPE, metavar="N")
    ] = 0.5
    colour_std: Annotated[
        float, option("Shift colours by alphas of this standard deviation (Krizhevsky).", RECIPE, metavar="N")
    ] = 0.1
    normalise: Annotated[
        Normalise,
        word(
            "Normalise by mean (0-255 minus the set's mean), or std (0-1 minus mean, over deviation). auto "
            "(ours): mean for --init paper, else std.",
            RECIPE,
        ),
    ] = "auto"
    seed: Annotated[int, option("Seed every random draw with this.", RECIPE, metavar="N")] = 0
    init: Annotated[
        Init,
        word(
            "Initialise by glorot, he, paper (N(0, 0.01)), paper-literal (the printed variance, which gives "
            "NaN), or identity. With identity, layers that --from lacks pass their input on.",
            START,
        ),
    ] = "glorot"
    start: Annotated[
        str | None,
        option(
            "Start from this MODEL. The same config gives all layers, but not a last one of other classes; A "
            "gives those that the paper takes.",
            START,
            "--from",
        ),
    ] = None
    train_layers: Annotated[
        Layers, word("Train these layers: all, fc or last. The others stay as --from has them.", START)
    ] = "all"
    statistics: Annotated[Pixels, word("Take the mean and colour components from data or ilsvrc.", START)] = "data"
    input: Annotated[
        str | None,
        read_by(
            require_input, "NAME", f"State the preprocessing of --from where its file does not: {INPUT_WORDS}", START
        ),
    ] = None
    ema: Annotated[bool, option("Take the averaged weights (EMA) of a --from checkpoint that holds both.", START)] = (
        False
    )
    width: Annotated[float, width_option("Multiply the paper's channels by this.", START)] = 1.0
    data: Annotated[
        str | None,
        option(
            "Train on these images: a folder with train/ and val/, a folder of class folders, or sample.",
            DATA,
            envvar="VGGBENCH_DATA",
        ),
    ] = None
    plan: Annotated[
        bool,
        option("Print the commands for the paper's rows of this net, with their time, and stop.", RUNNING),
    ] = False
    accumulate: Annotated[
        int,
        number("Compute a batch in this number of parts, to save memory. It grows where memory runs out.", RUNNING, 1),
    ] = 1
    precision: Precision = "fp32"
    compile: Annotated[bool, option("Compile the network by torch.compile.", RUNNING)] = False
    checkpoint_minutes: Annotated[
        float, number("Write a checkpoint at this interval in minutes, and at the end of each epoch.", RUNNING, 0)
    ] = 5.0
    device: Device = "auto"
    workers: Workers = None
    runs: Annotated[Path, option("Keep checkpoints and the log in this folder.", RUNNING, envvar="VGGBENCH_RUNS")] = (
        RUNS
    )
    output: Annotated[Path | None, option("Write the trained net to this .safetensors.", OUTPUT)] = None
    half: Annotated[bool, option("Store the weights as float16.", OUTPUT)] = False

    def recipe(self) -> Recipe:
        """How the net is trained; raises UsageError."""
        taken = {item.name for item in fields(Recipe)} & {item.name for item in fields(self)}
        values = {name: getattr(self, name) for name in taken}
        scale = {"train_scale": TrainScale.parse(self.train_scale)} if self.train_scale else {}
        return Recipe(**{name: value for name, value in values.items() if name != "train_scale"} | scale)

"""From nothing to the paper's rows of one net: the commands, in order, and the time that they take here."""

import shlex
from dataclasses import dataclass, replace

import torch

from vggbench.inference.timing import in_turn
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CONFIGS, CROP, Config
from vggbench.paper.protocols import TrainScale
from vggbench.paper.published import RESULTS, Result
from vggbench.train.checkpoint import State
from vggbench.train.crops import Batch
from vggbench.train.recipe import Recipe
from vggbench.train.start import begin, is_deeper
from vggbench.train.statistics import ILSVRC
from vggbench.train.step import Running, Stepper

TRAIN_IMAGES = 1_281_167
"""The number of ILSVRC-2012's training images."""
_PROBE_IMAGES, _ON_A_DEVICE = 8, 32
"""Images of a probe's step on a CPU, and on an accelerator, which fewer leave idle."""


@dataclass(frozen=True)
class Stage:
    """One training of the chain; `start` is the MODEL that it takes layers from."""

    config: Config
    recipe: Recipe
    start: str | None
    why: str

    @property
    def output(self) -> str:
        """The file it ends in."""
        fc = "-fc" if self.recipe.train_layers == "fc" else ""
        return f"{self.config.name}-S{self.recipe.train_scale}{fc}.safetensors"

    @property
    def model(self) -> str:
        """The trained net, as a MODEL."""
        return f"{self.config.name}@{self.output}"

    def command(self, data: str, width: float, precision: str = "fp32") -> str:
        """As one types it: what differs from the defaults."""
        recipe, usual = self.recipe, Recipe()
        options = {"--data": data, "--width": f"{width:g}" if width != 1 else None}
        options |= {
            f"--{name.replace('_', '-')}": f"{value:g}" if isinstance(value, float) else str(value)
            for name in ("train_scale", "init", "train_layers", "rate")
            if (value := getattr(recipe, name)) != getattr(usual, name)
        }
        options |= {"--precision": precision if precision != "fp32" else None}
        options |= {"--from": self.start, "--output": self.output}
        given = [part for name, value in options.items() if value is not None for part in (name, value)]
        return shlex.join(["vggbench", "train", self.config.name, *given])

    def rows(self) -> list[Result]:
        """The paper's rows in Tables 3 and 4 that this net gives alone."""
        own = [(self.config.name, str(self.recipe.train_scale))] if self.recipe.train_layers == "all" else []
        return [r for r in RESULTS if r.table in (3, 4) and [(m.config, m.train_scale) for m in r.members] == own]

    def evaluation(self, row: Result, data: str) -> str:
        """The command that measures one of `rows`."""
        scales = [str(scale) for scale in row.members[0].scales]
        return shlex.join(["vggbench", "eval", self.model, "--data", data, "--scales", *scales, f"--{row.protocol}"])


def chain(config: Config) -> list[Stage]:
    """The trainings of section 3.1 that end in every S of the paper's Tables 3, 4 and 6 for this net.

    At S=256 from A's layers; at 384 from the net of 256, at a tenth of the rate; at 256-512 from the
    net of 384. What the paper leaves open is ours, and said so.
    """
    if not is_deeper(config):
        return [_stage(config, "256", None, "from random weights (section 3.1)")]
    a = _stage(CONFIGS["A"], "256", None, "deeper nets take its first four convolutions and fc layers (section 3.1)")
    stages = [a, _stage(config, "256", a, "middle layers at random (section 3.1)")]
    trained = {member.train_scale for row in RESULTS for member in row.members if member.config == config.name}
    if "384" in trained:
        why = "from S=256 at a tenth of the rate (section 3.1); the schedule is ours"
        stages.append(_stage(config, "384", stages[-1], why))
    if "256-512" in trained:
        why = "from S=384, all layers (section 3.1); rate and schedule are ours"
        stages.append(_stage(config, "256-512", stages[-1], why))
    if config.name == "D":
        why = "from S=384, fc layers alone: of Table 6's submission; rate and schedule are ours"
        stages.append(_stage(config, "256-512", stages[-2], why, fc=True))
    return stages


def seconds_per_image(config: Config, width: float, running: Running, classes: int = 1000) -> float:
    """Seconds of training per image, by a short probe on this device, without the reading of images."""
    device = running.settings.torch_device
    images = _PROBE_IMAGES if device.type == "cpu" else _ON_A_DEVICE
    network, recipe = VGG(config, classes, width), Recipe(batch_size=images)
    begin(network, recipe, None)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    stepper = Stepper(
        State.begin(network, recipe, running.settings.precision), ILSVRC.input(standardised=True), recipe, running
    )
    crops = torch.full((images, 3, CROP, CROP), 127, dtype=torch.uint8)
    shifts, labels = torch.zeros(images, 3), torch.zeros(images, dtype=torch.int64)
    batch = Batch(crops, shifts, labels, own=images, whole=images)

    def step() -> None:
        stepper.step(batch, 0.0)
        stepper.hear()

    (steps,) = in_turn([step], device)
    return sum(one.seconds for one in steps) / (len(steps) * images)


def _stage(config: Config, scale: str, start: Stage | None, why: str, *, fc: bool = False) -> Stage:
    recipe = Recipe(TrainScale.parse(scale), train_layers="fc" if fc else "all")
    recipe = replace(recipe, init="paper") if scale == "256" else replace(recipe, rate=0.001)
    return Stage(config, recipe, start.model if start else None, why)

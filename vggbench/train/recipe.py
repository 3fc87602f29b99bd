"""How a net is trained: the recipe as one value, and when its rate drops; and who is told of each epoch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from vggbench.errors import UsageError
from vggbench.inference.choices import require_choice
from vggbench.paper.protocols import TrainScale

Init = Literal["glorot", "paper", "paper-literal", "he", "identity"]
Normalise = Literal["auto", "mean", "std"]
Layers = Literal["all", "fc", "last"]
Cropping = Literal["random", "fixed"]
Pixels = Literal["data", "ilsvrc"]


@dataclass(frozen=True)
class Recipe:
    """How a net is trained; the defaults are the paper's, section 3.1, unless a field says ours."""

    train_scale: TrainScale = field(default_factory=lambda: TrainScale(256, 256))
    batch_size: int = 256
    rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    dropout: float = 0.5
    """On the first two fc layers."""
    epochs: int = 74
    """At most."""
    drops: int = 3
    """The rate is divided by 10 this often, each time when the validation error has stopped improving."""
    patience: int = 5
    """Epochs without improvement before a drop; ours."""
    colour_std: float = 0.1
    """Standard deviation of Krizhevsky's alpha for the colour shift."""
    normalise: Normalise = "auto"
    """What is done to pixels: `mean` subtracts it from 0-255 (section 2.1); `std` is torchvision's 0-1, over std.
    `auto`, ours, is `mean` for the paper's inits and `std` for the others, which suppose inputs of unit variance."""
    init: Init = "glorot"
    """`glorot` is what the paper recommends in hindsight, and needs no trained A; `paper` is N(0, std 0.01), and
    `paper-literal` the variance of 0.01 that the paper prints, which cannot be trained; the others are ours."""
    train_layers: Layers = "all"
    """`fc` leaves the convolutions as they are: D at 256-512 in the paper's submission (Table 6); `last`, ours, all
    layers but the last."""
    crops: Cropping = "random"
    """`fixed`, ours, shows one of an image's ten crops an epoch, four corners, centre and mirrors at one scale, without
    a colour shift, so that frozen layers need to see each crop but once."""
    statistics: Pixels = "data"
    """Mean and colour components of the training set, or the known ones of ILSVRC."""
    half: bool = False
    """Round the trained weights to float16; ours, for small files."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for a field that cannot be."""
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"--{name.replace('_', '-')} {value}: expected {low:g} to {high:g}.")
        for name, kind in _CHOICES.items():
            require_choice(f"--{name.replace('_', '-')}", getattr(self, name), get_args(kind))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        normalise = "std" if self.standardised else "mean"
        record = asdict(self) | {"train_scale": str(self.train_scale), "normalise": normalise}
        if self.crops == "random":  # as all were before there were others
            del record["crops"]
            return record
        return record | {"colour_std": 0.0, "scale": self.train_scale.single}

    @property
    def standardised(self) -> bool:
        """Whether pixels are divided by their deviation."""
        return self.normalise == "std" or (self.normalise == "auto" and not self.init.startswith("paper"))

    def rate_after(self, errors: Sequence[float]) -> float | None:
        """The next epoch's rate, given the validation errors of all epochs so far; None when training is over."""
        drops, best, since = 0, float("inf"), 0
        for error in errors:
            best, since = (error, 0) if error < best else (best, since + 1)
            if since >= self.patience:
                drops, since = drops + 1, 0
        if drops > self.drops or len(errors) >= self.epochs:
            return None
        return float(self.rate / 10**drops)


_CHOICES = {
    "init": Init, "normalise": Normalise, "train_layers": Layers, "crops": Cropping, "statistics": Pixels,
}  # fmt: skip
_BOUNDS = {
    "batch_size": (1, 1_000_000), "rate": (1e-12, 1e3), "momentum": (0, 0.999), "weight_decay": (0, 1),
    "dropout": (0, 0.95), "epochs": (1, 1_000_000), "drops": (0, 10), "patience": (1, 1_000_000),
    "colour_std": (0, 10), "seed": (0, 2**31 - 1),
}  # fmt: skip


@dataclass(frozen=True)
class Epoch:
    """One line of the log; the error in percent on the validation images, by `center` at the recipe's Q."""

    number: int
    """From 1."""
    rate: float
    loss: float
    top1_error: float
    seconds: float


class TrainWatch:
    """What a training tells while it goes on; this one listens to nothing."""

    def measured(self, images: int, of: int) -> None:
        """So many images of the training set have been measured for its mean and colour components."""

    def begun(self, epochs: Sequence[Epoch], images: int, epoch_images: int) -> None:
        """The epochs and the images of the next one that a checkpoint had already, and the images of an epoch."""

    def kept(self, crops: int, of: int) -> None:
        """The frozen layers have seen so many crops, of those that they are to see."""

    def doubted(self, image: str) -> None:
        """An image is trained on although libjpeg complained of it; once an epoch, with the complaint."""

    def divided(self, images: int, parts: int) -> None:
        """Memory ran out with so many images at once: a share of a batch is split into so many parts from here on."""

    def step(self, images: int, loss: float) -> None:
        """One step more; heard while the next one is computed."""

    def grows(self, now: float, lowest: float, rate: float) -> None:
        """The mean loss of the last steps is several times what it was at its lowest, and what guessing gives."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is over, and validated."""

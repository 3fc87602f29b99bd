"""The options of all commands, each once: its type, which the parser checks, its help and its panel."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from vggbench.cli.completion import models
from vggbench.errors import UsageError
from vggbench.evaluation.shares import parse_share
from vggbench.images import choices as images
from vggbench.images.preprocessing import require_input
from vggbench.inference import choices
from vggbench.paper.protocols import ANY_SCALE, TrainScale, resolve_scales
from vggbench.render.tables import table
from vggbench.train.recipe import Cropping, Init, Layers, Normalise, Pixels, Recipe

PANELS = (
    "What is measured", "Recipe (defaults: the paper's, section 3.1)", "Start", "Data and weights", "Running", "Output"
)  # fmt: skip
"""In the order in which every command's help shows them."""
WHAT, RECIPE, START, DATA, RUNNING, OUTPUT = PANELS
MODEL = (
    "CONFIG@SOURCE: D@oxford, D-BN@torchvision, vgg16@FILE, D@sample, D@random; D alone: the data's default. Any other "
    "network: torchvision:NAME, timm:NAME (@FILE, @random), onnx:FILE, pt2:FILE."
)
INPUT_WORDS = (
    "torchvision, caffe or matconvnet; RGB or BGR of one that says all but that; or order, full scale, mean and "
    "deviation: RGB,1,0.5,0.5 for (x/255-0.5)/0.5, BGR,255,104/117/123,1."
)


def option(text: str, panel: str, *names: str, **more: Any) -> Any:
    """An option of a panel, with more names than its own."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def number(text: str, panel: str, least: float, most: float | None = None, **more: Any) -> Any:
    """An option whose value lies between two numbers, both included."""
    return option(text, panel, metavar="N", min=least, max=most, **more)


def word(text: str, panel: str, **more: Any) -> Any:
    """An option whose value is one of a few words, which the text names."""
    return option(text, panel, metavar="NAME", **more)


def read_by(read: Callable[[Any], object], metavar: str, text: str, panel: str) -> Any:
    """An option whose value, or any of several, `read` refuses by a UsageError, before anything heavy is imported."""

    def check(value: Any) -> Any:
        for item in value if isinstance(value, list | tuple) else () if value is None else [value]:
            read(item)
        return value

    return option(text, panel, metavar=metavar, callback=check)


def words(name: str, kind: Any, text: str, panel: str = WHAT) -> Any:
    """An option of several values, each one of a few words: Typer takes no list of a Literal."""
    return read_by(lambda one: choices.require_choice(name, one, get_args(kind)), "NAME...", text, panel)


def _matching(pattern: str, name: str, expected: str) -> Callable[[str], None]:
    def read(value: str) -> None:
        if not re.fullmatch(pattern, value):
            raise UsageError(f"{name} {value}: expected {expected}.")

    return read


scales_option = partial(read_by, lambda one: resolve_scales([one], ANY_SCALE, 1), "Q...", panel=WHAT)
width_option = partial(read_by, choices.require_width, "N")
train_scale_option = partial(read_by, TrainScale.parse, "S")
_RUNS = Path("runs")
_DEVICE = _matching(choices.DEVICE, "--device", "auto, cpu, cuda, cuda:0 or mps")
_LABELS = _matching("original|real=.+", "--labels", "original, or real=FILE with ReaL's real.json")

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL, autocompletion=models)]
Scales = Annotated[
    list[str] | None, scales_option("Q: single, multi, numbers such as 256 384 512, or a sweep 224:512:32.")
]
DataPath = Annotated[
    str | None,
    option(
        "ILSVRC-2012 in any form: class folders, the tar, a flat folder, Kaggle's tree, Parquet or WebDataset "
        "shards; any folder of class folders; or sample.",
        DATA,
        envvar="VGGBENCH_DATA",
    ),
]
GroundTruthFile = Annotated[
    str | None,
    option(
        "Devkit (folder or .tar.gz) or file of names and labels that must agree, or a column of Parquet or WebDataset; "
        "none: not even one beside the images.",
        DATA,
    ),
]
InputName = Annotated[
    str | None, read_by(require_input, "NAME", f"What files that do not say it expect: {INPUT_WORDS}", DATA)
]
Size = Annotated[
    int | None, number("Side of the crops of an ONNX or pt2 file that takes any size; default: 224.", DATA, 1, 4096)
]
Ema = Annotated[bool, option("Of checkpoints that hold both: the averaged weights (EMA).", DATA)]
StatedTrainScale = Annotated[
    str | None, train_scale_option("S of files that do not say it: 256, 384 or 256-512.", DATA)
]
Device = Annotated[str, read_by(_DEVICE, "NAME", "auto, cpu, cuda, cuda:1 or mps.", RUNNING)]
Precision = Annotated[choices.Precision, word("fp32, tf32, bf16 or fp16.", RUNNING)]
Workers = Annotated[int | None, number("Processes that read images.", RUNNING, 0)]
Runs = Annotated[Path, option("The store of posteriors.", RUNNING, envvar="VGGBENCH_RUNS")]
DryRun = Annotated[bool, option("Print the forecast (views, GMACs, time, disk) and stop.", RUNNING)]
Quiet = Annotated[bool, option("Say nothing but warnings and errors.", RUNNING, "--quiet", "-q")]
NoProgress = Annotated[bool, option("Show no progress.", RUNNING)]
Format = Annotated[
    table.Format | None, word("table, md, csv or json. Default: table on a terminal, md in a pipe.", OUTPUT)
]
Output = Annotated[Path | None, option("Write to this file instead of standard output.", OUTPUT)]
Plot = Annotated[Path | None, option("Also draw what there is data for into this folder, as PNG and SVG.", OUTPUT)]


@dataclass(frozen=True)
class _Printed:
    format: Format = None
    output: Output = None


@dataclass(frozen=True)
class _Noted(_Printed):
    """Of tables whose notes a terminal shows in part."""

    explain_notes: Annotated[bool, option("Print all notes under the table, in full.", OUTPUT)] = False

    @property
    def explained(self) -> bool:
        """Whether all notes are wanted: by --verbose as well, where there is one."""
        return self.explain_notes or bool(getattr(self, "verbose", False))


@dataclass(frozen=True)
class _Run:
    device: Device = "auto"
    backend: Annotated[
        choices.Asked, word("auto (on a CPU ONNX Runtime, else PyTorch), onnxruntime or pytorch.", RUNNING)
    ] = "auto"
    batch_size: Annotated[
        int | None, number("Views of 224 x 224 per forward pass; larger views count for more.", RUNNING, 1)
    ] = None
    workers: Workers = None

    def for_evaluation(self) -> "EvalOptions":
        """The same, all else being as by default."""
        return EvalOptions(**{item.name: getattr(self, item.name) for item in fields(self)})


@dataclass(frozen=True)
class _Protocols:
    scales: Scales = None
    center: Annotated[bool, option("One central crop; of a VGG 224, at Q=256 unless --scales.", WHAT)] = False
    tencrop: Annotated[bool, option("4 corners, centre, and their mirrors.", WHAT)] = False
    dense: Annotated[
        bool, option("The whole image and its mirror (paper, section 3.2); of a VGG without a protocol, this.", WHAT)
    ] = False
    multicrop: Annotated[bool, option("5 x 5 crops and their mirrors: 50 views.", WHAT)] = False
    own: Annotated[
        bool,
        option("As its publisher evaluates it: the default of torchvision's and timm's networks, for others.", WHAT),
    ] = False
    grid: Annotated[
        Literal[1, 8], option("Pixels that multicrop's offsets are multiples of: 1 or 8.", WHAT, metavar="N")
    ] = 1


@dataclass(frozen=True)
class _Files:
    input: InputName = None
    size: Size = None
    ema: Ema = False
    train_scale: StatedTrainScale = None


@dataclass(frozen=True)
class _Rescaled:
    filter: Annotated[images.Filter, word("Rescaling: bilinear or bicubic.", DATA)] = "bilinear"
    no_antialias: Annotated[bool, option("Rescale without antialias.", DATA)] = False

    @property
    def antialias(self) -> bool:
        """Whether rescaling smooths."""
        return not self.no_antialias


@dataclass(frozen=True)
class _Stored(_Run):
    """What every command that computes what a store lacks can be told."""

    data: DataPath = None
    ground_truth: GroundTruthFile = None
    limit: Annotated[int | None, number("Take every (total/N)-th image only; the row says subset.", DATA, 1)] = None
    skip_bad_images: Annotated[bool, option("Leave out unreadable images; every table counts them.", DATA)] = False
    share: Annotated[
        str | None,
        read_by(
            parse_share,
            "I/N",
            "One of N processes that share the store; the last to finish prints. On a machine with G GPUs it takes GPU "
            "(I-1) mod G and 1/G of the cores; on a CPU all cores, unless OMP_NUM_THREADS says fewer.",
            RUNNING,
        ),
    ] = None
    verbose: Annotated[
        bool, option("Say how each run was computed, and print all notes.", RUNNING, "--verbose", "-v")
    ] = False
    runs: Runs = _RUNS


@dataclass(frozen=True)
class _Evaluated(_Noted, _Stored):
    """What every command that evaluates by protocols of its own can be told."""


@dataclass(frozen=True)
class _Judged:
    """What is right, and among which classes."""

    labels: Annotated[
        list[str] | None,
        read_by(
            _LABELS,
            "LABELS...",
            "What is right: original, real=FILE (ReaL's real.json), or both; no new forward pass.",
            DATA,
        ),
    ] = None
    classes_of_data: Annotated[
        list[str] | None,
        words(
            "--classes-of-data",
            Literal["all", "only"],
            "Among which classes an image's own must come first: all "
            "of the model's, only those that the data has, or both; no new forward pass.",
            DATA,
        ),
    ] = None
    blacklist: Annotated[
        Path | None, option("File of validation images that do not count, as the 2014 devkit has it.", DATA)
    ] = None
    metrics: Annotated[
        list[str] | None,
        words(
            "--metrics",
            Literal["calibration"],
            "Beside errors: calibration (NLL, Brier score, ECE, temperature, AURC); no new forward pass.",
        ),
    ] = None


@dataclass(frozen=True)
class EvalOptions(_Judged, _Rescaled, _Files, _Evaluated, _Protocols):
    """What an evaluation can be told; see each help text."""

    weights: Annotated[str | None, option("Source of all models that name none, such as random.", DATA)] = None
    width: Annotated[float, width_option("Width of random nets; 1.0 is the paper's.", DATA)] = 1.0
    precision: Precision = "fp32"
    compile: Annotated[bool, option("Compile for PyTorch; not for dense, whose sizes vary.", RUNNING)] = False
    dry_run: DryRun = False


@dataclass(frozen=True)
class FeaturesOptions(_Rescaled, _Stored):
    """What `features` can be told, besides what is taken of the nets."""

    scales: Scales = None
    input: InputName = None
    ema: Ema = False
    train_scale: StatedTrainScale = None
    weights: Annotated[str | None, option("Source of all models that name none, such as random.", DATA)] = None
    width: Annotated[float, width_option("Width of random nets; 1.0 is the paper's.", DATA)] = 1.0
    precision: Precision = "fp32"
    dry_run: DryRun = False


@dataclass(frozen=True)
class ScoreOptions(_Judged, _Noted):
    """What the predictions of other tools can be scored by."""

    data: DataPath = None
    ground_truth: GroundTruthFile = None
    runs: Runs = _RUNS


@dataclass(frozen=True)
class CheckOptions(_Rescaled, _Files, _Noted, _Run, _Protocols):
    """What `check` can be told."""

    data: DataPath = None
    ground_truth: GroundTruthFile = None
    precision: Precision = "fp32"
    runs: Runs = _RUNS


@dataclass(frozen=True)
class ExplainOptions(_Files, _Evaluated):
    """What `explain` can be told: all but what its rows change."""

    precision: Precision = "fp32"
    dry_run: DryRun = False


@dataclass(frozen=True)
class ReproduceOptions(_Evaluated):
    """What `reproduce` can be told: all but what the paper's rows say."""

    input: InputName = None
    size: Size = None

    dry_run: Annotated[
        bool, option("Print the jobs, the forecast, and what each row lacks, and stop.", RUNNING, "--plan")
    ] = False


@dataclass(frozen=True)
class PredictOptions(_Rescaled, _Files, _Run, _Printed, _Protocols):
    """What `predict` can be told, a part of `EvalOptions`."""

    precision: Precision = "fp32"


@dataclass(frozen=True)
class LocateOptions(_Rescaled, _Files, _Printed):
    """What `locate` can be told: one Q, and how images are rescaled."""

    scales: Annotated[list[str] | None, scales_option("Q: the shorter side; default: 256 for crops of 224.")] = None


@dataclass(frozen=True)
class SpeedOptions(_Printed):
    """What a benchmark of speed can be told, each with each; see each help text."""

    backend: Annotated[
        list[str] | None,
        words(
            "--backend", choices.BackendName, "pytorch, pytorch+compile, onnxruntime; default: the first and the last."
        ),
    ] = None
    batch_size: Annotated[
        list[int] | None, option("Images of a forward pass; default: 1 32.", WHAT, metavar="N...", min=1, max=65_536)
    ] = None
    scales: Annotated[
        list[str] | None, scales_option("Sides of square inputs, default 224; Qs with --data-only, default 256.")
    ] = None
    precision: Annotated[
        list[str] | None, words("--precision", choices.Precision, "fp32, tf32, bf16, fp16; default: fp32.")
    ] = None
    width: Annotated[float, width_option("Width of nets that name no weights.", WHAT)] = 1.0
    data_only: Annotated[bool, option("How fast images are read instead.", WHAT)] = False
    data: Annotated[str, option("What --data-only reads.", DATA, envvar="VGGBENCH_DATA")] = "sample"
    workers: Annotated[int | None, number("Processes that read; default: 0, 1, and one a core.", DATA, 0)] = None
    device: Device = "auto"
    iterations: Annotated[int, number("At least so many forward passes each.", RUNNING, 1)] = 10
    seconds: Annotated[float, number("And at least so long.", RUNNING, 0)] = 3.0


@dataclass(frozen=True)
class TrainOptions:
    """What a training can be told; see each help text."""

    train_scale: Annotated[
        str | None,
        train_scale_option(
            "S: 256, 384, or jittered, 256-512; default: that of --from, where it states one, or 256.", RECIPE
        ),
    ] = None
    crops: Annotated[
        Cropping,
        word(
            "random; or fixed (ours): one of ten a picture, at one scale; what frozen layers give is computed once.",
            RECIPE,
        ),
    ] = "random"
    epochs: Annotated[int, option("At most.", RECIPE, metavar="N")] = 74
    batch_size: Annotated[int, option("Images a step.", RECIPE, metavar="N")] = 256
    rate: Annotated[float, option("Learning rate at the start.", RECIPE, metavar="N")] = 0.01
    drops: Annotated[int, option("How often the rate is divided by 10.", RECIPE, metavar="N")] = 3
    patience: Annotated[int, option("Epochs without a better error before a drop (ours).", RECIPE, metavar="N")] = 5
    momentum: Annotated[float, option("Of the gradient.", RECIPE, metavar="N")] = 0.9
    weight_decay: Annotated[float, option("L2 penalty's multiplier.", RECIPE, metavar="N")] = 5e-4
    dropout: Annotated[float, option("On the first two fc layers.", RECIPE, metavar="N")] = 0.5
    colour_std: Annotated[float, option("Of the colour shift's alpha (Krizhevsky).", RECIPE, metavar="N")] = 0.1
    normalise: Annotated[
        Normalise,
        word(
            "mean: 0-255 minus the set's mean; std: 0-1, also over its deviation; auto (ours): mean for --init paper, "
            "else std.",
            RECIPE,
        ),
    ] = "auto"
    seed: Annotated[int, option("Decides every random draw.", RECIPE, metavar="N")] = 0
    init: Annotated[
        Init,
        word(
            "glorot; paper (N(0, 0.01), deeper nets --from A), paper-literal (its printed variance: gives NaN); he; "
            "identity (--from a shallower net, new layers pass their input on).",
            START,
        ),
    ] = "glorot"
    start: Annotated[
        str | None,
        option(
            "MODEL to take layers from: of one's own config all, but for the last where classes differ, or the "
            "convolutions alone; from A the paper's.",
            START,
            "--from",
        ),
    ] = None
    train_layers: Annotated[Layers, word("all; fc or last: the layers before stay as --from has them.", START)] = "all"
    statistics: Annotated[
        Pixels, word("Mean and colour components: of the data itself (data), or of ILSVRC (ilsvrc).", START)
    ] = "data"
    input: Annotated[
        str | None,
        read_by(require_input, "NAME", f"What a --from file that does not say it expects: {INPUT_WORDS}", START),
    ] = None
    ema: Annotated[bool, option("Of a --from checkpoint that holds both: the averaged weights (EMA).", START)] = False
    width: Annotated[float, width_option("Channels relative to the paper's.", START)] = 1.0
    data: Annotated[
        str | None, option("Folder with train/ and val/, or of classes, or sample.", DATA, envvar="VGGBENCH_DATA")
    ] = None
    plan: Annotated[
        bool,
        option("Print the commands that lead to the paper's rows for this net, with their time, and stop.", RUNNING),
    ] = False
    accumulate: Annotated[
        int, number("Parts that a batch is computed in, to save memory; more where it runs out.", RUNNING, 1)
    ] = 1
    precision: Precision = "fp32"
    compile: Annotated[bool, option("Compile the network first (torch.compile).", RUNNING)] = False
    checkpoint_minutes: Annotated[
        float, number("Between checkpoints inside an epoch; one ends each epoch.", RUNNING, 0)
    ] = 5.0
    device: Device = "auto"
    workers: Workers = None
    runs: Annotated[Path, option("Where checkpoints and the log are kept.", RUNNING, envvar="VGGBENCH_RUNS")] = _RUNS
    output: Annotated[Path | None, option("Where the trained net goes: a .safetensors.", OUTPUT)] = None
    half: Annotated[bool, option("Store the weights as float16.", OUTPUT)] = False

    def recipe(self) -> Recipe:
        """How the net is trained; raises UsageError."""
        taken = {item.name for item in fields(Recipe)} & {item.name for item in fields(self)}
        values = {name: getattr(self, name) for name in taken}
        scale = {"train_scale": TrainScale.parse(self.train_scale)} if self.train_scale else {}
        return Recipe(**{name: value for name, value in values.items() if name != "train_scale"} | scale)

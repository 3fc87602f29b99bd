"""The options that commands share, each once: its type, which the parser checks, its help and its panel."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from vggbench.cli.completion import models
from vggbench.cli.panels import DATA, OUTPUT, RUNNING, WHAT
from vggbench.errors import UsageError
from vggbench.evaluation.shares import parse_share
from vggbench.images import choices as images
from vggbench.images.preprocessing import require_input
from vggbench.inference import choices
from vggbench.paper.protocols import ANY_SCALE, TrainScale, resolve_scales
from vggbench.render import choices as rendering

MODEL = (
    "CONFIG@SOURCE, such as D@oxford, D-BN@torchvision, vgg16@FILE, D@sample or D@random; D alone takes the "
    "usual source. Other networks: torchvision:NAME, timm:NAME (@FILE, @random), onnx:FILE, pt2:FILE."
)
INPUT_WORDS = (
    "torchvision, caffe or matconvnet; RGB or BGR if only that is missing; or order, full scale, mean and "
    "deviation. Examples of the last: RGB,1,0.5,0.5 and BGR,255,104/117/123,1."
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
RUNS = Path("runs")
"""The store where nobody names another."""
_DEVICE = _matching(choices.DEVICE, "--device", "auto, cpu, cuda, cuda:0 or mps")
_LABELS = _matching("original|real=.+", "--labels", "original, or real=FILE with ReaL's real.json")

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL, autocompletion=models)]
Scales = Annotated[
    list[str] | None,
    scales_option(
        "Set Q, the image's shorter side: numbers such as 256 384 512, a sweep "
        "224:512:32, single or multi. Default: single, by S."
    ),
]
DataPath = Annotated[
    str | None,
    option(
        "Read images from here: ImageNet as class folders, tar, flat folder, Kaggle's tree, Parquet or "
        "WebDataset shards; any folder of class folders; or sample.",
        DATA,
        envvar="VGGBENCH_DATA",
    ),
]
GroundTruthFile = Annotated[
    str | None,
    option(
        "Read labels from here: a devkit (folder or .tar.gz), a file of names and labels, or a column of shards. "
        "They must agree with the data. none: ignore even a file beside the images.",
        DATA,
    ),
]
InputName = Annotated[
    str | None, read_by(require_input, "NAME", f"State the preprocessing of weights that do not: {INPUT_WORDS}", DATA)
]
Size = Annotated[
    int | None,
    number("Set the side of crops for an ONNX or pt2 file that takes any size. Default: 224.", DATA, 1, 4096),
]
Ema = Annotated[bool, option("Take the averaged weights (EMA) of a checkpoint that holds both.", DATA)]
StatedTrainScale = Annotated[
    str | None, train_scale_option("State S for weights that do not: 256, 384 or 256-512.", DATA)
]
Device = Annotated[str, read_by(_DEVICE, "NAME", "Compute on this device: auto, cpu, cuda, cuda:1 or mps.", RUNNING)]
Precision = Annotated[choices.Precision, word("Compute in this precision: fp32, tf32, bf16 or fp16.", RUNNING)]
Workers = Annotated[int | None, number("Read images with this number of processes. Default: by cores.", RUNNING, 0)]
Runs = Annotated[Path, option("Keep the store of posteriors in this folder.", RUNNING, envvar="VGGBENCH_RUNS")]
DryRun = Annotated[bool, option("Print the forecast (views, GMACs, time, disk) and stop.", RUNNING)]
Quiet = Annotated[bool, option("Print no messages but warnings and errors.", RUNNING, "--quiet", "-q")]
NoProgress = Annotated[bool, option("Show no progress bars or progress lines.", RUNNING)]
Format = Annotated[
    rendering.Format | None,
    word("Print in this format: table, md, csv or json. Default: table on a terminal, md in a pipe.", OUTPUT),
]
Output = Annotated[Path | None, option("Write to this file instead of standard output.", OUTPUT)]
Plot = Annotated[Path | None, option("Draw plots into this folder as well, as PNG and SVG.", OUTPUT)]


@dataclass(frozen=True)
class Printed:
    """What every command that prints a table can be told."""

    format: Format = None
    output: Output = None


@dataclass(frozen=True)
class _Noted(Printed):
    """Options of tables whose notes a terminal shows in part."""

    explain_notes: Annotated[bool, option("Print all notes under the table, in full.", OUTPUT)] = False

    @property
    def explained(self) -> bool:
        """Whether all notes are wanted: by --verbose as well, where there is one."""
        return self.explain_notes or bool(getattr(self, "verbose", False))


@dataclass(frozen=True)
class _Run:
    device: Device = "auto"
    backend: Annotated[
        choices.Asked,
        word(
            "Run networks by auto, onnxruntime or pytorch. auto takes the quicker one on a CPU, "
            "and PyTorch on other devices.",
            RUNNING,
        ),
    ] = "auto"
    batch_size: Annotated[
        int | None,
        number(
            "Compute this number of views of 224 x 224 per forward pass. Larger views count for "
            "more. Default: by device.",
            RUNNING,
            1,
        ),
    ] = None
    workers: Workers = None

    def for_evaluation(self) -> "EvalOptions":
        """The same, all else being as by default."""
        return EvalOptions(**{item.name: getattr(self, item.name) for item in fields(self)})


@dataclass(frozen=True)
class _Protocols:
    scales: Scales = None
    center: Annotated[bool, option("Evaluate the central crop, at Q=256 unless --scales is given.", WHAT)] = False
    tencrop: Annotated[bool, option("Evaluate ten crops: four corners, the centre and their mirrors.", WHAT)] = False
    dense: Annotated[
        bool, option("Evaluate the whole image and its mirror (paper, section 3.2). Default for VGGs.", WHAT)
    ] = False
    multicrop: Annotated[bool, option("Evaluate 5 x 5 crops and their mirrors: 50 views.", WHAT)] = False
    own: Annotated[
        bool,
        option(
            "Evaluate as the publisher does. Default for networks of torchvision and timm other than CONFIG@SOURCE.",
            WHAT,
        ),
    ] = False
    grid: Annotated[
        Literal[1, 8],
        option(
            "Place multicrop's crops at multiples of N pixels, 1 or 8. With 8 they share convolutions.",
            WHAT,
            metavar="N",
        ),
    ] = 1


@dataclass(frozen=True)
class _Files:
    input: InputName = None
    size: Size = None
    ema: Ema = False
    train_scale: StatedTrainScale = None


@dataclass(frozen=True)
class _Rescaled:
    filter: Annotated[images.Filter, word("Rescale images by this filter: bilinear or bicubic.", DATA)] = "bilinear"
    no_antialias: Annotated[bool, option("Rescale images without antialiasing.", DATA)] = False

    @property
    def antialias(self) -> bool:
        """Whether rescaling smooths."""
        return not self.no_antialias


@dataclass(frozen=True)
class _Stored(_Run):
    """What every command that computes what a store lacks can be told."""

    data: DataPath = None
    ground_truth: GroundTruthFile = None
    limit: Annotated[int | None, number("Evaluate N images only, evenly spaced; the title says subset.", DATA, 1)] = (
        None
    )
    skip_bad_images: Annotated[bool, option("Leave out unreadable images; every table says how many.", DATA)] = False
    share: Annotated[
        str | None,
        read_by(
            parse_share,
            "I/N",
            "Compute share I of N; the process that finishes last prints the table. With G GPUs, it takes GPU "
            "(I-1) mod G and 1/G of the cores. On a CPU it takes all cores, or OMP_NUM_THREADS.",
            RUNNING,
        ),
    ] = None
    verbose: Annotated[
        bool, option("Say how each run was computed, and print all notes.", RUNNING, "--verbose", "-v")
    ] = False
    runs: Runs = RUNS


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
            "Count as right by these labels: original, real=FILE (ReaL's real.json), or both. Needs no new "
            "forward pass.",
            DATA,
        ),
    ] = None
    classes_of_data: Annotated[
        list[str] | None,
        words(
            "--classes-of-data",
            Literal["all", "only"],
            "Let these classes compete: all of the model's, only those that the data has, or both. Needs no new "
            "forward pass.",
            DATA,
        ),
    ] = None
    blacklist: Annotated[
        Path | None, option("Leave out the validation images that this file lists, as the 2014 devkit has it.", DATA)
    ] = None
    metrics: Annotated[
        list[str] | None,
        words(
            "--metrics",
            Literal["calibration"],
            "Print more than errors: calibration (NLL, Brier score, ECE, temperature, AURC). Needs no new "
            "forward pass.",
        ),
    ] = None


@dataclass(frozen=True)
class EvalOptions(_Judged, _Rescaled, _Files, _Evaluated, _Protocols):
    """What an evaluation can be told; see each help text."""

    weights: Annotated[str | None, option("Take models that name no source from this one, such as random.", DATA)] = (
        None
    )
    width: Annotated[float, width_option("Set the width of random nets; 1.0 is the paper's.", DATA)] = 1.0
    precision: Precision = "fp32"
    compile: Annotated[
        bool, option("Compile the network by torch.compile; not for dense, whose sizes vary.", RUNNING)
    ] = False
    dry_run: DryRun = False


@dataclass(frozen=True)
class FeaturesOptions(_Rescaled, _Stored):
    """What `features` can be told, besides what is taken of the nets."""

    scales: Scales = None
    input: InputName = None
    ema: Ema = False
    train_scale: StatedTrainScale = None
    weights: Annotated[str | None, option("Take models that name no source from this one, such as random.", DATA)] = (
        None
    )
    width: Annotated[float, width_option("Set the width of random nets; 1.0 is the paper's.", DATA)] = 1.0
    precision: Precision = "fp32"
    dry_run: DryRun = False


@dataclass(frozen=True)
class ScoreOptions(_Judged, _Noted):
    """What the predictions of other tools can be scored by."""

    data: DataPath = None
    ground_truth: GroundTruthFile = None
    runs: Runs = RUNS


@dataclass(frozen=True)
class CheckOptions(_Rescaled, _Files, _Noted, _Run, _Protocols):
    """What `check` can be told."""

    data: DataPath = None
    ground_truth: GroundTruthFile = None
    precision: Precision = "fp32"
    runs: Runs = RUNS


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
        bool, option("Print the jobs, the forecast and what each row lacks, and stop.", RUNNING, "--plan")
    ] = False


@dataclass(frozen=True)
class PredictOptions(_Rescaled, _Files, _Run, Printed, _Protocols):
    """What `predict` can be told, a part of `EvalOptions`."""

    precision: Precision = "fp32"


@dataclass(frozen=True)
class LocateOptions(_Rescaled, _Files, Printed):
    """What `locate` can be told: one Q, and how images are rescaled."""

    scales: Annotated[
        list[str] | None, scales_option("Set Q, the image's shorter side. Default: 256 for crops of 224.")
    ] = None

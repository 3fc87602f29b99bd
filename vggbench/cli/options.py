"""The options of eval, compare and fuse, those of train, and options that take several values."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from vggbench.cli.completion import models

MODEL = "CONFIG@SOURCE: D@oxford, D-BN@torchvision, vgg16@FILE, D@sample, D@random; D alone: the data's default."
_PROTOCOLS = "Protocols (none: --dense)"
_DATA = "Data and weights"
_RUNNING = "Running"
_OUTPUT = "Output"
_WHAT = "What is measured (each in every combination)"
_RECIPE = "Recipe (defaults: the paper's, section 3.1)"
_START = "Start"


def _flag(text: str, panel: str, *names: str) -> Any:
    """An option; with a name of its own a switch has no --no- form."""
    return typer.Option(*names, help=text, rich_help_panel=panel)


ModelName = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL, autocompletion=models)]
Models = Annotated[list[str], typer.Argument(metavar="MODEL", help=MODEL, autocompletion=models)]
Scales = Annotated[
    list[str] | None,
    typer.Option(
        help="Q: single, multi, numbers such as 256 384 512, or a sweep 224:512:32.",
        metavar="Q...",
        rich_help_panel=_PROTOCOLS,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(help="table, md, csv or json. Default: table on a terminal, md in a pipe.", rich_help_panel=_OUTPUT),
]
Output = Annotated[
    Path | None, typer.Option(help="Write to this file instead of standard output.", rich_help_panel=_OUTPUT)
]
Plot = Annotated[
    Path | None,
    typer.Option(help="Also draw what there is data for into this folder, as PNG and SVG.", rich_help_panel=_OUTPUT),
]
GroundTruthFile = Annotated[
    str | None,
    _flag(
        "Devkit (folder or .tar.gz) or file of names and labels that must agree, or a column of Parquet or WebDataset; "
        "none: not even one beside the images.",
        _DATA,
    ),
]
Device = Annotated[str, _flag("auto, cpu, cuda, cuda:1 or mps.", _RUNNING)]
Precision = Annotated[str, _flag("fp32, tf32, bf16 or fp16.", _RUNNING)]
Workers = Annotated[int | None, _flag("Processes that read images.", _RUNNING)]
Runs = Annotated[Path, typer.Option(help="The store of posteriors.", envvar="VGGBENCH_RUNS", rich_help_panel=_RUNNING)]


Center = Annotated[bool, _flag("One central 224 crop (Q=256 unless --scales).", _PROTOCOLS, "--center")]
Tencrop = Annotated[bool, _flag("4 corners, centre, and their mirrors.", _PROTOCOLS, "--tencrop")]
Dense = Annotated[bool, _flag("The whole image and its mirror (paper, section 3.2).", _PROTOCOLS, "--dense")]
Multicrop = Annotated[bool, _flag("5 x 5 crops and their mirrors: 50 views.", _PROTOCOLS, "--multicrop")]
Grid = Annotated[int, _flag("Pixels that multicrop's offsets are multiples of: 1 or 8.", _PROTOCOLS)]
INPUT_WORDS = "torchvision, caffe or matconvnet; RGB or BGR of one that says all but that."
InputName = Annotated[
    str | None,
    _flag(f"What files that do not say it expect: {INPUT_WORDS}", _DATA),
]
Ema = Annotated[bool, _flag("Of checkpoints that hold both: the averaged weights (EMA).", _DATA, "--ema")]
StatedTrainScale = Annotated[str | None, _flag("S of files that do not say it: 256, 384 or 256-512.", _DATA)]
Filter = Annotated[str, _flag("Rescaling: bilinear or bicubic.", _DATA)]
Antialias = Annotated[bool, _flag("Antialias when rescaling.", _DATA)]
BackendName = Annotated[str, _flag("auto (on a CPU ONNX Runtime, else PyTorch), onnxruntime or pytorch.", _RUNNING)]
BatchSize = Annotated[int | None, _flag("Views of 224 x 224 per forward pass; larger views count for more.", _RUNNING)]


Data = Annotated[
    str | None,
    typer.Option(
        help="ILSVRC-2012 in any form: class folders, the tar, a flat folder, Kaggle's tree, Parquet or WebDataset "
        "shards; any folder of class folders; or sample.",
        envvar="VGGBENCH_DATA",
        rich_help_panel=_DATA,
    ),
]
Limit = Annotated[int | None, _flag("Take every (total/N)-th image only; the row says subset.", _DATA)]
SkipBadImages = Annotated[
    bool, _flag("Leave out unreadable images; every table counts them.", _DATA, "--skip-bad-images")
]
Share = Annotated[
    str | None, _flag("I/N: one of N processes that share the store; the last to finish prints.", _RUNNING)
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say which way each run was computed.", rich_help_panel=_RUNNING)
]
DryRun = Annotated[bool, _flag("Print the forecast (views, GMACs, time, disk) and stop.", _RUNNING, "--dry-run")]


@dataclass(frozen=True)
class EvalOptions:
    """What an evaluation can be told; see each help text."""

    scales: Scales = None
    center: Center = False
    tencrop: Tencrop = False
    dense: Dense = False
    multicrop: Multicrop = False
    grid: Grid = 1
    data: Data = None
    ground_truth: GroundTruthFile = None
    labels: Annotated[
        list[str] | None,
        typer.Option(
            help="What is right: original, real=FILE (ReaL's real.json), or both; no new forward pass.",
            metavar="LABELS...",
            rich_help_panel=_DATA,
        ),
    ] = None
    blacklist: Annotated[
        Path | None, _flag("File of validation images that do not count, as the 2014 devkit has it.", _DATA)
    ] = None
    limit: Limit = None
    weights: Annotated[str | None, _flag("Source of all models that name none, such as random.", _DATA)] = None
    input: InputName = None
    ema: Ema = False
    train_scale: StatedTrainScale = None
    width: Annotated[float, _flag("Width of random nets; 1.0 is the paper's.", _DATA)] = 1.0
    filter: Filter = "bilinear"
    antialias: Antialias = True
    skip_bad_images: SkipBadImages = False
    device: Device = "auto"
    precision: Precision = "fp32"
    backend: BackendName = "auto"
    compile: Annotated[bool, _flag("Compile for PyTorch; not for dense, whose sizes vary.", _RUNNING, "--compile")] = (
        False
    )
    batch_size: BatchSize = None
    workers: Workers = None
    share: Share = None
    verbose: Verbose = False
    runs: Runs = Path("runs")
    dry_run: DryRun = False
    format: Format = None
    output: Output = None


class _PartOfEval:
    """Options that are also those of an evaluation."""

    def for_evaluation(self) -> EvalOptions:
        """The same, all else being as by default."""
        return EvalOptions(**{item.name: getattr(self, item.name) for item in fields(self)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Stored(_PartOfEval):
    """What every command that evaluates by protocols of its own can be told."""

    data: Data = None
    ground_truth: GroundTruthFile = None
    limit: Limit = None
    skip_bad_images: SkipBadImages = False
    device: Device = "auto"
    backend: BackendName = "auto"
    batch_size: BatchSize = None
    workers: Workers = None
    share: Share = None
    verbose: Verbose = False
    runs: Runs = Path("runs")
    format: Format = None
    output: Output = None


@dataclass(frozen=True)
class ExplainOptions(_Stored):
    """What `explain` can be told: all but what its rows change."""

    input: InputName = None
    ema: Ema = False
    train_scale: StatedTrainScale = None
    precision: Precision = "fp32"
    dry_run: DryRun = False


@dataclass(frozen=True)
class ReproduceOptions(_Stored):
    """What `reproduce` can be told: all but what the paper's rows say."""

    dry_run: Annotated[
        bool, _flag("Print the jobs, the forecast, and what each row lacks, and stop.", _RUNNING, "--plan")
    ] = False


@dataclass(frozen=True)
class PredictOptions(_PartOfEval):
    """What `predict` can be told, a part of `EvalOptions`."""

    scales: Scales = None
    center: Center = False
    tencrop: Tencrop = False
    dense: Dense = False
    multicrop: Multicrop = False
    grid: Grid = 1
    input: InputName = None
    ema: Ema = False
    train_scale: StatedTrainScale = None
    filter: Filter = "bilinear"
    antialias: Antialias = True
    device: Device = "auto"
    precision: Precision = "fp32"
    backend: BackendName = "auto"
    batch_size: BatchSize = None
    workers: Workers = None
    format: Format = None
    output: Output = None


@dataclass(frozen=True)
class SpeedOptions:
    """What a benchmark of speed can be told; see each help text."""

    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="pytorch, pytorch+compile, onnxruntime; default: the first and the last.",
            metavar="NAME...",
            rich_help_panel=_WHAT,
        ),
    ] = None
    batch_size: Annotated[
        list[int] | None,
        typer.Option(help="Images of a forward pass; default: 1 32.", metavar="N...", rich_help_panel=_WHAT),
    ] = None
    scales: Annotated[
        list[str] | None,
        typer.Option(
            help="Sides of square inputs, default 224; Qs with --data-only, default 256.",
            metavar="Q...",
            rich_help_panel=_WHAT,
        ),
    ] = None
    precision: Annotated[
        list[str] | None,
        typer.Option(help="fp32, tf32, bf16, fp16; default: fp32.", metavar="NAME...", rich_help_panel=_WHAT),
    ] = None
    width: Annotated[float, _flag("Width of nets that name no weights.", _WHAT)] = 1.0
    device: Device = "auto"
    iterations: Annotated[int, _flag("At least so many forward passes each.", _RUNNING)] = 10
    seconds: Annotated[float, _flag("And at least so long.", _RUNNING)] = 3.0
    data_only: Annotated[bool, _flag("How fast images are read instead.", _DATA, "--data-only")] = False
    data: Annotated[
        str, typer.Option(help="What --data-only reads.", envvar="VGGBENCH_DATA", rich_help_panel=_DATA)
    ] = "sample"
    workers: Annotated[int | None, _flag("Processes that read; default: 0, 1, and one a core.", _DATA)] = None
    format: Format = None
    output: Output = None


@dataclass(frozen=True)
class TrainOptions:
    """What a training can be told; see each help text."""

    data: Annotated[
        str | None,
        typer.Option(
            help="Folder with train/ and val/, or of classes, or sample.",
            envvar="VGGBENCH_DATA",
            rich_help_panel=_DATA,
        ),
    ] = None
    output: Annotated[
        Path | None, typer.Option(help="Where the trained net goes: a .safetensors.", rich_help_panel=_OUTPUT)
    ] = None
    half: Annotated[bool, _flag("Store the weights as float16.", _OUTPUT, "--half")] = False
    train_scale: Annotated[str, _flag("S: 256, 384, or jittered, 256-512.", _RECIPE)] = "256"
    epochs: Annotated[int, _flag("At most.", _RECIPE)] = 74
    batch_size: Annotated[int, _flag("Images a step.", _RECIPE)] = 256
    rate: Annotated[float, _flag("Learning rate at the start.", _RECIPE)] = 0.01
    drops: Annotated[int, _flag("How often the rate is divided by 10.", _RECIPE)] = 3
    patience: Annotated[int, _flag("Epochs without a better error before a drop (ours).", _RECIPE)] = 5
    momentum: Annotated[float, _flag("Of the gradient.", _RECIPE)] = 0.9
    weight_decay: Annotated[float, _flag("L2 penalty's multiplier.", _RECIPE)] = 5e-4
    dropout: Annotated[float, _flag("On the first two fc layers.", _RECIPE)] = 0.5
    colour_std: Annotated[float, _flag("Of the colour shift's alpha (Krizhevsky).", _RECIPE)] = 0.1
    normalise: Annotated[
        str,
        _flag(
            "mean: 0-255 minus the set's mean; std: 0-1, also over its deviation; auto (ours): mean for --init paper, "
            "else std.",
            _RECIPE,
        ),
    ] = "auto"
    seed: Annotated[int, _flag("Decides every random draw.", _RECIPE)] = 0
    init: Annotated[
        str,
        _flag(
            "glorot; paper (N(0, 0.01), deeper nets --from A), paper-literal (its printed variance: gives NaN); he; "
            "identity (--from a shallower net, new layers pass their input on).",
            _START,
        ),
    ] = "glorot"
    start: Annotated[
        str | None, _flag("MODEL to take layers from; from A the paper's, of one's own config all.", _START, "--from")
    ] = None
    train_layers: Annotated[str, _flag("all, or fc: the convolutions stay as --from has them.", _START)] = "all"
    statistics: Annotated[str, _flag("Mean and colour components: data's own, or ilsvrc's.", _START)] = "data"
    input: Annotated[str | None, _flag(f"What a --from file that does not say it expects: {INPUT_WORDS}", _START)] = (
        None
    )
    ema: Annotated[
        bool, _flag("Of a --from checkpoint that holds both: the averaged weights (EMA).", _START, "--ema")
    ] = False
    width: Annotated[float, _flag("Channels relative to the paper's.", _START)] = 1.0
    plan: Annotated[
        bool,
        _flag(
            "Print the commands that lead to the paper's rows for this net, with their time, and stop.",
            _RUNNING,
            "--plan",
        ),
    ] = False
    accumulate: Annotated[int, _flag("Parts that a batch is computed in, to save memory.", _RUNNING)] = 1
    precision: Precision = "fp32"
    compile: Annotated[bool, _flag("Compile the network first (torch.compile).", _RUNNING, "--compile")] = False
    checkpoint_minutes: Annotated[
        float, _flag("Between checkpoints inside an epoch; one ends each epoch.", _RUNNING)
    ] = 5.0
    device: Device = "auto"
    workers: Workers = None
    runs: Annotated[
        Path,
        typer.Option(help="Where checkpoints and the log are kept.", envvar="VGGBENCH_RUNS", rich_help_panel=_RUNNING),
    ] = Path("runs")

"""What the miniature trains and evaluates, and which of the paper's findings it tests (docs/explain/miniature.md)."""

import contextlib
import shlex
from dataclasses import dataclass
from pathlib import Path

from vggbench.errors import VggbenchError
from vggbench.weights.files import description_in

BUILD = Path("build/miniature")
RUNS, TIMES = BUILD / "runs", BUILD / "times"
"""Posteriors and checkpoints; and a file for each sitting of each task, with what it took."""
SEEDS = 5
"""Trainings of each net, unless more are asked for: seeds 0, 1 and so on."""
WIDTH = 1 / 16
RECIPE = "--init he --rate 0.005 --batch-size 16 --dropout 0 --epochs 8 --half"
"""Options for every net at every S, from random weights; the rest is the paper's. Chosen on sample-dev, other seeds."""
IMAGES = 240
"""Pictures that nets are evaluated on, of those held out."""
CROPPED_IMAGES = 120
"""Pictures among these that multi-crop takes, whose 150 views cost most."""
PROBED = 0.010
"""Seconds of a training's step of D, an image, where the seconds below were measured."""
_DATA = "--data sample-heldout"
_HOW = "--workers 0 --precision fp32"


@dataclass(frozen=True)
class Row:
    """A net at an S; `seconds` of one core are what one training takes, measured once to weigh the rows."""

    net: str
    scale: str
    seconds: int

    def file(self, seed: int) -> Path:
        """Where a trained net lies."""
        return BUILD / f"{self.net}-S{self.scale}-seed{seed}.safetensors"

    def model(self, seed: int) -> str:
        """The trained net, as a MODEL."""
        return f"{self.net}@{self.file(seed)}"

    def training(self, seed: int) -> list[str]:
        """The words that train it, after `vggbench`."""
        words = f"train {self.net} --data sample --width {WIDTH:g} {RECIPE} {_HOW} --train-scale {self.scale}"
        return shlex.split(f"{words} --seed {seed} --checkpoint-minutes 1 --runs {RUNS} --output {self.file(seed)}")


A, LRN, B, SHALLOW, C, D, JITTERED = ROWS = (
    Row("A", "256", 160),
    Row("A-LRN", "256", 160),
    Row("B", "256", 160),
    Row("B-5x5", "256", 160),
    Row("C", "256", 160),
    Row("D", "256", 160),
    Row("D", "256-512", 160),
)


@dataclass(frozen=True)
class Line:
    """A row of a table: a net by protocols at Qs; several of either are averaged, as in the paper."""

    row: Row
    protocols: tuple[str, ...]
    scales: tuple[int, ...]

    @property
    def title(self) -> str:
        """For people: D, S=256, dense at Q=224,256,288."""
        return f"{self.row.net}, S={self.row.scale}, {self.protocol} at Q={','.join(map(str, self.scales))}"

    @property
    def protocol(self) -> str:
        """As the paper's tables and ours call it: dense+multicrop."""
        return "+".join(self.protocols)


def _dense(row: Row, *scales: int) -> Line:
    return Line(row, ("dense",), scales)


ONE = {row: _dense(row, 384 if row is JITTERED else 256) for row in ROWS}
"""Table 3: one test scale, the mean of those of training."""
THREE = {row: _dense(row, *((256, 384, 512) if row is JITTERED else (224, 256, 288))) for row in ROWS}
"""Table 4."""
CENTRE = {row: Line(row, ("center",), (256,)) for row in (B, SHALLOW)}
_CROPS = Line(JITTERED, ("multicrop",), (256, 384, 512))
_BOTH = Line(JITTERED, ("dense", "multicrop"), (256, 384, 512))


@dataclass(frozen=True)
class Evaluation:
    """Lines that are computed by one command for all nets of one seed; `seconds` as of rows."""

    rows: tuple[Row, ...]
    protocol: str
    scales: tuple[int, ...]
    images: int
    seconds: int

    def command(self, seed: int) -> list[str]:
        """The words after `vggbench`."""
        models = " ".join(row.model(seed) for row in self.rows)
        verb, scales = "eval" if len(self.rows) == 1 else "compare", " ".join(map(str, self.scales))
        words = f"{verb} {models} {_DATA} --limit {self.images} --{self.protocol} --scales {scales} {_HOW}"
        return shlex.split(f"{words} --backend pytorch --runs {RUNS}")


EVALUATIONS = (
    Evaluation(ROWS[:-1], "dense", (224, 256, 288), IMAGES, 50),
    Evaluation((B, SHALLOW), "center", (256,), IMAGES, 3),
    Evaluation((JITTERED,), "dense", (256, 384, 512), IMAGES, 20),
    Evaluation((JITTERED,), "multicrop", (256, 384, 512), CROPPED_IMAGES, 60),
)


@dataclass(frozen=True)
class Claim:
    """What the paper says of two lines: by their published figures, the second errs less or, where it is so, more."""

    says: str
    first: Line
    second: Line


CLAIMS = (
    Claim("13 layers beat 11", ONE[A], ONE[B]),
    Claim("13 layers and three of 1x1 beat 13", ONE[B], ONE[C]),
    Claim("3x3 layers beat 1x1", ONE[C], ONE[D]),
    Claim("16 layers beat 11", ONE[A], ONE[D]),
    Claim("LRN does not help", ONE[A], ONE[LRN]),
    Claim("two 3x3 layers beat one 5x5", CENTRE[SHALLOW], CENTRE[B]),
    Claim("a jittered S beats a fixed one", ONE[D], ONE[JITTERED]),
    *(Claim("three test scales beat one", ONE[row], THREE[row]) for row in (B, C, D, JITTERED)),
    Claim("multi-crop beats dense", THREE[JITTERED], _CROPS),
    Claim("both beat dense", THREE[JITTERED], _BOTH),
    Claim("both beat multi-crop", _CROPS, _BOTH),
)
TABLES: tuple[tuple[str, tuple[Line, ...], Line | None], ...] = (
    ("One test scale (Table 3)", tuple(ONE.values()), None),
    ("Three test scales (Table 4)", tuple(THREE.values()), None),
    ("Two 3x3 layers or one 5x5, on a centre crop (section 4.1)", tuple(CENTRE.values()), None),
    (f"Dense, multi-crop and both, on {CROPPED_IMAGES:,} pictures (Table 5)", (THREE[JITTERED], _CROPS, _BOTH), _BOTH),
)
"""Titles, lines, and the line whose pictures alone count, where they are fewer."""


def is_trained(row: Row, seed: int) -> bool:
    """Whether the file is there and was made by the very command of the design."""
    with contextlib.suppress(VggbenchError):
        recipe = description_in(row.file(seed)).get("recipe")
        return isinstance(recipe, dict) and recipe.get("command") == shlex.join(["vggbench", *row.training(seed)])
    return False

"""Descriptors of the sample's D with a linear SVM, on classes that it knows and on six that it does not.

`make probe` writes tables/probe.md and tables/probe.csv. Killed, it carries on.
"""

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

BUILD = Path("build/probe")
OUTPUT = Path("tables/probe.md")
NETS = {"D": ("D@sample",), "random": ("D@random", "--width", "0.0625")}
"""The second has the first's sizes and has learnt nothing."""
SETS = {
    "train": ("--data", "sample-train", "--limit", "600"),
    "val": ("--data", "sample"),
    "unseen": ("--data", "sample-unseen"),
}
"""Options for the pictures of each set. Of those that D was trained on, 50 a class train the SVM."""
PARTS = (("D", "train"), ("D", "val"), ("D", "unseen"), ("random", "unseen"))
Q = 384
"""The net's own, halfway through its S of 256 to 512: at another its classifier does worse, and a new SVM need not."""
SCALES = ("--scales", str(Q))
COSTS = ("--costs", "0.1", "1", "10", "100", "1000")
"""256 numbers of a narrow net want more than the default's 100 at times."""


def main() -> None:
    """Compute what is missing, and write the page."""
    BUILD.mkdir(parents=True, exist_ok=True)
    commands = [_features(net, part) for net, part in PARTS]
    for command in commands:
        _run(command)
    own = ["eval", "D@sample", "--data", "sample", "--dense", *SCALES, "--runs", str(BUILD / "runs")]
    known = ["probe", _file("D", "train"), "--test", _file("D", "val"), *COSTS]
    unseen = [["probe", _file(net, "unseen"), *COSTS] for net in NETS]
    (error,) = json.loads(_run([*own, "--format", "json"]))
    rows = [json.loads(_run([*command, "--format", "json"]))[0] for command in (known, *unseen)]
    text = _document(error, rows, [_run([*command, "--format", "md"]) for command in (known, *unseen)])
    everything = [*commands, own, known, *unseen]
    listed = "\n".join(f"    $ vggbench {shlex.join(command)}" for command in everything)
    OUTPUT.write_text(f"{text}\nThe commands:\n\n{listed}\n", encoding="utf-8")
    _write_csv(error, rows)


def _file(net: str, part: str) -> str:
    return str(BUILD / f"{net}-{part}.parquet")


def _features(net: str, part: str) -> list[str]:
    where = [*SETS[part], *SCALES, "--runs", str(BUILD / "runs"), "--output", _file(net, part)]
    return ["features", *NETS[net], *where]


def _run(command: list[str]) -> str:
    done = subprocess.run([sys.executable, "-m", "vggbench", *command], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def _document(error: dict[str, Any], rows: list[dict[str, Any]], tables: list[str]) -> str:
    known, unseen, blind = rows
    below, above = error["top1_interval"]
    low, high = known["top1_interval"]
    chance = 100 / unseen["classes"]
    return "\n".join([
        "<!-- make probe -->", "",
        "# Descriptors of the sample's D with a linear SVM", "",
        "The descriptors are the paper's (appendix B): fc7 over the whole image and its mirror, 256 numbers at "
        f"Q={Q}. The SVM of known classes is trained on 600 of the 2,400 pictures that D was trained on.",
        "",
        "| Pictures | Classifier | Mean class recall, % | Top-1 error, % |", "|---|---|--:|--:|",
        f"| twelve classes that D was trained on | D's own, dense | {100 - error['top1_error']:.2f} | "
        f"{error['top1_error']:.1f} [{below:.1f}, {above:.1f}] |",
        f"| the same | linear SVM on its descriptors, 50 pictures a class | {known['figure']:.2f} | "
        f"{known['top1_error']:.1f} [{low:.1f}, {high:.1f}] |",
        f"| six classes that it never saw | linear SVM on its descriptors, 30 pictures a class | {_spread(unseen)} | "
        f"{unseen['top1_error']:.2f} |",
        f"| the same | linear SVM on those of a D with random weights | {_spread(blind)} | {blind['top1_error']:.2f} |",
        f"| the same | chance | {chance:.2f} | {100 - chance:.2f} |", "",
        "Every class has as many test pictures, so that mean class recall is 100 minus top-1 error. "
        "Drawn pictures: these figures say that descriptors and probe work, not what a real net reaches.", "",
        "## Twelve classes that D was trained on", "", tables[0],
        "## Six classes that it never saw", "", tables[1],
        "## The same, by a D with random weights", "", tables[2],
    ])  # fmt: skip


def _write_csv(error: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """The rows of the first table, chance left out."""
    own = {"classes": 12, "figure": 100 - error["top1_error"], "top1_error": error["top1_error"]}
    parts = (("known", "D's own, dense"), ("known", "SVM on D"), ("unseen", "SVM on D"), ("unseen", "SVM on random D"))
    keys = ("classes", "train_images", "test_images", "cost", "figure", "deviation", "by_split", "top1_error")
    with OUTPUT.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("pictures", "classifier", *keys))
        for (pictures, classifier), row in zip(parts, (own, *rows), strict=True):
            writer.writerow((pictures, classifier, *(_cell(row.get(key)) for key in keys)))


def _cell(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return " ".join("" if one is None else f"{one:.6g}" for one in values)


def _spread(row: dict[str, Any]) -> str:
    return f"{row['figure']:.2f} ± {row['deviation']:.2f}"


if __name__ == "__main__":
    main()

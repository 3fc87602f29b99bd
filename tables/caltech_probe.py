"""Descriptors of Oxford's convolutions on real photographs, by what the net is given.

`python tables/caltech_probe.py FOLDER` reads what `vggbench features D@NET --layer pool5` wrote there of the two halves
of caltech-sample, for each input of INPUTS: `caffe-train.parquet`, `caffe-val.parquet` and so on. With
`--net NET --data caltech-sample` those that are missing are computed. Writes tables/caltech-probe.md and
tables/caltech-probe.csv.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vggbench
from vggbench.errors import VggbenchError
from vggbench.images.preprocessing import Input, input_of_text
from vggbench.metrics import holm
from vggbench.results.lines import Paired
from vggbench.studies.probing.probed import Outcome, Probed

OUTPUT = Path("tables/caltech-probe.md")
INPUTS = {
    "caffe": ("caffe", "BGR, 0 to 255, minus the mean colour: what it was trained on"),
    "swapped": ("RGB,255,123.68/116.779/103.939,1", "the same in RGB: channels swapped"),
    "zeroone": ("BGR,1,0,1", "BGR, 0 to 1, no mean"),
}


def main() -> None:
    """Compute the files that are missing, probe each pair, and write the tables."""
    given = _arguments()
    found = {name: _probed(name, given) for name in INPUTS}
    OUTPUT.write_text("\n".join(_document(found)) + "\n", encoding="utf-8")
    keys = ("input", "figure", "top1_error", "low", "high", "wrong", "images", "cost", "held_out")
    with OUTPUT.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, keys)
        writer.writeheader()
        writer.writerows(_record(name, one) for name, one in found.items())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--net", type=Path, help="a file of D's convolutions, to compute what is missing")
    parser.add_argument("--data", type=Path, help="caltech-sample, with train/ and val/")
    parser.add_argument("--precision", default="fp32", help="of what is computed")
    return parser.parse_args()


def _probed(name: str, given: argparse.Namespace) -> Probed:
    paths = {part: given.folder / f"{name}-{part}.parquet" for part in ("train", "val")}
    for part, path in paths.items():
        if not path.exists() and given.net:
            vggbench.features(
                f"D@{given.net}", given.data / part, layer="pool5", input=INPUTS[name][0], views="center", scales=256,
                precision=given.precision, backend="pytorch", runs=given.folder / "runs", output=path,
            )  # fmt: skip
        _require_input(name, path)
    return vggbench.probe(paths["train"], test=paths["val"])


def _require_input(name: str, path: Path) -> None:
    """Raise VggbenchError for a file that was made with another input than its name says."""
    text = INPUTS[name][0]
    for found in vggbench.read_features(path).about["input"].values():
        if Input.from_dict(found) != input_of_text(text):
            raise VggbenchError(f"{path} was made with another --input: expected {text}. Remove it.")


def _outcome(found: Probed) -> Outcome:
    return found.rows[0].outcomes[0]


def _record(name: str, found: Probed) -> dict[str, Any]:
    outcome = _outcome(found)
    assert outcome.error
    low, high = outcome.error.interval
    return {
        "input": INPUTS[name][0], "figure": outcome.figure, "top1_error": outcome.error.percent, "low": low,
        "high": high, "wrong": outcome.error.wrong, "images": outcome.error.images, "cost": outcome.cost,
        "held_out": outcome.held_out,
    }  # fmt: skip


def _document(found: dict[str, Probed]) -> Iterator[str]:
    right = _outcome(found["caffe"])
    about = found["caffe"].rows[0].descriptors.about[0]
    scales = ", ".join(map(str, about["scales"]))
    over = f" {about['over_scales']}d" if about["over_scales"] == "average" else " stacked"
    views = {"center": "the central crop", "dense": "the whole image and its mirror"}[about["views"]]
    yield "<!-- python tables/caltech_probe.py FOLDER -->\n"
    yield "# Descriptors of real photographs, by what the net is given\n"
    yield (
        f"The 13 convolutions of Oxford's D (weights {str(about['weights'][0])[:8]}), {about['layer']} averaged over "
        f"{views}, Q={scales}{over if len(about['scales']) > 1 else ''}, "
        f"{about.get('precision')}; a linear SVM on {right.train} photographs of {found['caffe'].classes} classes of "
        f"Caltech-101, tested on {right.test} others. C is chosen on the photographs that train.\n"
    )
    yield "| `--input` | The net is given | C | Mean class recall, % | Top-1 error, % (95%) | Wrong |"
    yield "|---|---|--:|--:|--:|--:|"
    for name, one in found.items():
        row = _record(name, one)
        yield (
            f"| `{row['input']}` | {INPUTS[name][1]} | {row['cost']:g} | {row['figure']:.2f} | "
            f"{row['top1_error']:.1f} [{row['low']:.1f}, {row['high']:.1f}] | {row['wrong']} of {row['images']} |"
        )
    yield from _pairs(found)


def _pairs(found: dict[str, Probed]) -> Iterator[str]:
    tests = [_paired("caffe", name, found) for name in INPUTS if name != "caffe"]
    yield "\nPaired by photograph with the first: McNemar's exact test, adjusted by Holm.\n"
    yield "| Input | Error against the first, points (95%) | Right in the first alone | Right in it alone | p |"
    yield "|---|--:|--:|--:|--:|"
    for test, p in zip(tests, holm([test.p for test in tests]), strict=True):
        low, high = test.interval
        yield (
            f"| `{test.second}` | {test.points:+.1f} [{low:+.1f}, {high:+.1f}] | {test.broken} | {test.fixed} | "
            f"{p:.2g} |"
        )
    yield f"\nscikit-learn {found['caffe'].sklearn}, seed {found['caffe'].seed}."


def _paired(first: str, second: str, found: dict[str, Probed]) -> Paired:
    wrong, also = (set(_outcome(found[name]).wrong or ()) for name in (first, second))
    return Paired(
        INPUTS[first][0], INPUTS[second][0], fixed=len(wrong - also), broken=len(also - wrong),
        both=len(wrong & also), images=_outcome(found[first]).test,
    )  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except VggbenchError as error:
        sys.exit(str(error))

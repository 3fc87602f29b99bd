"""Oxford's convolutions on photographs: `make caltech CONVOLUTIONS=FILE CALTECH=FOLDER` (docs/howto/transfer.md).

FILE holds the 13 convolutions of D as Keras converted them; FOLDER has train/ and val/ with classes of Caltech-101.
Two pages are written: tables/caltech.md (fc layers fitted to the classes, by every protocol) and tables/precision.md
(bf16, fp16 and TF32 against fp32). Killed, it resumes. tables/caltech_probe.py asks the convolutions alone.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vggbench.cli.evaluating import Teller
from vggbench.cli.terminal import speak
from vggbench.data import open_data
from vggbench.errors import VggbenchError
from vggbench.evaluation.request import Request
from vggbench.files import write_whole
from vggbench.images.packs import Images
from vggbench.images.packs import Request as Pictures
from vggbench.images.preprocessing import Rescale
from vggbench.inference.choices import Precision
from vggbench.inference.devices import pick_device
from vggbench.metrics import SIGNIFICANT, holm
from vggbench.nets.vgg import VGG
from vggbench.results.evaluated import Evaluated, evaluated
from vggbench.results.lines import Line, Paired, paired
from vggbench.results.rows import Row, row
from vggbench.store.posteriors import posteriors
from vggbench.studies.doctor.checks import TOLERANCES
from vggbench.weights.files import description_in
from vggbench.weights.load import LoadOptions, load_model
from vggbench.weights.spec import ModelSpec

BUILD = Path("build/caltech")
NET = BUILD / "d.safetensors"
SCALES = (256, 384, 512)
MIDDLE = (384,)
RECIPE = shlex.split(
    "--train-layers fc --crops fixed --input caffe --train-scale 384 --init paper --rate 0.0002 --batch-size 32 "
    "--epochs 20 --seed 0"
)


@dataclass(frozen=True)
class Claim:
    """What the paper says of D at S=256-512 on ILSVRC, in points of top-1; the second row is the better one."""

    says: str
    worse: tuple[str, tuple[int, ...]]
    better: tuple[str, tuple[int, ...]]
    paper: str


CLAIMS = (
    Claim("three Qs beat one, dense", ("dense", MIDDLE), ("dense", SCALES), "-0.8 (Tables 3, 4)"),
    Claim("multi-crop beats dense", ("dense", SCALES), ("multicrop", SCALES), "-0.2 (Table 5)"),
    Claim("both beat dense", ("dense", SCALES), ("dense+multicrop", SCALES), "-0.4 (Table 5)"),
    Claim("both beat multi-crop", ("multicrop", SCALES), ("dense+multicrop", SCALES), "-0.2 (Table 5)"),
    Claim("ten crops beat one", ("center", MIDDLE), ("tencrop", MIDDLE), "-"),
    Claim("dense beats the centre crop", ("center", MIDDLE), ("dense", MIDDLE), "-"),
    Claim("both beat the centre crop", ("center", MIDDLE), ("dense+multicrop", SCALES), "-"),
)


def main() -> None:
    """Compute what is missing, and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("convolutions", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, help="of the protocols' table; all, unless said")
    parser.add_argument("--grid", type=int, default=1, help="of multi-crop's offsets: 8 shares convolutions")
    parser.add_argument("--precise", type=int, help="images of the table of precisions")
    parser.add_argument(
        "--fp16", type=int, help="of these, images in fp16, at the first Q alone, for CPUs are slow at it"
    )
    parser.add_argument("--precision", default="fp32", help="of the training and the protocols' table")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    speak()
    BUILD.mkdir(parents=True, exist_ok=True)
    if not NET.exists():
        source = ["train", "D", "--data", str(given.data), "--from", f"D@{given.convolutions}", *RECIPE]
        where = ["--device", given.device, "--runs", str(BUILD / "runs"), "--output", str(NET)]
        _run([*source, "--precision", given.precision, *where])
    _write("caltech", _protocols(_evaluated(given, given.precision, given.images)))
    others = [Beside("bf16", given.precise, SCALES)]
    if pick_device(given.device).type == "cuda":  # a CPU has no TF32, and is a twentieth as fast in fp16
        others += [Beside("fp16", given.precise, SCALES), Beside("tf32", given.precise, SCALES)]
    elif given.fp16:
        others.append(Beside("fp16", given.fp16, SCALES[:1]))
    _write("precision", _precision(others, given))


@dataclass(frozen=True)
class Beside:
    """A precision beside fp32, on so many images at these Qs."""

    precision: Precision
    images: int | None
    scales: Sequence[int]


def _write(name: str, lines: Iterator[str]) -> None:
    text = "\n".join([f"<!-- python tables/caltech.py {shlex.join(sys.argv[1:])} -->", "", *lines])
    write_whole(Path(f"tables/{name}.md"), f"{text.rstrip()}\n".encode())


def _run(command: list[str]) -> str:
    done = subprocess.run([sys.executable, "-m", "vggbench", *command], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def _evaluated(
    given: argparse.Namespace, precision: str, limit: int | None, scales: Sequence[int] = SCALES
) -> Evaluated:
    request = Request(
        models=[f"D@{NET}"], data=str(given.data / "val"), protocols=["center", "tencrop", "dense", "multicrop"],
        scales=[*scales], grid=given.grid, limit=limit, runs=BUILD / "runs", precision=precision, device=given.device,
        backend="pytorch",
    )  # fmt: skip
    return evaluated(request, Teller())


def _protocols(part: Evaluated) -> Iterator[str]:
    """Section (b)."""
    model = part.models[0]
    lines = part.lines(model)
    yield "# The paper's protocols on photographs\n"
    yield (
        "D: the 13 convolutions of Oxford's net as Keras converted them, frozen, and fc layers that `vggbench train` "
        f"fitted to photographs of {model.classes} classes of Caltech-101; S={model.train_scale}; input {model.input}. "
        f"Evaluated on {len(lines[0].posteriors.images)} other photographs, which also chose the epoch, by the central "
        "crop at Q=S: that favours its row. The paper's differences are of its own D at S=256-512, on the 50,000 "
        "images of ILSVRC-2012 val: their sign alone can be compared.\n"
    )
    yield "| Q | Protocol | Views | Top-1 error (%) | 95% interval | Wrong | GMACs/image |"
    yield "|---|---|--:|--:|---|--:|--:|"
    yield from (_row(row(line, part.ranking)) for line in lines)
    run = part.runs[0]
    yield f"\nIntervals: Wilson, over images. {run.signature['precision']}, {run.signature['backend']}.\n"
    tests = list(_tests(part, lines))
    adjusted = holm([test.p for _, test in tests])
    yield (
        f"Paired by image: change in top-1 error, in points, and McNemar's exact p after Holm's correction for "
        f"{len(tests)} tests.\n"
    )
    yield "| Claim | From | To | Points | 95% interval | Fixed / broken | p (Holm) | Paper's | Here it |"
    yield "|---|---|---|--:|---|--:|--:|---|---|"
    for (claim, test), p in zip(tests, adjusted, strict=True):
        low, high = test.interval
        here = "cannot be told" if p >= SIGNIFICANT else "holds" if test.points < 0 else "does not hold"
        yield (
            f"| {claim.says} | {test.first} | {test.second} | {test.points:+.1f} | {low:+.1f} to {high:+.1f} "
            f"| {test.fixed} / {test.broken} | {p:.2g} | {claim.paper} | {here} |"
        )
    recipe = description_in(NET)["recipe"]
    assert isinstance(recipe, dict)
    yield f"\nTrained by: `{recipe['command']}`"


def _tests(part: Evaluated, lines: Sequence[Line]) -> Iterator[tuple[Claim, Paired]]:
    for claim in CLAIMS:
        crops = next(line.protocol for line in lines if line.protocol.startswith("multicrop"))
        sides = ((name.replace("multicrop", crops), scales) for name, scales in (claim.worse, claim.better))
        worse, better = (Line.find(lines, *side) for side in sides)
        assert worse
        assert better
        yield claim, paired(worse, better, part.ranking)


def _row(found: Row) -> str:
    assert found.errors
    top1 = found.errors.top1
    low, high = top1.interval
    return (
        f"| {','.join(map(str, found.scales))} | {found.protocol} | {found.views} | {top1.percent:.1f} "
        f"| {low:.1f} to {high:.1f} | {top1.wrong} | {(found.macs or 0) / 1e9:,.1f} |"
    )


def _precision(others: Sequence[Beside], given: argparse.Namespace) -> Iterator[str]:
    """Section (c)."""
    cells: dict[tuple[str, tuple[int, ...]], dict[str, str]] = {}
    devices: set[str] = set()
    verdicts = []
    for own in others:
        both = [_evaluated(given, name, own.images, own.scales) for name in ("fp32", own.precision)]
        devices |= {str(entry["device"]) for part in both for entry in part.provenance}
        most = 0.0
        for line, other in zip(*(part.lines(part.models[0]) for part in both), strict=True):
            difference, moved, count = _difference(line, other)
            most = max(most, difference)
            words = f"{difference:.1e}, {moved} of {count}"
            cells.setdefault((line.protocol, line.own_scales), {})[own.precision] = words
        bound = TOLERANCES[own.precision]
        verdicts.append(f"{own.precision} {most:.2g}, {'within' if most <= bound else 'beyond'} {bound:g}")
    yield "# Other precisions on real activations\n"
    yield (
        f"The net of tables/caltech.md, by {', '.join(sorted(devices))}. With Caffe's input its activations reach "
        f"{_largest(given):,.0f} after a ReLU. Each cell: the largest difference of any posterior from fp32, how many "
        "photographs get another first class, and of how many.\n"
    )
    yield f"| Q | Protocol | {' | '.join(own.precision for own in others)} |"
    yield f"|---|---|{'---|' * len(others)}"
    for (protocol, scales), found in cells.items():
        words = " | ".join(found.get(own.precision, "-") for own in others)
        yield f"| {','.join(map(str, scales))} | {protocol} | {words} |"
    yield (
        f"\nThe largest, beside the tolerance by which `vggbench doctor` judges a device: {'; '.join(verdicts)}. A "
        "table never mixes precisions, and says which one made it."
    )


def _difference(line: Line, other: Line) -> tuple[float, int, int]:
    """Between the posteriors of the same images, the largest, how many first classes differ, and of how many."""
    ours, theirs = (posteriors(one.posteriors) for one in (line, other))
    assert line.posteriors.images == other.posteriors.images
    moved = int((ours.argmax(1) != theirs.argmax(1)).sum())
    return float(np.abs(ours - theirs).max()), moved, len(ours)


@torch.inference_mode()
def _largest(given: argparse.Namespace) -> float:
    """The largest output of any ReLU in fp32, on the whole picture at Q=384 of one photograph of each class."""
    model = load_model(ModelSpec.parse(f"D@{NET}"), LoadOptions(), ())
    assert isinstance(model.module, VGG)
    found = [0.0]
    for module in model.module.features:
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(lambda module, given, output: found.append(float(output.max())))
    data = open_data(given.data / "val")
    images = Images(data.images, Rescale())
    for place in range(0, len(data), len(data) // len(data.class_names)):
        picture = images.one(Pictures.plain(place, [384])).at(384)
        model.module.features(model.input.normalise(picture[None].float()))
    return max(found)


if __name__ == "__main__":
    try:
        main()
    except VggbenchError as error:
        sys.exit(str(error))

"""The paper's protocols on a real net and photographs: `python tables/caltech.py D@NET.safetensors VAL --runs RUNS`.

The net is Oxford's convolutions of D with fc layers fitted to the training half of `caltech-sample`, as
docs/transfer.md says. Whatever is stored is not computed again; `--multicrop N` takes 50 crops at each Q of N images.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vggbench.cli.evaluating import Teller
from vggbench.cli.terminal import speak
from vggbench.evaluation.request import Request
from vggbench.metrics import holm
from vggbench.results.evaluated import Evaluated, evaluated
from vggbench.results.lines import Line, Paired, paired
from vggbench.results.rows import Row, row

SCALES = (256, 384, 512)
HEAD = (
    "| Q | Protocol | Views | Top-1 error (%) | 95% CI | Wrong | GMACs/image |",
    "|---|---|--:|--:|---|--:|--:|",
)


@dataclass(frozen=True)
class Claim:
    """What the paper says of D at S=256-512 on ILSVRC, by its difference in points; the second is the better one."""

    says: str
    worse: tuple[str, tuple[int, ...]]
    better: tuple[str, tuple[int, ...]]
    paper: str


CLAIMS = (
    Claim("three Qs beat one, dense", ("dense", (384,)), ("dense", SCALES), "-0.8 (Tables 3, 4)"),
    Claim("the same, from Q = S", ("dense", (256,)), ("dense", SCALES), "- (S=256-512 alone)"),
    Claim("multi-crop beats dense", ("dense", SCALES), ("multicrop8", SCALES), "-0.2 (Table 5)"),
    Claim("both beat dense", ("dense", SCALES), ("dense+multicrop8", SCALES), "-0.4 (Table 5)"),
    Claim("both beat multi-crop", ("multicrop8", SCALES), ("dense+multicrop8", SCALES), "-0.2 (Table 5)"),
    Claim("ten crops beat one", ("center", (256,)), ("tencrop", (256,)), "-"),
    Claim("dense beats the centre crop", ("center", (256,)), ("dense", (256,)), "-"),
    Claim("both beat ten crops", ("tencrop", (256,)), ("dense+multicrop8", SCALES), "-"),
)


def main() -> None:
    """Evaluate, and write tables/caltech.md and tables/caltech.csv."""
    speak()
    given = _arguments()
    whole = _evaluated(given, ["center", "tencrop", "dense"], None)
    parts = [whole]
    if given.multicrop:
        limit = None if given.multicrop >= len(whole.data) else given.multicrop
        several = _evaluated(given, ["center", "tencrop", "dense", "multicrop"], limit)
        parts = [several] if limit is None else [whole, several]
    text = "\n".join(_document(parts))
    Path("tables/caltech.md").write_text(f"<!-- {shlex.join(['python', *sys.argv])} -->\n\n{text}\n", encoding="utf-8")
    import pandas

    pandas.concat([part.to_pandas() for part in parts]).to_csv("tables/caltech.csv", index=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--multicrop", type=int, default=0, help="images of multi-crop's table")
    parser.add_argument("--backend", default="auto")
    return parser.parse_args()


def _evaluated(given: argparse.Namespace, protocols: list[str], limit: int | None) -> Evaluated:
    request = Request(
        models=[given.model], data=given.data, protocols=protocols, scales=SCALES, runs=given.runs, limit=limit,
        grid=8 if "multicrop" in protocols else 1, backend=given.backend,
    )  # fmt: skip
    return evaluated(request, Teller())


def _document(parts: Sequence[Evaluated]) -> Iterator[str]:
    model = parts[0].models[0]
    yield "# The paper's protocols on photographs\n"
    yield (
        f"D, the 13 convolutions of Oxford's net as Keras and tf2onnx converted them, with fc layers that were fitted "
        f"by `vggbench train` to the training half of caltech-sample (360 photographs of 12 classes of Caltech-101; "
        f"docs/transfer.md), at S={model.train_scale}; input {model.input}. Measured on the validation half. The "
        "differences of the paper are of its own net D, S=256-512, on ILSVRC-2012 val: of another net, other classes "
        "and 208 times as many images, so for the direction alone.\n"
    )
    for part in parts:
        lines = part.lines(model)
        run = part.runs[0]
        yield f"## {len(lines[0].posteriors.images):,} photographs\n"
        yield from HEAD
        for line in lines:
            yield _row(row(line, part.ranking))
        yield f"\nBounds: 95% Wilson, over images. {run.signature['precision']}, {run.signature['backend']}.\n"
        yield from _claims(part, lines)


def _row(found: Row) -> str:
    assert found.errors
    top1 = found.errors.top1
    low, high = top1.interval
    scales = ",".join(map(str, found.scales))
    return (
        f"| {scales} | {found.protocol} | {found.views} | {top1.percent:.1f} | {low:.1f}-{high:.1f} | {top1.wrong} "
        f"| {(found.macs or 0) / 1e9:,.1f} |"
    )


def _claims(part: Evaluated, lines: Sequence[Line]) -> Iterator[str]:
    tests: list[tuple[Claim, Paired]] = []
    for claim in CLAIMS:
        worse, better = (Line.find(lines, *side) for side in (claim.worse, claim.better))
        if worse and better:
            tests.append((claim, paired(worse, better, part.ranking)))
    adjusted = holm([test.p for _, test in tests])
    yield (
        f"Paired by image: top-1 points (95% interval), McNemar's exact p after Holm's correction for {len(tests)} "
        "tests.\n"
    )
    yield "| The paper finds | From | To | Points | 95% interval | Mended / spoiled | p | Paper's | Here it |"
    yield "|---|---|---|--:|---|--:|--:|--:|---|"
    for (claim, test), p in zip(tests, adjusted, strict=True):
        low, high = test.interval
        here = "cannot be told" if p >= 0.05 else "holds" if test.points < 0 else "does not hold"
        yield (
            f"| {claim.says} | {test.first} | {test.second} | {test.points:+.1f} | {low:+.1f} to {high:+.1f} "
            f"| {test.fixed} / {test.broken} | {p:.2g} | {claim.paper} | {here} |"
        )
    yield ""


if __name__ == "__main__":
    main()

"""The paper's findings in miniature: small nets on the sample, in the form of its Tables 3 to 5 (`make miniature`)."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vggbench import Job, Protocol, Settings, TrainScale, open_data
from vggbench.cli.progress import Progress
from vggbench.cli.terminal import say, speak
from vggbench.evaluation.loop import execute
from vggbench.evaluation.plan import Plan, prepare
from vggbench.paper.configs import CONFIGS
from vggbench.paper.protocols import resolve_scales
from vggbench.paper.published import Member, published
from vggbench.render.tables.cells import duration
from vggbench.results.lines import Line, Paired, Ranking, model_lines, paired
from vggbench.results.rows import row
from vggbench.store.recording import Store
from vggbench.weights.files import read_tensors
from vggbench.weights.load import LoadOptions, Model, load_model
from vggbench.weights.spec import ModelSpec

BUILD = Path("build/miniature")
NETS = ("A", "B", "C", "D")
SCALES = ("256", "256-512")
CROPPED = ("D", "256-512")
"""The net of Table 5."""
RECIPE = (
    "--data sample --width 0.0625 --batch-size 32 --dropout 0.2 --epochs 12 --patience 3 --drops 1 --normalise mean"
)
"""Of every net, from Glorot's weights at S=256; all else is the paper's."""
JITTERED = f"{RECIPE} --rate 0.001"
"""The jittered nets continue the fixed ones, all layers, as in the paper (from 384 there), at a tenth of the rate."""


@dataclass(frozen=True)
class Finding:
    """What the paper says, and two lines that would show it: the second is the better one."""

    says: str
    worse: Line
    better: Line
    paper: float
    """The paper's difference in points."""


def main() -> None:
    """Train, evaluate, and write tables/miniature.md."""
    speak()
    BUILD.mkdir(parents=True, exist_ok=True)
    for scale in SCALES:
        for net in NETS:
            _train(net, scale)
    models = {(net, scale): _load(net, scale) for scale in SCALES for net in NETS}
    plan = _evaluated(models)
    lines = {key: model_lines(plan.runs, model.identity) for key, model in models.items()}
    text = "\n".join(_document(plan, models, lines))
    Path("tables/miniature.md").write_text(text, encoding="utf-8")
    say("tables/miniature.md is written.")


def _file(net: str, scale: str) -> Path:
    return BUILD / f"{net}-S{scale}.safetensors"


def _train(net: str, scale: str) -> None:
    """By the project's own command, which answers from its checkpoint where it has run before."""
    recipe = RECIPE if scale == "256" else f"{JITTERED} --from {net}@{_file(net, '256')}"
    options = [*recipe.split(), "--train-scale", scale, "--runs", str(BUILD / "runs")]
    command = ["train", net, *options, "--output", str(_file(net, scale))]
    subprocess.run([sys.executable, "-m", "vggbench", *command], check=True)


def _load(net: str, scale: str) -> Model:
    return load_model(ModelSpec(CONFIGS[net], str(_file(net, scale))), LoadOptions(), ())


def _scales(scale: str) -> tuple[int, ...]:
    return resolve_scales(("multi",), TrainScale.parse(scale))


def _evaluated(models: dict[tuple[str, str], Model]) -> Plan:
    """One pass over the held-out pictures for all nets, protocols and Qs."""
    jobs = [Job(model, Protocol("dense"), q) for (_, scale), model in models.items() for q in _scales(scale)]
    jobs += [Job(models[CROPPED], Protocol("multicrop"), q) for q in _scales(CROPPED[1])]
    plan = prepare(open_data("sample-heldout"), jobs, Store(BUILD / "runs"), Settings())
    with Progress(plan) as progress:
        execute(plan, progress)
    progress.summary()
    return plan


def _document(
    plan: Plan, models: dict[tuple[str, str], Model], lines: dict[tuple[str, str], list[Line]]
) -> Iterator[str]:
    single = {key: _found(lines[key], "dense", (TrainScale.parse(key[1]).single,)) for key in models}
    multi = {key: _found(lines[key], "dense", _scales(key[1])) for key in models}
    crops = [_found(lines[CROPPED], name, _scales(CROPPED[1])) for name in ("dense", "multicrop", "dense+multicrop")]
    yield "<!-- make miniature -->\n"
    yield "# The paper's findings in miniature\n"
    yield (
        f"Nets of a sixteenth of the paper's width, trained on the 2,400 pictures of SAMPLE (twelve drawn classes, not "
        f"ImageNet) and evaluated on {len(plan.data):,} held-out ones. Every net is trained once: at S=256 by "
        f"`vggbench train NET {RECIPE}`, and from there at S=256-512 by `vggbench train NET {JITTERED} --train-scale "
        "256-512 --from NET`, which adds as many epochs again. Another seed would give other figures, which the bounds "
        "(95% Wilson, over images) and tests leave out. Paper: ILSVRC-2012 val at full width, for the order alone.\n"
    )
    yield from _table("Table 3: one test scale, dense", list(single.values()), plan)
    yield from _table("Table 4: three test scales, dense", list(multi.values()), plan)
    yield from _table("Table 5: dense against multi-crop", crops, plan)
    yield from _findings(list(_claims(single, multi, crops)), plan)
    times = ", ".join(f"{net} {duration(_seconds(net))}" for net in NETS)
    yield f"Training, both S together: {times}."


def _table(title: str, lines: Sequence[Line], plan: Plan) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| Net | S | Q | Protocol | Top-1 error (%) | 95% CI | Top-5 error (%) | 95% CI | Paper, top-1 / top-5 |"
    yield "|---|---|---|---|--:|---|--:|---|---|"
    for line in lines:
        measured = row(line, Ranking(plan.data))
        assert measured.errors is not None
        assert measured.errors.top5 is not None, "twelve classes"
        top1, top5 = measured.errors.top1, measured.errors.top5
        result = published(line.protocol, (_member(line),))
        paper = f"{result.top1} / {result.top5}" if result else "-"
        bounds = [f"{low:.1f}-{high:.1f}" for low, high in (top1.interval, top5.interval)]
        yield (
            f"| {_net(line)} | {measured.train_scale} | {','.join(map(str, line.own_scales))} | {line.protocol} "
            f"| {top1.percent:.1f} | {bounds[0]} | {top5.percent:.1f} | {bounds[1]} | {paper} |"
        )
    yield ""


def _claims(
    single: dict[tuple[str, str], Line], multi: dict[tuple[str, str], Line], crops: Sequence[Line]
) -> Iterator[Finding]:
    """The comparisons of which the paper has both figures."""
    dense, multicrop, both = crops
    pairs = [("deeper is better", single[a, s], single[b, s]) for s in SCALES for a, b in (("A", "B"), ("B", "C"))]
    pairs += [("3x3 layers beat 1x1", single["C", scale], single["D", scale]) for scale in SCALES]
    pairs += [("a jittered S beats a fixed one", single[net, "256"], single[net, "256-512"]) for net in NETS]
    pairs += [("three test scales beat one", single[key], multi[key]) for key in single]
    pairs += [("multi-crop beats dense", dense, multicrop), ("both beat dense", dense, both)]
    pairs += [("both beat multi-crop", multicrop, both)]
    for says, worse, better in pairs:
        paper = [published(line.protocol, (_member(line),)) for line in (worse, better)]
        if paper[0] and paper[1]:
            yield Finding(says, worse, better, paper[1].top1 - paper[0].top1)


def _findings(findings: Sequence[Finding], plan: Plan) -> Iterator[str]:
    yield "## What holds here\n"
    yield (
        f"Difference in top-1 error on the same images, McNemar's exact p. With {len(findings)} tests a difference "
        f"counts from p < {0.05 / len(findings):.4f} (Bonferroni); the others cannot be told at this size. Between two "
        "nets the verdict is of these two trained files: one training each cannot tell what another seed would.\n"
    )
    yield "| The paper finds | From | To | Points | Mended / spoiled | p | Paper's points | Here it |"
    yield "|---|---|---|--:|--:|--:|--:|---|"
    for finding in findings:
        test = paired(finding.worse, finding.better, Ranking(plan.data))
        yield (
            f"| {finding.says} | {_name(finding.worse)} | {_name(finding.better)} | {test.points:+.1f} "
            f"| {test.mended} / {test.spoiled} | {test.p:.2g} | {finding.paper:+.1f} "
            f"| {_verdict(test, len(findings), between=finding.worse.models != finding.better.models)} |"
        )
    yield ""


def _verdict(test: Paired, tests: int, *, between: bool) -> str:
    if test.p >= 0.05 / tests:
        return "cannot be told"
    where = " between these two files" if between else ""
    return f"holds{where}" if test.points < 0 else f"does not hold{where}"


def _found(lines: Sequence[Line], protocol: str, scales: Sequence[int]) -> Line:
    line = Line.find(lines, protocol, scales)
    assert line is not None, (protocol, scales)
    return line


def _member(line: Line) -> Member:
    return Member(_net(line), str(line.models[0].train_scale), line.own_scales)


def _net(line: Line) -> str:
    net = line.models[0].architecture
    assert net is not None
    return net.config.name


def _name(line: Line) -> str:
    return f"{_net(line)}, S={line.models[0].train_scale}, {line.title}"


def _seconds(net: str) -> float:
    return float(sum(read_tensors(_file(net, scale))[1]["recipe"]["seconds"] for scale in SCALES))


if __name__ == "__main__":
    main()

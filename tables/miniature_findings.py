"""What the miniature's store says: errors over seeds and images, and which of the paper's findings hold here."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from miniature_design import (
    CLAIMS,
    CROPPED_IMAGES,
    EVALUATIONS,
    IMAGES,
    RECIPE,
    ROWS,
    RUNS,
    TABLES,
    TIMES,
    WIDTH,
    Claim,
    Evaluation,
    Line,
    Row,
    is_trained,
)
from numpy.typing import NDArray

from vggbench import Job, Protocol, Settings, open_data
from vggbench.evaluation.plan import Plan, prepare
from vggbench.metrics import SIGNIFICANT, Crossed, holm, ranks
from vggbench.paper.configs import CONFIGS
from vggbench.paper.published import Member, Result, published
from vggbench.render.tables.cells import duration, p_value
from vggbench.store.posteriors import fuse, posteriors
from vggbench.store.recording import Store
from vggbench.store.runs import Run
from vggbench.weights.load import LoadOptions, Model, load_model
from vggbench.weights.spec import ModelSpec

Key = tuple[Row, int, str, int]
"""A run: row, seed, protocol and Q."""


SETTINGS = Settings(backend="pytorch", workers=0)


@dataclass(frozen=True)
class Stored:
    """What is computed, of nets that were trained as the design says."""

    seeds: int
    runs: Mapping[Key, Run]
    """Complete runs."""
    labels: Mapping[str, int]
    """The label of each image by its id."""

    @classmethod
    def of(cls, seeds: int) -> "Stored":
        """What the store holds; nothing is computed."""
        data, runs = open_data("sample-heldout"), dict[Key, Run]()
        models = {(row, seed): _model(row, seed) for seed in range(seeds) for row in ROWS if is_trained(row, seed)}
        for own in EVALUATIONS:
            jobs = {
                (row, seed, own.protocol, scale): Job(model, Protocol.parse(own.protocol), scale)
                for (row, seed), model in models.items()
                if row in own.rows
                for scale in own.scales
            }
            if jobs:
                plan = prepare(data.subset(own.images), list(jobs.values()), Store(RUNS), SETTINGS, reads_only=True)
                runs |= _complete(plan, jobs)
        labels = data.labels(data.class_names, len(data.class_names)).tolist()
        return cls(seeds, runs, dict(zip((image.id for image in data.images), labels, strict=True)))

    def has(self, own: Evaluation, seed: int) -> bool:
        """Whether an evaluation is complete."""
        return all((row, seed, own.protocol, scale) in self.runs for row in own.rows for scale in own.scales)

    def wrong(self, line: Line, seed: int) -> dict[str, tuple[bool, bool]] | None:
        """Whether a net errs in its first class, and in its first five, by image; None where a run lacks."""
        keys = [[(line.row, seed, protocol, scale) for scale in line.scales] for protocol in line.protocols]
        if any(key not in self.runs for own in keys for key in own):
            return None
        each = [dict(_mean([self.runs[key] for key in own])) for own in keys]
        images = [image for image in each[0] if all(image in other for other in each)]
        mean = np.mean([[own[image] for image in images] for own in each], axis=0)
        found = ranks(mean, np.array([self.labels[image] for image in images]))
        return {image: (rank >= 1, rank >= 5) for image, rank in zip(images, found.tolist(), strict=True)}

    def outcomes(self, line: Line, other: Line | None = None) -> "Outcomes | None":
        """Outcomes of all seeds that have both lines, on the images of both; None where no seed has."""
        lines = [line] if other is None else [line, other]
        found = [[self.wrong(own, seed) for own in lines] for seed in range(self.seeds)]
        whole = [[own for own in of_seed if own is not None] for of_seed in found if None not in of_seed]
        if not whole:
            return None
        images = sorted(set.intersection(*(set(own) for of_seed in whole for own in of_seed)))
        errors = np.array([[[own[image] for image in images] for own in of_seed] for of_seed in whole], float)
        return Outcomes(errors)  # seed, line, image, top-1 or top-5


@dataclass(frozen=True)
class Outcomes:
    """Whether nets err: (S, 1 or 2, N, 2), by seed, line and image, in the first class and in the first five."""

    errors: NDArray[np.float64]

    @property
    def seeds(self) -> int:
        """The number of seeds with all lines complete."""
        return len(self.errors)

    @property
    def images(self) -> int:
        """The number of images, the same for every line."""
        return int(self.errors.shape[2])

    def error(self, place: int = 0) -> Crossed:
        """The top-1 error, or at place 1 the top-5 error, as a share."""
        return Crossed.of(self.errors[:, 0, :, place])

    @property
    def deviation(self) -> float:
        """The standard deviation of the top-1 error, over seeds."""
        return float(self.errors[:, 0, :, 0].mean(1).std(ddof=1))

    @property
    def change(self) -> Crossed:
        """The change in top-1 error from the first line to the second, as a share."""
        return Crossed.of(self.errors[:, 1, :, 0] - self.errors[:, 0, :, 0])


def _model(row: Row, seed: int) -> Model:
    return load_model(ModelSpec(CONFIGS[row.net], str(row.file(seed))), LoadOptions(), ())


def _complete(plan: Plan, jobs: Mapping[Key, Job]) -> dict[Key, Run]:
    planned = {key: plan.run_of(job) for key, job in jobs.items()}
    return {key: run for key, run in planned.items() if not run.missing()}


def _mean(runs: Sequence[Run]) -> Iterator[tuple[str, NDArray[np.floating]]]:
    """Posteriors over Qs, by image."""
    mean = fuse(*runs)
    return zip(mean.images, posteriors(mean), strict=True)


def document(seeds: int) -> str:
    """The whole of tables/miniature.md."""
    stored = Stored.of(seeds)
    return "\n".join([*_introduction(stored), *_findings(stored), *_tables(stored), *_time(seeds), ""])


def _introduction(stored: Stored) -> Iterator[str]:
    lacking = list(_lacking(stored))
    yield "<!-- make miniature -->\n"
    yield "# The paper's findings in miniature\n"
    yield (
        f"Nets of {WIDTH:g} of the paper's width, each trained {stored.seeds} times, with another seed each time, on "
        "the 2,400 pictures of SAMPLE (twelve drawn classes, not ImageNet), all with the same budget and from random "
        f"weights: `vggbench train NET --data sample --width {WIDTH:g} {RECIPE} --train-scale S --seed N`. Errors are "
        f"on {IMAGES:,} held-out pictures, with multi-crop on {CROPPED_IMAGES:,} of them. What is tested was fixed "
        "before the first training; the recipe was chosen on other pictures, with other seeds. How to read this: "
        "docs/explain/miniature.md.\n"
    )
    if lacking:
        yield (
            f"**Not finished**: {'; '.join(lacking)}. Each line below says of how many seeds it is; `make miniature` "
            "computes the rest.\n"
        )


def _lacking(stored: Stored) -> Iterator[str]:
    """What there is less of than asked for, in words."""
    for row in ROWS:
        trained = sum(is_trained(row, seed) for seed in range(stored.seeds))
        if trained < stored.seeds:
            yield f"{row.net} at S={row.scale} is trained {trained} of {stored.seeds} times"
    for own in EVALUATIONS:
        done = sum(stored.has(own, seed) for seed in range(stored.seeds))
        if done < stored.seeds:
            nets = ", ".join(row.net for row in own.rows)
            yield f"{own.protocol} at Q={','.join(map(str, own.scales))} of {nets} is computed for {done} seeds"


def _findings(stored: Stored) -> Iterator[str]:
    found = {claim: stored.outcomes(claim.first, claim.second) for claim in CLAIMS}
    changes = {claim: own.change for claim, own in found.items() if own is not None}
    adjusted = dict(zip(CLAIMS, holm([changes[claim].p if claim in changes else 1.0 for claim in CLAIMS]), strict=True))
    yield "## What holds here\n"
    yield (
        "Change in top-1 error from one line to the other, in points: the mean over seeds, 95% interval over seeds and "
        "images (Obuchowski & Rockette 1995; Hillis 2007), and p by Holm for all "
        f"{len(CLAIMS)} claims together, of which a verdict needs p < {SIGNIFICANT:g}. The paper's points are of "
        "ILSVRC-2012 at full width: their sign is what is tested, not their size.\n"
    )
    yield "| The paper finds | From | To | Seeds | Points | 95% interval | p (Holm) | Paper's points | Here it |"
    yield "|---|---|---|--:|--:|---|--:|--:|---|"
    for claim, own in found.items():
        points = "-" if own is None else f"{100 * own.change.mean:+.1f}"
        p, paper = adjusted[claim], paper_points(claim)
        yield (
            f"| {claim.says} | {claim.first.title} | {claim.second.title} | {own.seeds if own else 0} | {points} "
            f"| {_interval(changes.get(claim))} | {p_value(p) if own and own.seeds > 1 else '-'} "
            f"| {'7% (section 4.1)' if paper is None else f'{paper:+.1f}'} | {verdict(claim, changes.get(claim), p)} |"
        )
    yield ""


def verdict(claim: Claim, change: Crossed | None, p: float) -> str:
    """Whether the change has the paper's sign, if it is significant among all."""
    if change is None or p >= SIGNIFICANT:
        return "cannot be told"
    paper = paper_points(claim)
    return "holds" if (change.mean < 0) == (paper is None or paper < 0) else "does not hold"


def paper_points(claim: Claim) -> float | None:
    """From the first line's published top-1 error to the second's; None where the paper prints none."""
    first, second = (_published(line) for line in (claim.first, claim.second))
    return second.top1 - first.top1 if first and second else None


def _published(line: Line) -> Result | None:
    return published(line.protocol, (Member(line.row.net, line.row.scale, line.scales),))


def _interval(found: Crossed | None, form: str = "+.1f", least: float = -100) -> str:
    if found is None or not found.freedom:
        return "-"
    low, high = (max(100 * bound, least) for bound in found.interval)
    return f"{low:{form}} to {high:{form}}"


def _tables(stored: Stored) -> Iterator[str]:
    for title, lines, beside in TABLES:
        yield f"## {title}\n"
        yield (
            "| Net | S | Q | Protocol | Seeds | Top-1 error (%) | 95% interval | Deviation over seeds "
            "| Top-5 error (%) | Paper, top-1 / top-5 |"
        )
        yield "|---|---|---|---|--:|--:|---|--:|--:|---|"
        for line in lines:
            yield _line(line, stored.outcomes(line, beside))
        yield ""


def _line(line: Line, own: Outcomes | None) -> str:
    paper = _published(line)
    cells = [line.row.net, line.row.scale, ",".join(map(str, line.scales)), line.protocol]
    if own is None:
        cells += ["0", "-", "-", "-", "-"]
    else:
        top1, top5 = own.error(), own.error(1)
        deviation = f"{100 * own.deviation:.1f}" if own.seeds > 1 else "-"
        cells += [
            str(own.seeds),
            f"{100 * top1.mean:.1f}",
            _interval(top1, ".1f", least=0),
            deviation,
            f"{100 * top5.mean:.1f}",
        ]
    return f"| {' | '.join([*cells, f'{paper.top1} / {paper.top5}' if paper else '-'])} |"


def _time(seeds: int) -> Iterator[str]:
    notes = [json.loads(path.read_text()) for path in sorted(TIMES.glob("*.json"))]
    trainings, evaluations = ([n for n in notes if n["training"] is which] for which in (True, False))
    trained = len({n["task"] for n in trainings})
    whole = duration(sum(n["cpu"] for n in evaluations))
    yield (
        f"Time of a core, recorded while it ran, with interrupted sittings: {whole} for the evaluations, and "
        f"{duration(sum(n['cpu'] for n in trainings))} for {trained} of the {len(ROWS) * seeds} trainings."
        + ("" if trained == len(ROWS) * seeds else " The others were trained elsewhere.")
    )

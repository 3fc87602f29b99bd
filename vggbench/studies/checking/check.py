"""`check`: is this the published accuracy? Images in a random order, until the claim is refuted or enough are seen."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbench.data import DataSet
from vggbench.errors import UsageError
from vggbench.evaluation.jobs import Job, Settings, Watch
from vggbench.evaluation.listening import Listener
from vggbench.evaluation.loop import execute
from vggbench.evaluation.models import load_all
from vggbench.evaluation.plan import Plan, prepare
from vggbench.evaluation.request import Request
from vggbench.evaluation.session import opened_for, require_possible
from vggbench.images.preprocessing import Rescale
from vggbench.store.posteriors import label_ranks
from vggbench.store.recording import Recording, Store
from vggbench.studies.checking.claim import Claim, Judged
from vggbench.studies.explanation import CHANGES

CULPRITS = (
    "channels swapped", "scale of 255", "mean reversed", "no antialias", "warped", "bicubic", "bilinear",
    "tensor resize", "pooling",
)  # fmt: skip
"""Changes of `explain` that are tried where a claim is refuted, the likeliest first."""
SHIFTED = "classes shifted by one"
Tell = Callable[[Judged], None]


class _EnoughError(Exception):
    """Nothing more need be computed."""


@dataclass(frozen=True)
class Verdict:
    """What came of it; `culprit` names the change under which the claim is not refuted, if one was found."""

    job: Job
    data: DataSet
    judged: Judged
    culprit: str | None = None
    tried: tuple[str, ...] = ()

    @property
    def is_refuted(self) -> bool:
        """At 1%, top-1 and top-5 together."""
        return bool(self.judged.refuted)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        (low1, high1), (low5, high5) = (self.judged.intervals.get(k, (None, None)) for k in (1, 5))
        claim = self.judged.claim
        return {
            "network": self.job.identity.name,
            "weights_hash": self.job.identity.weights_hash,
            "protocol": str(self.job.protocol),
            "test_scale": self.job.scale,
            "data": self.data.name,
            "verdict": "refuted" if self.is_refuted else "not refuted",
            "images": self.judged.seen,
            "images_total": self.judged.total,
            "claimed_top1": claim.top1,
            "claimed_top5": claim.top5,
            "claimed_by": claim.source,
            "top1_low": low1,
            "top1_high": high1,
            "top5_low": low5,
            "top5_high": high5,
            "culprit": self.culprit,
            "tried": list(self.tried),
        }


def check(
    job: Job, data: DataSet, store: Store, settings: Settings, *, claim: Claim | None = None, images: int = 10_000,
    tell: Tell = lambda judged: None,
) -> Verdict:  # fmt: skip
    """Test a claim, the publisher's for this job if none is given, on up to so many images.

    What is computed stays in the store: a `check` goes on from it, and so does an evaluation of these images. Raises
    UsageError where nothing is published, and what an evaluation raises.
    """
    claim = claim or (Claim.of_job(job) if data.is_full_ilsvrc_val else None)
    if claim is None:
        raise UsageError(
            f"{job.title}: nothing is published for exactly these weights, protocol, Q and images. Expected --expect "
            "TOP1/TOP5, such as --expect 28.41/9.62; errors in percent."
        )
    shuffled = data.shuffled()
    judged = _judge(job, shuffled, store, settings, claim, images, tell)
    if not judged.refuted:
        return Verdict(job, shuffled, judged)
    tried: list[str] = []
    for name, other in _suspects(job, shuffled, store, settings, claim, judged.seen):
        tried.append(name)
        if not other.refuted:
            return Verdict(job, shuffled, judged, name, tuple(tried))
    return Verdict(job, shuffled, judged, None, tuple(tried))


def _judge(
    job: Job, data: DataSet, store: Store, settings: Settings, claim: Claim, images: int, tell: Tell
) -> Judged:  # fmt: skip
    """Judge what is stored, then the rest block by block, until the claim is refuted or `images` are seen."""
    plan = prepare(data, [job], store, settings)
    (run,) = plan.runs
    stored = _stored_ranks(run, plan)
    judged = Judged(claim, len(data), stored, job.identity.classes)
    for end in range(run.block, len(stored), run.block):  # as it was told when it was computed
        before = replace(judged, ranks=stored[:end])
        if before.refuted or end >= images:
            return before
    if len(stored) and (judged.refuted or judged.seen >= min(images, len(data))):
        return judged
    looking = _Looking(judged, min(images, len(data)), tell)
    with contextlib.suppress(_EnoughError):
        execute(plan, looking)
    return looking.judged


def _stored_ranks(run: Recording, plan: Plan) -> NDArray[np.int32]:
    """The ranks of the blocks from the first on, without a gap."""
    gap = next(iter(run.missing()), None)
    count = len(run.expected) if gap is None else run.block_range(gap)[0]
    if not run.images:
        return np.empty(0, np.int32)
    place = {image.id: at for at, image in enumerate(plan.data.images)}
    labels = plan.labels[0][[place[image] for image in run.images]]
    (found,) = label_ranks([run], labels)
    first = sum(place[image] < count for image in run.images)
    return found[:first]


class _Looking(Watch):
    """Judges after each block, and stops."""

    def __init__(self, judged: Judged, most: int, tell: Tell) -> None:
        self._stored, self._most, self._tell = judged.ranks, most, tell
        self.judged = judged

    def block(self, job: Job, label_ranks: NDArray[np.int32]) -> None:
        """`label_ranks` of all that was computed here, in the order of the images."""
        self.judged = replace(self.judged, ranks=np.concatenate([self._stored, label_ranks]))
        self._tell(self.judged)
        if self.judged.refuted or self.judged.seen >= self._most:
            raise _EnoughError


def _suspects(
    job: Job, data: DataSet, store: Store, settings: Settings, claim: Claim, seen: int
) -> Iterator[tuple[str, Judged]]:
    """Each likely culprit, and the claim by it on the images that were seen."""
    yield from _of_other_classes(job, data, store, settings, claim, seen)
    changes = {change.name: change for change in CHANGES}
    for name in CULPRITS:
        other = changes[name].apply(replace(job, rescale=job.rescale or Rescale()))
        if other is not None and (other.model is not job.model or other.rescale != (job.rescale or Rescale())):
            yield name, _judge(other, data, store, settings, claim, seen, lambda judged: None)


def _of_other_classes(
    job: Job, data: DataSet, store: Store, settings: Settings, claim: Claim, seen: int
) -> Iterator[tuple[str, Judged]]:
    """The same posteriors with their classes shifted by one, either way, or sorted otherwise: nothing is computed."""
    plan = prepare(data, [job], store, settings)
    (run,) = plan.runs
    place = {image.id: at for at, image in enumerate(data.images)}
    ids = run.images[:seen]
    labels = plan.labels[0][[place[image] for image in run.images]]
    classes = job.identity.classes
    for step in (1, -1):
        (found,) = label_ranks([run], (labels + step) % classes)
        yield f"{SHIFTED}", Judged(claim, len(data), found[: len(ids)], classes)


def checked(
    request: Request, listener: Listener, *, expect: str | None = None, images: int = 10_000,
    tell: Tell = lambda judged: None,
) -> Verdict:  # fmt: skip
    """Check the one model of a request by its one protocol at one Q; raises as `check` and `conduct` do."""
    claim = Claim.parse(expect) if expect else None
    require_possible(request)
    data = opened_for(request)
    for note in data.notes:
        listener.note(f"{note}.")
    (entry,) = load_all(request, data, listener)
    assert entry.model
    jobs = request.jobs_of(entry.model)
    if len(jobs) != 1:
        raise UsageError(f"{entry.name} by {len(jobs)} runs: expected one protocol at one Q to check.")
    return check(jobs[0], data, Store(request.runs), request.settings, claim=claim, images=images, tell=tell)

"""`locate`: the first stage where another pipeline differs from ours, and the likely cause."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggbench.data import ImageFile
from vggbench.errors import UnreadableImages, UsageError
from vggbench.evaluation.jobs import Job
from vggbench.images.headers import NotAnImage, header_of, read_whole
from vggbench.images.preprocessing import Rescale
from vggbench.studies.locating.candidates import VOCABULARY
from vggbench.studies.locating.dump import INPUT, LOGITS, PIXELS, POSTERIOR, Given, read_dump
from vggbench.studies.locating.network import Network
from vggbench.studies.locating.search import DIFFERENT, Search, Stage

_BGR, _POOLED = "bgr", "avgpool"
"""The latter is torchvision's, behind the last maps, which at 224 it leaves as they are."""


@dataclass(frozen=True)
class Located:
    """What became of each stage of a dump, in the pipeline's order."""

    job: Job
    how: Rescale
    image: str
    stages: list[Stage]

    @property
    def first_difference(self) -> str | None:
        """The name of the first stage that differs; None where all agree."""
        return next((stage.name for stage in self.stages if stage.verdict == DIFFERENT), None)

    @property
    def causes(self) -> list[str]:
        """Words of the vocabulary, each once, in the order of stages."""
        return list(dict.fromkeys(cause for stage in self.stages for cause in stage.causes))

    def as_dict(self) -> dict[str, Any]:
        """For JSON; keys may be added, never renamed."""
        return {
            "network": self.job.identity.name,
            "image": self.image,
            "test_scale": self.job.scale,
            "rescale": str(self.job.rescale or self.how),
            "stages": [stage_record(stage) for stage in self.stages],
            "first_difference": self.first_difference,
            "causes": self.causes,
            "meanings": {cause: VOCABULARY[cause] for cause in self.causes},
        }


def stage_record(stage: Stage) -> dict[str, Any]:
    """One stage for JSON and CSV."""
    is_finite = stage.largest < float("inf")
    return {
        "stage": stage.name,
        "verdict": stage.verdict,
        "largest_difference": stage.largest if is_finite else None,
        "unit": stage.tolerance.unit,
        "tolerance": stage.tolerance.same,
        "rounding": stage.tolerance.rounding,
        "layout": stage.reading,
        "causes": stage.causes,
        "also": stage.also,
    }


def locate(job: Job, how: Rescale, image: ImageFile, theirs: Path) -> Located:
    """Compare a dump with what `job` gives of an image.

    Raises DataError for a dump that is not understood, UnreadableImages for an image that cannot be decoded.
    """
    network = Network(job.model.module, job.protocol.crop)
    first, *others = [*network.layers, ""]
    given = read_dump(theirs, [name for name in (first, _POOLED, *others[:-1]) if name and _is_known(network, name)])
    try:
        data = read_whole(image)
        header_of(data)
        search = Search(job, how, data, network)
        stages = [search.judge(given[name]) for name in _in_order(given, network)]
    except NotAnImage as reason:
        raise UnreadableImages(f"{image.id} {reason}. Expected an image that decodes.") from reason
    _settle_order(stages)
    return Located(job, how, image.id, stages)


def require_central(job: Job) -> Job:
    """Refuse what takes more than one crop. Raises UsageError."""
    if not job.protocol.is_central:
        raise UsageError(f"locate follows one central crop: {job.protocol} takes more.")
    job.require_possible()
    return job


def _is_known(network: Network, name: str) -> bool:
    return network.named(name) in network.layers


def _in_order(given: dict[str, Given], network: Network) -> Sequence[str]:
    layers = [name for layer in network.layers for name in (layer, _POOLED)
              if name in given and network.named(name) == layer]  # fmt: skip
    return [name for name in (*PIXELS, INPUT, *dict.fromkeys(layers), LOGITS, POSTERIOR) if name in given]


def _settle_order(stages: list[Stage]) -> None:
    """Pixels in BGR are no fault where what follows is right; where it is not, or nothing follows, it began there."""
    first = next((stage for stage in stages if stage.is_bgr), None)
    follows = any(stage.name not in PIXELS for stage in stages)
    if first is None or (follows and not any(_BGR in stage.causes for stage in stages)):
        return
    for stage in stages:
        stage.causes = [cause for cause in stage.causes if cause != _BGR] if stage is not first else stage.causes
    first.verdict = DIFFERENT
    first.causes = list(dict.fromkeys([*first.causes, _BGR]))

"""Images of a run that were computed before, in another order, and are not computed again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vggbench.store.blocks import Block
from vggbench.store.runs import Run


@dataclass(frozen=True)
class Known:
    """The images that a run has, by id: a block of any of them is read from it."""

    run: Run
    labels: Mapping[str, int]
    """The label of each image by its id, as the run that takes over the images has it."""
    places: Mapping[str, int] = field(default_factory=dict)
    posteriors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    @classmethod
    def of(cls, run: Run, labels: Mapping[str, int]) -> Self:
        """Read a run; raises StoreError."""
        places = {image: place for place, image in enumerate(run.images)}
        return cls(run, labels, places, np.concatenate([batch.astype(np.float32) for batch in run.batches()]))

    def __contains__(self, image: object) -> bool:
        return image in self.places

    def of_ids(self, ids: Sequence[str]) -> Block:
        """A block of these images, all known."""
        at = [self.places[image] for image in ids]
        sizes, doubtful = self.run.sizes(), self.run.doubtful
        heights, widths = np.array([sizes[place] for place in at], np.int32).reshape(-1, 2).T
        part = len(ids) / max(1, len(self.places))
        provenance: list[dict[str, Any]] = [
            entry | {"seconds": entry["seconds"] * part} for entry in self.run.provenance
        ]
        return Block(
            tuple(ids), np.array([self.labels[image] for image in ids], np.int32), widths, heights,
            self.posteriors[at].reshape(len(ids), self.posteriors.shape[1]), {},
            {image: doubtful[image] for image in ids if image in doubtful}, provenance if ids else [],
        )  # fmt: skip


def merged_blocks(ids: Sequence[str], one: Block, other: Block) -> Block:
    """One block of the images that two have, in the order of `ids`."""
    place = {image: at for at, image in enumerate((*one.images, *other.images))}
    order = [place[image] for image in ids if image in place]
    posteriors = [block.posteriors for block in (one, other) if len(block.images)]

    def both(name: str) -> NDArray[Any]:
        found: NDArray[Any] = np.concatenate([getattr(one, name), getattr(other, name)])[order]
        return found

    return Block(
        tuple(image for image in ids if image in place), both("labels"), both("widths"), both("heights"),
        np.concatenate(posteriors)[order] if posteriors else one.posteriors, one.unreadable | other.unreadable,
        one.doubtful | other.doubtful, [*one.provenance, *other.provenance],
    )  # fmt: skip

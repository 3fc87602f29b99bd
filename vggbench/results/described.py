"""Descriptors as a fold over the store: runs of one or more nets at one or more Qs become one vector an image.

The paper's appendix B: a net's activations are averaged over positions and with the mirror's at each Q, the Qs are
averaged or stacked, and "the resulting image descriptor is L2-normalised"; several nets are fused "by stacking their
respective image descriptors". So runs hold no norm, each net's vector is divided by its own length once its Qs are
one, and a stack of nets by the root of their number, which makes its length 1 as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbench.data import DataSet
from vggbench.errors import StoreError
from vggbench.paper.descriptors import OverScales
from vggbench.store.blocks import rechunked, rows_of_group
from vggbench.store.features import MOST_NUMBERS, Features, write_features
from vggbench.store.runs import Run


@dataclass(frozen=True)
class Described:
    """The descriptors of images, read from the store whenever they are asked for."""

    data: DataSet
    nets: tuple[tuple[Run, ...], ...]
    """For each net its runs, by ascending Q; all of one descriptor, the same views and the same Qs."""
    over_scales: OverScales = "average"

    def __post_init__(self) -> None:
        first = self.nets[0][0]
        for run in self.runs:
            if run.images != first.images:
                raise StoreError(
                    f"{first.title} and {run.title} cover different images ({len(first.images):,} and "
                    f"{len(run.images):,}): expected the same. Repeat the command."
                )
        if self.numbers > MOST_NUMBERS:
            raise StoreError(
                f"A descriptor would have {self.numbers:,} numbers: expected at most {MOST_NUMBERS:,}. Take fewer Qs "
                "or nets, a later layer, or --pool average."
            )

    @property
    def runs(self) -> list[Run]:
        """The runs of all nets together."""
        return [run for runs in self.nets for run in runs]

    @property
    def images(self) -> tuple[str, ...]:
        """Ids, in the data's order, without those that could not be read."""
        return self.nets[0][0].images

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """(N,), by the data as it is labelled now."""
        own = {image.id: label for image, label in zip(self.data.images, self.data.own_labels.tolist(), strict=True)}
        return np.array([own[image] for image in self.images], dtype=np.int32)

    @property
    def numbers(self) -> int:
        """D."""
        return sum(run.numbers for runs in self.nets for run in (runs if self.over_scales == "stack" else runs[:1]))

    def batches(self) -> Iterator[NDArray[np.float32]]:
        """(n, D) at a time, of length 1 each but for those that are zero throughout, which stay."""
        rows = rows_of_group(max(self.numbers, *(run.numbers for run in self.runs)), 8)
        streams = [rechunked(run.batches(), rows) for run in self.runs]
        for found in zip(*streams, strict=True):
            each = iter(found)
            nets = [_unit(self._over_scales([next(each) for _ in runs])) for runs in self.nets]
            yield (np.concatenate(nets, axis=1) / np.sqrt(len(nets))).astype(np.float32)

    def _over_scales(self, each: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        wide = [one.astype(np.float64) for one in each]
        if self.over_scales == "stack":
            return np.concatenate(wide, axis=1)
        total = wide[0]
        for one in wide[1:]:
            total += one
        return total / len(wide)

    def about(self) -> dict[str, Any]:
        """What a file says of itself: see `store.features.ABOUT`."""
        from vggbench import __version__

        first, scales = self.nets[0][0], [run.scale for run in self.nets[0]]
        assert first.descriptor
        return {
            "models": [runs[0].identity.name for runs in self.nets],
            "weights": [runs[0].identity.weights_hash for runs in self.nets],
            "layer": first.descriptor.layer,
            "after_relu": first.descriptor.after_relu,
            "pool": first.descriptor.pool,
            "views": str(first.protocol),
            "scales": scales,
            "over_scales": self.over_scales if len(scales) > 1 else None,
            "l2": True,
            "input": {runs[0].identity.name: runs[0].signature["input"] for runs in self.nets},
            "classes": list(self.data.class_names) if self.data.is_labelled else None,
            "data": first.signature["data"],
            "signatures": [run.short_hash for run in self.runs],
            "vggbench": __version__,
            "released": [runs[0].identity.released for runs in self.nets],
            "rescale": first.signature["rescale"],
            "precision": first.signature["precision"],
            "left_out": len(first.unreadable),
        }

    def write(self, path: Path, *, half: bool = False) -> None:
        """Write the file; raises VggbenchError where it cannot be written, StoreError for a run that is damaged."""
        write_features(path, self.images, self.labels, self.batches(), self.about(), half=half)

    def in_memory(self) -> Features:
        """The same as `read_features` gives for a written file."""
        about = self.about()
        classes = None if about["classes"] is None else tuple(about["classes"])
        return Features(self.images, self.labels, classes, np.concatenate(list(self.batches())), about)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each divided by its length, which is 0 only of zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)

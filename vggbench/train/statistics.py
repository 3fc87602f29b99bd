"""The training set's mean and colour components: measured once over all its images and kept, or ILSVRC's known ones."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.data import DataSet
from vggbench.errors import StoreError, UnreadableImages
from vggbench.evaluation.processes import World
from vggbench.files import Refusal, write_whole
from vggbench.images.pixels import rescale
from vggbench.images.preprocessing import Input, Rescale
from vggbench.images.reading import Packed, from_workers
from vggbench.paper.configs import CROP
from vggbench.train.crops import decoded

VERSION = 1
"""Raised whenever our code changes what is measured, so that nothing measured before is taken for it."""
_PACK = 16
"""Images that a process sums before it tells of them."""


@dataclass(frozen=True)
class Statistics:
    """What a training set's pixels say, in units of 0 to 1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    components: tuple[tuple[float, float, float], ...]
    """Rows: each eigenvector of the RGB covariance times its eigenvalue, as Krizhevsky's formula takes them."""

    @classmethod
    def of_sums(cls, sums: NDArray[np.float64]) -> Self:
        """From (13,): how many pixels, the three channels' sums, and the nine sums of their products."""
        mean = sums[1:4] / sums[0]
        covariance = sums[4:].reshape(3, 3) / sums[0] - np.outer(mean, mean)
        variances, vectors = np.linalg.eigh(covariance)
        deviation = np.sqrt(np.diag(covariance).clip(1e-8))
        # Rounded, so that the order in which processes are summed does not show.
        return cls(
            _three(mean, 4), _three(deviation, 4), tuple(_three(vectors[:, i] * variances[i], 6) for i in range(3))
        )

    def input(self, *, standardised: bool) -> Input:
        """What a net trained on these pixels expects: 0-1 over the deviation, or 0-255, both minus the mean."""
        if standardised:
            return Input("RGB", 1, self.mean, self.std)
        red, green, blue = (round(255 * value, 2) for value in self.mean)
        return Input("RGB", 255, (red, green, blue), (1.0, 1.0, 1.0))


ILSVRC = Statistics(
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    components=(
        (0.2175 * -0.5675, 0.2175 * -0.5808, 0.2175 * -0.5836),
        (0.0188 * 0.7192, 0.0188 * -0.0045, 0.0188 * -0.6948),
        (0.0045 * 0.4009, 0.0045 * -0.8140, 0.0045 * 0.4203),
    ),
)
"""The statistics of the ILSVRC-2012 training set, as fb.resnet.torch and torchvision have them."""


class _Sums(NamedTuple):
    """What each of some images adds, (n, 13) float64; or why one adds nothing."""

    values: Tensor
    problem: str = ""


class _PerImage:
    def __init__(self, data: DataSet) -> None:
        self._name, self._images = data.name, Packed(data.images)

    def __getitem__(self, indices: Sequence[int]) -> _Sums:
        try:
            return _Sums(torch.stack([self._of(index) for index in indices]))
        except UnreadableImages as error:  # raised by the main process, since a worker would add its traceback
            return _Sums(torch.empty(0), str(error))

    def _of(self, index: int) -> Tensor:
        pixels = rescale(decoded(self._images[index], self._name)[0], CROP, Rescale())
        flat = pixels.reshape(3, -1).double() / 255
        return torch.cat([torch.tensor([flat.shape[1]]), flat.sum(1), (flat @ flat.T).flatten()])


def measure(
    data: DataSet, *, workers: int = 0, world: World | None = None, tell: Callable[[int], None] | None = None
) -> Statistics:
    """Mean, deviation and colour components over every pixel of all images, each rescaled to a smaller side of 224.

    `tell` hears of the images done, over all processes. Raises UnreadableImages.
    """
    world, total = world or World(), np.zeros(13)
    share = range(world.rank, len(data), world.size)
    packs, done = [share[first : first + _PACK] for first in range(0, len(share), _PACK)], 0
    for sums in from_workers(_PerImage(data), packs, workers):
        if sums.problem:
            raise UnreadableImages(sums.problem)
        for values in sums.values.numpy():
            total += values
            done += 1
            if tell:
                tell(min(done * world.size, len(data)))
    return Statistics.of_sums(np.array(world.total(*total)))


class Kept:
    """Statistics that were measured before, in a folder; a file for each set of images."""

    def __init__(self, folder: Path, data: DataSet) -> None:
        self._path = folder / f"statistics-{VERSION}" / f"{data.fingerprint[:32]}.json"

    def read(self) -> Statistics | None:
        """None where there is no complete file."""
        try:
            found: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            mean, std, *components = (_three(np.array(row, dtype=np.float64)) for row in (
                found["mean"], found["std"], *found["components"]))  # fmt: skip
        except (OSError, ValueError, TypeError, KeyError):
            return None
        figures = np.array([mean, std, *components])
        is_whole = figures.shape == (5, 3) and np.isfinite(figures).all()
        return Statistics(mean, std, tuple(components)) if is_whole else None

    def write(self, statistics: Statistics) -> None:
        """Whole or not at all. Raises StoreError."""
        expected = "room and a folder that this user may write. Name another in $VGGBENCH_CACHE."
        write_whole(self._path, json.dumps(asdict(statistics)), Refusal(StoreError, expected))


def _three(values: NDArray[np.float64], digits: int = 12) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values.round(digits))
    return red, green, blue

"""What the trainer sees: one crop of each image an epoch, at random or one of its ten fixed ones."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self
from typing import Protocol as Structure

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.data import DataSet, ImageFile
from vggbench.errors import UnreadableImages
from vggbench.images.headers import NotAnImage, read_whole
from vggbench.images.pixels import decode_listening, rescale, take
from vggbench.images.preprocessing import Rescale
from vggbench.images.reading import Packed, from_workers
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol
from vggbench.train.recipe import Recipe


class Batch(NamedTuple):
    """Crops as they come from the workers."""

    crops: Tensor
    """(N, 3, 224, 224) uint8; or (N, F) float32, what frozen layers made of them."""
    shifts: Tensor
    """(N, 3) added to every pixel, in units of 0 to 1"""
    labels: Tensor
    """(N,) int64"""
    problem: str | Sequence[str] = ""
    """For an image that cannot be read, what to say; N of them in a batch."""
    doubt: str | Sequence[str] = ""
    """For an image that libjpeg decoded with a complaint, what to say; N of them in a batch."""
    own: int = 1
    """Images that count here: 0 where the last batch has fewer images than there are processes."""
    whole: int = 1
    """Images of the batch over all processes."""

    @classmethod
    def of(cls, single: Sequence[Self]) -> Self:
        """Single crops together."""
        crops, shifts, labels, problems, doubts, *_ = zip(*single, strict=True)
        return cls(torch.stack(crops), torch.stack(shifts), torch.stack(labels), problems, doubts)

    def parts(self, count: int) -> Iterator[Self]:
        """Up to `count` parts of nearly equal size, for the accumulation of gradients."""
        for crops, shifts, labels in zip(
            *(tensor.tensor_split(min(count, len(self.labels))) for tensor in self[:3]), strict=True
        ):
            yield self._replace(crops=crops, shifts=shifts, labels=labels)

    @property
    def is_computed(self) -> bool:
        """Whether the frozen layers have seen it."""
        return self.crops.ndim == 2

    def pixels(self, device: torch.device) -> Tensor:
        """(N, 3, 224, 224) float32 RGB from 0 to 255, shifted, on the device."""
        shifts = self.shifts.to(device, non_blocking=True)
        return self.crops.to(device, non_blocking=True).float() + 255 * shifts[:, :, None, None]


class Crops:
    """One random crop of each image; what is drawn depends on the seed, the epoch and the image alone."""

    def __init__(
        self, data: DataSet, labels: NDArray[np.int32], components: NDArray[np.float64], recipe: Recipe
    ) -> None:
        self._name, self._images = data.name, Packed(data.images)
        self._labels, self._components = labels, components
        self.recipe, self.epoch = recipe, 0

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        return Batch.of([self.one(index) for index in indices])

    def one(self, index: int) -> Batch:
        """The crop of a single image, without a dimension of images."""
        recipe, label = self.recipe, torch.tensor(int(self._labels[index]))
        if recipe.crops == "fixed":
            found = fixed_crops(self._images[index], FIXED, recipe.train_scale.single, self._name)
            crop = found.crops[fixed_view(recipe, self.epoch, index)]
            return found._replace(crops=crop, shifts=torch.zeros(3), labels=label)
        rng = np.random.default_rng((recipe.seed, self.epoch, index))
        scale = int(rng.integers(recipe.train_scale.low, recipe.train_scale.high + 1))
        try:
            whole, doubt = decoded(self._images[index], self._name)
        except UnreadableImages as error:  # raised by the main process, since a worker would add its traceback
            return Batch(torch.zeros(3, CROP, CROP, dtype=torch.uint8), torch.zeros(3), label, str(error))
        pixels = rescale(whole, scale, Rescale())
        top, left = (int(rng.integers(side - CROP + 1)) for side in pixels.shape[1:])
        crop = pixels[:, top : top + CROP, left : left + CROP]
        if rng.random() < 0.5:
            crop = crop.flip(2)
        return Batch(crop.contiguous(), self._shift(rng), label, doubt=doubt)

    def _shift(self, rng: np.random.Generator) -> Tensor:
        """Krizhevsky's: the sum of alpha_i times eigenvalue_i times eigenvector_i, (3,) in units of 0 to 1."""
        shift = rng.normal(0, self.recipe.colour_std, 3) @ self._components
        return torch.from_numpy(shift.astype(np.float32))


FIXED = Protocol("tencrop")
"""The crops of `--crops fixed`: the four corners, the centre, and their mirrors."""


def fixed_view(recipe: Recipe, epoch: int, index: int) -> int:
    """Which of an image's ten crops an epoch takes; the seed, the epoch and the image alone decide."""
    return int(np.random.default_rng((recipe.seed, epoch, index)).integers(FIXED.view_count))


def fixed_crops(image: ImageFile, protocol: Protocol, scale: int, data: str) -> Batch:
    """All crops (V, 3, 224, 224) of a protocol of one image at Q = `scale`, or the problem with it."""
    try:
        whole, doubt = decoded(image, data)
    except UnreadableImages as error:  # raised by the main process, since a worker would add its traceback
        none = torch.zeros(protocol.view_count, 3, CROP, CROP, dtype=torch.uint8)
        return Batch(none, torch.zeros(3), torch.tensor(0), str(error))
    pixels = rescale(whole, scale, Rescale())
    views = protocol.views(*pixels.shape[1:])
    return Batch(torch.stack([take(pixels, view) for view in views]), torch.zeros(3), torch.tensor(0), doubt=doubt)


class AllCrops:
    """All fixed crops of each image, (N, V, 3, 224, 224), for layers that see them once."""

    def __init__(self, data: DataSet, protocol: Protocol, scale: int) -> None:
        self._name, self._images = data.name, Packed(data.images)
        self._protocol, self._scale = protocol, scale

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        return Batch.of([fixed_crops(self._images[n], self._protocol, self._scale, self._name) for n in indices])


class Shown(Structure):
    """One view of each image an epoch, whether as pixels or as what frozen layers made of it."""

    recipe: Recipe
    epoch: int

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Sequence[int], /) -> Batch: ...


def batches(
    crops: Shown, epoch: int, *, skip: int = 0, workers: int = 0, rank: int = 0, processes: int = 1
) -> Iterator[Batch]:
    """This process's share of the batches of one epoch after the first `skip`.

    Over all processes every image comes once, in an order of the seed and the epoch. Raises
    UnreadableImages, and DataError where a worker dies.
    """
    crops.epoch, size = epoch, crops.recipe.batch_size
    drawn = np.random.default_rng((crops.recipe.seed, epoch)).permutation(len(crops)).tolist()
    wholes = [drawn[first : first + size] for first in range(skip * size, len(drawn), size)]
    shares = [whole[rank::processes] for whole in wholes]
    # A process without an image in the last batch still takes part in the step, by an image that counts nothing.
    order = [share or whole[:1] for share, whole in zip(shares, wholes, strict=True)]
    loaded = from_workers(crops, order, workers, pinned=torch.cuda.is_available())
    for batch, share, whole in zip(loaded, shares, wholes, strict=True):
        problem = next((problem for problem in batch.problem if problem), None)
        if problem:
            raise UnreadableImages(problem)
        doubts = [doubt for doubt in batch.doubt if doubt]
        yield Batch(batch.crops, batch.shifts, batch.labels, doubt=doubts, own=len(share), whole=len(whole))


def decoded(image: ImageFile, data: str) -> tuple[Tensor, str]:
    """(3, H, W) uint8 of one image of the set called `data`, and what to say of it if libjpeg complained.

    Raises UnreadableImages.
    """
    try:
        pixels, complaint = decode_listening(read_whole(image))
    except NotAnImage as reason:
        raise UnreadableImages(
            f"{image} {reason}: expected an image, since training takes every image once an epoch. "
            f"Repair it or remove it from {data}."
        ) from reason
    return pixels, f"{image} ({complaint})" if complaint else ""

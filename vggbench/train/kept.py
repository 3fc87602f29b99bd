"""What frozen layers make of fixed crops: computed once, kept on disk, and read from there in every epoch."""

import hashlib
import io
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.data import DataSet
from vggbench.errors import StoreError, UnreadableImages, VggbenchError
from vggbench.evaluation.processes import World
from vggbench.files import LEFTOVERS, Refusal, digest, refusing, sealed, unsealed, write_whole
from vggbench.images.preprocessing import Input
from vggbench.images.reading import from_workers
from vggbench.inference.devices import AUTOCAST
from vggbench.nets.memory import is_out_of_memory, make_room
from vggbench.paper.protocols import Protocol
from vggbench.train.crops import AllCrops, Batch, fixed_view
from vggbench.train.frozen import Halves
from vggbench.train.recipe import Recipe
from vggbench.weights.files import tensors_hash

VERSION = 1
"""Raised whenever our code changes what is kept."""
_BLOCK, _PACK = 32, 2
"""Images of a file, and of a forward pass."""
_REFUSAL = Refusal(
    StoreError,
    "room and a folder that this user may write. Name another with --runs, or leave out --crops fixed.",
    what="What the frozen layers give cannot be kept",
)


@dataclass(frozen=True)
class Kept:
    """A folder of files `NNNNNN-HASH.npy`, each (images, V, F) float32 of consecutive images of a set."""

    folder: Path
    images: int
    views: int
    size: int

    @classmethod
    def of(cls, runs: Path, signature: dict[str, Any], images: int, views: int, size: int) -> "Kept":
        """The one with this signature in the store `runs`. Raises StoreError where it is of another."""
        folder = runs / f"frozen-{signature['config']}-{digest(signature)[:8]}"
        _require_signature(folder, signature)
        return cls(folder, images, views, size)

    @property
    def bytes(self) -> int:
        """Of all files."""
        return 4 * self.images * self.views * self.size

    def blocks(self) -> list[range]:
        """The images of each file."""
        firsts = range(0, self.images, _BLOCK)
        return [range(first, min(first + _BLOCK, self.images)) for first in firsts]

    def whole(self) -> dict[int, Path]:
        """The files that are there and as they were written, by their first image; others are removed."""
        found: dict[int, Path] = {}
        for path in sorted(self.folder.glob("*.npy")):
            first, _, named = path.stem.partition("-")
            with path.open("rb") as file:
                right = hashlib.file_digest(file, "sha256").hexdigest()[: len(named)] == named != ""
            if right and first.isdecimal() and int(first) not in found:
                found[int(first)] = path
            else:
                path.unlink(missing_ok=True)
        return found

    def write(self, block: range, outputs: NDArray[np.float32]) -> None:
        """(images, V, F) of a block. Raises StoreError."""
        content = io.BytesIO()
        np.save(content, outputs)
        named = hashlib.sha256(content.getbuffer()).hexdigest()[:16]
        write_whole(self.folder / f"{block.start:06d}-{named}.npy", content.getvalue(), _REFUSAL)

    def open(self) -> list[NDArray[np.float32]]:
        """Each block's (images, V, F), of which no more is in memory than is looked at. Raises StoreError."""
        paths = self.whole()
        opened = [np.load(paths[block.start], mmap_mode="r") for block in self.blocks() if block.start in paths]
        shapes = [(len(block), self.views, self.size) for block in self.blocks()]
        if [array.shape for array in opened] != shapes:
            raise StoreError(
                f"{self.folder} does not hold what the frozen layers gave: expected {len(shapes)} files of float32, "
                f"found {len(opened)}. Remove it, and the same command computes it again."
            )
        return opened


class KeptCrops:
    """What frozen layers made of one fixed crop of each image an epoch, in place of its pixels."""

    def __init__(self, kept: Kept, labels: NDArray[np.int32], recipe: Recipe) -> None:
        self._blocks, self._labels = kept.open(), labels
        self.recipe, self.epoch = recipe, 0

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        """(N, F) of these images' crops of the epoch."""
        rows = [self._blocks[n // _BLOCK][n % _BLOCK, fixed_view(self.recipe, self.epoch, n)] for n in indices]
        labels = torch.tensor(self._labels[list(indices)], dtype=torch.int64)
        none = ("",) * len(rows)
        return Batch(torch.from_numpy(np.stack(rows)), torch.zeros(len(rows), 3), labels, none, none)


@dataclass(frozen=True)
class Freezer:
    """The frozen part of a network on a device, and how it is run."""

    halves: Halves
    input: Input
    device: torch.device
    precision: str
    workers: int
    world: World

    def signature(self, about: dict[str, Any], data: DataSet, protocol: Protocol, scale: int) -> dict[str, Any]:
        """Everything that decides what it gives."""
        return about | {
            "weights": tensors_hash(self.halves.frozen.state_dict()),
            "input": self.input.as_dict(),
            "precision": self.precision,
            "data": data.fingerprint,
            "protocol": str(protocol),
            "scale": scale,
            "version": VERSION,
        }

    def keep(
        self, kept: Kept, data: DataSet, protocol: Protocol, scale: int, tell: Callable[[int], None],
        doubted: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Compute the blocks that are missing, each process its share; `tell` hears of the images done.

        Raises UnreadableImages, StoreError and VggbenchError for want of memory.
        """
        if self.world.is_first:
            _prepare(kept)
        self.world.total(0)  # the first has looked before another writes
        there = kept.whole()
        missing = [block for block in kept.blocks() if block.start not in there]
        self.world.total(0)
        own = missing[self.world.rank :: self.world.size]
        done = kept.images - sum(map(len, missing))
        order = [block[first : first + _PACK] for block in own for first in range(0, len(block), _PACK)]
        packs = from_workers(AllCrops(data, protocol, scale), order, self.workers)
        self.halves.train()
        for block in own:
            outputs = np.empty((len(block), kept.views, kept.size), dtype=np.float32)
            for first in range(0, len(block), _PACK):
                pack = next(packs)
                problem = next((text for text in pack.problem if text), None)
                if problem:
                    raise UnreadableImages(problem)
                for text in filter(None, pack.doubt):
                    doubted(text)
                outputs[first : first + len(pack.labels)] = self._outputs(pack.crops)
                done += len(pack.labels) * self.world.size
                tell(min(done, kept.images))
            kept.write(block, outputs)
        self.world.total(0)

    def _outputs(self, crops: Tensor) -> NDArray[np.float32]:
        """(n, V, 3, 224, 224) uint8 -> (n, V, F)."""
        flat, size = crops.flatten(0, 1), crops.shape[0] * crops.shape[1]
        while True:
            try:
                found = torch.cat([self._of(part) for part in flat.split(size)])
                return found.view(*crops.shape[:2], -1).numpy()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise VggbenchError(
                        f"Single images do not fit in the memory of {self.device}: expected room for one. End what "
                        "else uses it, and the same command carries on."
                    ) from error
                make_room(error, self.device)
                size = math.ceil(size / 2)

    def _of(self, crops: Tensor) -> Tensor:
        pixels = Batch(crops, torch.zeros(len(crops), 3), torch.zeros(len(crops))).pixels(self.device)
        return self.outputs(pixels).float().cpu()

    def outputs(self, pixels: Tensor) -> Tensor:
        """(N, 3, 224, 224) of 0 to 255 -> (N, F), as a step that keeps nothing computes it."""
        images = self.input.normalise(pixels, self.input.statistics(self.device))
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, AUTOCAST.get(self.precision), enabled=self.precision in AUTOCAST):
            return self.halves.computed(images)


def _prepare(kept: Kept) -> None:
    """Remove what a kill left, and see that there is room. Raises StoreError."""
    with refusing(kept.folder, _REFUSAL):
        for leftover in kept.folder.glob(LEFTOVERS):
            leftover.unlink()
        there = sum(path.stat().st_size for path in kept.folder.glob("*.npy"))
        free, needed = shutil.disk_usage(kept.folder).free, kept.bytes - there
    if free < needed:
        raise StoreError(
            f"What the frozen layers give for {kept.images:,} images takes {kept.bytes / 1e9:,.1f} GB, and "
            f"{kept.folder.parent} has {free / 1e9:,.1f} GB free: expected room. Name another folder with --runs, or "
            "leave out --crops fixed."
        )


def _require_signature(folder: Path, signature: dict[str, Any]) -> None:
    path = folder / "signature.json"
    if not path.exists():
        write_whole(path, sealed(signature), _REFUSAL)
        return
    try:
        if unsealed(path.read_bytes()) != unsealed(sealed(signature)):
            raise ValueError("it is of other layers or images")
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be trusted ({error}): expected the signature of what the folder holds. Remove {folder}, and "
            "the same command computes it again."
        ) from error

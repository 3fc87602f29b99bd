"""What frozen layers make of fixed crops: computed once, kept on disk, and read from there in every epoch."""

import hashlib
import io
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.data import DataSet
from vggbench.errors import StoreError, UnreadableImages
from vggbench.evaluation.jobs import Settings
from vggbench.evaluation.processes import World
from vggbench.files import LEFTOVERS, Refusal, digest, refusing, sealed, unsealed, write_whole
from vggbench.images.preprocessing import Input
from vggbench.images.reading import AHEAD, from_workers
from vggbench.inference.devices import AUTOCAST
from vggbench.metrics import ranks, top_k_error
from vggbench.nets.memory import is_out_of_memory, make_room
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol
from vggbench.train.crops import AllCrops, Batch, fixed_view
from vggbench.train.frozen import Halves
from vggbench.train.recipe import Layers, Recipe, TrainWatch
from vggbench.train.step import no_room
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
class KeptOutputs:
    """A folder of files `NNNNNN-HASH.npy`, each (images, V, F) float32 of consecutive images of a set."""

    folder: Path
    data: DataSet
    protocol: Protocol
    scale: int
    size: int
    """F, the outputs of a crop."""

    @property
    def views(self) -> int:
        """V, the crops of an image."""
        return self.protocol.view_count

    @property
    def crops(self) -> int:
        """The number of crops of all images."""
        return len(self.data) * self.views

    def prepare(self) -> None:
        """Remove what a kill left, and see that there is room. Raises StoreError."""
        with refusing(self.folder, _REFUSAL):
            for leftover in self.folder.glob(LEFTOVERS):
                leftover.unlink()
            there = sum(path.stat().st_size for path in self.folder.glob("*.npy"))
            free, whole = shutil.disk_usage(self.folder).free, 4 * self.crops * self.size
        if free < whole - there:
            raise StoreError(
                f"What the frozen layers give for {self.crops:,} crops takes {whole / 1e9:,.1f} GB, and "
                f"{self.folder.parent} has {free / 1e9:,.1f} GB free: expected room. Name another folder with --runs, "
                "or leave out --crops fixed."
            )

    def blocks(self) -> list[range]:
        """The images of each file."""
        firsts = range(0, len(self.data), _BLOCK)
        return [range(first, min(first + _BLOCK, len(self.data))) for first in firsts]

    def missing(self) -> list[range]:
        """The images of files that are not there."""
        there = self.whole()
        return [block for block in self.blocks() if block.start not in there]

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
        """Each block's (images, V, F); no more is in memory than is looked at. Raises StoreError."""
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

    def __init__(self, kept: KeptOutputs, labels: NDArray[np.int32], recipe: Recipe) -> None:
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


class _Block:
    """Outputs of a file's images as they come; the file is written once it has all."""

    def __init__(self, kept: KeptOutputs, images: range) -> None:
        self._kept, self._images, self._filled = kept, images, 0
        self._outputs = np.empty((len(images), kept.views, kept.size), dtype=np.float32)

    @property
    def is_full(self) -> bool:
        """Whether it has all."""
        return self._filled == len(self._images)

    def take(self, outputs: NDArray[np.float32]) -> None:
        """(n, V, F) of the next images. Raises StoreError."""
        self._outputs[self._filled : self._filled + len(outputs)] = outputs
        self._filled += len(outputs)
        if self.is_full:
            self._kept.write(self._images, self._outputs)


@dataclass(frozen=True)
class FrozenPart:
    """The frozen layers of a network in training, on its device, and what is kept of what they give."""

    network: VGG
    layers: Layers
    input: Input
    settings: Settings
    world: World

    @cached_property
    def halves(self) -> Halves:
        """The network in its two parts."""
        halves = Halves.of(self.network, self.layers)
        assert halves, "nothing is frozen"
        return halves

    def kept(self, runs: Path, data: DataSet, protocol: Protocol, scale: int) -> KeptOutputs:
        """Where the outputs for a set's crops are kept, if they are not there yet. Raises StoreError."""
        signature = {
            "config": self.network.config.name,
            "width": self.network.width,
            "ceil_pool": self.network.ceil_pool,
            "layers": self.layers,
            "weights": tensors_hash(self.halves.frozen.state_dict()),
            "input": self.input.as_dict(),
            "precision": self.settings.precision,
            "data": data.fingerprint,
            "protocol": str(protocol),
            "scale": scale,
            "version": VERSION,
        }
        folder = runs / f"frozen-{self.network.config.name}-{digest(signature)[:8]}"
        _require_signature(folder, signature)
        return KeptOutputs(folder, data, protocol, scale, self.halves.size)

    def compute(self, several: Sequence[KeptOutputs], watch: TrainWatch) -> None:
        """Compute what is missing, each process its share.

        Raises UnreadableImages, StoreError, and VggbenchError for want of memory.
        """
        if self.world.is_first:
            for kept in several:
                kept.prepare()
        self.world.wait()
        missing = [kept.missing() for kept in several]
        self.world.wait()  # all have looked before any writes
        of = sum(kept.crops for kept in several)
        done = of - sum(sum(map(len, some)) * kept.views for kept, some in zip(several, missing, strict=True))
        for kept, blocks in zip(several, missing, strict=True):
            own = blocks[self.world.rank :: self.world.size]
            for block, pack in self._packs(kept, own, watch):
                outputs = self._outputs(pack.crops)
                block.take(outputs)
                done += len(outputs) * kept.views * self.world.size
                watch.kept(min(done, of), of)
        self.world.wait()

    def top1_error(self, kept: KeptOutputs, labels: NDArray[np.int32]) -> float:
        """The error in percent of the trained layers as they are now, on the one crop of each image."""
        self.halves.trained.eval()
        wrong = 0
        for block, outputs in list(zip(kept.blocks(), kept.open(), strict=True))[self.world.rank :: self.world.size]:
            posteriors = self._posteriors(torch.from_numpy(np.array(outputs[:, 0])))
            wrong += top_k_error(ranks(posteriors, labels[block.start : block.stop]), 1).wrong
        return 100 * self.world.total(wrong)[0] / len(labels)

    def _posteriors(self, outputs: Tensor) -> NDArray[np.float32]:
        """(n, F) -> (n, K)."""
        with torch.inference_mode(), self._autocast():
            scores = self.halves.trained(outputs.to(self.settings.torch_device))
        posteriors: NDArray[np.float32] = scores.float().softmax(1).cpu().numpy()
        return posteriors

    def _autocast(self) -> torch.autocast:
        kind, precision = self.settings.torch_device.type, self.settings.precision
        return torch.autocast(kind, AUTOCAST.get(precision), enabled=precision in AUTOCAST)

    def _packs(self, kept: KeptOutputs, blocks: Sequence[range], watch: TrainWatch) -> Iterator[tuple[_Block, Batch]]:
        """The crops of these blocks, a few images at a time, each with the block that they are of."""
        order = [block[first : first + _PACK] for block in blocks for first in range(0, len(block), _PACK)]
        workers = self.settings.workers_for(_PACK * kept.views * 3 * CROP * CROP, held=AHEAD, ahead=AHEAD)
        packs = from_workers(AllCrops(kept.data, kept.protocol, kept.scale), order, workers)
        for block in blocks:
            collected = _Block(kept, block)
            while not collected.is_full:
                pack = next(packs)
                problem = next(filter(None, pack.problem), None)
                if problem:
                    raise UnreadableImages(problem)
                for doubt in filter(None, pack.doubt):
                    watch.doubted(doubt)
                yield collected, pack

    def _outputs(self, crops: Tensor) -> NDArray[np.float32]:
        """(n, V, 3, 224, 224) uint8 -> (n, V, F), in smaller parts where memory runs out."""
        self.halves.train()
        device, flat = self.settings.torch_device, crops.flatten(0, 1)
        size = len(flat)
        while True:
            try:
                found = torch.cat([self._of(flat[first : first + size]) for first in range(0, len(flat), size)])
                return found.view(*crops.shape[:2], -1).numpy()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise no_room(device) from error
                make_room(error, device)
                size = math.ceil(size / 2)

    def _of(self, crops: Tensor) -> Tensor:
        """(N, 3, 224, 224) uint8 -> (N, F) float32, as a step would compute it."""
        pixels = self.input.normalise(crops.to(self.settings.torch_device).float())
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            return self.halves.computed(pixels).float().cpu()


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
            f"{path} cannot be trusted ({error}): expected the signature of what the folder holds. Remove {folder}, "
            "and the same command computes it again."
        ) from error

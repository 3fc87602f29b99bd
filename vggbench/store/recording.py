"""A run that is being computed: its blocks are written one by one, whole or not at all."""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vggbench.data import DataSet
from vggbench.errors import StoreError
from vggbench.files import LEFTOVERS, Refusal, digest, sealed, written_whole
from vggbench.store.blocks import Block, BlockFile, block_path, join_blocks, write_block
from vggbench.store.identity import Identity
from vggbench.store.runs import BLOCK, Run, read_record, short_hash

_SAFE = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass
class Recording(Run):
    """A run of images that are known: `expected` are all their ids, in order."""

    expected: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        folder: Path,
        signature: dict[str, Any],
        expected: Sequence[str],
        about: dict[str, Any] | None = None,
        block: int = BLOCK,
    ) -> Self:
        """Find what is stored; leftovers of a kill are removed, damaged files are listed and computed again."""
        run = cls(folder, signature, about or {}, len(expected), block, expected=tuple(expected))
        for file in run._find_files():
            if file is not run._files.get(file.first):
                with contextlib.suppress(OSError):  # a store that may only be read
                    file.path.unlink(missing_ok=True)
        return run

    @property
    def images(self) -> tuple[str, ...]:
        """Ids of the images that have a posterior, without a look into the files."""
        without = self.unreadable
        return tuple(
            image
            for file in self._ordered
            for image in self.expected[file.first : file.last + 1]
            if image not in without
        )

    def write(self, number: int, block: Block) -> None:
        """Store a block of a run that was created: it is there whole or not at all.

        Raises StoreError, for instance when the disk is full.
        """
        positions = self.block_range(number)
        path = block_path(self._blocks, positions[0], positions[-1])
        write_block(path, block)
        self._files[positions[0]] = BlockFile.open(path, self.expected)

    def take_from(self, whole: Run, labels: NDArray[np.int32]) -> None:
        """Store what a run of the whole set has of these images, where it has all; `labels` (N,) are theirs.

        What it took is on record as a part of what the whole took. Raises StoreError.
        """
        places, unreadable = {image: place for place, image in enumerate(whole.images)}, whole.unreadable
        if not all(image in places or image in unreadable for image in self.expected):
            return
        found = _picked(whole, [places[image] for image in self.expected if image in places])
        sizes, doubtful = whole.sizes(), whole.doubtful
        self.create()
        for number in self.missing():
            own = [place for place in self.block_range(number) if self.expected[place] in places]
            ids, lost = [self.expected[place] for place in own], len(self.block_range(number)) - len(own)
            heights, widths = np.array([sizes[places[image]] for image in ids], np.int32).reshape(-1, 2).T
            part = (len(own) + lost) / whole.total
            self.write(number, Block(
                tuple(ids), labels[own], widths, heights,
                np.array([found[places[image]] for image in ids], np.float32).reshape(len(ids), -1),
                {self.expected[place]: unreadable[self.expected[place]] for place in self.block_range(number)
                 if self.expected[place] in unreadable},
                {image: doubtful[image] for image in ids if image in doubtful},
                [entry | {"seconds": entry["seconds"] * part} for entry in whole.provenance],
                self.values,
            ))  # fmt: skip

    def compact(self) -> None:
        """Turn the blocks of a finished run into one file; a run with unreadable images keeps its blocks."""
        if len(self._files) < 2:
            return
        again = Recording.open(self.folder, self.signature, self.expected, block=self.block)
        self._files = again._files  # another process may be ahead
        if len(self._files) < 2 or self.missing():
            return
        blocks = self._ordered
        path = block_path(self._blocks, 0, len(self.expected) - 1)
        join_blocks(path, blocks)
        for leftover in self.folder.glob(LEFTOVERS):
            leftover.unlink(missing_ok=True)
        self._files = {0: BlockFile.open(path, self.expected)}
        for file in blocks:
            file.path.unlink(missing_ok=True)

    def create(self) -> None:
        """Make the folder and its record, so that a place that cannot be written is met before any forward pass."""
        record = self.folder / "run.json"
        if record.exists() and self._blocks.exists():
            if read_record(self.folder)["block"] != self.block:
                raise StoreError(
                    f"Another process began {self.title} meanwhile, in blocks of other sizes than {self.block} images: "
                    "expected one that began it alone. Run the command again; it goes on in that one's blocks."
                )
            return
        expected = "a place where this user may write. Name another with --runs."
        refusal = Refusal(StoreError, expected, f"The run folder {self.folder} cannot be made")
        with written_whole(record, refusal) as partial:
            self._blocks.mkdir(exist_ok=True)
            partial.write_text(sealed({
                "signature": self.signature, "images": self.total, "block": self.block, "about": self.about,
            }))  # fmt: skip

    def _opened(self, path: Path) -> BlockFile:
        return BlockFile.open(path, self.expected)


def about_of(identity: Identity, data: DataSet) -> dict[str, Any]:
    """What leads from a run back to its model and images, and the words to print it with."""
    images = {"data": data.name, "place": data.place, "images_total": data.total, "is_sample": data.is_sample}
    if len(data.class_names) < identity.classes and identity.class_names:
        images |= {"classes_of_data": [name for name in data.class_names if name not in data.empty_classes]}
    return identity.about() | images


def _picked(whole: Run, places: Sequence[int]) -> dict[int, NDArray[np.float32]]:
    """The posteriors (K,) at these places, read a batch at a time."""
    found, wanted, start = dict[int, NDArray[np.float32]](), set(places), 0
    for batch in whole.batches():
        found |= {place: batch[place - start].copy() for place in range(start, start + len(batch)) if place in wanted}
        start += len(batch)
    return found


@dataclass(frozen=True)
class Store:
    """A folder of runs."""

    root: Path

    def run(
        self,
        name: str,
        signature: dict[str, Any],
        expected: Sequence[str],
        about: dict[str, Any] | None = None,
        block: int = BLOCK,
    ) -> Recording:
        """The run with this signature for these images, as far as it is stored; raises StoreError.

        `block`: images of a block, where the run's record does not say it.
        """
        folder = self.root / f"{_SAFE.sub('_', name)}-{short_hash(signature)}"
        if (folder / "run.json").exists():
            block = read_record(folder)["block"]
        return Recording.open(folder, signature, expected, about, block)

    def stored(self, signature: dict[str, Any]) -> Run | None:
        """The finished run of this signature, by whatever name; None where there is none. Raises StoreError."""
        found = self.of_signature(signature)
        return found if found and found.is_finished and not found.damaged else None

    def of_signature(self, signature: dict[str, Any]) -> Run | None:
        """The run of this signature, by whatever name, as far as it is; None where there is none. Raises StoreError."""
        runs = (Run.read(record.parent) for record in sorted(self.root.glob(f"*-{short_hash(signature)}/run.json")))
        same = [run for run in runs if digest(run.signature) == digest(signature)]
        return max(same, key=lambda run: run.done, default=None)

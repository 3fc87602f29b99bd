"""The store: posteriors once per model, protocol, Q and image, in blocks that survive a kill.

A run is a folder that reads by itself:

    D-oxford-dense-Q384-1f2e3d4c/
        run.json                           its signature, and what it was asked for
        posteriors/000000-000031.parquet   a block; a finished run is one file

`posteriors/` holds nothing but Parquet, so that it opens in pandas, Polars and DuckDB as it is.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import StoreError, first_line
from vggbench.files import LEFTOVERS, Refusal, digest, sealed, unsealed, written_whole
from vggbench.store.blocks import (
    ROW_GROUP,
    Block,
    BlockFile,
    block_path,
    disjoint,
    join_blocks,
    merged,
    rechunked,
    write_block,
)
from vggbench.store.posteriors import Scores

BLOCK = 32
"""Images of one block."""
_SAFE = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass
class Run:
    """The posteriors of one model, protocol and Q on one data set; `expected` are all its image ids, in order."""

    folder: Path
    signature: dict[str, Any]
    expected: tuple[str, ...]
    about: dict[str, Any] = field(default_factory=dict)
    """What reads well or leads back to model and images, and changes no number; kept beside the signature."""
    damaged: list[Path] = field(default_factory=list)
    _files: dict[int, BlockFile] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def block_count(self) -> int:
        """Blocks of the whole run."""
        return -(-len(self.expected) // BLOCK)

    def block_range(self, block: int) -> range:
        """Positions of the block's images."""
        return range(block * BLOCK, min((block + 1) * BLOCK, len(self.expected)))

    def missing(self, *, accept_unreadable: bool = False) -> list[int]:
        """Blocks that are still to be computed; a block with unreadable images counts as missing unless accepted."""
        accepted = [
            file for file in self._files.values() if not file.unreadable or (accept_unreadable and not file.may_pass)
        ]
        return self._not_in(accepted)

    @property
    def absent(self) -> list[int]:
        """Blocks of which nothing is stored, not even that their images are unreadable."""
        return self._not_in(self._files.values())

    def _not_in(self, files: Iterable[BlockFile]) -> list[int]:
        there = {position // BLOCK for file in files for position in range(file.first, file.last + 1, BLOCK)}
        return [block for block in range(self.block_count) if block not in there]

    @property
    def unreadable(self) -> dict[str, str]:
        """Images that gave no posterior, and why."""
        return {image: why for file in self._ordered for image, why in file.unreadable.items()}

    @property
    def doubtful(self) -> dict[str, str]:
        """Images that were decoded although libjpeg complained, and of what."""
        return {image: why for file in self._ordered for image, why in file.doubtful.items()}

    @property
    def images(self) -> tuple[str, ...]:
        """Ids of the images that have a posterior."""
        without = self.unreadable
        return tuple(
            image
            for file in self._ordered
            for image in self.expected[file.first : file.last + 1]
            if image not in without
        )

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """Versions, device, threads, and the seconds spent under each."""
        return merged(entry for file in self._ordered for entry in file.provenance)

    @property
    def sources(self) -> tuple[Scores, ...]:
        """This one."""
        return (self,)

    def mean(self, read: Mapping[int, NDArray[np.floating]]) -> NDArray[np.floating]:
        """Its own."""
        return read[id(self)]

    def batches(self) -> Iterator[NDArray[np.float32]]:
        """The posteriors, (n, K) at a time; raises StoreError for a file that is damaged inside."""
        return rechunked((array for file in self._ordered for array in file.column("posterior")), ROW_GROUP)

    def labels(self) -> NDArray[np.int32]:
        """The label of each image at the time of the run, (N,)."""
        return np.concatenate([array for file in self._ordered for array in file.column("label")])

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each image's original."""
        heights, widths = (
            np.concatenate([array for file in self._ordered for array in file.column(name)])
            for name in ("height", "width")
        )
        return list(zip(heights.tolist(), widths.tolist(), strict=True))

    def write(self, number: int, block: Block) -> None:
        """Store a block: it is there whole or not at all. Raises StoreError, for instance when the disk is full."""
        self.create()
        positions = self.block_range(number)
        path = block_path(self._blocks, positions[0], positions[-1])
        write_block(path, block)
        self._files[positions[0]] = BlockFile.open(path, self.expected)

    def compact(self) -> None:
        """Turn the blocks of a finished run into one file; a run with unreadable images keeps its blocks."""
        if len(self._files) < 2:
            return
        self._files = Run.open(self.folder, self.signature, self.expected)._files  # another process may be ahead
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
            return
        expected = "a place where this user may write. Name another with --runs."
        refusal = Refusal(StoreError, expected, f"The run folder {self.folder} cannot be made")
        with written_whole(record, refusal) as partial:
            self._blocks.mkdir(exist_ok=True)
            kept = {"signature": self.signature, "images": len(self.expected), "about": self.about}
            partial.write_text(sealed(kept))

    @property
    def _blocks(self) -> Path:
        return self.folder / "posteriors"

    @property
    def _ordered(self) -> list[BlockFile]:
        return [self._files[first] for first in sorted(self._files)]

    @classmethod
    def open(
        cls, folder: Path, signature: dict[str, Any], expected: Sequence[str], about: dict[str, Any] | None = None
    ) -> Self:
        """Find what is stored; leftovers of a kill are removed, damaged files are listed and computed again."""
        run = cls(folder, signature, tuple(expected), about or {})
        found = []
        for path in sorted(run._blocks.glob("*.parquet")):
            try:
                found.append(BlockFile.open(path, run.expected))
            except StoreError:
                run.damaged.append(path)
        run._files = disjoint(found)
        for leftover in found:
            if leftover is not run._files.get(leftover.first):
                with contextlib.suppress(OSError):  # a store that may only be read
                    leftover.path.unlink(missing_ok=True)
        return run


@dataclass(frozen=True)
class Store:
    """A folder of runs."""

    root: Path

    def run(
        self, name: str, signature: dict[str, Any], expected: Sequence[str], about: dict[str, Any] | None = None
    ) -> Run:
        """The run with this signature for these images, as far as it is stored; raises StoreError."""
        folder = self.root / f"{_SAFE.sub('_', name)}-{_short(signature)}"
        if (folder / "run.json").exists():
            read_record(folder)
        return Run.open(folder, signature, expected, about)


def read_record(folder: Path) -> dict[str, Any]:
    """What `run.json` says of the run in this folder, its `signature` first of all; raises StoreError."""
    path = folder / "run.json"
    try:
        record = unsealed(path.read_bytes(), may_lack=True)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read ({first_line(error)}): expected the record of a run. Delete it and repeat the "
            "command that began the run, which writes it again; or delete the run's folder."
        ) from error
    if folder.name.rpartition("-")[2] != _short(record.get("signature")):
        raise StoreError(
            f"{path} does not hold the signature that its folder is named after: it was changed by hand. "
            "Delete its folder, or name another store with --runs."
        )
    return record


def _short(signature: Any) -> str:
    """The end of a run's name."""
    return digest(signature)[:8]

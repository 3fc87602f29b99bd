"""A run as it is stored: its record, its blocks, and what they hold; found in the store by name.

A run is a folder that reads by itself:

    D-oxford-dense-Q384-1f2e3d4c/
        run.json                           its signature, and what it was asked for
        posteriors/000000-000031.parquet   a block; a finished run is one file; of descriptors: descriptors/

`posteriors/` holds nothing but Parquet, so that it opens in pandas, Polars and DuckDB as it is.
"""

import contextlib
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vggbench.data import DataSet, ImageFile
from vggbench.errors import StoreError, UsageError, VggbenchError, did_you_mean, first_line
from vggbench.files import digest, sealed, unsealed, write_whole
from vggbench.images.preprocessing import Rescale
from vggbench.metrics import ErrorRate, Errors
from vggbench.paper.configs import CONFIGS, CROP
from vggbench.paper.descriptors import Descriptor
from vggbench.paper.protocols import Protocol
from vggbench.store.blocks import VALUES, BlockFile, disjoint, merged, rechunked, rows_of_group
from vggbench.store.identity import Identity
from vggbench.store.posteriors import label_ranks

BLOCK = 32
"""Images of one block on a CPU, and in every run whose record does not say it."""
_MOST_IN_BLOCK = 4096
_ERRORS = ".errors.json"
_RUN_NAME = re.compile(r"-(Q\d+|imported)-[0-9a-f]{8}$|-imported$")
_SHOWN = 5


@dataclass
class Run:
    """The posteriors of one model, protocol and Q on one data set of `total` images, as far as they are stored."""

    folder: Path
    signature: dict[str, Any]
    about: dict[str, Any]
    """What reads well or leads back to model and images, and changes no number; kept beside the signature."""
    total: int
    block: int = BLOCK
    """Images that are computed and stored together, as decided when it began."""
    damaged: list[Path] = field(default_factory=list)
    _files: dict[int, BlockFile] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The run in this folder, by its record alone; raises StoreError for one that cannot be read."""
        record = read_record(folder)
        try:
            about = dict(record.get("about", {}))
            found = cls(folder, dict(record["signature"]), about, record["images"], record["block"])
            assert isinstance(found.total, int)
            _ = (
                found.identity,
                found.protocol,
                found.scale,
                found.rescale,
                found.descriptor,
            )  # refuses a record that is no run's
        except (ValueError, KeyError, TypeError, AssertionError, VggbenchError) as error:
            raise StoreError(
                f"{folder / 'run.json'} cannot be read ({type(error).__name__}: {first_line(error)}): expected the "
                "record of a run. Delete its folder, or name another store with --runs."
            ) from error
        found._find_files()
        return found

    @property
    def title(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def short_hash(self) -> str:
        """The hash of its signature: the end of its folder's name."""
        return self.title.rpartition("-")[2]

    @cached_property
    def identity(self) -> Identity:
        """The model that it was made with."""
        protocol = self.signature["protocol"]
        return Identity.of_record(self.signature, self.about, self.title.partition(f"-{protocol}-")[0])

    @cached_property
    def protocol(self) -> Protocol:
        """How its images were seen."""
        return replace(Protocol.parse(self.signature["protocol"]), crop=int(self.signature.get("crop", CROP)))

    @cached_property
    def descriptor(self) -> Descriptor | None:
        """What it holds in place of posteriors."""
        spec = self.signature.get("descriptor")
        return Descriptor.parse(spec) if spec is not None else None

    @property
    def values(self) -> str:
        """The column of what was computed: posterior, or descriptor."""
        return VALUES[self.descriptor is not None]

    @property
    def scale(self) -> int:
        """Q; 0 where it is not known."""
        return int(self.signature["scale"] or 0)

    @cached_property
    def rescale(self) -> Rescale | None:
        """How its images were brought to Q; None where that is not known."""
        how = self.signature["rescale"]
        if how is None:
            return None
        library = "Pillow" if how["uint8"] == "Pillow" else "PyTorch"
        other = str(how.get("decoder", "")).partition("; JPEG by ")[2] or "torchvision"
        return Rescale(how["filter"], bool(how["antialias"]), bool(how.get("square")), library, other)  # type: ignore[arg-type]

    @property
    def block_count(self) -> int:
        """Blocks of the whole run."""
        return -(-self.total // self.block)

    def block_range(self, block: int) -> range:
        """Positions of the block's images."""
        return range(block * self.block, min((block + 1) * self.block, self.total))

    def missing(self, *, accept_unreadable: bool = False) -> list[int]:
        """Blocks that are still to be computed; a block with unreadable images counts as missing unless accepted."""
        accepted = [
            file for file in self._files.values() if not file.unreadable or (accept_unreadable and not file.may_pass)
        ]
        return self._not_in(accepted)

    @property
    def absent(self) -> list[int]:
        """Blocks without anything stored, not even that their images are unreadable."""
        return self._not_in(self._files.values())

    def _not_in(self, files: Iterable[BlockFile]) -> list[int]:
        there = np.zeros(self.total, dtype=bool)
        for file in files:
            there[file.first : file.last + 1] = True
        return [block for block in range(self.block_count) if not there[block * self.block :][: self.block].all()]

    @property
    def unreadable(self) -> dict[str, str]:
        """Images that gave no posterior, and why."""
        return {image: why for file in self._ordered for image, why in file.unreadable.items()}

    @property
    def doubtful(self) -> dict[str, str]:
        """Images that were decoded although libjpeg complained, and of what."""
        return {image: why for file in self._ordered for image, why in file.doubtful.items()}

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Ids of the images that have a posterior; raises StoreError for one that occurs twice."""
        found = tuple(image for file in self._ordered for image in file.images)
        if len(set(found)) < len(found):
            twice = next(image for image, count in Counter(found).items() if count > 1)
            raise StoreError(
                f"{self.title} holds {twice} twice: expected every image once. Delete it with --delete, and evaluate "
                "again."
            )
        return found

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """Versions, device, threads, and the seconds spent under each."""
        return merged(entry for file in self._ordered for entry in file.provenance)

    @property
    def sources(self) -> "tuple[Run, ...]":
        """This run alone."""
        return (self,)

    def mean(self, read: Mapping[Path, NDArray[np.floating]]) -> NDArray[np.floating]:
        """Its own posteriors."""
        return read[self.folder]

    def batches(self) -> Iterator[NDArray[np.float32]]:
        """The posteriors, or descriptors, (n, K) at a time; raises StoreError for a file that is damaged inside."""
        rows = rows_of_group(self.numbers)
        return rechunked((array for file in self._ordered for array in file.column(self.values)), rows)

    @property
    def numbers(self) -> int:
        """K, or the length of a descriptor; 0 where nothing is stored."""
        first = next(iter(self._files.values()), None)
        return int(first.schema.field(self.values).type.list_size) if first else 0

    def labels(self) -> NDArray[np.int32]:
        """Labels as of the run, (N,); for descriptors, by the data's classes. Raises StoreError for one of no class."""
        found = np.concatenate([array for file in self._ordered for array in file.column("label")])
        if (
            self.descriptor is None
            and len(found)
            and not 0 <= found.min() <= found.max() < int(self.signature["classes"])
        ):
            raise StoreError(
                f"{self.title} has labels from {found.min()} to {found.max()}: expected those of its "
                f"{self.signature['classes']} classes. Delete it with --delete, and evaluate again."
            )
        return found

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each image's original."""
        heights, widths = (
            np.concatenate([array for file in self._ordered for array in file.column(name)])
            for name in ("height", "width")
        )
        return list(zip(heights.tolist(), widths.tolist(), strict=True))

    @property
    def done(self) -> int:
        """Images that were looked at, readable or not."""
        return sum(file.last - file.first + 1 for file in self._ordered)

    @property
    def is_finished(self) -> bool:
        """Whether no image is left to compute."""
        return self.done == self.total

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(file.path.stat().st_size for file in self._ordered)

    @property
    def changed(self) -> float:
        """When its newest file, or else its record, was written, in seconds since 1970."""
        paths = [file.path for file in self._ordered] or [self.folder / "run.json"]
        return max(path.stat().st_mtime for path in paths)

    @cached_property
    def data(self) -> DataSet:
        """The images by their ids, with the labels that they had at the time of the run; no pixels."""
        names = self.identity.names_of_classes
        images = [
            ImageFile(image, Path(image), 0, names[label])
            for image, label in zip(self.images, self.labels().tolist(), strict=True)
        ]
        return DataSet(
            name=str(self.about.get("data", "unknown data")),
            images=tuple(images),
            total=int(self.about.get("images_total", self.total)),
            of_classes=tuple(str(name) for name in self.about.get("classes_of_data") or names),
            is_sample=bool(self.about.get("is_sample", False)),
        )

    @property
    def errors(self) -> Errors | None:
        """Errors on the images so far, by the labels at the time of the run; counted once and kept beside the run."""
        if not self._files or self.descriptor:
            return None
        key = [[file.path.name, file.path.stat().st_size, file.path.stat().st_mtime_ns] for file in self._ordered]
        return _remembered(self.folder / _ERRORS, key) or self._counted(key)

    def _counted(self, key: list[list[Any]]) -> Errors:
        (found,) = label_ranks([self], self.labels())
        errors = Errors.of(found, int(self.signature["classes"]))
        counts = [errors.top1.wrong, errors.top5.wrong if errors.top5 else None, errors.top1.images]
        with contextlib.suppress(VggbenchError):  # a store that may only be read
            write_whole(self.folder / _ERRORS, sealed({"files": key, "counts": counts}))
        return errors

    @property
    def _ordered(self) -> list[BlockFile]:
        return [self._files[first] for first in sorted(self._files)]

    def _find_files(self) -> list[BlockFile]:
        """Take the files that are whole; all of them come back, also those that repeat images of others."""
        found = []
        for path in sorted(self._blocks.glob("*.parquet")):
            try:
                found.append(self._opened(path))
            except StoreError:
                self.damaged.append(path)
        self._files = disjoint(file for file in found if file.last < self.total)
        return found

    @property
    def _blocks(self) -> Path:
        return self.folder / f"{self.values}s"

    def _opened(self, path: Path) -> BlockFile:
        return BlockFile.open(path)


def stored_runs(root: Path) -> tuple[list[Run], list[str]]:
    """All runs of a store, sorted by name, and a sentence for each folder whose record cannot be read."""
    found, complaints = [], []
    for record in sorted(root.glob("*/run.json")):
        try:
            found.append(Run.read(record.parent))
        except StoreError as error:
            complaints.append(str(error))
    return found, complaints


def named_runs(root: Path, texts: Sequence[str]) -> list[Run]:
    """The runs that are named, each once, by name, hash, beginning or pattern with *; raises UsageError."""
    names = sorted(record.parent.name for record in root.glob("*/run.json"))
    chosen = dict.fromkeys(name for text in texts for name in _matching(root, names, text))
    return [Run.read(root / name) for name in chosen]


def is_run_name(root: Path, text: str) -> bool:
    """Whether a word on the command line names a run, stored or not, rather than a model."""
    names = [record.parent.name for record in root.glob("*/run.json")]
    is_meant = bool(_candidates(names, text)) or "*" in text or _RUN_NAME.search(text) is not None
    return "@" not in text and is_meant and text not in CONFIGS


def delete(run: Run) -> None:
    """Remove a run from the store; raises StoreError."""
    try:
        shutil.rmtree(run.folder)
    except OSError as error:
        raise StoreError(
            f"{run.folder} cannot be deleted ({error.strerror or error}): expected a folder that this user may change."
        ) from error


def read_record(folder: Path) -> dict[str, Any]:
    """What `run.json` says of the run in this folder, its `signature` and `block` first of all; raises StoreError."""
    path = folder / "run.json"
    try:
        record = unsealed(path.read_bytes(), may_lack=True)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read ({first_line(error)}): expected the record of a run. Delete it and repeat the "
            "command that began the run, which writes it again; or delete the run's folder."
        ) from error
    if folder.name.rpartition("-")[2] != short_hash(record.get("signature")):
        raise StoreError(
            f"{path} does not hold the signature that its folder is named after: it was changed by hand. "
            "Delete its folder, or name another store with --runs."
        )
    block = record.setdefault("block", BLOCK)  # older records do not say it
    if type(block) is not int or not 1 <= block <= _MOST_IN_BLOCK:
        raise StoreError(
            f"{path} has blocks of {block!r} images: expected 1 to {_MOST_IN_BLOCK:,}. Delete its folder, or name "
            "another store with --runs."
        )
    return record


def short_hash(signature: Any) -> str:
    """The end of a run's name."""
    return digest(signature)[:8]


def _remembered(path: Path, key: list[list[Any]]) -> Errors | None:
    """The errors that were counted for exactly these files."""
    try:
        kept = unsealed(path.read_bytes())
        top1, top5, images = kept["counts"]
        if kept["files"] != key:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Errors(ErrorRate(top1, images), None if top5 is None else ErrorRate(top5, images))


def _candidates(names: Sequence[str], text: str) -> list[str]:
    """Names that `text` may mean: one by its whole name or hash, or all that match a pattern or begin so."""
    exact = [name for name in names if text in (name, name.rpartition("-")[2])]
    if exact:
        return exact
    return [name for name in names if (fnmatchcase(name, text) if "*" in text else name.startswith(text))]


def _matching(root: Path, names: Sequence[str], text: str) -> list[str]:
    found = _candidates(names, text) if text else []
    if not found:
        some = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        raise UsageError(
            f"{root}/ has no run {text!r}: expected one of {some}; `vggbench runs` lists them."
            f"{did_you_mean(text, names)}"
            if names
            else f"{root}/ has no runs: expected the store of an evaluation. Name it with --runs."
        )
    if len(found) > 1 and "*" not in text:
        some = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise UsageError(f"{text!r} begins {len(found)} runs ({some}): expected one; {text}* takes them all.")
    return found

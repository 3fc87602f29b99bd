"""Posteriors of images: those of a run, or their mean over Qs, protocols and nets."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import StoreError
from vggbench.metrics import ranks


class Posteriors(Protocol):
    """The posteriors of some images, in order: a run, or a fusion of runs."""

    @property
    def images(self) -> tuple[str, ...]:
        """Ids of the images."""

    @property
    def title(self) -> str:
        """Its name in messages."""

    @property
    def sources(self) -> "tuple[Source, ...]":
        """What is read from the store for them."""

    def mean(self, read: Mapping[Path, NDArray[np.floating]]) -> NDArray[np.floating]:
        """The mean, from the posteriors of each source by its folder."""

    def batches(self) -> Iterator[NDArray[np.floating]]:
        """The posteriors, (n, K) at a time, at most 1,024 rows."""


class Source(Posteriors, Protocol):
    """Posteriors that lie in a folder of their own: a run."""

    @property
    def folder(self) -> Path:
        """Where they lie."""


@dataclass(frozen=True)
class Fusion:
    """The mean of several scores of the same images, weighted by `shares` where there are any."""

    parts: tuple[Posteriors, ...]
    shares: tuple[float, ...] | None = None

    @property
    def title(self) -> str:
        """The titles of all parts."""
        return " + ".join(part.title for part in self.parts)

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Ids of the images, the same in every part."""
        return self.parts[0].images

    @property
    def sources(self) -> tuple["Source", ...]:
        """The sources of all parts."""
        return tuple(source for part in self.parts for source in part.sources)

    def mean(self, read: Mapping[Path, NDArray[np.floating]]) -> NDArray[np.float64]:
        """The mean of the parts, accumulated in float64."""
        shares = self.shares or (1.0,) * len(self.parts)
        total = self.parts[0].mean(read).astype(np.float64) * shares[0]
        for part, share in zip(self.parts[1:], shares[1:], strict=True):
            total += part.mean(read) if share == 1 else part.mean(read) * np.float64(share)
        return total / sum(shares)

    def batches(self) -> Iterator[NDArray[np.floating]]:
        """The mean posteriors, (n, K) at a time."""
        return (found for (found,) in batches_together([self]))


def fuse(*parts: Posteriors, shares: Sequence[float] | None = None) -> Fusion:
    """Average posteriors over Qs, over protocols or over models (paper, sections 4.2 to 4.4).

    `shares` weight the parts; without any all count alike, as in the paper. Raises StoreError unless all parts cover
    the same images in the same order.
    """
    assert parts
    assert shares is None or (len(shares) == len(parts) and min(shares) >= 0 and sum(shares) > 0)
    first = parts[0].images
    for part in parts[1:]:
        if part.images != first:
            strays = sorted(set(first) ^ set(part.images))
            raise StoreError(
                f"{parts[0].title} and {part.title} cover different images ({len(first)} and {len(part.images)}; "
                f"{strays[0] if strays else 'in another order'}): expected the same. "
                "Evaluate both on the same data."
            )
    return Fusion(parts, tuple(shares) if shares else None)


def batches_together(several: Sequence[Posteriors]) -> Iterator[list[NDArray[np.floating]]]:
    """The posteriors of each, (n, K) at a time; all cover the same images, and each source is read once."""
    sources = {source.folder: source for scores in several for source in scores.sources}
    for arrays in zip(*(source.batches() for source in sources.values()), strict=True):
        read = dict(zip(sources, arrays, strict=True))
        yield [scores.mean(read) for scores in several]


def label_ranks(
    several: Sequence[Posteriors], labels: NDArray[np.integer], among: NDArray[np.integer] | None = None
) -> list[NDArray[np.int32]]:
    """For each of several scores, and each image, the classes that stand before its label: (N,) -> (N,), 0 for a
    correct top-1.

    Where an image has several labels, (N, L), the one that comes first counts. `among`: the only classes that
    stand in line, ascending and all labels among them.
    """
    if among is not None:
        labels = np.searchsorted(among, labels)
    found: list[list[NDArray[np.int32]]] = [[] for _ in several]
    start = 0
    for batches in batches_together(several):
        own = labels[start : start + len(batches[0])].reshape(len(batches[0]), -1)
        places = [i for i in range(own.shape[1]) if i == 0 or (own[:, i] != own[:, i - 1]).any()]
        for ranked, batch in zip(found, batches, strict=True):
            some = batch if among is None else batch[:, among]
            ranked.append(np.min([ranks(some, own[:, place]) for place in places], axis=0))
        start += len(own)
    assert start == len(labels), "one label for every posterior"
    return [np.concatenate(ranked) for ranked in found]


def posteriors(scores: Posteriors) -> NDArray[np.floating]:
    """All posteriors at once, (N, K)."""
    return np.concatenate(list(scores.batches()))


def posteriors_sha256(runs: Sequence[Posteriors]) -> str:
    """SHA-256 of the float32 posteriors of all runs, one after the other, little-endian, image by image."""
    digest = hashlib.sha256()
    for run in runs:
        for batch in run.batches():
            digest.update(np.ascontiguousarray(batch, dtype="<f4").tobytes())
    return digest.hexdigest()

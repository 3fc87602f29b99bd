"""The roll of a data set's images: each is called exactly once, by whatever name a tool gave it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggbench.data.imagenet import image_id
from vggbench.data.listing import is_image
from vggbench.errors import DataError, counted
from vggbench.store.predictions.part import some


class Roll:
    """Which images have been called."""

    def __init__(self, images: Sequence[str]) -> None:
        self.images = tuple(images)
        self.called = np.zeros(len(images), bool)
        self._exact = {image: place for place, image in enumerate(images)}
        self._short: dict[str, list[int]] = {}
        for place, image in enumerate(images):
            if _is_whole_name(image):
                self._short.setdefault(image_id(image), []).append(place)

    def call(self, names: Sequence[str], path: Path) -> NDArray[np.int64]:
        """The place of each name, (n,). Raises DataError for names that are unknown, ambiguous or met before."""
        found = [self._places(name) for name in names]
        self._refuse_unknown([name for name, places in zip(names, found, strict=True) if not places], path)
        for name, places in zip(names, found, strict=True):
            if len(places) > 1:
                raise DataError(
                    f"{path} has the image {some([name])}, which may be {some([self.images[p] for p in places])}: "
                    "expected a name of one image. Write names with their folders."
                )
        at = np.array([places[0] for places in found], dtype=np.int64)
        self._refuse_twice(at, path)
        self.called[at] = True
        return at

    def require_all(self, paths: Sequence[Path]) -> None:
        """Raise DataError unless every image was called."""
        missing = np.flatnonzero(~self.called)
        if len(missing):
            raise DataError(
                f"{some([str(path) for path in paths])} lacks {counted(len(missing), 'image')} of "
                f"{len(self.images):,} ({some([self.images[place] for place in missing[:6]])}): expected every image "
                "of the data once. Predict these too, or name the data that was predicted."
            )

    def _places(self, name: str) -> Sequence[int]:
        """Those that it may mean: its own id, or the id that a file of this name would have."""
        if name in self._exact:
            return (self._exact[name],)
        name = name.strip().replace("\\", "/")
        image = image_id(name)
        if image in self._exact:
            return (self._exact[image],)
        return [place for place in self._short.get(image, ()) if _may_be(name, self.images[place])]

    def _refuse_unknown(self, names: Sequence[str], path: Path) -> None:
        if names:
            raise DataError(
                f"{path} has {counted(len(names), 'name')} of no image of the data ({some(names)}): expected names "
                f"such as {self.images[0]}. Name the data that was predicted, or remove these rows."
            )

    def _refuse_twice(self, at: NDArray[np.int64], path: Path) -> None:
        places, counts = np.unique(at, return_counts=True)
        twice = places[(counts > 1) | self.called[places]]
        if len(twice):
            raise DataError(
                f"{path} has a second row of {counted(len(twice), 'image')} "
                f"({some([self.images[place] for place in twice[:6]])}): expected each once. Remove the wrong row."
            )


def _is_whole_name(image: str) -> bool:
    """Whether an id is a file's whole name, as images have them that would share an id."""
    return "/" in image or is_image(image)


def _may_be(name: str, image: str) -> bool:
    """Whether of a name and a whole name one is the other's end, but for an ending that only one of them has."""
    if not is_image(name):
        image = image.rpartition(".")[0] if is_image(image) else image
    return f"/{name}".endswith(f"/{image}") or f"/{image}".endswith(f"/{name}")

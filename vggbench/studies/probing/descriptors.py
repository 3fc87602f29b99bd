"""What a classifier is trained on: the descriptors of one file of features, or of several stacked."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import DataError, UsageError, counted
from vggbench.store.features import Features, read_features

_OF_NETS = (
    "weights", "layer", "after_relu", "pool", "views", "scales", "over_scales", "l2", "input", "filter", "antialias",
    "precision",
)  # fmt: skip
"""What the descriptors of training and test images must have in common; a net is known by its weights, whatever the
name of its file."""


@dataclass(frozen=True)
class Descriptors:
    """One descriptor an image, of length 1, and what made it: something for each file that was stacked."""

    images: tuple[str, ...]
    labels: NDArray[np.int32]
    """(N,), places among the classes; -1 without labels."""
    classes: tuple[str, ...] | None
    matrix: NDArray[np.float32]
    """(N, D)."""
    about: tuple[Mapping[str, Any], ...]
    name: str
    """The name of the files, for messages."""

    def __len__(self) -> int:
        return len(self.images)

    def rows_of(self, images: Sequence[str]) -> NDArray[np.intp]:
        """The places of images that are all here."""
        place = {image: at for at, image in enumerate(self.images)}
        return np.array([place[image] for image in images], np.intp)


def read_descriptors(paths: Sequence[Path], *, each: bool = False) -> list[Descriptors]:
    """All files stacked or, with `each`, first every one alone; raises DataError and UsageError."""
    if len({path.expanduser().resolve() for path in paths}) < len(paths):
        raise UsageError(f"{' '.join(map(str, paths))}: expected different files of descriptors.")
    files = [read_features(path) for path in paths]
    names = [str(path) for path in paths]
    one_by_one = [stacked([own], [name]) for own, name in zip(files, names, strict=True)] if each else []
    return one_by_one if each and len(files) == 1 else [*one_by_one, stacked(files, names)]


def stacked(files: Sequence[Features], names: Sequence[str]) -> Descriptors:
    """Descriptors of the same images side by side, each made of length 1 again, in the first file's order.

    Raises DataError where the images, their labels or the classes differ, and for a descriptor of zeros.
    """
    first = files[0]
    parts = [first.descriptors]
    for other, name in zip(files[1:], names[1:], strict=True):
        parts.append(other.descriptors[_same_images(first, other, names[0], name)])
    matrix = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    norms = np.sqrt(np.einsum("nd,nd->n", matrix, matrix, dtype=np.float64))
    if not norms.all():
        raise DataError(
            f"{' + '.join(names)} has nothing but zeros for {first.images[int(norms.argmin())]}: expected a descriptor "
            "of length 1. Take a layer that answers to these images."
        )
    return Descriptors(
        images=first.images,
        labels=first.labels,
        classes=first.classes,
        matrix=np.divide(matrix, norms[:, None], out=np.empty_like(matrix), casting="same_kind"),
        about=tuple(file.about for file in files),
        name=" + ".join(names),
    )


def _same_images(first: Features, other: Features, own: str, name: str) -> NDArray[np.intp]:
    """The places of the first file's images in the other; raises DataError."""
    place = {image: at for at, image in enumerate(other.images)}
    lone = [image for image in first.images if image not in place]
    if lone or len(place) != len(first.images):
        known = set(first.images)
        where, image = (own, lone[0]) if lone else (name, next(image for image in other.images if image not in known))
        raise DataError(
            f"{own} has {counted(len(first.images), 'image')} and {name} {len(place):,}, and {image} is in {where} "
            "alone: expected the same images. Write both of the same data."
        )
    order = np.array([place[image] for image in first.images], np.intp)
    if first.about["data"] != other.about["data"]:
        raise DataError(
            f"{own} and {name} have the same names of images for other files: expected the same images. Write both of "
            "the same data."
        )
    if first.classes != other.classes or not np.array_equal(first.labels, other.labels[order]):
        raise DataError(f"{own} and {name} have other labels: expected the same. Write both of the same data.")
    return order


def require_same_nets(train: Descriptors, test: Descriptors) -> None:
    """Refuse to test on descriptors that were made otherwise; raises UsageError."""
    if len(train.about) != len(test.about):
        raise UsageError(
            f"{train.name} is of {counted(len(train.about), 'file')} and {test.name} of {len(test.about)}: expected as "
            "many, in the same order."
        )
    for ours, theirs in zip(train.about, test.about, strict=True):
        one, two = _made(ours), _made(theirs)
        odd = next((key for key in _OF_NETS if one.get(key) != two.get(key)), None)
        if odd:
            raise UsageError(
                f"{train.name} and {test.name} differ in {odd}, {one.get(odd)} and {two.get(odd)}: expected "
                "descriptors that were made alike, in the same order of files."
            )


def _made(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says of itself, with each net's input in their order and the parts of rescaling that users choose."""
    rescale = about.get("rescale")
    chosen = rescale if isinstance(rescale, dict) else {}
    inputs = [about["input"].get(model) for model in about["models"]]
    return dict(about) | {"input": inputs} | {name: chosen.get(name) for name in ("filter", "antialias")}


def labels_among(classes: Sequence[str], test: Descriptors) -> NDArray[np.int32]:
    """The labels of test images as places among the training part's classes; raises DataError for other classes."""
    place = {name: at for at, name in enumerate(classes)}
    met = [test.classes[label] for label in np.unique(test.labels)] if test.classes else []
    unknown = next((name for name in met if name not in place), None)
    if unknown is not None:
        raise DataError(f"{test.name} has the class {unknown}, which nothing trains: expected the same classes.")
    of_test = np.array([place.get(name, -1) for name in test.classes or ()], np.int32)
    found: NDArray[np.int32] = of_test[test.labels]
    return found


def require_labels(given: Descriptors) -> tuple[str, ...]:
    """The classes, where each image has one; raises DataError."""
    if given.classes is None or (given.labels < 0).any():
        raise DataError(
            f"{given.name} has no class for each image: expected labels. Of a VOC say --protocol voc2007 or voc2012, "
            "and --data with its folder; else write the features of a folder of classes."
        )
    return given.classes


def require_other_images(train: Descriptors, test: Descriptors) -> None:
    """Refuse a test image that was trained on: one of the same name and descriptor; raises DataError."""
    shared = sorted(set(train.images) & set(test.images))
    ours, theirs = train.matrix[train.rows_of(shared)], test.matrix[test.rows_of(shared)]
    same = (ours == theirs).all(axis=1)
    if same.any():
        raise DataError(
            f"{shared[int(same.argmax())]} is in {train.name} and in {test.name} ({int(same.sum()):,} images are): "
            "expected to test on other images than those trained on."
        )


def twins(train: NDArray[np.float32], test: NDArray[np.float32]) -> int:
    """How many of the (M, D) rows of `test` are rows of the (N, D) `train` as well."""
    known = {_hash(row) for row in train}
    return sum(_hash(row) in known for row in test)


def _hash(row: NDArray[np.float32]) -> bytes:
    return hashlib.blake2b(row.tobytes(), digest_size=16).digest()

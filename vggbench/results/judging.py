"""Ground truths: which images count, and which classes are right for each; the stored posteriors stay the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggbench.data import DataSet
from vggbench.data.imagenet import val_number
from vggbench.data.real import read_blacklist, read_real
from vggbench.errors import DataError, UsageError
from vggbench.store.identity import Identity
from vggbench.store.posteriors import Posteriors, label_ranks

_ORIGINAL, _REAL = "original", "real"
_AMONG = ", data's classes"
"""In the name of a ground truth by which those alone stand in line."""


@dataclass(frozen=True)
class GroundTruth:
    """What is right: the data's own labels or, for each image by its id, any of several class names."""

    name: str = _ORIGINAL
    classes: Mapping[str, tuple[str, ...]] | None = None
    left_out: frozenset[str] = frozenset()
    """Ids of images that do not count."""
    of_data: bool = False
    """Whether the data's classes alone stand in line (`--classes-of-data only`), and not all of the model's."""

    @property
    def is_original(self) -> bool:
        """Whether figures by it can stand beside published ones."""
        return self.classes is None and not self.left_out and not self.of_data

    def among(self, data: DataSet, model: Identity) -> NDArray[np.int64] | None:
        """The places of the only classes that stand in line, ascending; None for all. Raises UsageError."""
        if not self.of_data:
            return None
        if model.has_five_best:
            raise UsageError(
                f"--classes-of-data only with {model.name}, whose five best classes alone are known: expected "
                "the posteriors of all classes."
            )
        return np.array(places_of(data, model), np.int64)

    def ranks(self, several: Sequence[Posteriors], data: DataSet, model: Identity) -> list[NDArray[np.int32]]:
        """For each image that counts, the classes that stand before its best right one: 0 for a correct top-1, (M,).

        One array for each of several posteriors of the same images, which are read together.
        An image without a right class does not count. Raises DataError for an image that it
        does not know, or if none counts.
        """
        posteriors = several[0]
        own = own_labels(posteriors, data, model)
        labels, counts = own[:, None], np.ones(len(own), bool)
        if self.classes is not None:
            labels, counts = self._several(posteriors, model)
        counts &= np.array([image not in self.left_out for image in posteriors.images])
        if not counts.any():
            raise DataError(f"None of the {len(own):,} images has a label by {self.name}: expected one or more.")
        return [found[counts] for found in label_ranks(several, labels, self.among(data, model))]

    def _several(self, posteriors: Posteriors, model: Identity) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """(N, most) labels, the last repeated, and whether there is any."""
        assert self.classes is not None
        place = {name: index for index, name in enumerate(model.class_names or ())}
        strange = next((image for image in posteriors.images if image not in self.classes), None)
        if strange or not set().union(*map(self.classes.__getitem__, posteriors.images)) <= set(place):
            what = f"the image {strange}" if strange else f"the classes of {model.name}"
            raise DataError(
                f"--labels {self.name} does not fit {what}: it is of the validation images and the 1,000 classes of "
                "ILSVRC-2012. Expected those, or --labels original."
            )
        lists = [[place[name] for name in self.classes[image]] for image in posteriors.images]
        most = max(1, *map(len, lists))
        padded = [(found + found[-1:] * most)[:most] if found else [0] * most for found in lists]
        return np.array(padded, np.int32), np.array([bool(found) for found in lists])


ORIGINAL = GroundTruth()
"""The data's own labels."""


def places_of(data: DataSet, model: Identity) -> list[int]:
    """Where the data's classes stand among the model's, ascending; those of its images where it names none of them."""
    known = {name: place for place, name in enumerate(model.class_names or ())}
    found = {known[name] for name in data.class_names if name in known and name not in data.empty_classes}
    return sorted(found | set(data.labels(model.class_names, model.classes).tolist()))


def ground_truths(
    texts: Sequence[str], blacklist: Path | None = None, classes_of_data: Sequence[str] = ()
) -> tuple[GroundTruth, ...]:
    """What `--labels`, `--blacklist` and `--classes-of-data` ask for; raises UsageError and DataError."""
    chosen = list(dict.fromkeys(classes_of_data or ["all"]))
    if "only" in chosen and any(text != _ORIGINAL for text in texts):
        raise UsageError("--classes-of-data only with other --labels than original: expected one of the two.")
    return tuple(
        replace(truth, of_data=word == "only", name=truth.name + (_AMONG if word == "only" else ""))
        for truth in _by_labels(texts, blacklist)
        for word in chosen
    )


def _by_labels(texts: Sequence[str], blacklist: Path | None) -> tuple[GroundTruth, ...]:
    left_out = read_blacklist(blacklist) if blacklist else frozenset()
    found: list[GroundTruth] = []
    for text in dict.fromkeys(texts or [_ORIGINAL]):
        name, _, path = text.partition("=")
        if (name, bool(path)) not in ((_ORIGINAL, False), (_REAL, True)):
            raise UsageError(f"--labels {text}: expected original, or real=FILE with ReaL's real.json.")
        if any(truth.name == name for truth in found):
            raise UsageError(f"--labels {text} is the second called {name}: expected each once, in a run of its own.")
        found.append(GroundTruth(name, read_real(Path(path)) if path else None, left_out))
    return tuple(found)


def own_labels(posteriors: Posteriors, data: DataSet, model: Identity) -> NDArray[np.int32]:
    """One label for each image of `posteriors`, found by its id."""
    labels = data.labels(model.class_names, model.classes)
    if len(posteriors.images) == len(data):
        return labels
    place = {image.id: index for index, image in enumerate(data.images)}
    chosen: NDArray[np.int32] = labels[[place[image] for image in posteriors.images]]
    return chosen


def require_val(truths: Sequence[GroundTruth], data: DataSet) -> None:
    """Refuse, before anything is computed, ground truths of ILSVRC's validation images for other images."""
    strange = next((image for image in data.images if not val_number(image.id)), None)
    judged = next((truth for truth in truths if truth.classes is not None or truth.left_out), None)
    if strange and judged:
        option = "--blacklist" if judged.classes is None else f"--labels {judged.name}"
        raise DataError(
            f"{option} is of the validation images of ILSVRC-2012 and {data.name} has the image {strange.id}: expected "
            "those images, or the option left out."
        )

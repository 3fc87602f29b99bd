"""A VOC: an image has a label for each class, and a machine is trained for each; mean average precision."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggbench.data.voc import CLASSES, VocPart, has_labels, read_part, require_known, voc_folder
from vggbench.errors import DataError
from vggbench.paper.probes import ProbeProtocol
from vggbench.studies.probing.descriptors import Descriptors, twins
from vggbench.studies.probing.fits import Fits
from vggbench.studies.probing.machine import (
    choose_by_precision,
    decisions,
    fifths,
    mean_average_precision,
    require_both,
)
from vggbench.studies.probing.probed import Manner, Outcome, Probed, ProbeRow, Request, Tell, notes_of
from vggbench.studies.probing.reference import paper_figure


def probe_voc(
    several: Sequence[Descriptors], request: Request, protocol: ProbeProtocol, manner: Manner, version: str, tell: Tell
) -> Probed:
    """Train and val train and test tests, where its labels are there; else train trains and val tests."""
    assert request.data is not None
    folder = voc_folder(request.data.expanduser())
    is_full = has_labels(folder, "test")
    fitting, held, final, test = _voc_parts(folder, manner, is_full=is_full)
    rows = [_voc_row(own, (fitting, held, final, test), request, manner, protocol, tell) for own in several]
    left = int((test.labels == 0).sum())
    notes = [f"Images that show a class in difficult objects alone neither train nor test it ({left:,} while testing)."]
    lone = [name for name, own in zip(test.classes, test.labels.T, strict=True) if not (own == 1).any()]
    if lone:
        notes.append(f"No image of {test.name} shows {', '.join(lone)}: mAP is over the other classes.")
    if set(test.classes) != set(CLASSES):
        notes.append(f"{folder.name} has {len(test.classes)} classes, not the 20 of PASCAL VOC.")
    if not is_full:
        notes.append(f"{folder} has no labels of test images: val tests instead, which no published figure is of.")
    return Probed(
        protocol, request, tuple(rows),
        f"{len(final):,} images of {final.name} train, {len(test):,} of {test.name} test",
        1, manner.seed, len(test.classes) - len(lone), version, held_out=held.name,
        notes=(*notes_of(rows, manner), *notes),
    )  # fmt: skip


def _voc_parts(folder: Path, manner: Manner, *, is_full: bool) -> tuple[VocPart, VocPart, VocPart, VocPart]:
    """The parts that C is fitted to and chosen by, then the whole training part and the test part."""
    train, val = read_part(folder, "train"), read_part(folder, "val")
    if not (val.labels == 1).any():
        raise DataError(f"{folder} has no image of val that shows a class: expected the labels of val.")
    final, test = (read_part(folder, "trainval"), read_part(folder, "test")) if is_full else (train, val)
    if {part.classes for part in (train, val, final)} != {test.classes}:
        raise DataError(f"{folder} has other classes in one part than in another: expected the same.")
    shared = next(iter(set(final.images) & set(test.images)), None)
    if shared is not None:
        raise DataError(f"{folder} has {shared} in {final.name} and in {test.name}: expected to test on other images.")
    if is_full and set(final.images) != {*train.images, *val.images}:
        raise DataError(f"{folder} has other images in trainval than in train and val: expected the same.")
    if is_full:
        return train, val, final, test
    part = fifths(np.zeros(len(train), np.intp), manner.seed)
    return (
        _part_of(train, part != 0, "four fifths of train"),
        _part_of(train, part == 0, "a fifth of train"),
        train,
        val,
    )


def _part_of(whole: VocPart, rows: NDArray[np.bool_], name: str) -> VocPart:
    images = tuple(image for image, is_in in zip(whole.images, rows, strict=True) if is_in)
    return VocPart(name, images, whole.classes, whole.labels[rows])


def _voc_row(
    own: Descriptors, parts: tuple[VocPart, VocPart, VocPart, VocPart], request: Request, manner: Manner,
    protocol: ProbeProtocol, tell: Tell,
) -> ProbeRow:  # fmt: skip
    fitting, held, final, test = parts
    for part in (final, test):
        require_known(part, own.images, own.name)
    for part in (fitting, final) if len(manner.costs) > 1 else (final,):
        require_both(part.labels, part.classes, part.name)
    fits, eleven = Fits(request.kept), protocol.has_eleven_points

    def given(part: VocPart) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        return own.matrix[own.rows_of(part.images)], part.labels

    cost, reached = choose_by_precision(
        given(fitting), given(held), manner.costs, manner.seed, fits, eleven_points=eleven
    )
    scores = decisions(*given(final), given(test)[0], cost, manner.seed, fits)
    mean, each = mean_average_precision(scores, test.labels, eleven_points=eleven)
    tell(f"{own.name}: C={cost:g}, mAP {100 * mean:.2f}%.")
    by_class = {name: None if one is None else 100 * one for name, one in zip(test.classes, each, strict=True)}
    outcome = Outcome(
        100 * mean, cost, None if reached is None else 100 * reached, len(final), len(test), None, by_class,
        twins=twins(given(final)[0], given(test)[0]),
    )  # fmt: skip
    is_papers = request.is_papers and test.name == "test" and set(test.classes) == set(CLASSES)
    is_papers &= len(final) + len(test) == protocol.images
    return ProbeRow(own, (outcome,), fits, paper_figure(own, protocol.name, is_papers))

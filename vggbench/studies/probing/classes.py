"""Images of one class each: random splits of a set, or one file that trains and another that tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import DataError, UsageError
from vggbench.metrics import ErrorRate, mean_class_recall
from vggbench.paper.probes import ProbeProtocol
from vggbench.studies.probing.descriptors import (
    Descriptors,
    labels_among,
    read_descriptors,
    require_labels,
    require_other_images,
    require_same_nets,
    twins,
)
from vggbench.studies.probing.fits import Fits
from vggbench.studies.probing.machine import choose_by_recall, predicted
from vggbench.studies.probing.probed import Manner, Outcome, Probed, ProbeRow, Request, Tell, notes_of
from vggbench.studies.probing.reference import paper_figure
from vggbench.studies.probing.splits import (
    Drawing,
    Split,
    draw,
    read_splits,
    require_as_asked,
    require_disjoint,
    splits_hash,
    write_splits,
)


def probe_splits(
    several: Sequence[Descriptors], request: Request, protocol: ProbeProtocol, manner: Manner, version: str, tell: Tell
) -> Probed:
    """Every set of features by the same splits; raises DataError and UsageError."""
    splits, parts = _splits(several[0], request, protocol)
    rows = [_row_of_splits(own, splits, request, manner, tell) for own in several]
    met = np.unique(several[0].labels)
    return Probed(
        protocol, request, tuple(rows), parts, manner.folds, manner.seed, len(met), version,
        splits_sha256=splits_hash(splits), notes=notes_of(rows, manner),
    )  # fmt: skip


def _splits(given: Descriptors, request: Request, protocol: ProbeProtocol) -> tuple[list[Split], str]:
    """The splits of the file if it exists, else drawn ones, which are written if a file is named."""
    classes, path = require_labels(given), request.split_file
    asked = {name: getattr(request, name) for name in ("train_per_class", "test_per_class", "splits", "seed")}
    asked["test_per_class"] = asked["test_per_class"] or None
    if path is not None and path.exists():
        splits, record = read_splits(path)
        require_disjoint(splits, given.images, str(path))
        require_as_asked(path, record, asked, len(splits))
        _require_papers(path, splits, record, given, protocol)
        return splits, f"{len(splits)} splits of {path}"
    most = protocol.test_per_class if request.test_per_class is None else request.test_per_class or None
    how = Drawing(
        request.train_per_class or protocol.train_per_class, most, request.splits or protocol.splits, request.seed or 0
    )
    splits = draw(how, given.images, given.labels, classes)
    require_disjoint(splits, given.images, "those drawn")
    if path is not None:
        write_splits(path, how, splits)
    others = "all others" if most is None else f"up to {most} others"
    count = f"{how.splits} random splits" if how.splits > 1 else "1 random split"
    return splits, f"{count} (seed {how.seed}): {how.train_per_class} images a class to train, {others} to test"


def _require_papers(
    path: Path, splits: Sequence[Split], record: dict[str, object], given: Descriptors, protocol: ProbeProtocol
) -> None:
    """A named set is measured on splits of its own sizes, or not under its name."""
    if not protocol.classes:
        return
    own = (protocol.train_per_class, protocol.test_per_class, protocol.splits)
    found = (record.get("train_per_class"), record.get("test_per_class"), len(splits))
    if own != found:
        raise UsageError(
            f"{path} holds {found[2]} splits of {found[0]} and {found[1] or 'all others'}: expected those of "
            f"--protocol {protocol.name}, {own[2]} of {own[0]} and {own[1] or 'all others'}. Say --protocol folders."
        )
    assert given.classes
    images = np.bincount(given.labels, minlength=len(given.classes))
    others = np.minimum(images - own[0], len(given) if own[1] is None else own[1])
    for number, split in enumerate(splits, start=1):
        for part, wanted in ((split.train, np.full_like(images, own[0])), (split.test, others)):
            counts = np.bincount(given.labels[given.rows_of(part)], minlength=len(images))
            odd = next(iter(np.flatnonzero(counts != wanted)), None)
            if odd is not None:
                raise DataError(
                    f"Split {number} of {path} {'trains' if part is split.train else 'tests'} {given.classes[odd]} by "
                    f"{counts[odd]} images: expected {wanted[odd]}, as --protocol {protocol.name} has it."
                )


def _row_of_splits(own: Descriptors, splits: Sequence[Split], request: Request, manner: Manner, tell: Tell) -> ProbeRow:
    fits = Fits(request.kept)
    outcomes = []
    for number, split in enumerate(splits, start=1):
        train, test = own.rows_of(split.train), own.rows_of(split.test)
        outcome = _outcome(_taken(own, train), _taken(own, test), manner, fits)
        tell(
            f"{own.name}, split {number} of {len(splits)}: C={outcome.cost:g}, mean class recall {outcome.figure:.2f}%."
        )
        outcomes.append(outcome)
    return ProbeRow(own, tuple(outcomes), fits, paper_figure(own, request.protocol, request.is_papers))


def _taken(own: Descriptors, rows: NDArray[np.intp]) -> Descriptors:
    return Descriptors(
        tuple(own.images[at] for at in rows), own.labels[rows], own.classes, own.matrix[rows], own.about, own.name
    )


def _outcome(train: Descriptors, test: Descriptors, manner: Manner, fits: Fits) -> Outcome:
    """Machines of the training images, judged on the test images, whose labels are among the training part's classes.

    Raises DataError.
    """
    assert train.classes is not None
    counts = np.bincount(train.labels, minlength=len(train.classes))
    few = next((at for at in np.unique(test.labels) if not counts[at]), None)
    if few is not None:
        raise DataError(f"Class {train.classes[few]} is tested and not trained: expected images of it in {train.name}.")
    lone = np.flatnonzero(counts == 1)
    if len(lone) and len(manner.costs) > 1:
        raise DataError(
            f"Class {train.classes[lone[0]]} has 1 image that trains: expected 2 or more, so that one can choose C. Or "
            "name one C: --costs 10."
        )
    if (counts > 0).sum() < 2:
        raise DataError(f"{train.name} trains on one class: expected two or more.")
    cost, held = choose_by_recall(train.matrix, train.labels, manner.costs, manner.folds, manner.seed, fits)
    found = predicted(train.matrix, train.labels, test.matrix, cost, manner.seed, fits)
    right = found == test.labels
    return Outcome(
        figure=100 * mean_class_recall(found, test.labels),
        cost=cost,
        held_out=None if held is None else 100 * held,
        train=len(train),
        test=len(test),
        error=ErrorRate(int((~right).sum()), len(test)),
        by_class={
            train.classes[at]: 100 * float(right[test.labels == at].mean()) for at in np.unique(test.labels).tolist()
        },
        wrong=tuple(test.images[at] for at in np.flatnonzero(~right).tolist()),
        twins=twins(train.matrix, test.matrix),
    )


def probe_two(
    several: Sequence[Descriptors], request: Request, protocol: ProbeProtocol, manner: Manner, version: str, tell: Tell
) -> Probed:
    """One file of descriptors trains, another tests."""
    tests = read_descriptors(request.test, each=request.each)
    if len(tests) != len(several):
        raise UsageError("--test: expected as many files as there are to train on, in the same order.")
    rows = []
    for own, other in zip(several, tests, strict=True):
        require_same_nets(own, other)
        classes = require_labels(own)
        require_labels(other)
        require_other_images(own, other)
        test = Descriptors(other.images, labels_among(classes, other), classes, other.matrix, other.about, other.name)
        fits = Fits(request.kept)
        outcome = _outcome(own, test, manner, fits)
        tell(f"{own.name}: C={outcome.cost:g}, mean class recall {outcome.figure:.2f}%.")
        rows.append(ProbeRow(own, (outcome,), fits, None))
    parts = f"{len(several[0]):,} images of {several[0].name} train, {len(tests[0]):,} of {tests[0].name} test"
    met = len(np.unique(several[0].labels))
    tested = len(rows[0].outcomes[0].by_class)
    notes = (f"Recall is over the {tested} classes that test images are of.",) if tested < met else ()
    return Probed(
        protocol, request, tuple(rows), parts, manner.folds, manner.seed, met, version,
        notes=(*notes_of(rows, manner), *notes),
    )  # fmt: skip

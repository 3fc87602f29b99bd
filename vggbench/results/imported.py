"""Predictions that another tool made, as a stored run: rows like any others, of a protocol that is not known here."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbench import __version__
from vggbench.data import DataSet
from vggbench.errors import UsageError
from vggbench.evaluation.jobs import Settings
from vggbench.paper.protocols import IMPORTED
from vggbench.paper.published import FUSIONS
from vggbench.results.calibrated import require_all_posteriors, require_metrics
from vggbench.results.evaluated import Evaluated
from vggbench.results.judging import ORIGINAL, GroundTruth, require_val
from vggbench.store.blocks import Block
from vggbench.store.identity import Identity
from vggbench.store.predictions import Predictions, named_classes, read_predictions
from vggbench.store.recording import Store, about_of
from vggbench.store.runs import BLOCK, Run
from vggbench.weights.spec import parse_model

_TOP, _ROWS = 5, 1024
_LONGEST = 100
"""Characters of a name."""
_NUMERICS = 1
"""Raised whenever a change of reading or storing changes a figure."""


def import_predictions(found: Predictions, data: DataSet, name: str, store: Store) -> Run:
    """Store what was predicted for all images of `data`; what is stored already is taken as it is.

    Raises DataError where the classes lack one of the data's, and StoreError.
    """
    identity = _identity(found, name)
    labels = data.labels(identity.class_names, identity.classes)
    ids = [image.id for image in data.images]
    run = store.run(f"{name}-{IMPORTED}", _signature(identity, data), ids, about_of(identity, data), BLOCK)
    missing = run.missing()
    if missing:
        run.create()
    for number in missing:
        run.write(number, _block(found, data, labels, run.block_range(number)))
    run.compact()
    return replace(run, about=about_of(identity, data))


def _identity(found: Predictions, name: str) -> Identity:
    return Identity(
        name=name,
        input=None,
        classes=len(found.class_names),
        class_names=found.class_names,
        weights_hash=found.sha256,
        source=" + ".join(path.name for path in found.paths),
        said=tuple(sentence.rstrip(".") for sentence in (*found.said, *_said_of_ties(found))),
        kind=IMPORTED,
        has_five_best=found.posteriors is None,
    )


def _said_of_ties(found: Predictions) -> list[str]:
    """That top-5 goes by the order of classes in some images, since more than five are as probable."""
    if found.posteriors is None or len(found.class_names) <= _TOP:
        return []
    tied = 0
    for start in range(0, len(found.posteriors), _ROWS):
        some = np.sort(found.posteriors[start : start + _ROWS], axis=1)
        tied += int((some[:, -_TOP] == some[:, -_TOP - 1]).sum())
    what = f"in {tied:,} of {len(found.posteriors):,} images several classes are equally probable in the fifth place"
    return [f"{what}: there top-5 depends on the order of classes"] if tied else []


def _signature(identity: Identity, data: DataSet) -> dict[str, Any]:
    return identity.signature() | {
        "protocol": IMPORTED,
        "scale": None,
        "rescale": None,
        "precision": "unknown",
        "backend": IMPORTED,
        "data": data.fingerprint,
        "numerics": _NUMERICS,
        "class_names": list(identity.names_of_classes),
        "five_best": identity.has_five_best,
    }


def _block(found: Predictions, data: DataSet, labels: NDArray[np.int32], places: range) -> Block:
    unknown = np.zeros(len(places), np.int32)
    some = slice(places[0], places[-1] + 1)
    if found.posteriors is not None:
        posteriors = found.posteriors[some]
    else:
        assert found.top is not None
        posteriors = in_order(found.top[some], len(found.class_names))
    return Block(
        tuple(data.images[place].id for place in places), labels[some], unknown, unknown, posteriors,
        provenance=[{"vggbench": __version__, "backend": IMPORTED, "seconds": 0.0}],
    )  # fmt: skip


def in_order(top: NDArray[np.int32], classes: int) -> NDArray[np.float32]:
    """(N, T) places, the most probable first -> (N, K) numbers that fall in that order and are 0 for all others.

    They are no posteriors: only which of the T comes first, and that all others come behind them, is in them.
    """
    count = top.shape[1]
    falling = np.arange(count, 0, -1, dtype=np.float32)
    found = np.zeros((len(top), classes), np.float32)
    np.put_along_axis(found, top.astype(np.int64), np.broadcast_to(falling / falling.sum(), top.shape), 1)
    return found


def scored(
    files: Sequence[Path],
    data: DataSet,
    runs: Path,
    *,
    name: str | None = None,
    classes: str | None = None,
    truths: tuple[GroundTruth, ...] = (ORIGINAL,),
    metrics: Sequence[str] = (),
) -> Evaluated:
    """Read predictions, store them as a run, and judge them.

    `name` is what their row is called, else the file's; `classes` as `named_classes` takes it. Raises UsageError,
    DataError and StoreError.
    """
    called = required_name(name) if name else _name_of(files[0])
    require_val(truths, data)
    require_metrics(metrics, truths)
    stated = named_classes(classes) if classes else None
    found = read_predictions(files, [image.id for image in data.images], data.class_names, classes=stated)
    if metrics:
        require_all_posteriors([_identity(found, called)])
    run = import_predictions(found, data, called, Store(runs))
    return Evaluated(data, [run], Settings.of_run(run), truths, metrics=tuple(metrics))


def _name_of(file: Path) -> str:
    """What its row is called: the file's name without endings, and what tells it from a model where it is one's."""
    stem = file.name.partition(".")[0] or "predictions"
    try:
        return required_name(stem)
    except UsageError:
        return required_name(f"{re.sub('[/@:]', '-', stem)[: _LONGEST // 2]}-predicted")


def required_name(name: str) -> str:
    """Refuse what another command would take for a model, or could not be told from one. Raises UsageError."""
    try:
        parse_model(name)
    except UsageError:
        is_odd = name.startswith(("-", ".")) or set("/@:*") & set(name) or not name.isprintable() or name in FUSIONS
        if is_odd or len(name) > _LONGEST or not re.search("[A-Za-z0-9]", name):
            raise UsageError(
                f"--name {name[:_LONGEST]!r}: expected up to {_LONGEST} characters with a letter or number among them, "
                "without / @ : and *, and no name of the paper's fusions."
            ) from None
        return name
    raise UsageError(f"--name {name}: that is a MODEL. Expected another, such as {name}-predicted.")

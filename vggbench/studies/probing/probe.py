"""`probe`: the protocol of a set, applied to descriptors: train, choose C on what trains, test once."""

from collections.abc import Sequence
from pathlib import Path

from vggbench.data.caltech import unlike
from vggbench.errors import DataError, UsageError
from vggbench.inference.choices import require_least
from vggbench.paper.probes import PROTOCOLS, ProbeProtocol
from vggbench.studies.probing.classes import probe_splits, probe_two
from vggbench.studies.probing.descriptors import read_descriptors, require_labels
from vggbench.studies.probing.machine import MOST_FOLDS, require_sklearn
from vggbench.studies.probing.probed import Manner, Probed, Request, Tell
from vggbench.studies.probing.voc import probe_voc


def probe(files: Sequence[Path], request: Request, tell: Tell = lambda text: None) -> Probed:
    """The figure of the descriptors in `files`, stacked; `tell` is told of each split.

    Raises UsageError, and DataError for images, labels or classes that are not the protocol's.
    """
    protocol = protocol_named(request.protocol)
    _require_possible(request, protocol)
    version = require_sklearn()
    several = read_descriptors(files, each=request.each)
    manner = Manner(tuple(request.costs), request.folds or protocol.folds, request.seed or 0)
    if protocol.is_voc:
        return probe_voc(several, request, protocol, manner, version, tell)
    classes = require_labels(several[0])
    if protocol.classes and (other := unlike(protocol.name, classes)):
        raise DataError(
            f"{several[0].name} has {other}: expected the {protocol.classes} classes of {protocol.title}. Any other "
            "set is measured by --protocol folders."
        )
    if request.test:
        return probe_two(several, request, protocol, manner, version, tell)
    return probe_splits(several, request, protocol, manner, version, tell)


def protocol_named(name: str) -> ProbeProtocol:
    """A protocol; raises UsageError."""
    if name not in PROTOCOLS:
        raise UsageError(f"--protocol {name}: expected one of {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]


def _require_possible(request: Request, protocol: ProbeProtocol) -> None:
    """Refuse what contradicts itself, and numbers that are too small."""
    for name, least in (("train_per_class", 1), ("test_per_class", 0), ("splits", 1), ("seed", 0)):
        require_least(f"--{name.replace('_', '-')}", getattr(request, name), least)
    drawn = [
        f"--{name.replace('_', '-')}"
        for name in ("train_per_class", "test_per_class", "splits", "split_file")
        if getattr(request, name) is not None
    ]
    if protocol.is_voc and (request.data is None or request.test):
        raise UsageError(f"--protocol {protocol.name}: expected --data with the VOC's folder, and no --test.")
    if not protocol.is_voc and request.data is not None:
        raise UsageError("--data is for a VOC, whose labels are in its folder: expected --protocol voc2007 or voc2012.")
    if request.test and protocol.name != "folders":
        raise UsageError(f"--test with --protocol {protocol.name}, which draws its own: expected one of them.")
    if drawn and (protocol.is_voc or request.test):
        what = "--test" if request.test else f"--protocol {protocol.name}"
        raise UsageError(f"{drawn[0]} with {what}, which says what trains and what tests: expected one of them.")
    if not request.costs or any(not 0 < cost < float("inf") for cost in request.costs):
        raise UsageError(f"--costs {' '.join(map(str, request.costs))}: expected numbers above 0.")
    if request.folds is not None and not 1 <= request.folds <= MOST_FOLDS:
        raise UsageError(f"--folds {request.folds}: expected 1 to {MOST_FOLDS} of the fifths.")
    if len(set(request.costs)) < len(request.costs):
        raise UsageError(f"--costs {' '.join(map(str, request.costs))}: expected each once.")

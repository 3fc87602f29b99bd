"""What an ONNX graph may claim and hold, looked at before ONNX Runtime opens it: sizes, places, operators."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vggbench.errors import WeightsError

_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8,
}  # fmt: skip
"""Bits of one value, for each of ONNX's types of tensor; texts have none."""
_MAX_NODES = 200_000
_MAX_DEPTH = 8
_RANDOM = {
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial",
    "DropoutGrad", "RandomGeneratorOp", "BitmaskDropout",
}  # fmt: skip
_ENDLESS = {"Loop", "Scan", "EPContext", "PythonOp", "SequenceMap"}
"""What has no bound, or names what is not in the graph."""
_KEYS = {"location", "offset", "length", "checksum"}
"""The keys that an entry of external data may have."""


def graphs_of(model: Any) -> Iterator[Any]:
    """The graph, what is nested in its nodes, and the functions that the model defines."""
    waiting = [(model.graph, 0), *((function, 0) for function in model.functions)]
    while waiting:
        graph, depth = waiting.pop()
        yield graph
        if depth == _MAX_DEPTH:
            raise ValueError("it nests too deep")
        for node in graph.node:
            for attribute in node.attribute:
                nested = [attribute.g] if attribute.HasField("g") else []
                waiting += [(inner, depth + 1) for inner in (*nested, *attribute.graphs)]


def require_harmless(model: Any, path: Path) -> list[Path]:
    """The files that hold its external data, by name; raises WeightsError for what is not to be opened or run."""
    outside: set[Path] = set()
    nodes = 0
    for graph in graphs_of(model):
        nodes += len(graph.node)
        if nodes > _MAX_NODES:
            raise WeightsError(f"{path} has more than {_MAX_NODES:,} nodes: expected a classifier's graph.")
        off = _constants_of_zero(graph)
        for node in graph.node:
            _require_known(node, off, path)
            for attribute in node.attribute:
                for tensor in (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors):
                    _require_whole(tensor, path)
        if len(getattr(graph, "sparse_initializer", ())):
            raise WeightsError(f"{path} holds sparse weights: expected dense ones. Export it again without.")
        for tensor in getattr(graph, "initializer", ()):
            if tensor.external_data:
                outside.add(_require_inside(tensor, path))
            else:
                _require_whole(tensor, path)
    return sorted(outside)


def _constants_of_zero(graph: Any) -> set[str]:
    """Names of single constants that are 0 or false; an input that is left out has no name."""
    tensors = {tensor.name: tensor for tensor in getattr(graph, "initializer", ())}
    for node in graph.node:
        if node.op_type == "Constant":
            tensors |= {name: a.t for name in node.output for a in node.attribute if a.name == "value"}
    return {""} | {
        name
        for name, tensor in tensors.items()
        if not math.prod(tensor.dims) > 1 and not any(tensor.raw_data) and not any(tensor.int32_data)
    }


def _require_known(node: Any, off: set[str], path: Path) -> None:
    """Refuse operators whose result is not the network's alone."""
    kind = node.op_type[:50]
    if kind in _ENDLESS:
        raise WeightsError(f"{path} has the operator {kind}, which has no bound: expected a classifier without.")
    training = [a.i for a in node.attribute if a.name == "training_mode"]
    drops = kind == "Dropout" and any(name not in off for name in node.input[2:3])
    if kind in _RANDOM or drops or (kind == "BatchNormalization" and any(training)):
        raise WeightsError(
            f"{path} was exported as for training ({kind}), so that its scores are random or depend on the batch: "
            "expected a network in evaluation mode. Call net.eval() and export it again."
        )


def _require_whole(tensor: Any, path: Path) -> None:
    """Refuse a tensor in the graph whose values are not there."""
    if tensor.external_data or tensor.data_location:
        raise WeightsError(f"{path} keeps the constant {tensor.name[:50]!r} outside: expected it in the graph.")
    if tensor.data_type == 8:  # texts, such as the names of classes
        return
    values = _values(tensor, path)
    if tensor.HasField("raw_data"):
        held, needed = len(tensor.raw_data), _bytes(tensor, path)
    else:
        fields = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
        held, needed = sum(len(field) for field in fields), values
        if tensor.data_type in (14, 15):
            needed = 2 * values
        elif _BITS[tensor.data_type] == 4:
            needed = (values + 1) // 2
    if held != needed:
        raise WeightsError(
            f"{path} claims a tensor {tensor.name[:50]!r} of shape {tuple(tensor.dims)} and holds other values: "
            "expected a whole file. Copy or download it again."
        )


def _values(tensor: Any, path: Path) -> int:
    if tensor.data_type not in _BITS or any(side < 0 for side in tensor.dims) or len(tensor.dims) > 16:
        raise WeightsError(
            f"{path} claims a tensor {tensor.name[:50]!r} of shape {tuple(tensor.dims)[:16]} and type "
            f"{tensor.data_type}: expected one that can be. Copy or download it again."
        )
    return math.prod(tensor.dims)


def _bytes(tensor: Any, path: Path) -> int:
    return (_values(tensor, path) * _BITS[tensor.data_type] + 7) // 8


def _require_inside(tensor: Any, path: Path) -> Path:
    """The file that holds a tensor: a plain one in the graph's own folder, long enough."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    folder, location = path.absolute().parent, entries.get("location", "")
    place: Path = folder / location
    is_inside = location and not Path(location).is_absolute() and "\0" not in location and ".." not in place.parts
    if not is_inside or not place.resolve().is_relative_to(folder.resolve()) or not set(entries) <= _KEYS:
        raise WeightsError(
            f"{path} wants its weights from {location[:80]!r}: expected a file in its own folder, and no link out of "
            "it. Copy that there, if you trust where the model is from."
        )
    if not place.is_file():
        raise WeightsError(f"{path} keeps weights in {location[:80]!r}, which is not there: copy it beside the model.")
    offset, needed = int(entries.get("offset") or 0), _bytes(tensor, path)
    length = int(entries.get("length") or needed)
    if offset < 0 or length != needed or offset + length > place.stat().st_size:
        raise WeightsError(
            f"{path} claims {needed:,} bytes for {tensor.name[:50]!r} at {offset:,} of {location[:80]!r}, which has "
            f"{place.stat().st_size:,}: expected it whole. Copy or download both again."
        )
    return place

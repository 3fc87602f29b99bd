"""ONNX graphs: the chain of a VGG's operators is followed from the images on, and their initialisers are read."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vggbench.configs import FC6_KERNEL
from vggbench.errors import WeightsError
from vggbench.weights.files import METADATA_KEY
from vggbench.weights.layers import EPSILON, MAX_VALUES, Foreign, Norm, Weighted, require_affordable, whole

_MAX_NODES = 10_000
_KINDS = {"Conv": "conv", "BatchNormalization": "norm", "Relu": "relu", "LRN": "lrn", "MaxPool": "pool", "Gemm": "fc"}
_ENDING = {"GlobalAveragePool", "ReduceMean", "Softmax"}
"""Operators that may follow the last layer."""
_PASSING = {"Flatten", "Reshape", "Dropout", "Identity", "AveragePool", *_ENDING}
"""Operators between or after the layers that change no value; AveragePool does not over single pixels."""
_SHAPES = {"Constant", "Shape", "Gather", "Concat", "Unsqueeze", "Squeeze", "Cast", "Slice", "Identity", "Reshape"}
"""Operators beside the chain, which work out shapes."""
_FIXED: dict[str, dict[str, Any]] = {
    "Conv": {"strides": [1, 1], "dilations": [1, 1], "group": 1, "auto_pad": b"NOTSET"},
    "MaxPool": {
        "kernel_shape": [2, 2], "strides": [2, 2], "dilations": [1, 1], "auto_pad": b"NOTSET", "pads": [0, 0, 0, 0],
    },
    "Gemm": {"transA": 0, "alpha": 1.0, "beta": 1.0},
    "AveragePool": {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0, 0, 0, 0]},
    "LRN": {"size": 5, "beta": 0.75, "bias": 2.0},
}  # fmt: skip
"""Attributes that a VGG's operators have."""


def read_onnx(path: Path) -> Foreign:
    """Layers with weights, fc layers as Gemm or as convolutions. Raises WeightsError for a graph that is no VGG."""
    with whole(path, "ONNX model", "a VGG's graph, with its external data beside it if it has any"):
        net = _Chain(_graph(path), path).followed()
    return net  # noqa: RET504 - a return inside would look to mypy as if it could be skipped


def read_description(path: Path) -> dict[str, Any]:
    """What a file that `vggbench export` wrote says of itself; {} of any other."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    own = next((entry.value for entry in model.metadata_props if entry.key == METADATA_KEY), "{}")
    try:
        description = json.loads(own)
    except ValueError:
        description = None
    if not isinstance(description, dict):
        raise WeightsError(
            f"{path} describes itself by something else than a JSON object: expected one. Export it again."
        )
    return description


class _Chain:
    """The operators from the images to the scores, one after the other."""

    def __init__(self, graph: Any, path: Path) -> None:
        self._graph, self._path = graph, path
        self._values = {tensor.name: tensor for tensor in graph.initializer}
        inputs = [value.name for value in graph.input if value.name not in self._values]
        if len(inputs) != 1:
            raise WeightsError(f"{path} takes {len(inputs)} inputs: expected images alone.")
        self._data = inputs[0]
        self._layers: list[Weighted] = []
        self._kinds: list[str] = []
        self._ceil: set[bool] = set()
        self._ended = False

    def followed(self) -> Foreign:
        """All layers."""
        for node in self._graph.node:
            attributes = {attribute.name: _attribute(attribute) for attribute in node.attribute}
            if node.input and node.input[0] == self._data and node.op_type != "Shape":
                self._take(node, attributes)
                self._data = node.output[0]
            else:
                self._note(node, attributes)
        if len(self._ceil) > 1:
            raise WeightsError(f"{self._path} rounds some pooled sizes up and others down: expected one rounding.")
        kinds = self._fc_named()
        ceil = next(iter(self._ceil), None)
        return Foreign(self._layers, tuple(kinds), has_lrn="lrn" in kinds, ceil_pool=ceil)

    def _take(self, node: Any, attributes: dict[str, Any]) -> None:
        """A node of the chain."""
        _require_usual(node, attributes, self._path)
        if node.op_type in _PASSING:
            self._ended |= node.op_type in _ENDING
            return
        if self._ended:
            raise WeightsError(
                f"{self._path} goes on with {node.op_type} after an average or softmax: expected no layer."
            )
        kind = _KINDS[node.op_type]
        self._kinds.append(kind)
        if kind in ("conv", "fc"):
            has_bias = len([name for name in node.input if name]) > 2  # an exporter leaves out one of zeros
            weight, *biases = self._parameters(node, 1 + has_bias)
            if kind == "conv":
                _require_padded(node, weight, attributes.get("pads", [0, 0, 0, 0]), self._path)
            elif not attributes.get("transB", 0):
                weight = weight.T.contiguous()
            bias = biases[0] if biases else torch.zeros(len(weight))
            self._layers.append(Weighted(node.name or node.input[1], weight, bias))
        elif kind == "norm":
            if self._kinds[-2:-1] != ["conv"]:
                raise WeightsError(f"{self._path} normalises elsewhere than after a convolution: expected it there.")
            scale, shift, mean, var = self._parameters(node, 4)
            var = var + (float(attributes.get("epsilon", EPSILON)) - EPSILON)
            self._layers[-1] = self._layers[-1]._replace(norm=Norm(scale, shift, mean, var))
        elif kind == "pool":
            self._ceil.add(bool(attributes.get("ceil_mode", 0)))

    def _note(self, node: Any, attributes: dict[str, Any]) -> None:
        """A node beside the chain: constants and shapes."""
        if node.op_type not in _SHAPES or (self._data in node.input and node.op_type != "Shape"):
            raise _odd(node, node.op_type, self._path)
        if node.op_type == "Constant" and "value" in attributes:
            self._values[node.output[0]] = attributes["value"]
        elif node.op_type == "Identity" and node.input[0] in self._values:
            self._values[node.output[0]] = self._values[node.input[0]]

    def _parameters(self, node: Any, count: int) -> list[Tensor]:
        names = list(node.input[1 : count + 1])
        known = [name for name in names if name in self._values]
        if len(known) != count:
            raise WeightsError(
                f"{self._path} computes the weights of {node.op_type} {node.name}: expected {count} initialisers, "
                f"found {len(known)}."
            )
        return [_tensor(self._values[name], self._path) for name in names]

    def _fc_named(self) -> list[str]:
        """Convolutions after the last pooling are fc layers."""
        last = max((place for place, kind in enumerate(self._kinds) if kind == "pool"), default=-1)
        return self._kinds[: last + 1] + ["fc" if kind == "conv" else kind for kind in self._kinds[last + 1 :]]


def _graph(path: Path) -> Any:
    import onnx
    from onnx.external_data_helper import load_external_data_for_model

    model = onnx.load(path, load_external_data=False)
    _require_affordable_graph(model.graph, path)
    load_external_data_for_model(model, str(path.absolute().parent))  # refuses a place outside that folder
    return model.graph


def _require_affordable_graph(graph: Any, path: Path) -> None:
    """Refuse what is too large, before external data is read: each tensor, all of them, and what they claim outside."""
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    if len(graph.node) > _MAX_NODES or any(a.HasField("g") or a.graphs for a in attributes):
        raise WeightsError(f"{path} has {len(graph.node):,} nodes, or graphs within: expected a VGG's graph.")
    tensors = [*graph.initializer, *(a.t for a in attributes if a.HasField("t"))]
    for tensor in tensors:
        require_affordable(tuple(tensor.dims), path, tensor.name)
        outside = {entry.key: entry.value for entry in tensor.external_data}
        if outside and int(outside.get("length", -1)) != 4 * math.prod(tensor.dims):
            raise WeightsError(
                f"{path} has {tensor.name!r} in another file with length {outside.get('length')}: expected that of its "
                "shape in float32."
            )
    if sum(math.prod(tensor.dims) for tensor in tensors) > MAX_VALUES:
        raise WeightsError(f"{path} claims more than {MAX_VALUES:,} values: expected a VGG's.")


def _require_usual(node: Any, attributes: dict[str, Any], path: Path) -> None:
    """Refuse what could change what the weights mean: another layout, pixels rescaled in the graph, other kernels."""
    if node.op_type not in _KINDS and node.op_type not in _PASSING:
        raise _odd(node, node.op_type, path)
    for name, usual in _FIXED.get(node.op_type, {}).items():
        value = attributes.get(name, usual)
        if (isinstance(usual, float) and abs(value - usual) > 1e-6) or (
            not isinstance(usual, float) and value != usual
        ):
            raise _odd(node, f"{node.op_type} with {name} {value}", path)
    if node.op_type == "LRN" and abs(attributes["alpha"] - 5e-4) > 1e-9:
        raise _odd(node, f"LRN with alpha {attributes['alpha']}", path)


def _odd(node: Any, what: str, path: Path) -> WeightsError:
    return WeightsError(
        f"{path} has the operator {what} ({node.name or 'unnamed'}): expected a VGG's own, Conv, Relu, MaxPool and "
        "Gemm, one after the other on images in the order channel, row, column."
    )


def _require_padded(node: Any, weight: Tensor, pads: list[int], path: Path) -> None:
    """A convolution keeps its map's size; one that stands for an fc layer takes its windows unpadded."""
    side = weight.shape[-1]
    if pads != [side // 2] * 4 and not (side in (1, FC6_KERNEL) and pads == [0] * 4):
        raise WeightsError(f"{path} pads {node.name or 'a convolution'} by {pads}: expected {[side // 2] * 4}.")


def _tensor(value: Any, path: Path) -> Tensor:
    from onnx import numpy_helper

    array = numpy_helper.to_array(value)
    if array.dtype.kind != "f" or array.size != math.prod(value.dims):
        raise WeightsError(f"{path} holds {value.name!r} as {array.dtype}: expected floating point.")
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _attribute(attribute: Any) -> Any:
    from onnx.helper import get_attribute_value

    value = get_attribute_value(attribute)
    return list(value) if isinstance(value, list | tuple) else value

"""ONNX graphs: convolutions and matrix products in the order of the graph, read from its initialisers."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vggbench.configs import FC6_KERNEL
from vggbench.errors import WeightsError
from vggbench.weights.files import METADATA_KEY
from vggbench.weights.layers import EPSILON, Norm, Weighted, require_affordable

_MAX_NODES = 10_000
_WITHOUT_WEIGHTS = {
    "Relu", "MaxPool", "Flatten", "Reshape", "Dropout", "Softmax", "Identity", "LRN", "AveragePool",
    "GlobalAveragePool", "ReduceMean", "Constant", "Shape", "Gather", "Concat", "Unsqueeze", "Squeeze", "Cast", "Slice",
}  # fmt: skip
"""Operators that leave the order and the meaning of pixels and channels alone."""
_FIXED: dict[str, dict[str, Any]] = {
    "Conv": {"strides": [1, 1], "dilations": [1, 1], "group": 1, "auto_pad": b"NOTSET"},
    "MaxPool": {"kernel_shape": [2, 2], "strides": [2, 2], "dilations": [1, 1], "auto_pad": b"NOTSET"},
    "Gemm": {"transA": 0, "alpha": 1.0, "beta": 1.0},
}
"""Attributes that a VGG's operators have."""


def read_onnx(path: Path) -> list[Weighted]:
    """Layers with weights, fc layers as Gemm or as convolutions. Raises WeightsError for a graph that is no VGG."""
    graph = _graph(path)
    values = {tensor.name: tensor for tensor in graph.initializer}
    layers: list[Weighted] = []
    for node in graph.node:
        attributes = {attribute.name: _attribute(attribute) for attribute in node.attribute}
        _require_plain(node, attributes, path)
        if node.op_type == "Constant" and "value" in attributes:
            values[node.output[0]] = attributes["value"]
        elif node.op_type == "Identity" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]]
        elif node.op_type in ("Conv", "Gemm"):
            weight, bias = _parameters(node, values, path, 2)
            _require_padded(node, weight, attributes.get("pads", [0, 0, 0, 0]), path)
            is_out_first = node.op_type == "Conv" or attributes.get("transB", 0)
            layers.append(Weighted(node.name or node.input[1], weight if is_out_first else weight.T.contiguous(), bias))
        elif node.op_type == "BatchNormalization":
            if not layers or layers[-1].norm:
                raise WeightsError(f"{path} normalises before any convolution: expected it after each.")
            scale, shift, mean, var = _parameters(node, values, path, 4)
            var = var + (attributes.get("epsilon", EPSILON) - EPSILON)
            layers[-1] = layers[-1]._replace(norm=Norm(scale, shift, mean, var))
    return layers


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


def _graph(path: Path) -> Any:
    import onnx
    from onnx.external_data_helper import load_external_data_for_model

    try:
        model = onnx.load(path, load_external_data=False)
        for tensor in _tensors(model.graph):
            require_affordable(tuple(tensor.dims), path, tensor.name)
        load_external_data_for_model(model, str(path.absolute().parent))  # refuses a place outside that folder
    except WeightsError:
        raise
    except Exception as error:  # protobuf and onnx raise nearly anything on a damaged file
        raise WeightsError(
            f"{path} is no whole ONNX model ({_first_line(error)}): expected a VGG's graph, with its external data "
            "beside it if it has any."
        ) from error
    if len(model.graph.node) > _MAX_NODES:
        raise WeightsError(f"{path} has {len(model.graph.node):,} nodes: expected a VGG's graph.")
    return model.graph


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def _require_plain(node: Any, attributes: dict[str, Any], path: Path) -> None:
    """Refuse what could change what the weights mean: another layout, pixels rescaled in the graph, other kernels."""
    known = node.op_type in _WITHOUT_WEIGHTS or node.op_type in ("Conv", "Gemm", "BatchNormalization")
    odd = next(
        (
            f"{node.op_type} with {name} {attributes[name]}"
            for name, usual in _FIXED.get(node.op_type, {}).items()
            if attributes.get(name, usual) != usual
        ),
        None if known else node.op_type,
    )
    if odd:
        raise WeightsError(
            f"{path} has the operator {odd} ({node.name or 'unnamed'}): expected a VGG's own, Conv, Relu, MaxPool and "
            "Gemm, on images in the order channel, row, column."
        )


def _require_padded(node: Any, weight: Tensor, pads: list[int], path: Path) -> None:
    """A convolution keeps its map's size; one that stands for an fc layer takes its windows unpadded."""
    side = weight.shape[-1] if node.op_type == "Conv" else 0
    unpadded = weight.ndim == 2 or side in (1, FC6_KERNEL)
    if pads != [side // 2] * 4 and not (unpadded and pads == [0] * 4):
        raise WeightsError(f"{path} pads {node.name or 'a convolution'} by {pads}: expected {[side // 2] * 4}.")


def _parameters(node: Any, values: dict[str, Any], path: Path, count: int) -> list[Tensor]:
    names = list(node.input[1 : count + 1])
    missing = [name for name in names if name not in values]
    if len(names) != count or missing:
        raise WeightsError(
            f"{path} computes the weights of {node.op_type} {node.name or ''}: expected {count} initialisers, found "
            f"{len(names) - len(missing)}."
        )
    return [_tensor(values[name], path) for name in names]


def _tensor(value: Any, path: Path) -> Tensor:
    from onnx import numpy_helper

    try:
        array = numpy_helper.to_array(value)
    except Exception as error:
        raise WeightsError(f"{path} holds a damaged tensor {value.name!r}: {_first_line(error)}.") from error
    if array.dtype.kind != "f" or array.size != math.prod(value.dims):
        raise WeightsError(f"{path} holds {value.name!r} as {array.dtype}: expected floating point.")
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _attribute(attribute: Any) -> Any:
    from onnx.helper import get_attribute_value

    value = get_attribute_value(attribute)
    return list(value) if isinstance(value, list | tuple) else value


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__

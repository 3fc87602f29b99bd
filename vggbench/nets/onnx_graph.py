"""Layers of a net as an ONNX graph: a row of `_OPERATORS` for each kind of layer."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from vggbench.nets.vgg import CrossChannelNorm

_OPSET, _IR_VERSION = 17, 8
"""Old enough for tools of 2022 on."""


class Operator(NamedTuple):
    """An ONNX operator with its attributes; `weights` follow its first input."""

    name: str
    attributes: Mapping[str, Any]
    weights: Sequence[Tensor] = ()


_OPERATORS: dict[type[nn.Module], Callable[[Any], Operator]] = {
    nn.Conv2d: lambda layer: Operator(
        "Conv", {"kernel_shape": layer.kernel_size, "pads": 2 * layer.padding}, (layer.weight, layer.bias)
    ),
    nn.BatchNorm2d: lambda layer: Operator(
        "BatchNormalization", {"epsilon": layer.eps}, (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    ),
    nn.ReLU: lambda layer: Operator("Relu", {}),
    CrossChannelNorm: lambda layer: Operator("LRN", {"size": 5, "alpha": 5e-4, "beta": 0.75, "bias": 2.0}),
    nn.MaxPool2d: lambda layer: Operator(
        "MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": int(layer.ceil_mode)}
    ),
    nn.Linear: lambda layer: Operator("Gemm", {"transB": 1}, (layer.weight, layer.bias)),
}


class Graph(NamedTuple):
    """An ONNX model whose weights are held beside it, by name."""

    model: Any
    weights: dict[str, Tensor]


def onnx_graph(
    layers: nn.Module, given: tuple[str, Sequence[int | str]], found: tuple[str, Sequence[int | str]], *, mean: str = ""
) -> Graph:
    """The layers in a chain, as they act in evaluation; input and output by name and shape, where a name is any size.

    `mean` names another output: the first one's mean over positions, (N, K).
    """
    from onnx import helper

    weights: dict[str, Tensor] = {}
    nodes = []
    operators = [_OPERATORS[type(layer)](layer) for layer in leaves(layers)]
    between = [f"{place}.{operator.name}" for place, operator in enumerate(operators)]
    names = [given[0], *between[:-1], found[0]]
    for operator, (before, after) in zip(operators, itertools.pairwise(names), strict=True):
        own = {f"{after}.{place}": tensor.detach() for place, tensor in enumerate(operator.weights)}
        nodes.append(helper.make_node(operator.name, [before, *own], [after], **operator.attributes))
        weights |= own
    outputs = [found]
    if mean:
        nodes.append(helper.make_node("ReduceMean", [found[0]], [mean], axes=[2, 3], keepdims=0))
        outputs.append((mean, found[1][:2]))
    graph = helper.make_graph(nodes, "vgg", _values([given]), _values(outputs), [_outside(*w) for w in weights.items()])
    opset = helper.make_opsetid("", _OPSET)
    return Graph(helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION), weights)


def leaves(layers: nn.Module) -> Iterator[nn.Module]:
    """Each layer that does something in evaluation, in order."""
    for layer in layers.children():
        if isinstance(layer, nn.Sequential):
            yield from leaves(layer)
        elif not isinstance(layer, nn.Dropout):
            yield layer


def with_weights(graph: Graph) -> Any:
    """The model with its weights inside."""
    from onnx import numpy_helper

    for initializer in graph.model.graph.initializer:
        values = graph.weights[initializer.name].cpu().contiguous().numpy()
        initializer.CopyFrom(numpy_helper.from_array(values, initializer.name))
    return graph.model


def _values(named: Iterable[tuple[str, Sequence[int | str]]]) -> list[Any]:
    from onnx import TensorProto, helper

    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in named]


def _outside(name: str, values: Tensor) -> Any:
    """A weight that is handed over when the graph is loaded."""
    from onnx import TensorProto

    return TensorProto(
        name=name, data_type=TensorProto.FLOAT, dims=list(values.shape), data_location=TensorProto.EXTERNAL,
        external_data=[{"key": "location", "value": "memory"}],
    )  # fmt: skip

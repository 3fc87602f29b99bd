"""Single operators of an ONNX graph: what each may say of itself and holds, and shapes worked out beside the chain."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.paper.configs import FC6_KERNEL
from vggbench.weights.description import same
from vggbench.weights.layers import MAX_VALUES, require_affordable

Dims = tuple[int, ...]
_MAX_NODES = 10_000
_SMALL = 64
"""Values of a shape, at most."""
KINDS = {
    "Conv": "conv", "BatchNormalization": "norm", "Relu": "relu", "LRN": "lrn", "MaxPool": "pool", "Gemm": "fc",
    "MatMul": "fc",
}  # fmt: skip
PASSING = {
    "Flatten", "Reshape", "Transpose", "Dropout", "Identity", "Cast", "AveragePool",
    "GlobalAveragePool", "ReduceMean", "Softmax",
}  # fmt: skip
"""Operators between or after the layers that change no value; AveragePool does not over single pixels."""
SHAPES = {"Constant", "Shape", "Gather", "Concat", "Unsqueeze", "Squeeze", "Cast", "Slice", "Identity", "Reshape"}
"""Operators beside the chain, which work out shapes."""
_FIXED: dict[str, dict[str, Any]] = {
    "Conv": {"strides": [1, 1], "dilations": [1, 1], "group": 1},
    "MaxPool": {"kernel_shape": [2, 2], "strides": [2, 2], "dilations": [1, 1], "pads": [0, 0, 0, 0]},
    "Gemm": {"transA": 0, "alpha": 1.0, "beta": 1.0},
    "AveragePool": {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0, 0, 0, 0]},
    "LRN": {"size": 5, "alpha": 5e-4, "beta": 0.75, "bias": 2.0},
    "BatchNormalization": {"training_mode": 0, "spatial": 1},
    "Flatten": {"axis": 1},
}
"""Attributes that a VGG's operators have."""
_DEFAULTS: dict[str, dict[str, Any]] = {
    "MaxPool": {"strides": [1, 1], "kernel_shape": []}, "AveragePool": {"kernel_shape": []},
    "LRN": {"alpha": 1e-4, "bias": 1.0, "size": 0},
}  # fmt: skip
"""What ONNX takes for those that are not stated, where that is not a VGG's."""
_ALWAYS_TESTING = 7
"""The first set of operators that needs no `is_test`."""
_OWN = ("", "ai.onnx")
"""ONNX's own domain."""
_SAME = ("SAME_UPPER", "SAME_LOWER")
_PADS = ("NOTSET", "VALID", *_SAME)
"""Ways to pad by themselves."""


def model_of(path: Path) -> Any:
    """The model with its external data, whose sizes are looked at before. Raises WeightsError."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model

    model = onnx.load(path, load_external_data=False)
    _require_affordable_graph(model.graph, path)
    if any(function.domain in _OWN for function in model.functions):
        raise WeightsError(f"{path} redefines operators of ONNX's own domain: expected them as ONNX has them.")
    load_external_data_for_model(model, str(path.absolute().parent))  # refuses a place outside that folder
    return model


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


def require_own(node: Any, known: Collection[str], path: Path) -> None:
    """Refuse operators that no VGG has, and those of other makers."""
    if node.op_type not in known or node.domain not in _OWN:
        raise odd(node, f"{node.domain}.{node.op_type}".strip("."), path)


def require_usual(node: Any, attributes: dict[str, Any], opset: int, path: Path) -> None:
    """Refuse what could change what the weights mean: other kernels, behaviour as in training."""
    require_own(node, {*KINDS, *PASSING}, path)
    fixed = _FIXED.get(node.op_type, {})
    if opset < _ALWAYS_TESTING and node.op_type in ("BatchNormalization", "Dropout"):
        fixed = fixed | {"is_test": 1}
    defaults = {"is_test": 0} | _DEFAULTS.get(node.op_type, {})
    for name, usual in fixed.items():
        value = attributes.get(name, defaults.get(name, usual))
        if not same(value, usual):
            raise odd(node, f"{node.op_type} with {name} {value}", path)
    if attributes.get("auto_pad", "NOTSET") not in _PADS:
        raise odd(node, f"{node.op_type} with auto_pad {attributes['auto_pad']}", path)
    if node.op_type in ("BatchNormalization", "MaxPool") and len(node.output) > 1:
        raise odd(node, f"{node.op_type} with {len(node.output)} outputs", path)


def odd(node: Any, what: str, path: Path) -> WeightsError:
    """That a VGG has no such operator."""
    return WeightsError(
        f"{path} has the operator {what} ({node.name or 'unnamed'}): expected a VGG's own, Conv, Relu, MaxPool and "
        "Gemm, one after the other on images in the order channel, row, column."
    )


def rounds_up(node: Any, attributes: dict[str, Any], path: Path) -> bool:
    """Whether a pooling does: by its mode, or by padding itself at the end."""
    padding = attributes.get("auto_pad", "NOTSET")
    if padding == "SAME_LOWER" or (padding != "NOTSET" and attributes.get("ceil_mode")):
        raise odd(node, f"MaxPool with auto_pad {padding}", path)
    return padding == "SAME_UPPER" or bool(attributes.get("ceil_mode", 0))


def require_padded(node: Any, weight: Tensor, attributes: dict[str, Any], path: Path) -> None:
    """A convolution keeps its map's size; one that stands for an fc layer takes its windows unpadded."""
    side = weight.shape[-1]
    usual = [0 if side == FC6_KERNEL else side // 2] * 4
    padding = attributes.get("auto_pad", "NOTSET")
    pads = attributes.get("pads", [0] * 4) if padding == "NOTSET" else [side // 2] * 4 if padding in _SAME else [0] * 4
    if pads != usual:
        raise WeightsError(f"{path} pads {node.name or 'a convolution'} by {pads}: expected {usual}.")
    kernel = attributes.get("kernel_shape", list(weight.shape[2:]))
    if kernel != list(weight.shape[2:]):
        raise WeightsError(
            f"{path} says kernel_shape {kernel} of {node.name or 'a convolution'} and holds one of "
            f"{list(weight.shape[2:])}: expected the same."
        )


def tensor(value: Any, path: Path) -> Tensor:
    """An initialiser in float32. Raises WeightsError for other numbers."""
    from onnx import numpy_helper

    array = numpy_helper.to_array(value)
    if array.dtype.kind != "f" or array.size != math.prod(value.dims):
        raise WeightsError(f"{path} holds {value.name!r} as {array.dtype}: expected floating point.")
    return torch.from_numpy(np.array(array, dtype=np.float32))


def value_of(attribute: Any) -> Any:
    """An attribute's, texts as such, sequences as lists."""
    from onnx.helper import get_attribute_value

    value = get_attribute_value(attribute)
    value = value.decode(errors="replace") if isinstance(value, bytes) else value
    return list(value) if isinstance(value, list | tuple) else value


class Shapes:
    """Small whole numbers that are known so far, by name, followed by ONNX's own code."""

    def __init__(self, values: Mapping[str, Any], opsets: Sequence[Any]) -> None:
        self._values, self._opsets = values, opsets
        self._dims: dict[str, Dims] = {}
        self._known: dict[str, NDArray[Any]] = {}
        self.opset = max((entry.version for entry in opsets if entry.domain in ("", "ai.onnx")), default=1)

    def keep(self, name: str, dims: Dims) -> None:
        """The sizes of a tensor of the chain, which Shape may ask for at any place."""
        self._dims[name] = dims

    def numbers(self, name: str) -> list[Any] | None:
        """The values of a small tensor, or None where they are not known."""
        found = self.constant(name)
        return None if found is None else list(found.ravel().tolist())

    def work_out(self, node: Any) -> None:
        """Run an operator whose inputs are all known."""
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        if node.op_type == "Shape" and node.input[0] in self._dims:
            asked = {attribute.name: attribute.i for attribute in node.attribute}
            found = self._dims[node.input[0]][asked.get("start", 0) : asked.get("end")]
            self._known[node.output[0]] = np.array(found, dtype=np.int64)
            return
        feeds = {name: self.constant(name) for name in node.input if name}
        if any(value is None for value in feeds.values()):
            return
        empty = [helper.make_empty_tensor_value_info(name) for name in feeds]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
        node.domain = ""  # which `ai.onnx` is, too
        model = helper.make_model(helper.make_graph([node], "shape", empty, outputs), opset_imports=self._opsets)
        for name, value in zip(node.output, ReferenceEvaluator(model).run(None, feeds), strict=True):
            if np.size(value) <= _SMALL:
                self._known[name] = np.asarray(value)

    def resolved(self, node: Any, attributes: dict[str, Any], dims: Dims) -> Dims | None:
        """What Reshape makes of a tensor of these sizes; None where that is not known."""
        asked = self.numbers(node.input[1]) if len(node.input) > 1 else attributes.get("shape")
        if asked is None or asked.count(-1) > 1 or (attributes.get("allowzero") and 0 in asked):
            return None
        sizes = [int(dims[place]) if size == 0 else int(size) for place, size in enumerate(asked)]
        rest = int(np.prod([size for size in sizes if size != -1]))
        total = int(np.prod(dims))
        return tuple(total // rest if size == -1 and rest else size for size in sizes)

    def constant(self, name: str) -> NDArray[Any] | None:
        """A small tensor, or None where it is not known."""
        from onnx import numpy_helper

        if name not in self._known and name in self._values:
            tensor = self._values[name]
            if int(np.prod(tuple(tensor.dims))) <= _SMALL and not tensor.external_data:
                self._known[name] = numpy_helper.to_array(tensor)
        return self._known.get(name)

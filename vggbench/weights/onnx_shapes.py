"""Shapes that an ONNX graph works out beside its chain of layers: small whole numbers, followed by ONNX's own code."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Dims = tuple[int, ...]
_SMALL = 64
"""Values of a shape, at most."""


class Shapes:
    """The whole numbers that are known so far, by name."""

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

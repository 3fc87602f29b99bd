"""ONNX graphs as they are, run by ONNX Runtime on the device of their input: floating point or quantised."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vggbench.errors import UsageError, WeightsError
from vggbench.nets.onnxruntime_session import open_session, telling_of_memory
from vggbench.weights.classifiers.onnx_guards import graphs_of, require_harmless
from vggbench.weights.classifiers.outputs import PROBED, Graph, recognise
from vggbench.weights.classifiers.program import Program, Taken, reason
from vggbench.weights.files import magic_of
from vggbench.weights.layers import whole

_COLOURS = 3
_PIECE = 2**20
_INPUTS = {1: torch.float32, 10: torch.float16, 11: torch.float64}
"""ONNX's types of floating point that images may be in, whose scale `--input` states."""
_FLOATS = {1, 10, 11, 16, 17, 18, 19, 20}
_WHOLE = {2, 3, 21, 22}
"""Types of quantised weights; 6 is that of quantised biases."""
_SCALES: dict[str, tuple[int, ...]] = {
    "QuantizeLinear": (1, 2), "DequantizeLinear": (1, 2),
    "QLinearConv": (1, 2, 4, 5, 6, 7), "QLinearMatMul": (1, 2, 4, 5, 6, 7), "QLinearAdd": (1, 2, 4, 5, 6, 7),
    "QLinearMul": (1, 2, 4, 5, 6, 7), "QGemm": (1, 2, 4, 5, 7, 8), "QLinearGlobalAveragePool": (1, 2, 3, 4),
    "ConvInteger": (2, 3), "MatMulInteger": (2, 3), "DynamicQuantizeMatMul": (2, 3), "BatchNormalization": (3, 4),
}  # fmt: skip
"""Inputs of operators that are scales, zero points and statistics: no parameters."""
_BIASES: dict[str, int] = {"QLinearConv": 8, "QGemm": 6, "DequantizeLinear": 0}
_QUANTISED = {*_SCALES, "DynamicQuantizeLinear"} - {"BatchNormalization"}
_DYNAMIC = ("DynamicQuantize",)
_PASSED = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "QuantizeLinear", "DequantizeLinear"}
"""What may follow a softmax and leaves probabilities what they are."""

_SOFTMAX = ("Softmax", "QLinearSoftmax")


class _Images(NamedTuple):
    """The one input of a graph."""

    name: str
    dtype: torch.dtype
    channels_last: bool
    batch: int | None
    size: tuple[int, int] | None


def read_onnx(path: Path, size: int = PROBED) -> Program:
    """The network in an ONNX file, which is probed at `size` x `size` where it fixes no size.

    Raises WeightsError for a file that is not a complete ONNX graph, no classifier of images, or not harmless to run.
    """
    magic_of(path)
    with whole(path, "ONNX model", "an ONNX graph, with its external data beside it if it has any"):
        model = _parsed(path)
        outside = require_harmless(model, path)
        images = _images(model.graph, path)
        sha256 = _hash(path, outside)
        kinds = {node.op_type for graph in graphs_of(model) for node in graph.node}
        outputs = [value.name for value in model.graph.output]
        dynamic = any(kind.startswith(_DYNAMIC) for kind in kinds)
        parameters, softmax = _parameters(model.graph), _ends_in_softmax(model.graph)
    del model  # ONNX Runtime reads the file for itself
    graph = Graph(outputs, images.channels_last, ends_in_softmax=softmax, depends_on_batch=dynamic)
    taken = Taken(path, images.size, images.batch)
    module, classes, said = recognise(OnnxRunner(path, images, outputs), graph, taken, size)
    return Program(
        module=module,
        size=images.size,
        batch=images.batch,
        classes=classes,
        parameters=parameters,
        macs=None,
        sha256=sha256,
        said=(*(["its images have channels last (NHWC)"] if images.channels_last else []), *said),
        is_quantised=bool(kinds & _QUANTISED),
    )


class OnnxRunner(nn.Module):
    """All outputs of a graph, by a session for the device of the last input."""

    def __init__(self, path: Path, images: _Images, outputs: Sequence[str]) -> None:
        super().__init__()
        self._path, self._images, self._outputs = path, images, list(outputs)
        self._opened: tuple[torch.device, int, Any] | None = None

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> outputs on the same device; raises torch.OutOfMemoryError."""
        device = pixels.device if pixels.device.type == "cuda" else torch.device("cpu")
        if self._images.channels_last:
            pixels = pixels.permute(0, 2, 3, 1)
        given = pixels.to(device, self._images.dtype).contiguous()
        binding = (session := self._session(device)).io_binding()
        kind = np.dtype(str(given.dtype).removeprefix("torch.")).type
        binding.bind_input(
            self._images.name, device.type, device.index or 0, kind, tuple(given.shape), given.data_ptr()
        )
        for name in self._outputs:
            binding.bind_output(name)  # in the machine's memory: scores are few, and their shape is not known
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()  # ONNX Runtime has a stream of its own
        with telling_of_memory():
            session.run_with_iobinding(binding)
            found = binding.copy_outputs_to_cpu()
        return [torch.from_numpy(np.array(values)).to(pixels.device) for values in found]

    def _session(self, device: torch.device) -> Any:
        """A session; one at a time: each holds the weights. PyTorch's threads may have changed since it was opened."""
        threads = torch.get_num_threads() if device.type == "cpu" else 0
        if self._opened is None or self._opened[:2] != (device, threads):
            self._opened = None
            self._opened = (device, threads, self._open(device))
        return self._opened[2]

    def _open(self, device: torch.device) -> Any:
        try:
            with telling_of_memory():
                asked = f"onnx:{self._path}"
                return open_session(self._path.absolute(), device, asked=asked, otherwise="--device cpu", severity=4)
        except (UsageError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # ONNX Runtime's own kinds derive from Exception alone
            import onnxruntime

            raise WeightsError(
                f"{self._path} cannot be opened by ONNX Runtime {onnxruntime.__version__} ({reason(error)}): expected "
                "a graph of operators that it has. Export it again, or update onnxruntime."
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}


def _parsed(path: Path) -> Any:
    """The graph without its external data."""
    import onnx

    if path.stat().st_size == 0:
        raise ValueError("it is empty")
    model = onnx.load(path, load_external_data=False)
    if not len(model.graph.node):
        raise ValueError("no graph in it")
    return model


def _images(graph: Any, path: Path) -> _Images:
    """The one input that is no weight: (N, 3, H, W) or (N, H, W, 3) of floating point."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        listed = ", ".join(value.name[:50] for value in inputs[:8])
        raise WeightsError(f"{path} takes {len(inputs)} inputs ({listed}): expected images alone.")
    kind = inputs[0].type.tensor_type
    if kind.elem_type in (2, 3):
        raise WeightsError(
            f"{path} takes images of whole numbers (uint8 or int8), so that it rescales them by itself in a way that "
            "--input cannot state: expected floating point. Export it without what comes before the network."
        )
    sizes = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in kind.shape.dim]
    first, last = (sizes[1] == _COLOURS, sizes[3] == _COLOURS) if len(sizes) == 4 else (False, False)
    if first == last or kind.elem_type not in _INPUTS:
        shown = " x ".join(str(side or "any") for side in sizes[:8]) or "any shape"
        raise WeightsError(
            f"{path} takes {inputs[0].name[:50]!r} of {shown} and ONNX's type {kind.elem_type}: expected images of "
            "floating point, their three colours as the second axis or as the last. Export it with that stated."
        )
    high, wide = (sizes[1], sizes[2]) if last else (sizes[2], sizes[3])
    if (high is None) != (wide is None):
        raise WeightsError(
            f"{path} takes images of {high or 'any'} x {wide or 'any'}: expected both sides fixed, or neither. Export "
            "it again."
        )
    return _Images(inputs[0].name, _INPUTS[kind.elem_type], last, sizes[0], (high, wide) if high and wide else None)


def _hash(path: Path, outside: Sequence[Path]) -> str:
    """SHA-256 of the file, followed by the files that hold its external data."""
    digest = hashlib.sha256()
    for part in (path, *outside):
        with part.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    return digest.hexdigest()


def _parameters(graph: Any) -> int:
    """Numbers in weights and biases: initialisers, and constants that are arrays."""
    aside, biases = set(), set()
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        aside |= {node.input[place] for place in _SCALES.get(node.op_type, ()) if place < len(node.input)}
        if (place := _BIASES.get(node.op_type, len(node.input))) < len(node.input):
            biases.add(node.input[place])
        if node.op_type == "Constant":
            tensors |= {name: a.t for name in node.output for a in node.attribute if a.name == "value"}
    return sum(
        math.prod(tensor.dims)
        for name, tensor in tensors.items()
        if len(tensor.dims) and name not in aside and _is_weight(tensor.data_type, name in biases)
    )


def _is_weight(kind: int, is_bias: bool) -> bool:
    return kind in _FLOATS or kind in _WHOLE or (kind == 6 and is_bias)


def _ends_in_softmax(graph: Any) -> bool:
    """Whether an output is that of a softmax, whatever passes it on."""
    made_by = {name: node for node in graph.node for name in node.output}
    return any(node.op_type in _SOFTMAX for value in graph.output for node in _last(value.name, made_by))


def _last(name: str, made_by: dict[str, Any]) -> Iterator[Any]:
    """The operator that made an output, before those that pass it on."""
    for _ in range(len(made_by)):
        node = made_by.get(name)
        if node is None or node.op_type not in _PASSED or not len(node.input):
            break
        name = node.input[0]
    if name in made_by:
        yield made_by[name]

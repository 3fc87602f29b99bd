"""Layers run by ONNX Runtime, on a CPU or on CUDA: the graph is built in memory and takes PyTorch's own weights."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vggbench.errors import UsageError
from vggbench.inference.memory import is_out_of_memory
from vggbench.nets.onnx_graph import leaves, onnx_graph

_CUDA_OPTIONS = {
    "use_tf32": "0",  # its default is on
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}


class OnnxRuntimeLayers:
    """A chain of layers as a function on float32 tensors of any first, third and fourth size."""

    def __init__(self, layers: nn.Sequential, device: torch.device) -> None:
        self._layers, self._device = list(leaves(layers)), device
        maps = isinstance(self._layers[-1], nn.Linear)
        first = next(layer for layer in self._layers if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d))
        given = first.weight.shape[1] if isinstance(first, nn.Conv2d | nn.Linear) else first.num_features
        shape: list[int | str] = ["N", given] if maps else ["N", given, "H", "W"]
        graph = onnx_graph(layers, ("given", shape), ("found", ["N", "K"] if maps else ["N", "C", "h", "w"]))
        self._weights = {name: values.cpu().contiguous() for name, values in graph.weights.items()}
        self._session = _session(graph.model.SerializeToString(), self._weights, device)

    def __call__(self, given: Tensor) -> Tensor:
        """(N, C, H, W) or (N, C) on the device -> the same kind; raises torch.OutOfMemoryError."""
        given = given.contiguous()
        found = torch.empty(found_shape(self._layers, given.shape), device=self._device)
        binding = self._session.io_binding()
        where = (self._device.type, self._device.index or 0, np.float32)
        binding.bind_input("given", *where, tuple(given.shape), given.data_ptr())
        binding.bind_output("found", *where, tuple(found.shape), found.data_ptr())
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()  # ONNX Runtime has a stream of its own
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # its own kinds derive from Exception alone
            if is_out_of_memory(error):
                raise torch.OutOfMemoryError(f"ONNX Runtime: {error}") from error
            raise
        binding.synchronize_outputs()
        return found


def found_shape(layers: list[nn.Module], shape: torch.Size) -> tuple[int, ...]:
    """What a chain of layers makes of a shape."""
    sizes = tuple(shape)
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            sizes = (sizes[0], layer.out_channels, *sizes[2:])  # padded to the same size
        elif isinstance(layer, nn.Linear):
            sizes = (sizes[0], layer.out_features)
        elif isinstance(layer, nn.MaxPool2d):
            sizes = (*sizes[:2], *((size + layer.ceil_mode) // 2 for size in sizes[2:]))
    return sizes


def _session(model: bytes, weights: dict[str, Tensor], device: torch.device) -> Any:
    """Raises UsageError where ONNX Runtime has no CUDA, or not PyTorch's, rather than let it run elsewhere."""
    import onnxruntime

    if device.type == "cuda":
        _require_one_cuda(onnxruntime)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    options.intra_op_num_threads = torch.get_num_threads()
    options.enable_mem_pattern = False  # sizes vary
    options.add_session_config_entry("session.force_spinning_stop", "1")  # the cores are PyTorch's between two runs
    options.add_external_initializers(
        list(weights), [onnxruntime.OrtValue.ortvalue_from_numpy(values.numpy()) for values in weights.values()]
    )
    if device.type == "cpu":
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    cuda = ("CUDAExecutionProvider", {"device_id": str(device.index or 0), **_CUDA_OPTIONS})
    session = onnxruntime.InferenceSession(model, options, providers=[cuda])
    if session.get_providers()[0] != cuda[0]:
        raise UsageError(
            f"--backend onnxruntime: ONNX Runtime {onnxruntime.__version__} cannot use {device} here. Expected the "
            "package onnxruntime-gpu and its CUDA and cuDNN; or --backend pytorch."
        )
    return session


def _require_one_cuda(onnxruntime: Any) -> None:
    """Both load the same cuDNN into this process: one built for another CUDA fails in ways that name neither."""
    own, other = getattr(onnxruntime, "cuda_version", ""), torch.version.cuda or ""
    major = other.partition(".")[0]
    if own and other and own.partition(".")[0] != major:
        raise UsageError(
            f"--backend onnxruntime: onnxruntime-gpu {onnxruntime.__version__} is built for CUDA {own} and PyTorch "
            f"{torch.__version__} for CUDA {other}. Expected both for one CUDA: install an onnxruntime-gpu built for "
            f"CUDA {major} or a PyTorch built for CUDA {own.partition('.')[0]}; or --backend pytorch."
        )

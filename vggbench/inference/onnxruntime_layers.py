"""Layers run by ONNX Runtime, on a CPU or on CUDA: the graph is built in memory and takes PyTorch's own weights."""

import numpy as np
import torch
from torch import Tensor, nn

from vggbench.nets.onnx_graph import leaves, onnx_graph
from vggbench.nets.onnxruntime_session import open_session, telling_of_memory


class OnnxRuntimeLayers:
    """A chain of layers as a function on float32 tensors of any first, third and fourth size."""

    def __init__(self, layers: nn.Sequential, device: torch.device) -> None:
        self._layers, self._device = list(leaves(layers)), device
        first = next(layer for layer in self._layers if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d))
        given = first.weight.shape[1] if isinstance(first, nn.Conv2d | nn.Linear) else first.num_features
        rows = isinstance(first, nn.Linear)
        shape: list[int | str] = ["N", given] if rows else ["N", given, "H", "W"]
        graph = onnx_graph(layers, ("given", shape), ("found", ["N", "K"] if rows else ["N", "C", "h", "w"]))
        self._weights = {name: values.cpu().contiguous() for name, values in graph.weights.items()}
        self._session = open_session(graph.model.SerializeToString(), device, self._weights)

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
        with telling_of_memory():
            self._session.run_with_iobinding(binding)
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

"""Which backend runs a model, and how it is started."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import torch
from torch import nn

from vggbench.errors import UsageError, first_line
from vggbench.inference.backend import Backend
from vggbench.inference.choices import Asked, BackendName, Precision
from vggbench.inference.devices import AUTOCAST, allow_tf32
from vggbench.inference.onnxruntime_layers import OnnxRuntimeLayers
from vggbench.inference.pytorch_layers import channels_last, compiled, quickest_on_cpu
from vggbench.nets.vgg import VGG
from vggbench.paper.protocols import Protocol
from vggbench.weights.load import Model
from vggbench.weights.spec import ONNX

_LEAST_WIDTH = 0.5
"""Width from which ONNX Runtime is faster than PyTorch on a CPU, except for shared crops: benchmarks/RESULTS.md."""
Quicker = Callable[[Model, Protocol], BackendName]
"""Says which backend is quicker for a model and a protocol on the CPU that this is."""


def choose(
    asked: Asked,
    model: Model,
    protocol: Protocol,
    device: torch.device,
    precision: Precision,
    *,
    compiled: bool = False,
    quicker: Quicker | None = None,
) -> BackendName:
    """The backend that `asked` means here; `auto`: on a CPU, of those that can run the model, the `quicker`.

    The same question must always have the same answer on one installation, so that a run is found again: without
    `quicker` the rule of `by_width`. Raises UsageError.
    """
    if model.identity.kind == ONNX:
        return _of_program(asked, model, precision, compiled=compiled)
    if compiled:
        return _compiled(asked, protocol, model)
    if asked == "pytorch":
        return "pytorch"
    obstacle = _obstacle(model, device, precision)
    if asked == "onnxruntime":
        if obstacle:
            raise UsageError(f"--backend onnxruntime: {obstacle}")
        return "onnxruntime"
    if obstacle or device.type != "cpu" or model.identity.architecture is None:
        return "pytorch"
    return (quicker or by_width)(model, protocol)


def by_width(model: Model, protocol: Protocol) -> BackendName:
    """What was quicker where it was measured on a CPU: ONNX Runtime for wide nets, except for shared crops."""
    net = model.identity.architecture
    return "onnxruntime" if net and net.width >= _LEAST_WIDTH and protocol.grid == 1 else "pytorch"


def possible(model: Model, device: torch.device, precision: Precision) -> list[BackendName]:
    """The backends that can run a model here as `auto` may choose them, PyTorch first."""
    if model.identity.kind == ONNX:
        return ["onnxruntime"]
    return ["pytorch", "onnxruntime"] if _obstacle(model, device, precision) is None else ["pytorch"]


def start(name: BackendName, model: Model, device: torch.device, precision: Precision) -> Backend:
    """Move the network to the device; raises UsageError for a precision or a library that is lacking."""
    if precision == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32 exists on CUDA only, and the device is {device}: expected fp32 or bf16.")
    allow_tf32(precision == "tf32")
    on_cpu = _on_cpu(model, precision) if device.type == "mps" else None
    if isinstance(model.module, nn.Module):
        model.module.to(device)
    if isinstance(model.module, VGG):
        model.module.to(memory_format=torch.channels_last)
    pytorch = _pytorch(model, device, precision, on_cpu)
    if model.identity.kind == ONNX:
        return replace(pytorch, name="ONNX Runtime", version=_onnxruntime_version(), checked_by=None)
    if name == "onnxruntime":
        version, through = _onnxruntime_version(), partial(OnnxRuntimeLayers, device=device)
        own = replace(
            pytorch, name="ONNX Runtime", version=version, through=through, pixelwise=False, checked_by=pytorch
        )
        return own.load()
    if name == "pytorch+compile":
        return replace(pytorch, name="PyTorch compiled", through=compiled, shares=False, checked_by=on_cpu or pytorch)
    return pytorch


def _pytorch(model: Model, device: torch.device, precision: Precision, checked_by: Backend | None) -> Backend:
    network = in_precision(model.module, precision) if isinstance(model.module, VGG) else None
    through = quickest_on_cpu if device.type == "cpu" else channels_last
    is_vgg = network is not None
    return Backend(
        "PyTorch", torch.__version__, model, device, precision, through, network, pixelwise=is_vgg,
        checked_by=checked_by, shares=is_vgg and device.type == "cpu" and precision == "fp32",
    )  # fmt: skip


def _on_cpu(model: Model, precision: Precision) -> Backend | None:
    """The same network on the CPU, to check another device by; None for one that cannot be copied."""
    if not isinstance(model.module, nn.Module):
        return None
    return _pytorch(replace(model, module=deepcopy(model.module)), torch.device("cpu"), precision, None)


def in_precision(network: VGG, precision: Precision) -> VGG:
    """The network with its weights cast, once; what normalises keeps its own in float32."""
    if precision not in AUTOCAST:
        return network
    cast = deepcopy(network)
    for layer in cast.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.to(AUTOCAST[precision])
    return cast


def _of_program(asked: Asked, model: Model, precision: Precision, *, compiled: bool) -> BackendName:
    """An ONNX file runs as it is."""
    other = "--compile" if compiled else f"--precision {precision}" if precision != "fp32" else None
    other = f"--backend {asked}" if asked == "pytorch" else other
    if other:
        raise UsageError(
            f"{other} with {model.identity.name}: ONNX Runtime runs the file as it is. Leave that option out."
        )
    return "onnxruntime"


def _compiled(asked: Asked, protocol: Protocol, model: Model) -> BackendName:
    if not isinstance(model.module, VGG):
        raise UsageError(f"--compile is for VGGs, and {model.identity.name} is not one: leave it out.")
    if asked == "onnxruntime":
        raise UsageError("--compile is PyTorch's, and --backend onnxruntime was asked for: expected one of the two.")
    if protocol.name == "dense" or protocol.grid == 8:
        raise UsageError(
            f"--compile with {protocol}: that meets a new size with nearly every image, and compiles for each. "
            "Expected center, tencrop or multicrop on the default grid."
        )
    return "pytorch+compile"


def _obstacle(model: Model, device: torch.device, precision: Precision) -> str | None:
    """Why ONNX Runtime cannot run a model here, if so."""
    if find_spec("onnxruntime") is None:
        return "the package onnxruntime is not installed. Expected it: pip install onnxruntime; or --backend pytorch."
    if not isinstance(model.module, VGG):
        return f"{model.identity.name} is not a VGG. Expected one, or --backend pytorch."
    if precision != "fp32":
        return f"it runs in fp32 alone, and --precision is {precision}. Expected fp32, or --backend pytorch."
    if device.type not in ("cpu", "cuda"):
        return f"it runs on CPU and CUDA, and the device is {device}. Expected one of them, or --backend pytorch."
    return None


def _onnxruntime_version() -> str:
    """Its version. Raises UsageError where the package is broken: `auto` must not change its answer from day to day."""
    try:
        from onnxruntime import InferenceSession, __version__  # noqa: F401
    except Exception as error:  # a missing library is an OSError or an ImportError, a missing symbol anything
        raise UsageError(
            f"The package onnxruntime is installed and cannot be imported ({first_line(error)}): expected it to work. "
            "Install it again, or run with --backend pytorch."
        ) from error
    return str(__version__)

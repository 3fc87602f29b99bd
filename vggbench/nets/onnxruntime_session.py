"""Sessions of ONNX Runtime as they are opened here: on a CPU or on CUDA, with PyTorch's threads, never elsewhere."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vggbench.errors import UsageError
from vggbench.nets.memory import is_out_of_memory

_CUDA_OPTIONS = {
    "use_tf32": "0",  # its default is on
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}


def open_session(
    model: bytes | Path,
    device: torch.device,
    weights: Mapping[str, Tensor] | None = None,
    *,
    asked: str = "--backend onnxruntime",
    otherwise: str = "--backend pytorch",
    severity: int = 3,
) -> Any:
    """A session for a model in memory or in a file; `weights`, which stay where they are, are initialisers by name.

    Raises UsageError, of what the user `asked` and can do `otherwise`, where ONNX Runtime has no CUDA or not PyTorch's;
    and ONNX Runtime's own errors, which derive from Exception alone.
    """
    import onnxruntime

    if device.type == "cuda":
        _require_one_cuda(onnxruntime, asked, otherwise)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = severity  # 3: errors alone
    options.intra_op_num_threads = torch.get_num_threads()
    options.enable_mem_pattern = False  # sizes vary
    options.add_session_config_entry("session.force_spinning_stop", "1")  # the cores are PyTorch's between two runs
    if weights:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(tensor.numpy()) for tensor in weights.values()]
        options.add_external_initializers(list(weights), values)
    source = str(model) if isinstance(model, Path) else model
    if device.type == "cpu":
        return onnxruntime.InferenceSession(source, options, ["CPUExecutionProvider"], enable_fallback=False)
    cuda = ("CUDAExecutionProvider", {"device_id": str(device.index or 0), **_CUDA_OPTIONS})
    session = onnxruntime.InferenceSession(source, options, providers=[cuda])
    if session.get_providers()[0] != cuda[0]:
        raise UsageError(
            f"{asked}: ONNX Runtime {onnxruntime.__version__} cannot use {device} here. Expected the "
            f"package onnxruntime-gpu and its CUDA and cuDNN; or {otherwise}."
        )
    return session


@contextlib.contextmanager
def telling_of_memory() -> Iterator[None]:
    """Let ONNX Runtime's errors of memory be torch.OutOfMemoryError, as PyTorch's are."""
    try:
        yield
    except Exception as error:  # its own kinds derive from Exception alone
        if is_out_of_memory(error):
            raise torch.OutOfMemoryError(f"ONNX Runtime: {error}") from error
        raise


def _require_one_cuda(onnxruntime: Any, asked: str, otherwise: str) -> None:
    """Both load the same cuDNN into this process: one built for another CUDA fails in ways that name neither."""
    own, other = getattr(onnxruntime, "cuda_version", ""), torch.version.cuda or ""
    major = other.partition(".")[0]
    if own and other and own.partition(".")[0] != major:
        raise UsageError(
            f"{asked}: onnxruntime-gpu {onnxruntime.__version__} is built for CUDA {own} and PyTorch "
            f"{torch.__version__} for CUDA {other}. Expected both for one CUDA: install an onnxruntime-gpu built for "
            f"CUDA {major} or a PyTorch built for CUDA {own.partition('.')[0]}; or {otherwise}."
        )

"""Not enough memory: which errors say so, and what is let go of before a smaller attempt."""

import traceback

import torch

_SAID = (
    "out of memory",  # CUDA's runtime and driver, MPS, Triton, and ONNX Runtime's "CUDA failure 2"
    "cudaErrorMemoryAllocation",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",  # these two since cuDNN 9
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "Invalid buffer size",  # MPS: more than one buffer may hold
    "DefaultCPUAllocator",  # "can't allocate memory" on Linux and macOS, "not enough memory" on Windows
    "Failed to allocate memory",  # ONNX Runtime's arena
    "is smaller than requested bytes",  # the same with a limit
    "bad_alloc",
    "bad allocation",  # Windows
)
"""PyTorch 2.14, cuDNN 9 and ONNX Runtime 1.31. cuDNN's "unable to find an engine" is none: an old GPU says it, too."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no memory left: the only error after which a smaller attempt is made.

    Such an error is a RuntimeError of PyTorch's, a MemoryError of Python's or NumPy's, or one of ONNX Runtime's, which
    derive from Exception alone.
    """
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in _SAID)


def make_room(error: BaseException, device: torch.device) -> None:
    """Let go of all that the failed attempt holds by its error's traceback, and of what PyTorch keeps for itself.

    PyTorch would use the latter again, but cuBLAS, cuDNN and ONNX Runtime get their memory from the device.
    """
    traceback.clear_frames(error.__traceback__)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()

"""Which errors say that memory ran out, and that the failed attempt holds nothing afterwards."""

import weakref

import numpy as np
import pytest
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from vggbench.nets.memory import is_out_of_memory, make_room

ONNX = "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "


def _told_by_pytorch() -> Exception:
    with pytest.raises(RuntimeError) as told:
        torch.empty(10**15)
    return told.value


def _told_by_numpy() -> Exception:
    with pytest.raises(MemoryError) as told:
        np.empty(10**15)
    return told.value


@pytest.mark.parametrize(
    "error",
    [
        _told_by_pytorch(),
        _told_by_numpy(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to"),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.56 GB, other allocations: 1.10 GB, max allowed: 6."),
        RuntimeError("Invalid buffer size: 19.45 GB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("std::bad_alloc"),
        RuntimeException(f"{ONNX}bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 4585490528"),
        RuntimeException(f"{ONNX}Available memory of 1024 is smaller than requested bytes of 4096"),
        RuntimeException(f"{ONNX}CUDA failure 2: out of memory ; GPU=0 ; hostname=a"),
        RuntimeException(f"{ONNX}CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; expr=cublasCreate(&handle)"),
    ],
    ids=lambda error: f"{type(error).__name__} {str(error)[-40:]}",
)
def test_memory_ran_out(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb, m, n)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)"),
        RuntimeException("Can't allocate memory on the device using this package of OnnxRuntime."),
        ValueError("x"),
    ],
    ids=str,
)
def test_something_else_went_wrong(error: Exception) -> None:
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_what_the_failed_attempt_held_is_free_for_the_next(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied, held = list[tuple[str, bool]](), weakref.ref(torch.zeros(3))
    for kind in ("cuda", "mps"):
        monkeypatch.setattr(f"torch.{kind}.empty_cache", lambda kind=kind: emptied.append((kind, held() is None)))

    def attempt() -> None:
        nonlocal held
        maps = torch.zeros(3)
        held = weakref.ref(maps)
        raise torch.OutOfMemoryError

    try:
        attempt()
    except torch.OutOfMemoryError as error:
        assert held() is not None
        make_room(error, torch.device(device))
        assert held() is None
    assert emptied == ([] if device == "cpu" else [(device, True)]), "its own maps first"

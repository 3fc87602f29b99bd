"""Devices: which there are, what they are called, what fits on them, and how TF32 is set."""

import contextlib
import ctypes
import os
import re
import warnings
from pathlib import Path

import torch

from vggbench.errors import UsageError

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The precisions that PyTorch mixes with fp32 by itself."""
_BLOCK, _MOST_VIEWS = 32, 256
_BYTES_PER_VIEW = 64 * 2**20
"""Bytes for a view at full width: input and output of the first stage's last convolution, and room to work."""

_OLDEST_CUDA = 12
"""The oldest major version of CUDA that PyTorch 2.9 and later are built for."""
_DRIVER, _DRIVERS_LIBRARY = Path("/proc/driver/nvidia/version"), "libcuda.so.1"


def has_cuda() -> bool:
    """Whether PyTorch can use a GPU by CUDA, without its warning of why not: `unused_gpu` has a sentence for that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()


def pick_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`; raises UsageError for a device that is not there."""
    if name == "auto":
        name = "cuda" if has_cuda() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: expected auto, cpu, cuda, cuda:0 or mps.") from error
    there = {
        "cpu": True,
        "cuda": has_cuda() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        why = unused_gpu() if device.type == "cuda" and not has_cuda() else None
        raise UsageError(f"--device {name}: {why or 'PyTorch finds no such device here'}; expected auto or cpu.")
    return device


def fallen_back(asked: str, device: torch.device) -> str | None:
    """A sentence where `auto` is a CPU beside an NVIDIA driver that PyTorch does not use; else None."""
    why = unused_gpu() if (asked, device.type) == ("auto", "cpu") else None
    return f"This runs on the CPU: {why}." if why else None


def unused_gpu() -> str | None:
    """Why PyTorch uses no NVIDIA GPU, and what helps; None where there is no driver, or where GPUs are hidden."""
    driver, cuda = _driver()
    if driver is None or os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return None
    built = torch.version.cuda
    found = f"the NVIDIA driver {driver}" + (f", for CUDA up to {cuda[0]}.{cuda[1]}," if cuda else "")
    if not built:
        version = f"CUDA {cuda[0]}" if cuda else "CUDA"
        return (
            f"{found} is here and PyTorch {torch.__version__} is built without CUDA (install one built for {version})"
        )
    if cuda and cuda[0] < int(built.partition(".")[0]):
        return (
            f"{found} is too old for PyTorch {torch.__version__}, built for CUDA {built} (update the driver"
            f"{f', or install a PyTorch built for CUDA {cuda[0]}' if cuda[0] >= _OLDEST_CUDA else ''})"
        )
    return (
        f"{found} is here and PyTorch {torch.__version__}, built for CUDA {built}, finds no GPU (see what nvidia-smi "
        "lists; start a container with --gpus all)"
    )


def _driver() -> tuple[str | None, tuple[int, int] | None]:
    """The version of the NVIDIA driver, and the CUDA that it knows; neither asks a GPU. None for what is not there."""
    cuda, number = None, ctypes.c_int()
    with contextlib.suppress(OSError, AttributeError):
        if ctypes.CDLL(_DRIVERS_LIBRARY).cuDriverGetVersion(ctypes.byref(number)) == 0:
            cuda = number.value // 1000, number.value % 1000 // 10
    try:
        found = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", _DRIVER.read_text())
    except OSError:
        found = None
    return found[1] if found else "of this machine" if cuda else None, cuda


def device_name(device: torch.device) -> str:
    """The device as provenance names it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def views_that_fit(device: torch.device) -> int:
    """Views of 224 x 224 for one batch, by the memory that is free: on a CPU a block's worth, which takes little."""
    if device.type != "cuda":
        return _BLOCK
    free, _ = torch.cuda.mem_get_info(device)
    fit = free // (2 * _BYTES_PER_VIEW)
    return int(min(_MOST_VIEWS, 2 ** max(0, fit.bit_length() - 1)))


def allow_tf32(allowed: bool) -> None:
    """TF32 only where it was asked for: cuDNN's own default is on."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed

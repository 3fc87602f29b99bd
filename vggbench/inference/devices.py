"""Devices: which there are, what they are called, what fits on them, and how TF32 is set."""

import torch

from vggbench.errors import UsageError

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The precisions that PyTorch mixes with fp32 by itself."""
_BLOCK, _MOST_VIEWS = 32, 256
_BYTES_PER_VIEW = 64 * 2**20
"""Of a net at full width: what goes into its first stage's last convolution, what comes out, and room to work."""


def pick_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`; raises UsageError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: expected auto, cpu, cuda, cuda:0 or mps.") from error
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise UsageError(f"--device {name}: PyTorch finds no such device here; expected auto or cpu.")
    return device


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

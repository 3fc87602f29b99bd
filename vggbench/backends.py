"""What runs the network: a model on a device, (N, 3, H, W) -> score map."""

import contextlib
import ctypes
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from vggbench.errors import UsageError
from vggbench.model import VGG, windows
from vggbench.protocols import View
from vggbench.shared_crops import crop_maps, is_grid, quickest
from vggbench.weights import Model

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The precisions that PyTorch mixes with fp32 by itself."""
_FC_ROWS = 64
"""Rows of every matrix product of the fc layers: constant, so that a posterior does not depend on its batch."""
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # <malloc.h>
_SMALL, _LARGE = 100_000, 2**25


@dataclass(frozen=True)
class TorchBackend:
    """PyTorch, channels last; the fc layers as one matrix product over all positions."""

    model: Model
    device: torch.device
    precision: Precision

    name = "pytorch"

    @classmethod
    def start(cls, model: Model, device: torch.device, precision: Precision) -> Self:
        """Move the network to the device; raises UsageError for a precision that the device lacks."""
        if precision == "tf32" and device.type != "cuda":
            raise UsageError(
                f"--precision tf32 exists on CUDA only, and the device is {device}: expected fp32 or bf16."
            )
        allow_tf32(precision == "tf32")
        if isinstance(model.network, nn.Module):
            model.network.to(device)
        if isinstance(model.network, VGG):
            model.network.to(memory_format=torch.channels_last)
        return cls(model, device, precision)

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 RGB on any device -> score map (N, K, h, w) in float32."""
        network = self.model.network
        with self._running():
            pixels = self._pixels(images)
            scores = _score_map(network, network.features(pixels)) if isinstance(network, VGG) else network(pixels)
        if scores.ndim == 2:
            scores = scores[:, :, None, None]
        return scores.to(torch.float32)

    def grid(self, image: Tensor, views: Sequence[View], shared: int) -> Tensor:
        """The scores (views, K, 1, 1) of a grid of crops of one (3, H, W) image, which share so many stages."""
        network = self.model.network
        assert isinstance(network, VGG)
        with self._running():
            maps = crop_maps(network.features, self._pixels(image[None]), views, shared)
            return _score_map(network, maps).to(torch.float32)

    def stages_to_share(self, image: Tensor, views: Sequence[View]) -> int:
        """How many stages such views of such an image are quickest to share; 0 where they are no grid of a VGG's."""
        network = self.model.network
        if not isinstance(network, VGG) or not is_grid(views):
            return 0
        with self._running():
            return quickest(network.features, self._pixels(image[None]), views)

    def _pixels(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 on any device -> what the network expects, channels last."""
        pixels = self.model.input.normalise(images.to(self.device, non_blocking=True))
        return pixels.contiguous(memory_format=torch.channels_last)

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        """Without gradients, in the precision asked for."""
        autocast = torch.autocast(self.device.type, AUTOCAST.get(self.precision), enabled=self.precision in AUTOCAST)
        with torch.inference_mode(), autocast:
            yield


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


def precisions() -> tuple[str, ...]:
    """All precisions, by name."""
    return get_args(Precision)


def allow_tf32(allowed: bool) -> None:
    """TF32 only where it was asked for: cuDNN's own default is on."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def hold_memory_flat(varied_sizes: bool) -> None:
    """Make glibc give memory back at once while image sizes vary (`dense`); elsewhere it may keep it, which is faster.

    Without this, tensors of hundreds of sizes fragment the heap and memory grows with the number of images.
    """
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if libc is not None and hasattr(libc, "mallopt"):
        threshold = _SMALL if varied_sizes else _LARGE
        libc.mallopt(_MMAP_THRESHOLD, threshold)
        libc.mallopt(_TRIM_THRESHOLD, threshold)


def _score_map(network: VGG, maps: Tensor) -> Tensor:
    """(N, C, h + 6, w + 6) -> (N, K, h, w)"""
    rows = windows(maps)  # (N * h * w, C * 49)
    scores = torch.cat([_padded(network.classifier, part) for part in torch.split(rows, _FC_ROWS)])
    height, width = maps.shape[2] - 6, maps.shape[3] - 6
    return scores.view(len(maps), height, width, -1).permute(0, 3, 1, 2)  # (N, K, h, w)


def _padded(classifier: nn.Module, rows: Tensor) -> Tensor:
    filled = nn.functional.pad(rows, (0, 0, 0, _FC_ROWS - len(rows)))
    scores: Tensor = classifier(filled)[: len(rows)]
    return scores

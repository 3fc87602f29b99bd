"""What goes up to a device and what comes back, while the device computes and this process goes on."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Fetch = Callable[[], NDArray[np.float32]]
"""Waits for what the device was asked for, and gives it."""


class Transfer:
    """Between this process and a device that has no queue of copies, such as the CPU, where nothing is copied."""

    pins = False
    """Whether it takes pinned memory without a copy."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def up(self, pixels: Tensor) -> Tensor:
        """The same on the device."""
        return pixels.to(self.device)

    def back(self, found: Tensor) -> Fetch:
        """What brings a result from the device, in whatever thread it is called."""
        return lambda: np.asarray(found.cpu().numpy(), dtype=np.float32)


class CudaTransfer(Transfer):
    """Copies on a stream of their own, from and to pinned memory; events say when they are done."""

    pins = True

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def up(self, pixels: Tensor) -> Tensor:
        """The same on the device, there before anything that is asked of it from now on."""
        computes = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._copies):
            pinned = pixels if pixels.is_pinned() else pixels.pin_memory()
            there = pinned.to(self.device, non_blocking=True)
        computes.wait_stream(self._copies)
        there.record_stream(computes)
        return there

    def back(self, found: Tensor) -> Fetch:
        """What waits for the copy of a result, which begins once it is computed."""
        host = torch.empty(found.shape, dtype=torch.float32, pin_memory=True)
        host.copy_(found, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(self.device))

        def fetch() -> NDArray[np.float32]:
            done.synchronize()
            return np.asarray(host.numpy(), dtype=np.float32)

        return fetch


def transfer_to(device: torch.device) -> Transfer:
    """The one for this device."""
    return CudaTransfer(device) if device.type == "cuda" else Transfer(device)

"""What the processes of a training exchange in a step: whether memory was enough, then gradients and the loss."""

from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vggbench.evaluation.processes import PATIENCE, World


class Exchange:
    """Sums over all processes; one process alone has nothing to exchange.

    No process sends a gradient before all have computed theirs, so that one that runs out of memory leaves
    none waiting for it. The hosts agree on that among themselves, by gloo, ahead of their devices; on CUDA a gradient
    is sent as soon as the device has it, while it computes the next ones.
    """

    def __init__(self, network: nn.Module, world: World, device: torch.device) -> None:
        self._size, self._device = world.size, device
        # Last layers first, as their gradients come.
        self._trained = [parameter for parameter in network.parameters() if parameter.requires_grad][::-1]
        self._ready: list[torch.cuda.Event] = []
        if world.size == 1:
            return
        for parameter in network.parameters():
            dist.broadcast(parameter.detach(), 0)
        self._hosts = None
        if dist.get_backend() != "gloo":
            self._hosts = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=PATIENCE))
        if device.type == "cuda":
            self._sending = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._ready = [_recorded(parameter) for parameter in self._trained]

    def worst(self, found: int) -> int:
        """The largest of what the processes found; no device waits for it."""
        if self._size == 1:
            return found
        told = torch.tensor([found])
        dist.all_reduce(told, dist.ReduceOp.MAX, group=self._hosts)
        return int(told.numpy()[0])

    def total(self, loss: Tensor) -> None:
        """Sum the gradients and `loss` over the processes, in place; the host does not wait for CUDA."""
        if self._size == 1:
            return
        gradients = [cast(Tensor, parameter.grad) for parameter in self._trained]
        if not self._ready:
            for tensor in (*gradients, loss):
                dist.all_reduce(tensor)
            return
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._sending):
            for gradient, ready in zip(gradients, self._ready, strict=True):
                self._sending.wait_event(ready)
                dist.all_reduce(gradient)
            self._sending.wait_stream(computing)
            dist.all_reduce(loss)
        computing.wait_stream(self._sending)


def _recorded(parameter: Tensor) -> torch.cuda.Event:
    """An event that the device comes to with each gradient of the parameter, the last part's in the end."""
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    parameter.register_post_accumulate_grad_hook(lambda _: event.record())  # type: ignore[no-untyped-call]
    return event

"""PyTorch's ways to run layers: as they are, in the order that is quickest on a CPU, or compiled."""

import torch
from torch import Tensor, nn

from vggbench.errors import UsageError, first_line
from vggbench.inference.shared_crops import Function

_MOST_GRAPHS = 10_000


def channels_last(layers: nn.Sequential) -> Function:
    """As they are, each image pixel by pixel, which PyTorch's convolutions are quickest with."""

    def run(given: Tensor) -> Tensor:
        found: Tensor = layers(given.contiguous(memory_format=torch.channels_last) if given.ndim == 4 else given)
        return found

    return run


def quickest_on_cpu(layers: nn.Sequential) -> Function:
    """The same to the last bit: ReLU after the pooling, of a quarter of the positions, and pooling by pairs."""
    found: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            found.insert(len(found) - bool(found and isinstance(found[-1], nn.ReLU)), PairPool(layer))
        else:
            found.append(layer)
    return channels_last(nn.Sequential(*found))


class PairPool(nn.Module):
    """A 2 x 2 pooling as the maxima of pairs of rows, then of columns: PyTorch's takes channel by channel.

    At 224 x 224 that takes a quarter of the time for 4 channels, and as long for 64.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        assert (pool.kernel_size, pool.stride, pool.padding, pool.dilation) == (2, 2, 0, 1)
        self._pool = pool

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / 2, W / 2), of an odd side rounded as the pooling does."""
        height, width = maps.shape[2:]
        if self._pool.ceil_mode and (height % 2 or width % 2):
            found: Tensor = self._pool(maps)
            return found
        whole = maps.permute(0, 2, 3, 1)[:, : height // 2 * 2, : width // 2 * 2]  # (N, H, W, C)
        rows = torch.maximum(whole[:, ::2], whole[:, 1::2])
        return torch.maximum(rows[:, :, ::2], rows[:, :, 1::2]).permute(0, 3, 1, 2)


def compiled(layers: nn.Sequential) -> Function:
    """Compiled for each shape it meets, on a CPU with the weights frozen in."""
    from torch._dynamo import config
    from torch._dynamo.exc import TorchDynamoException

    # The limit counts over all nets and sizes of the process, and beyond it the layers would run uncompiled.
    config.recompile_limit = config.accumulated_recompile_limit = _MOST_GRAPHS
    config.fail_on_recompile_limit_hit = True
    on_cpu = next(layers.parameters()).device.type == "cpu"
    optimised = torch.compile(layers, dynamic=False, options={"freezing": True} if on_cpu else None)
    run = channels_last(optimised)  # type: ignore[arg-type]

    def run_or_say(given: Tensor) -> Tensor:
        try:
            return run(given)
        except TorchDynamoException as error:
            raise UsageError(
                f"--compile: PyTorch cannot compile here ({first_line(error)}): expected a working C++ compiler on a "
                "CPU, or Triton on CUDA. Leave --compile out."
            ) from error

    return run_or_say

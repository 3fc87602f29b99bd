"""Whether a network takes images of any size, which dense evaluation needs: found out by two."""

from collections.abc import Callable

import torch
from torch import Tensor

from vggbench.errors import first_line


def obstacle(network: Callable[[Tensor], Tensor], side: int, classes: int) -> str | None:
    """What happens with an image larger than `side` x `side`, or not square; None for a network that takes both."""
    for height, width in ((side + 33, side + 12), (side, side + 51)):
        try:
            with torch.inference_mode():
                scores = network(torch.zeros(1, 3, height, width))
        except Exception as error:  # whatever a network raises that cannot
            reason = first_line(error).partition(": expected")[0]  # what to do next is the caller's to say
            return f"does not take images of {height} x {width} ({reason})"
        if tuple(scores.shape[:2]) != (1, classes):
            return f"gives {tuple(scores.shape)} for an image of {height} x {width}"
    return None

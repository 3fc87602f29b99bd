"""A network as a library builds it, and how the library evaluates it."""

from typing import NamedTuple

from torch import nn

from vggbench.images.preprocessing import Input, Preset


class Built(NamedTuple):
    """What a library gives for a name."""

    module: nn.Module
    classes: int
    input: Input
    side: int
    """The side of the square crops that it takes."""
    preset: Preset | None
    no_preset: str | None = None
    """Why there is none that can be taken exactly."""
    is_published: bool = False
    """Whether the preset's figures were published for these weights."""
    said: tuple[str, ...] = ()
    counts: bool = True
    """Whether its MACs can be counted by tracing it."""

"""The layers that a training leaves as they are, and those after them, which it changes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vggbench.nets.vgg import VGG
from vggbench.train.recipe import Layers

_CUTS: dict[Layers, int] = {"fc": 0, "last": 5}
"""Modules of the classifier that stay: none, or both hidden fc layers up to the last ReLU."""


@dataclass(frozen=True)
class Halves:
    """A network for crops of 224 x 224 in two parts, which share its modules."""

    frozen: nn.Sequential
    """(N, 3, 224, 224) -> (N, F): pool5 in the order channel, row, column, or fc7."""
    trained: nn.Sequential
    """(N, F) -> (N, K)"""

    @classmethod
    def of(cls, network: VGG, layers: Layers) -> "Halves | None":
        """None where all layers are trained."""
        if layers == "all":
            return None
        classifier, cut = list(network.classifier), _CUTS[layers]
        return cls(nn.Sequential(network.features, nn.Flatten(1), *classifier[:cut]), nn.Sequential(*classifier[cut:]))

    def freeze(self) -> None:
        """Let no gradient reach the frozen part."""
        self.frozen.requires_grad_(False)

    def train(self) -> None:
        """Dropout draws in the trained part alone."""
        self.frozen.eval()
        self.trained.train()

    def computed(self, pixels: Tensor) -> Tensor:
        """The frozen part's outputs, for which nothing is kept but they."""
        with torch.no_grad():
            found: Tensor = self.frozen(pixels)
            return found

    @property
    def size(self) -> int:
        """F"""
        fc = next(layer for layer in self.trained if isinstance(layer, nn.Linear))
        return fc.in_features

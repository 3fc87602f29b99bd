"""From rescaled images to descriptors: the maps of a layer, over positions and views, in place of scores."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.errors import NumericsError
from vggbench.inference.backend import Backend
from vggbench.inference.scorer import Scorer
from vggbench.inference.transfer import Transfer
from vggbench.nets.cost import numbers_of
from vggbench.paper.descriptors import Descriptor
from vggbench.paper.protocols import Protocol


class Describer(Scorer):
    """A scorer of a net that ends in the descriptor's layer; what it gives is (n, D), before any normalisation."""

    def __init__(
        self,
        descriptor: Descriptor,
        protocol: Protocol,
        backend: Backend,
        batch_size: int,
        transfer: Transfer | None = None,
    ) -> None:
        super().__init__(protocol, backend, batch_size, None, transfer)
        assert backend.model.identity.architecture, "descriptors are of VGGs"
        self._by_image = False
        self._descriptor = descriptor
        self._numbers = numbers_of(backend.model.identity.architecture, descriptor)
        if descriptor.pool == "flatten":
            self._wide = torch.float32

    def _of_views(self, maps: Tensor) -> Tensor:
        """Maps (n, C, h, w) -> their means over positions (n, C), or all of their numbers."""
        return maps.flatten(1) if self._descriptor.pool == "flatten" else maps.mean((2, 3), dtype=self._wide)

    def _sound(self, descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The descriptors, none of them NaN or infinite."""
        if not np.isfinite(descriptors).all():
            raise NumericsError(
                f"{self.backend.model.identity.name}'s {self._descriptor} by {self._protocol} has NaN or infinity: its "
                f"weights or preprocessing are wrong, or {self.backend.precision} overflows. Expected finite "
                "activations; try --precision fp32, and check --input."
            )
        return descriptors

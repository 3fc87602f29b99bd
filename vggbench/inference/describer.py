"""From rescaled images to descriptors: the maps of a layer, over positions and views, in place of scores."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.errors import NumericsError
from vggbench.inference.backend import Backend
from vggbench.inference.scorer import Scorer, mean_of_views, put
from vggbench.inference.transfer import Fetch, Transfer
from vggbench.inference.views import Views
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

    def begin(self, images: Sequence[Tensor], advance: Callable[[int], None]) -> Fetch:
        """Ask the device for the descriptors: of each view the mean over positions, or all of them, then the mean over
        views. As `Scorer.begin`; raises NumericsError for NaN and infinity.
        """
        protocol, device = self._protocol, self.backend.device
        with torch.inference_mode():
            there = self._on_device(images)
            wide = torch.float32 if device.type == "mps" or self._descriptor.pool == "flatten" else torch.float64
            found = torch.empty((len(images), protocol.view_count, self._numbers), dtype=wide, device=device)
            views = Views(there, protocol, self.backend)
            for numbers, maps in self._scores(views, len(there)):
                is_flat = self._descriptor.pool == "flatten"
                put(found.flatten(0, 1), numbers, maps.flatten(1) if is_flat else maps.mean((2, 3), dtype=wide))
                advance(len(numbers))
            fetch = self._transfer.back(mean_of_views(found))
        return lambda: self._finite(fetch())

    def _finite(self, descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
        if not np.isfinite(descriptors).all():
            raise NumericsError(
                f"{self.backend.model.identity.name}'s {self._descriptor} by {self._protocol} has NaN or infinity: its "
                f"weights or preprocessing are wrong, or {self.backend.precision} overflows. Expected finite "
                "activations; try --precision fp32, and check --input."
            )
        return descriptors

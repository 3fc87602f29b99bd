"""A model on a device, whatever library runs its layers: images -> score map, and a grid of crops -> scores."""

import contextlib
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor, nn

from vggbench.errors import NumericsError
from vggbench.images.pixels import take
from vggbench.inference.choices import Precision
from vggbench.inference.devices import AUTOCAST
from vggbench.inference.shared_crops import (
    Function,
    Stage,
    Through,
    before_pooling,
    crop_maps,
    crop_maps_anywhere,
    in_stages,
    is_grid,
    quickest,
)
from vggbench.nets.vgg import VGG, windows
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import View
from vggbench.weights.load import Model

TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 2e-2, "bf16": 0.1}
"""Largest differences of scores between plain PyTorch and another library or device, in units of the largest score."""
_FC_ROWS, _FC_ROWS_ON_DEVICE = 32, 256
"""Rows of every matrix product of the fc layers: constant, so that a posterior does not depend on its batch."""
_CPU_VIEWS = 8
"""Views of 224 x 224 that go through the convolutions together on a CPU: more use memory and gain nothing."""
_CHECKED_VIEWS, _CHECKED_CROPS = 2, 6
"""Views of the first batch, and crops of the first grid, that are checked against plain PyTorch."""


@dataclass
class Backend:
    """One model; `through` makes layers of a VGG a function, `checked_by` is asked once whether scores are right."""

    name: str
    version: str
    """The version of the library that computes."""
    model: Model
    device: torch.device
    precision: Precision
    through: Through
    network: VGG | None = None
    """Its layers in the precision asked for, where it is a VGG."""
    pixelwise: bool = False
    """Whether images lie pixel by pixel, as PyTorch's convolutions are fastest."""
    checked_by: "Backend | None" = None
    """Plain PyTorch, here or on the CPU."""
    shares: bool = False
    """Whether crops at any offsets are quicker by `crops`: on a CPU, where no bit differs."""

    def __post_init__(self) -> None:
        """The device as tensors name theirs: `cuda` is a GPU with a number."""
        self.device = torch.empty(0, device=self.device).device

    def load(self) -> Self:
        """Make the layers functions and place the constants now, which otherwise happens with the first images."""
        _ = self._statistics
        if self.network:
            _ = self._features
        if self._has_fc:
            _ = self._classifier
        return self

    def of(self, model: Model) -> Self:
        """The same layers for the same network at another input."""
        assert model.module is self.model.module
        if model is self.model:
            return self
        other = copy(self.load())
        del other._statistics
        other.model = model
        other.checked_by = self.checked_by.of(model) if self.checked_by else None
        return other

    def __call__(self, images: Tensor, *, check: bool = False) -> Tensor:
        """(N, 3, H, W) uint8 RGB on any device -> score map (N, K, h, w) in float32; `check` as `score` has it."""
        return self.score(self.prepared(images.to(self.device)), check=check)

    def prepared(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 RGB on the device -> what the network expects, as it lies quickest in memory."""
        with torch.inference_mode():
            pixels = self.model.input.normalise(images.contiguous(), self._statistics)
            if self.network:
                pixels = pixels.to(AUTOCAST.get(self.precision, torch.float32))
            return pixels.contiguous(memory_format=torch.channels_last) if self.pixelwise else pixels

    def score(self, pixels: Tensor, *, check: bool = False) -> Tensor:
        """(N, 3, H, W) as `prepared` gives them -> score map (N, K, h, w) in float32.

        Raises NumericsError where the first two differ from plain PyTorch's, if it is to `check` them.
        """
        with self._running():
            scores = self._score_map(self._maps(pixels)) if self.network else self.model.module(pixels)
            if scores.ndim == 2:
                scores = scores[:, :, None, None]
            scores = scores.to(torch.float32)
        if self.checked_by and check:
            some = slice(0, _CHECKED_VIEWS)
            self._require_equal(scores[some], self.checked_by.score(pixels[some].to(self.checked_by.device)))
        return scores

    def grid(self, pixels: Tensor, views: Sequence[View], shared: int, *, check: bool = False) -> Tensor:
        """The scores (views, K, 1, 1) of crops of one image at multiples of 8, (1, 3, H, W) as `prepared` gives it.

        The crops share so many stages. Raises NumericsError where some differ from PyTorch's plain crops, if it is to
        `check` them.
        """
        with self._running():
            maps = crop_maps(self._stages, pixels, views, shared)
            return self._of_crops(maps, pixels, views, check=check)

    def crops(self, pixels: Tensor, views: Sequence[View], *, check: bool = False) -> Tensor:
        """As `grid`, for crops at any offsets, which share the convolutions before the first pooling."""
        with self._running():
            maps = crop_maps_anywhere(self._before_pooling, pixels, views)
            return self._of_crops(maps, pixels, views, check=check)

    def _of_crops(self, maps: Tensor, pixels: Tensor, views: Sequence[View], *, check: bool) -> Tensor:
        scores = self._score_map(maps).to(torch.float32)
        if self.checked_by and check:
            some = range(0, len(views), max(1, len(views) // _CHECKED_CROPS))
            plain = torch.stack([take(pixels[0], views[place]) for place in some])
            self._require_equal(scores[list(some)], self.checked_by.score(plain.to(self.checked_by.device)))
        return scores

    def stages_to_share(self, pixels: Tensor, views: Sequence[View]) -> int:
        """How many stages such views of such an image, as `grid` takes it, are quickest to share.

        0 where they are no grid of a VGG's.
        """
        if not self.network or not is_grid(views):
            return 0
        with self._running():
            return quickest(self._stages, pixels, views)

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        return self.model.input.statistics(self.device)

    @cached_property
    def _features(self) -> Function:
        assert self.network
        return self.through(self.network.features)

    @cached_property
    def _stages(self) -> list[Stage]:
        assert self.network
        return in_stages(self.network.features, self.through)

    @cached_property
    def _before_pooling(self) -> list[Stage]:
        assert self.network
        return before_pooling(self.network.features, self.through)

    @property
    def _has_fc(self) -> bool:
        return self.network is not None and len(self.network.classifier) > 0

    @cached_property
    def _classifier(self) -> Function:
        assert self.network
        return self.through(self.network.classifier)

    def _maps(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> the last maps (N, C, h + 6, w + 6)."""
        at_once = len(pixels)
        if self.device.type == "cpu":
            at_once = max(1, _CPU_VIEWS * CROP * CROP // (pixels.shape[2] * pixels.shape[3]))
        return torch.cat([self._features(part) for part in torch.split(pixels, at_once)])

    def _score_map(self, maps: Tensor) -> Tensor:
        """(N, C, h + 6, w + 6) -> (N, K, h, w), the fc layers as matrix products over the positions of all.

        For a net that ends before them, the maps themselves.
        """
        if not self._has_fc:
            return maps
        rows, together = windows(maps), _FC_ROWS if self.device.type == "cpu" else _FC_ROWS_ON_DEVICE
        scores = torch.cat([self._padded(part, together) for part in torch.split(rows, together)])
        height, width = maps.shape[2] - 6, maps.shape[3] - 6
        return scores.view(len(maps), height, width, -1).permute(0, 3, 1, 2)  # (N, K, h, w)

    def _padded(self, rows: Tensor, count: int) -> Tensor:
        filled = rows if len(rows) == count else nn.functional.pad(rows, (0, 0, 0, count - len(rows)))
        return self._classifier(filled)[: len(rows)]

    def _require_equal(self, scores: Tensor, expected: Tensor) -> None:
        expected = expected.to(scores.device)
        finite = expected[expected.isfinite()].abs()
        bound = TOLERANCES[self.precision] * float(finite.max()) if len(finite) else 0.0
        if not torch.allclose(scores, expected, rtol=0, atol=bound, equal_nan=True):
            apart = float((scores - expected).abs().max())
            raise NumericsError(
                f"{self.name}'s scores for {self.model.identity.name} differ from PyTorch's by {apart:.2g} on the "
                f"first images: expected at most {bound:.2g}. They are not stored; run with --backend pytorch."
            )

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        """Without gradients, in the precision asked for, which a VGG's own layers are in."""
        mixes = self.precision in AUTOCAST and not self.network
        mixed = torch.autocast(self.device.type, AUTOCAST[self.precision]) if mixes else contextlib.nullcontext()
        with torch.inference_mode(), mixed:
            yield

"""The network with a hand inside: what layers give, what they would give otherwise, and what follows from theirs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vggbench.nets.vgg import VGG
from vggbench.paper.configs import FC6_KERNEL

Array = NDArray[np.floating[Any]]
_POOLS = (nn.MaxPool2d, nn.AvgPool2d)
_WINDOW = 2


@dataclass(frozen=True)
class Altered:
    """How a network is run otherwise than it is."""

    flatten: str = "CHW"
    """`HWC`: fc6's maps are flattened channels last; `inverse`: as if its weights were for that."""
    pooling: str = ""
    """`ceil` or `floor`."""
    epsilon: float | None = None
    """The epsilon of batch normalisation; None: as it is."""
    padding: str = ""
    """What convolutions see beyond the border: `replicate`, `reflect`, `circular`; or `same`, TensorFlow's sides."""


class Network:
    """A model's module, on the CPU; any callable, whose layers are then unknown."""

    def __init__(self, module: Callable[[Tensor], Tensor], side: int) -> None:
        self._call = module
        self._module = module if isinstance(module, nn.Module) else None
        self._shapes, self._overwritten = self._looked_at(side)

    @property
    def layers(self) -> list[str]:
        """The names of modules that give a tensor, in the order in which they are done."""
        return list(self._shapes)

    def shape(self, layer: str) -> tuple[int, ...]:
        """The shape of what a layer gives, without the batch."""
        return self._shapes[layer]

    def named(self, layer: str) -> str:
        """The layer that a name of torchvision's VGG stands for."""
        return self._last_features if layer == "avgpool" and isinstance(self._module, VGG) else layer

    @property
    def _last_features(self) -> str:
        return [layer for layer in self._shapes if layer.startswith("features.")][-1]

    def is_overwritten(self, layer: str) -> bool:
        """Whether the next layer changes what it gives in place, so that a careless dump holds the next one's."""
        return layer in self._overwritten

    def run(
        self, pixels: Array, altered: Altered, replaced: Mapping[str, Array], wanted: Sequence[str]
    ) -> dict[str, list[Array]]:
        """`logits` of a (3, H, W) input, and what each wanted layer gives: as it is, and as the next one left it.

        `replaced`: what layers give instead, from which all that follows goes on. Where a network as it was altered
        cannot run, there is nothing.
        """
        kept: dict[str, tuple[Tensor, Tensor]] = {}
        with ExitStack() as undone, torch.inference_mode():
            modules = dict(self._module.named_modules()) if self._module else {}
            if self._module:
                undone.enter_context(_as(self._module, altered))
            for name, values in replaced.items():
                undone.callback(modules[name].register_forward_hook(partial(_give, values)).remove)
            for name in wanted:
                undone.callback(modules[name].register_forward_hook(partial(_keep, kept, name)).remove)
            try:
                scores = self._call(torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))[None])
            except RuntimeError:
                return {}
            found = {name: [each[0].numpy() for each in pair] for name, pair in kept.items()}
            return found | {"logits": [scores[0].flatten(1).mean(1).numpy() if scores.ndim == 4 else scores[0].numpy()]}

    def _looked_at(self, side: int) -> tuple[dict[str, tuple[int, ...]], set[str]]:
        kept: dict[str, tuple[Tensor, Tensor]] = {}
        modules = dict(self._module.named_modules()) if self._module else {}
        with ExitStack() as undone, torch.inference_mode():
            for name, module in modules.items():
                if name:
                    undone.callback(module.register_forward_hook(partial(_keep, kept, name)).remove)
            if modules:
                self._call(torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0)))
        return (
            {name: tuple(one.shape[1:]) for name, (one, _) in kept.items()},
            {name for name, (one, other) in kept.items() if not torch.equal(one, other)},
        )


def _keep(kept: dict[str, tuple[Tensor, Tensor]], name: str, module: nn.Module, given: Any, found: Any) -> None:
    if isinstance(found, Tensor):
        kept[name] = (found.clone(), found)


def _give(values: Array, module: nn.Module, given: Any, found: Tensor) -> Tensor:
    instead = torch.from_numpy(np.array(values, dtype=np.float32))[None]
    return instead.reshape(found.shape) if instead.numel() == found.numel() else instead


@contextmanager
def _as(module: nn.Module, altered: Altered) -> Iterator[None]:
    """The network as it is altered, and afterwards as it was."""
    with ExitStack() as undone:
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d) and altered.epsilon is not None:
                _set(undone, layer, "eps", altered.epsilon)
            if isinstance(layer, _POOLS) and altered.pooling:
                _set(undone, layer, "ceil_mode", altered.pooling == "ceil")
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d) and altered.padding == "same":
                undone.callback(layer.register_forward_pre_hook(_padded_as_tensorflow).remove)
                _set(undone, layer, "padding", (0, 0))
            elif isinstance(layer, nn.Conv2d) and altered.padding:
                _set(undone, layer, "padding_mode", altered.padding)
        if isinstance(module, VGG) and altered.flatten != "CHW":
            undone.callback(module.classifier[0].register_forward_pre_hook(partial(_flat, altered.flatten)).remove)
        yield


def _set(undone: ExitStack, layer: nn.Module, name: str, value: Any) -> None:
    undone.callback(setattr, layer, name, getattr(layer, name))
    setattr(layer, name, value)


def _flat(order: str, layer: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    (rows,) = given
    window = FC6_KERNEL**2
    shape = (-1, window) if order == "HWC" else (window, -1)
    return (rows.view(len(rows), *shape).transpose(1, 2).flatten(1),)


def _padded_as_tensorflow(layer: Any, given: tuple[Tensor]) -> tuple[Tensor]:
    """As SAME: the odd row and column stand behind."""
    (maps,) = given
    sides: list[int] = []
    for axis in (1, 0):
        kernel, stride = _pair(layer.kernel_size)[axis], _pair(layer.stride)[axis]
        side = maps.shape[2 + axis]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        sides += [total // 2, total - total // 2]
    return (F.pad(maps, sides, value=0.0 if isinstance(layer, nn.Conv2d) else -torch.inf),)


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)

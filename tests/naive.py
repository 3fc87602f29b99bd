"""A second implementation to test against: plain loops over torchvision's operations, nothing from vggbench.

The paper's Table 1 stands here once more, as torchvision writes it.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

TABLE_1: dict[str, list[int | str]] = {
    "A": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "A-LRN": [64, "L", "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "B": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "C": [64, 64, "M", 128, 128, "M", 256, 256, -256, "M", 512, 512, -512, "M", 512, 512, -512, "M"],
    "D": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    "E": [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M"],
    "B-5x5": [64, "M", 128, "M", 256, "M", 512, "M", 512, "M"],
}
"""Output channels; negative ones are 1x1 convolutions; L is LRN."""
SIDES = {"B-5x5": 5}
"""Kernel sides of the other convolutions, where they are not 3x3."""


@dataclass(frozen=True)
class Fault:
    """What a faulty implementation would do; all False is right."""

    drop_crop: bool = False
    shift_grid: bool = False
    no_antialias: bool = False
    no_mirror: bool = False
    swap_channels: bool = False
    softmax_first: bool = False


RIGHT = Fault()


def score_map(config: str, weights: dict[str, Tensor], images: Tensor, *, ceil: bool = False) -> Tensor:
    """(N, 3, H, W) -> (N, K, h, w), layer by layer, the fc layers as convolutions with reshaped weights."""
    index, maps = 0, images
    for token in TABLE_1[config]:
        if token == "M":
            maps, index = F.max_pool2d(maps, 2, 2, ceil_mode=ceil), index + 1
        elif token == "L":
            maps = krizhevsky(maps)
        else:
            weight, bias = weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]
            side = SIDES.get(config, 3) if int(token) > 0 else 1
            assert weight.shape[2:] == (side, side)
            maps = F.relu(F.conv2d(maps, weight, bias, padding=side // 2))
            index += 2
    fc6, fc7, fc8 = (weights[f"classifier.{i}.weight"] for i in (0, 3, 6))
    maps = F.relu(F.conv2d(maps, fc6.reshape(len(fc6), -1, 7, 7), weights["classifier.0.bias"]))
    maps = F.relu(F.conv2d(maps, fc7[:, :, None, None], weights["classifier.3.bias"]))
    return F.conv2d(maps, fc8[:, :, None, None], weights["classifier.6.bias"])


def maps_of(config: str, weights: dict[str, Tensor], images: Tensor, layer: str, *, relu: bool, ceil: bool) -> Tensor:
    """(N, 3, H, W) -> (N, C, h, w), what `pool1` to `pool5`, `fc6` or `fc7` gives; these with their ReLU or without."""
    index, stage, maps = 0, 0, images
    for token in TABLE_1[config]:
        if token == "M":
            maps, index, stage = F.max_pool2d(maps, 2, 2, ceil_mode=ceil), index + 1, stage + 1
            if layer == f"pool{stage}":
                return maps
        elif token == "L":
            maps = krizhevsky(maps)
        else:
            weight, bias = weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]
            maps = F.relu(F.conv2d(maps, weight, bias, padding=1 if int(token) > 0 else 0))
            index += 2
    fc6, fc7 = (weights[f"classifier.{i}.weight"] for i in (0, 3))
    maps = F.conv2d(maps, fc6.reshape(len(fc6), -1, 7, 7), weights["classifier.0.bias"])
    if layer == "fc7":
        maps = F.conv2d(F.relu(maps), fc7[:, :, None, None], weights["classifier.3.bias"])
    return F.relu(maps) if relu else maps


def descriptor(
    config: str,
    weights: dict[str, Tensor],
    path: Path,
    scales: list[int],
    *,
    layer: str = "fc7",
    relu: bool = True,
    flat: bool = False,
    protocol: str = "dense",
    stack: bool = False,
    ceil: bool = False,
    caffe: bool = False,
    fault: Fault = RIGHT,
) -> Tensor:
    """The descriptor (D,) of one image file, one view after the other, as appendix B of the paper has it."""
    image = v2.functional.pil_to_tensor(Image.open(path).convert("RGB"))
    of_scales = []
    for scale in scales:
        rescaled = v2.Resize(scale, antialias=not fault.no_antialias)(image)
        views = [rescaled] if protocol == "dense" else crops(rescaled, protocol, fault)
        if protocol != "center" and not fault.no_mirror:
            views += [view.flip(2) for view in views]
        given = [_normalised(view, caffe, fault)[None] for view in views]
        maps = [maps_of(config, weights, one, layer, relu=relu, ceil=ceil)[0].double() for one in given]
        of_scales.append(torch.stack([one.flatten() if flat else one.mean((1, 2)) for one in maps]).mean(0))
    found = torch.cat(of_scales) if stack else torch.stack(of_scales).mean(0)
    unit: Tensor = found / found.norm()
    return unit


def krizhevsky(maps: Tensor) -> Tensor:
    """b_i = a_i / (2 + 1e-4 * sum_{|j - i| <= 2} a_j^2) ** 0.75, channel by channel."""
    out = torch.empty_like(maps)
    for i in range(maps.shape[1]):
        near = maps[:, max(0, i - 2) : i + 3]
        out[:, i] = maps[:, i] / (2 + 1e-4 * near.pow(2).sum(1)) ** 0.75
    return out


def posterior(
    config: str,
    weights: dict[str, Tensor],
    path: Path,
    protocol: str,
    scale: int,
    *,
    ceil: bool = False,
    caffe: bool = False,
    fault: Fault = RIGHT,
) -> Tensor:
    """The posterior (K,) of one image file, one view after the other."""
    image = v2.functional.pil_to_tensor(Image.open(path).convert("RGB"))
    image = v2.Resize(scale, antialias=not fault.no_antialias)(image)
    views = [image] if protocol == "dense" else crops(image, protocol, fault)
    if protocol != "center" and not fault.no_mirror:
        views += [view.flip(2) for view in views]
    if fault.drop_crop:
        views = views[1:]
    found = []
    for view in views:
        scores = score_map(config, weights, _normalised(view, caffe, fault)[None], ceil=ceil)[0]
        if fault.softmax_first:
            found.append(scores.softmax(0).mean((1, 2)))
        else:
            found.append(scores.mean((1, 2)).softmax(0))
    return torch.stack(found).mean(0)


def crops(image: Tensor, protocol: str, fault: Fault = RIGHT) -> list[Tensor]:
    """The unmirrored 224 crops."""
    height, width = image.shape[1:]
    if protocol == "center":
        return [v2.CenterCrop(224)(image)]
    if protocol == "tencrop":
        return list(v2.FiveCrop(224)(image))
    step = 8 if protocol == "multicrop8" else 1
    shift = 1 if fault.shift_grid else 0
    tops, lefts = ([max(o - shift, 0) for o in offsets(side, step)] for side in (height, width))
    return [image[:, top : top + 224, left : left + 224] for top in tops for left in lefts]


def offsets(side: int, step: int) -> list[int]:
    """step * floor(i * floor((side - 224) / step) / 4 + 1/2)."""
    room = (side - 224) // step
    return [step * floor(Fraction(i * room, 4) + Fraction(1, 2)) for i in range(5)]


def _normalised(view: Tensor, caffe: bool, fault: Fault) -> Tensor:
    if fault.swap_channels:
        view = view.flip(0)
    if caffe:
        bgr = view.flip(0).float()
        return bgr - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    shares = v2.functional.to_dtype(view, torch.float32, scale=True)
    normalised: Tensor = v2.functional.normalize(shares, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return normalised


class Plain(nn.Module):
    """The score map as a module, to be evaluated like anybody's network."""

    def __init__(self, config: str, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self._config, self._weights = config, weights

    def forward(self, images: Tensor) -> Tensor:
        return score_map(self._config, self._weights, images)

"""Somebody else's pipeline, right or with faults: Pillow, OpenCV, torch and closed formulas, nothing from vggbench."""

import io
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from naive import TABLE_1
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

Array = NDArray[Any]
MEANS = {"torchvision": (0.485, 0.456, 0.406), "caffe": (123.68, 116.779, 103.939)}
"""In RGB."""
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Theirs:
    """One pipeline; all defaults are right."""

    decode: str = "pillow"
    resize: str = "torch"
    side: str = "truncated"
    offset: tuple[int, int] = (0, 0)
    mirror: bool = False
    bgr: bool = False
    misread: bool = False
    times: float = 1.0
    """By what pixels are multiplied before the mean is subtracted."""
    mean: str = ""
    std: bool = True
    flatten: str = "CHW"
    epsilon: float = 1e-5
    padding: str = "constant"
    ending: str = "softmax"
    classes: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def of(self, data: bytes, weights: dict[str, Tensor], config: str, *, caffe: bool = False) -> dict[str, Array]:
        """All stages, pixels as (H, W, 3) and all else as torch has it."""
        decoded = decoded_by(self.decode, data)
        resized = resized_by(self.resize, decoded, self._size(decoded))
        cropped = self._cropped(resized)
        given = self._input(cropped, caffe)
        layers = self._layers(given, weights, config)
        logits = self._shifted(layers.pop("logits"))
        stages = {"decoded": decoded, "resized": resized, "cropped": cropped, "input": given.numpy()} | layers
        return stages | {"logits": logits, "posterior": self._ended(logits)}

    def _size(self, pixels: Array) -> tuple[int, int]:
        height, width = pixels.shape[:2]
        if self.side == "square":
            return 256, 256
        if self.side == "crop":
            return 224, 224
        turn = round if self.side == "rounded" else int
        return (256, turn(256 * width / height)) if height <= width else (turn(256 * height / width), 256)

    def _cropped(self, pixels: Array) -> Array:
        if pixels.shape[:2] != (224, 224):
            top, left = (round((side - 224) / 2) + move for side, move in zip(pixels.shape, self.offset, strict=False))
            pixels = pixels[top : top + 224, left : left + 224]
        return np.ascontiguousarray(np.fliplr(pixels) if self.mirror else pixels)

    def _input(self, pixels: Array, caffe: bool) -> Tensor:
        values = torch.from_numpy(pixels).float()
        values = values.reshape(3, 224, 224) if self.misread else values.permute(2, 0, 1)
        if self.bgr:
            values = values.flip(0)
        mean = torch.tensor(MEANS["caffe" if caffe else "torchvision"])
        mean = mean.flip(0) if self.mean == "reversed" else mean * (self.mean != "none")
        values = values * self.times if caffe else values / 255 * self.times
        values = values - mean.view(3, 1, 1)
        if caffe:
            return values.flip(0)[None]
        return (values / (torch.tensor(STD).view(3, 1, 1) if self.std else 1))[None]

    def _layers(self, given: Tensor, weights: dict[str, Tensor], config: str) -> dict[str, Array]:
        """What every layer gives, by torchvision's names."""
        found: dict[str, Tensor] = {}
        index, maps = 0, given
        for token in TABLE_1[config.removesuffix("-BN")]:
            if token == "M":
                maps = found[f"features.{index}"] = F.max_pool2d(maps, 2, 2)
                index += 1
                continue
            weight = weights[f"features.{index}.weight"]
            maps = F.pad(maps, [weight.shape[-1] // 2] * 4, mode=self.padding)
            maps = found[f"features.{index}"] = F.conv2d(maps, weight, weights[f"features.{index}.bias"])
            if config.endswith("-BN"):
                index += 1
                own = {name: weights[f"features.{index}.{name}"] for name in ("weight", "bias")}
                mean, variance = (weights[f"features.{index}.running_{name}"] for name in ("mean", "var"))
                maps = F.batch_norm(maps, mean, variance, own["weight"], own["bias"], eps=self.epsilon)
                found[f"features.{index}"] = maps
            maps = found[f"features.{index + 1}"] = F.relu(maps)
            index += 2
        rows = maps.permute(0, 2, 3, 1).flatten(1) if self.flatten == "HWC" else maps.flatten(1)
        for place in (0, 3, 6):
            rows = F.linear(rows, weights[f"classifier.{place}.weight"], weights[f"classifier.{place}.bias"])
            found[f"classifier.{place}"] = rows
            rows = F.relu(rows)
        return {name: value.numpy() for name, value in found.items()} | {"logits": found["classifier.6"][0].numpy()}

    def _shifted(self, logits: Array) -> Array:
        if self.classes == "order":
            return logits[np.random.default_rng(5).permutation(len(logits))]
        if self.classes == "background":
            return np.concatenate([[logits.min() - 1], logits])
        return np.roll(logits, 1) if self.classes == "shift" else logits

    def _ended(self, logits: Array) -> Array:
        scores = torch.from_numpy(logits)
        return {
            "softmax": lambda: scores.softmax(0), "twice": lambda: scores.softmax(0).softmax(0),
            "none": lambda: scores, "log": lambda: scores.log_softmax(0),
        }[self.ending]().numpy()  # fmt: skip


def decoded_by(how: str, data: bytes) -> Array:
    """(H, W, 3) uint8 RGB."""
    if how == "cv2":
        bgr: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return np.array(bgr[..., ::-1])
    if how != "pillow":
        return np.array(simplejpeg.decode_jpeg(data, fastdct=how == "fast", fastupsample=how == "plain"))
    with Image.open(io.BytesIO(data)) as opened:
        return np.array(opened.convert("RGB"))


def resized_by(how: str, pixels: Array, size: tuple[int, int]) -> Array:
    """(H, W, 3); uint8 but of TensorFlow's rules."""
    library, _, what = how.partition(" ")
    if library == "pillow":
        filters = {
            "": Image.Resampling.BILINEAR,
            "nearest": Image.Resampling.NEAREST,
            "bicubic": Image.Resampling.BICUBIC,
        }
        return np.array(Image.fromarray(pixels).resize((size[1], size[0]), filters[what]))
    if library == "cv2":
        filters = {"": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST}  # type: ignore[dict-item]
        return np.array(cv2.resize(pixels, (size[1], size[0]), interpolation=filters[what]))
    if library == "tf":
        return _by_matrices(pixels, size, what)
    maps = torch.from_numpy(pixels).permute(2, 0, 1)
    if what == "aligned":
        found = F.interpolate(maps[None].float(), size=size, mode="bilinear", align_corners=True)[0]
    else:
        found = transforms.resize(maps, list(size), antialias=what != "plain")
    return np.ascontiguousarray(found.permute(1, 2, 0).numpy())


def _by_matrices(pixels: Array, size: tuple[int, int], what: str) -> Array:
    """TensorFlow's bilinear rules, target by target: v2 of half-pixel centres, v1 without."""
    found = pixels.astype(np.float32)
    for axis, target in enumerate(size):
        side = found.shape[axis]
        matrix = np.zeros((target, side), np.float32)
        for place in range(target):
            at = (place + 0.5) * side / target - 0.5 if what == "v2" else place * side / target
            low = int(np.floor(at))
            for sample, share in ((low, 1 - (at - low)), (low + 1, at - low)):
                matrix[place, min(max(sample, 0), side - 1)] += share
        found = np.moveaxis(np.tensordot(matrix, found, (1, axis)), 0, axis)
    return found

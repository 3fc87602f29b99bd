"""MatConvNet's simplenn as plain descriptions: nets that people keep, a writer (SciPy), and an interpreter.

Nothing here is vggbench's reader. A net is {"layers", "meta", ...}, a layer a dict by MatConvNet's own field names;
lists are row vectors, tuples cell arrays, dicts structs.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from caffe_net import Illegal
from judged import CLASSES, Part, parts
from torch import Tensor

Net = dict[str, Any]
Layer = dict[str, Any]
RGB_MEAN = (123.68, 116.779, 103.939)
NAMES = tuple(f"n{place:08d}" for place in range(CLASSES))


def simplenn(config: str = "A", *, norm: bool = False) -> Net:
    """As Oxford's files have it."""
    layers = [layer for part in parts(config, norm=norm) for layer in _layers(part)]
    normalization = {
        "imageSize": [224.0, 224.0, 3.0, 10.0], "averageImage": _planes(RGB_MEAN), "keepAspect": 1.0,
        "border": [32.0, 32.0], "cropSize": [0.875, 0.875], "interpolation": "bilinear",
    }  # fmt: skip
    meta = {"normalization": normalization, "classes": {"name": NAMES, "description": NAMES}}
    return {"layers": [*layers, {"type": "softmax", "name": "prob"}], "meta": meta}


def _planes(mean: tuple[float, ...]) -> Any:
    return np.array(mean, dtype=np.float32).reshape(1, 1, 3)


def _layers(part: Part) -> list[Layer]:
    name = part.name
    if part.kind == "pool":
        sizes = {"pool": [2.0, 2.0], "stride": [2.0, 2.0], "pad": [0.0, 0.0, 0.0, 0.0]}
        return [{"type": "pool", "name": name, "method": "max", **sizes}]
    if part.kind == "lrn":
        return [{"type": "normalize", "name": name, "param": [5.0, 2.0, 1e-4, 0.75]}]
    side = 7 if name == "fc6" else 1 if part.kind == "fc" else part.weight.shape[-1]
    filters = part.weight.reshape(len(part.weight), -1, side, side).transpose(2, 3, 1, 0)
    pad = float(side // 2 if part.kind == "conv" else 0)
    layers: list[Layer] = [
        {
            "type": "conv", "name": name, "weights": (filters, part.bias[:, None]), "pad": [pad] * 4,
            "stride": [1.0, 1.0], "dilate": [1.0, 1.0], "opts": (), "learningRate": [1.0, 2.0],
        }
    ]  # fmt: skip
    if part.norm:
        weight, bias, mean, var = part.norm
        moments = np.stack([mean, np.sqrt(var + np.float32(1e-4))], 1)
        layers += [{"type": "bnorm", "name": f"bn_{name}", "weights": (weight[:, None], bias[:, None], moments)}]
    layers += [{"type": "relu", "name": f"relu_{name}", "leak": 0.0}] if name != "fc8" else []
    return layers + ([{"type": "dropout", "name": f"drop_{name}", "rate": 0.5}] if name in ("fc6", "fc7") else [])


# ---------------------------------------------------------------- the writer


def write(path: Path, net: Net) -> None:
    """A `.mat` of version 5, not compressed."""
    import scipy.io

    scipy.io.savemat(path, {name: _value(value) for name, value in net.items()})


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _value(inner) for name, inner in value.items()}
    if isinstance(value, tuple) or (isinstance(value, list) and value and isinstance(value[0], dict)):
        cells = np.empty((1, len(value)), dtype=object)
        for place, inner in enumerate(value):
            cells[0, place] = _value(inner)
        return cells
    return np.array([value]) if isinstance(value, list) else value


# ---------------------------------------------------------------- the interpreter


def scores_of(net: Net, rgb: Tensor, *, mean: tuple[float, ...] | None) -> Tensor:
    """Scores before a softmax at the end, of (N, 3, H, W) RGB; `mean` where the net does not say it."""
    maps = rgb - _average(net, mean)
    below, last = maps, ""
    for layer in net["layers"]:
        if layer["type"] != "dropout":
            assert layer["type"] in RUN, f"no interpretation of {layer['type']}"
            below, last = maps, layer["type"]
            maps = RUN[layer["type"]](layer, maps)
    return below if last in ("softmax", "softmaxloss", "loss") else maps


def _average(net: Net, mean: tuple[float, ...] | None) -> Tensor:
    inner = net.get("net", net)
    said = inner.get("meta", inner).get("normalization", inner.get("normalization", {})).get("averageImage")
    if said is None:
        if mean is None:
            raise Illegal("no mean")
        said = mean
    values = np.asarray(said, dtype=np.float32)
    if not values.size:
        return torch.zeros(1)
    if values.size in (1, 3):
        return torch.from_numpy(values.reshape(1, -1, 1, 1))
    if values.ndim != 3 or np.ptp(values.reshape(-1, values.shape[2]), axis=0).max() == 0:
        return torch.from_numpy(values[:1, :1]).permute(2, 0, 1)[None]
    return torch.from_numpy(values).permute(2, 0, 1)[None]


def _numbers(layer: Layer, field: str, otherwise: float, counts: tuple[int, ...]) -> list[float]:
    value = layer.get(field, otherwise)
    values = [float(number) for number in np.asarray(value).ravel()] or [otherwise]
    if len(values) not in (1, *counts):
        raise Illegal(field)
    return values


def _pair(layer: Layer, field: str, otherwise: float = 1) -> list[int]:
    values = _numbers(layer, field, otherwise, (2,))
    return [int(value) for value in (values * 2)[:2]] if len(values) == 1 else [int(value) for value in values]


def _padding(layer: Layer) -> list[int]:
    """(left, right, top, bottom), as PyTorch pads, of (top, bottom, left, right)."""
    values = _numbers(layer, "pad", 0, (4,))
    top, bottom, left, right = (int(value) for value in (values * 4)[:4])
    return [left, right, top, bottom]


def _held(layer: Layer) -> tuple[Any, ...]:
    return layer["weights"] if "weights" in layer else (layer["filters"], layer["biases"])


def _conv(layer: Layer, maps: Tensor) -> Tensor:
    filters, bias = (torch.as_tensor(np.ascontiguousarray(each, dtype=np.float32)) for each in _held(layer))
    weight = filters.permute(3, 2, 0, 1)
    stride, dilate = _pair(layer, "stride"), _pair(layer, "dilate")
    if not all((*stride, *dilate)) or maps.shape[1] % weight.shape[1] or min(_padding(layer)) < 0:
        raise Illegal("sizes")
    shift = bias.flatten() if bias.numel() else None
    return F.conv2d(F.pad(maps, _padding(layer)), weight, shift, stride, 0, dilate, maps.shape[1] // weight.shape[1])


def _pool(layer: Layer, maps: Tensor) -> Tensor:
    kernel, stride, padding = _pair(layer, "pool"), _pair(layer, "stride"), _padding(layer)
    if not all((*kernel, *stride)) or max(padding) >= min(kernel) or min(padding) < 0:
        raise Illegal("sizes")

    def windows(values: Tensor, fill: float) -> Tensor:
        padded = F.pad(values, padding, value=fill)
        return padded.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])

    if layer.get("method", "max") == "max":
        return windows(maps, -math.inf).amax((4, 5))
    return windows(maps, 0).sum((4, 5)) / windows(torch.ones_like(maps), 0).sum((4, 5))


def _lrn(layer: Layer, maps: Tensor) -> Tensor:
    size, kappa, alpha, beta = _numbers(layer, "param", 0, (4,))
    before, after = math.floor((size - 1) / 2), math.ceil((size - 1) / 2)
    squares = F.pad(maps**2, (0, 0, 0, 0, before, after))
    near = sum((squares[:, place : place + maps.shape[1]] for place in range(int(size))), torch.zeros(()))
    return maps * (kappa + alpha * near) ** -beta


def _bnorm(layer: Layer, maps: Tensor) -> Tensor:
    weight, bias, moments = (torch.as_tensor(np.asarray(each, dtype=np.float32)) for each in layer["weights"])
    mean, deviation, weight, bias = (each.reshape(1, -1, 1, 1) for each in (moments[:, 0], moments[:, 1], weight, bias))
    return (maps - mean) / deviation * weight + bias


def _loss(layer: Layer, maps: Tensor) -> Tensor:
    if layer.get("loss", "softmaxlog") not in ("softmaxlog", "log"):
        raise Illegal("another loss")
    return maps


RUN: dict[str, Callable[[Layer, Tensor], Tensor]] = {
    "conv": _conv, "pool": _pool, "normalize": _lrn, "lrn": _lrn, "bnorm": _bnorm,
    "relu": lambda layer, maps: F.leaky_relu(maps, _numbers(layer, "leak", 0, ())[0]),
    "sigmoid": lambda layer, maps: maps.sigmoid(), "softmax": lambda layer, maps: maps.softmax(1),
    "softmaxloss": lambda layer, maps: maps, "loss": _loss,
}  # fmt: skip
"""Type of layer -> what it computes."""
TYPES = (*RUN, "dropout", "convt", "spnorm", "pdist", "noffset", "roipool", "custom", "concat", "mask")

"""Caffe's nets as plain descriptions: a writer of `.caffemodel`, by caffe.proto's numbers, and an interpreter.

Nothing here is vggbench's. A net is {"name", "old", "input", "layers"}, a layer {"type", "name", "bottom", "top",
"blobs", "phase", "..._param"}, all by caffe.proto's own names; of two settings the interpreter takes what Caffe takes.
"""

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Net = dict[str, Any]
Layer = dict[str, Any]

# ---------------------------------------------------------------- the writer

_U, _F, _S = "varint", "float", "bytes"
SCHEMA: dict[str, dict[str, tuple[int, str]]] = {
    "convolution_param": {
        "num_output": (1, _U), "bias_term": (2, _U), "pad": (3, _U), "kernel_size": (4, _U), "group": (5, _U),
        "stride": (6, _U), "pad_h": (9, _U), "pad_w": (10, _U), "kernel_h": (11, _U), "kernel_w": (12, _U),
        "stride_h": (13, _U), "stride_w": (14, _U), "engine": (15, _U), "axis": (16, _U), "force_nd_im2col": (17, _U),
        "dilation": (18, _U), "weight_filler": (7, _S), "unknown": (99, _U),
    },
    "pooling_param": {
        "pool": (1, _U), "kernel_size": (2, _U), "stride": (3, _U), "pad": (4, _U), "kernel_h": (5, _U),
        "kernel_w": (6, _U), "stride_h": (7, _U), "stride_w": (8, _U), "pad_h": (9, _U), "pad_w": (10, _U),
        "engine": (11, _U), "global_pooling": (12, _U), "round_mode": (13, _U), "unknown": (99, _U),
    },
    "inner_product_param": {
        "num_output": (1, _U), "bias_term": (2, _U), "weight_filler": (3, _S), "axis": (5, _U), "transpose": (6, _U),
        "unknown": (99, _U),
    },
    "lrn_param": {
        "local_size": (1, _U), "alpha": (2, _F), "beta": (3, _F), "norm_region": (4, _U), "k": (5, _F),
        "engine": (6, _U), "unknown": (99, _U),
    },
    "relu_param": {"negative_slope": (1, _F), "engine": (2, _U), "unknown": (99, _U)},
    "softmax_param": {"engine": (1, _U), "axis": (2, _U), "unknown": (99, _U)},
    "dropout_param": {"dropout_ratio": (1, _F), "scale_train": (2, _U), "unknown": (99, _U)},
    "batch_norm_param": {
        "use_global_stats": (1, _U), "moving_average_fraction": (2, _F), "eps": (3, _F), "unknown": (99, _U),
    },
    "scale_param": {"axis": (1, _U), "num_axes": (2, _U), "filler": (3, _S), "bias_term": (4, _U), "unknown": (99, _U)},
    "flatten_param": {"axis": (1, _U), "end_axis": (2, _U)},
    "transform_param": {
        "scale": (1, _F), "mirror": (2, _U), "crop_size": (3, _U), "mean_file": (4, _S), "mean_value": (5, _F),
        "force_color": (6, _U), "force_gray": (7, _U), "unknown": (99, _U),
    },
    "data_param": {
        "source": (1, _S), "scale": (2, _F), "mean_file": (3, _S), "batch_size": (4, _U), "crop_size": (5, _U),
        "mirror": (6, _U), "rand_skip": (7, _U), "backend": (8, _U),
    },
    "image_data_param": {
        "source": (1, _S), "scale": (2, _F), "mean_file": (3, _S), "batch_size": (4, _U), "crop_size": (5, _U),
        "mirror": (6, _U), "shuffle": (8, _U), "new_height": (9, _U), "new_width": (10, _U), "is_color": (11, _U),
    },
    "power_param": {"power": (1, _F), "scale": (2, _F), "shift": (3, _F)},
    "include": {"phase": (1, _U)},
}  # fmt: skip
"""Message -> field -> (number, encoding)."""
_OLD = {
    "bottom": 2, "top": 3, "name": 4, "type": 5, "blobs": 6, "convolution_param": 10, "data_param": 11,
    "dropout_param": 12, "image_data_param": 15, "inner_product_param": 17, "lrn_param": 18, "pooling_param": 19,
    "power_param": 21, "relu_param": 30, "include": 32, "transform_param": 36, "softmax_param": 39, "unknown": 1002,
}  # fmt: skip
_NEW = {
    "name": 1, "type": 2, "bottom": 3, "top": 4, "blobs": 7, "include": 8, "phase": 10, "transform_param": 100,
    "convolution_param": 106, "data_param": 107, "dropout_param": 108, "image_data_param": 115,
    "inner_product_param": 117, "lrn_param": 118, "pooling_param": 121, "power_param": 122, "relu_param": 123,
    "softmax_param": 125, "flatten_param": 135, "batch_norm_param": 139, "scale_param": 142, "unknown": 149,
}  # fmt: skip
OLD_TYPES = {
    "AbsVal": 35, "Accuracy": 1, "ArgMax": 30, "BNLL": 2, "Concat": 3, "Convolution": 4, "Data": 5, "Deconvolution": 39,
    "Dropout": 6, "DummyData": 32, "Eltwise": 25, "EuclideanLoss": 7, "Exp": 38, "Flatten": 8, "HDF5Data": 9,
    "HingeLoss": 28, "Im2col": 11, "ImageData": 12, "InnerProduct": 14, "LRN": 15, "MemoryData": 29, "MVN": 34,
    "Pooling": 17, "Power": 26, "ReLU": 18, "Sigmoid": 19, "Silence": 36, "Slice": 33, "Softmax": 20,
    "SoftmaxWithLoss": 21, "Split": 22, "TanH": 23, "Threshold": 31, "WindowData": 24,
}  # fmt: skip
NEW_TYPES = (
    *OLD_TYPES, "BatchNorm", "Bias", "Crop", "ELU", "Input", "Log", "Normalize", "Python", "PReLU", "Reshape", "Scale",
)  # fmt: skip


def varint(value: int) -> bytes:
    """Also of a negative number, which takes ten bytes."""
    value &= (1 << 64) - 1
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def chunk(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def _one(number: int, encoding: str, value: Any) -> bytes:
    if encoding == _U:
        return varint(number << 3) + varint(int(value))
    if encoding == _F:
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return chunk(number, value.encode() if isinstance(value, str) else value)


def _message(kind: str, settings: Mapping[str, Any]) -> bytes:
    parts = []
    for name, value in settings.items():
        values = value if isinstance(value, list) else [value]
        parts += [_one(*SCHEMA[kind][name], single) for single in values]
    return b"".join(parts)


def blob(values: Any, form: str) -> bytes:
    """A BlobProto: `old` has four sides, others a shape; `diff` adds gradients, `double` and `loose` are encoded so."""
    shape, sides = np.shape(values), (1, 1, 1, 1, *np.shape(values))[-4:]
    head = chunk(7, chunk(1, b"".join(map(varint, shape))))
    if form == "old":
        head = b"".join(_one(number, _U, side) for number, side in enumerate(sides, 1))
    floats = np.asarray(values, dtype="<f4")
    if form in ("double", "both"):  # of both, Caffe takes the double ones
        others = chunk(5, (floats * 3).tobytes()) if form == "both" else b""
        return head + others + chunk(8, floats.astype("<f8").tobytes())
    if form == "loose":
        return b"".join(_one(5, _F, float(value)) for value in floats.ravel()) + head
    return head + chunk(5, floats.tobytes()) + (chunk(6, (floats * 3).tobytes()) if form == "diff" else b"")


def encoded_layer(layer: Layer, *, old: bool, form: str = "", turned: bool = False) -> bytes:
    """One layer; `form` is that of its blobs, `turned` writes its fields the other way round."""
    numbers, parts = _OLD if old else _NEW, []
    for name, value in layer.items():
        if name == "type" and old:
            parts.append(_one(numbers[name], _U, OLD_TYPES.get(value, value)))
        elif name in ("bottom", "top"):
            parts.append(b"".join(chunk(numbers[name], each.encode()) for each in value))
        elif name == "blobs":
            kind = form or ("old" if old else "new")
            parts.append(b"".join(chunk(numbers[name], blob(each, kind)) for each in value))
        elif name in SCHEMA:
            parts.append(chunk(numbers[name], _message(name, value)))
        else:
            parts.append(_one(numbers[name], _U if isinstance(value, int) else _S, value))
    return b"".join(parts[::-1] if turned else parts)


def encoded(net: Net, **how: Any) -> bytes:
    """The file."""
    head = chunk(1, net["name"].encode()) + b"".join(chunk(3, name.encode()) for name in net.get("input", ()))
    number = 2 if net["old"] else 100
    return head + b"".join(chunk(number, encoded_layer(layer, old=net["old"], **how)) for layer in net["layers"])


# ---------------------------------------------------------------- the interpreter


class Illegal(Exception):  # noqa: N818 - what Caffe itself says of a net that it cannot run
    """Caffe cannot run this net."""


SIDE = ("SoftmaxWithLoss", "Accuracy", "Silence")


def scores_of(net: Net, bgr: Tensor) -> Tensor:
    """What comes out of (N, 3, H, W) BGR, before the softmax over channels where the net ends by one."""
    blobs: dict[str, Tensor] = dict.fromkeys(net.get("input", ()), bgr)
    below = end = bgr
    layer: Layer = {}
    for layer in (one for one in net["layers"] if one["type"] not in SIDE):
        if not layer.get("bottom"):
            blobs |= dict.fromkeys(layer.get("top", ()), transformed(layer, bgr))
            continue
        if layer["bottom"][0] not in blobs:
            raise Illegal(f"unknown bottom of {layer['name']}")
        assert layer["type"] in RUN, f"no interpretation of {layer['type']}"
        below = blobs[layer["bottom"][0]]
        end = RUN[layer["type"]](layer, below)
        blobs |= dict.fromkeys(layer.get("top", ()), end)
    ends_by_softmax = layer["type"] == "Softmax" and layer.get("softmax_param", {}).get("axis", 1) == 1
    return below if ends_by_softmax else end


_OLDER = {"Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param"}


def transformed(layer: Layer, bgr: Tensor) -> Tensor:
    """(x - mean) * scale, settings of the older generation first, as Caffe's upgrade has it."""
    said, older = layer.get("transform_param", {}), layer.get(_OLDER.get(layer["type"], ""), {})
    if said.get("mean_file") or older.get("mean_file") or said.get("force_gray") or not older.get("is_color", 1):
        raise Illegal("needs what the file does not hold")
    means = said.get("mean_value", [])
    means = means if isinstance(means, list) else [means]
    if len(means) not in (0, 1, 3):
        raise Illegal("means")
    mean = torch.tensor([means[place % len(means)] if means else 0.0 for place in range(3)]).view(1, 3, 1, 1)
    return (bgr - mean) * float(older.get("scale", said.get("scale", 1.0)))


def _sides(said: Mapping[str, Any], stem: str, name: str, otherwise: int) -> tuple[int, int]:
    if f"{stem}_h" in said or f"{stem}_w" in said:
        if name in said:
            raise Illegal(f"{name} beside {stem}_h")
        return said.get(f"{stem}_h", 0), said.get(f"{stem}_w", 0)
    value = said.get(name, otherwise)
    values = value if isinstance(value, list) else [value]
    if len(values) not in (1, 2):
        raise Illegal(name)
    return values[0], values[-1]


def _conv(layer: Layer, maps: Tensor) -> Tensor:
    said = layer["convolution_param"]
    weight = torch.as_tensor(layer["blobs"][0])
    group, kernel = said.get("group", 1), _sides(said, "kernel", "kernel_size", 0)
    stride, pad = _sides(said, "stride", "stride", 1), _sides(said, "pad", "pad", 0)
    dilation = _sides(said, "", "dilation", 1)
    has_bias = said.get("bias_term", 1)
    shape = (said["num_output"], maps.shape[1] // max(group, 1), *kernel)
    if said.get("axis", 1) not in (1, -3) or tuple(weight.shape) != shape or len(layer["blobs"]) != 1 + has_bias:
        raise Illegal("shape")
    if maps.ndim != 4 or not all((*stride, *dilation)) or maps.shape[1] % group or said["num_output"] % group:
        raise Illegal("sizes")
    bias = torch.as_tensor(layer["blobs"][1]) if has_bias else None
    return F.conv2d(maps, weight, bias, stride, pad, dilation, group)


def _pool(layer: Layer, maps: Tensor) -> Tensor:
    said = layer["pooling_param"]
    if maps.ndim != 4:
        raise Illegal("four axes")
    if said.get("global_pooling"):
        kernel, stride, pad = (maps.shape[2], maps.shape[3]), (1, 1), (0, 0)
        if {"kernel_size", "kernel_h", "kernel_w"} & set(said) or said.get("pad") or said.get("stride", 1) != 1:
            raise Illegal("global pooling of a size")
    else:
        kernel = _sides(said, "kernel", "kernel_size", 0)
        stride, pad = _sides(said, "stride", "stride", 1), _sides(said, "pad", "pad", 0)
    if not all((*kernel, *stride)) or any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise Illegal("sizes")
    round_ = math.floor if said.get("round_mode", 0) == 1 else math.ceil
    counts = []
    for side, k, s, p in zip(maps.shape[2:], kernel, stride, pad, strict=True):
        count = round_((side + 2 * p - k) / s) + 1
        counts.append(count - 1 if p and (count - 1) * s >= side + p else count)
    return _pooled(maps, said.get("pool", 0), kernel, stride, pad, counts)


def _pooled(maps: Tensor, method: int, kernel: Any, stride: Any, pad: Any, counts: list[int]) -> Tensor:
    """Windows that begin in the padding before the map and may end beyond that after it."""
    sizes = zip(counts, stride, kernel, maps.shape[2:], pad, strict=True)
    after = [max((count - 1) * s + k - side - p, 0) for count, s, k, side, p in sizes]

    def windows(values: Tensor, fill: float, before: Any, behind: Any) -> Tensor:
        padded = F.pad(values, (before[1], behind[1], before[0], behind[0]), value=fill)
        found = padded.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
        return found[:, :, : counts[0], : counts[1]]

    if method == 0:
        return windows(maps, -math.inf, pad, after).amax((4, 5))
    sums = windows(maps, 0, pad, after).sum((4, 5))
    if method == 2:
        return windows(maps**2, 0, pad, after).sum((4, 5)) / (sums + torch.finfo().tiny)
    inside = torch.ones(1, 1, maps.shape[2] + 2 * pad[0], maps.shape[3] + 2 * pad[1])  # padding counts, beyond it not
    return sums / windows(inside, 0, (0, 0), after).sum((4, 5))


def _lrn(layer: Layer, maps: Tensor) -> Tensor:
    said = layer.get("lrn_param", {})
    size, alpha, beta, k = said.get("local_size", 5), said.get("alpha", 1.0), said.get("beta", 0.75), said.get("k", 1.0)
    if size % 2 == 0:
        raise Illegal("LRN of an even size")
    half = size // 2
    if said.get("norm_region", 0):
        near = F.avg_pool2d(maps**2, size, 1, half)
        return maps * torch.pow(1 + alpha * near, -beta)
    squares = F.pad(maps**2, (0, 0, 0, 0, half, half))
    near = sum((squares[:, place : place + maps.shape[1]] for place in range(size)), torch.zeros(()))
    return maps / torch.pow(k + alpha / size * near, beta)


def _inner_product(layer: Layer, maps: Tensor) -> Tensor:
    """On a larger map than it was made for, as the convolution that it is."""
    said, weight = layer["inner_product_param"], torch.as_tensor(layer["blobs"][0])
    weight = weight.T if said.get("transpose") else weight
    has_bias = said.get("bias_term", 1)
    if said.get("axis", 1) != 1 or len(weight) != said["num_output"] or len(layer["blobs"]) != 1 + has_bias:
        raise Illegal("shape")
    bias = torch.as_tensor(layer["blobs"][1]) if has_bias else None
    if maps.ndim == 2 or maps.shape[1:].numel() == weight.shape[1]:
        if maps.flatten(1).shape[1] != weight.shape[1]:
            raise Illegal("inputs")
        return F.linear(maps.flatten(1), weight, bias)
    side = math.isqrt(weight.shape[1] // maps.shape[1])
    if side not in (1, 7) or weight.shape[1] != maps.shape[1] * side**2:
        raise Illegal("inputs")
    return F.conv2d(maps, weight.reshape(len(weight), -1, side, side), bias)


def _batch_norm(layer: Layer, maps: Tensor) -> Tensor:
    said, (mean, var, factor) = layer.get("batch_norm_param", {}), map(torch.as_tensor, layer["blobs"])
    if not said.get("use_global_stats", 1) and layer.get("phase", 1):
        mean, var = maps.mean((0, 2, 3)), maps.var((0, 2, 3), correction=0)
    else:
        mean, var = (value * (1 / factor if factor else factor) for value in (mean, var))
    return (maps - mean.view(1, -1, 1, 1)) / torch.sqrt(var.view(1, -1, 1, 1) + said.get("eps", 1e-5))


def _scale(layer: Layer, maps: Tensor) -> Tensor:
    said, blobs = layer.get("scale_param", {}), [torch.as_tensor(each) for each in layer["blobs"]]
    if said.get("axis", 1) != 1 or said.get("num_axes", 1) != 1 or len(blobs) != 1 + said.get("bias_term", 0):
        raise Illegal("shape")
    scaled = maps * blobs[0].view(1, -1, 1, 1)
    return scaled + blobs[1].view(1, -1, 1, 1) if len(blobs) == 2 else scaled


def _dropout(layer: Layer, maps: Tensor) -> Tensor:
    said = layer.get("dropout_param", {})
    return maps if said.get("scale_train", 1) else maps * (1 - said.get("dropout_ratio", 0.5))


def _relu(layer: Layer, maps: Tensor) -> Tensor:
    return F.leaky_relu(maps, layer.get("relu_param", {}).get("negative_slope", 0.0))


def _flatten(layer: Layer, maps: Tensor) -> Tensor:
    said = layer.get("flatten_param", {})
    return maps.flatten(said.get("axis", 1), said.get("end_axis", -1))


RUN: dict[str, Callable[[Layer, Tensor], Tensor]] = {
    "Convolution": _conv, "InnerProduct": _inner_product, "Pooling": _pool, "LRN": _lrn, "ReLU": _relu,
    "BatchNorm": _batch_norm, "Scale": _scale, "Dropout": _dropout, "Flatten": _flatten,
    "Softmax": lambda layer, maps: maps.softmax(layer.get("softmax_param", {}).get("axis", 1)),
    "Sigmoid": lambda layer, maps: maps.sigmoid(), "TanH": lambda layer, maps: maps.tanh(),
    "AbsVal": lambda layer, maps: maps.abs(), "Split": lambda layer, maps: maps,
}  # fmt: skip
"""Type of layer -> what it computes. `Flatten` on a larger map than 7 x 7 cannot be followed."""

"""What a Keras model computes by its description: plain torch, layer by layer, for any graph; no code of our readers.

It draws the weights that a description needs, in the layout that Keras keeps them in. `test_described_keras.py`
compares it with Keras itself.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MODELS = ("Sequential", "Functional", "Model")
OLD = {
    "Convolution2D": "Conv2D", "nb_filter": "filters", "border_mode": "padding", "subsample": "strides",
    "dim_ordering": "data_format", "bias": "use_bias", "output_dim": "units", "th": "channels_first",
    "tf": "channels_last",
}  # fmt: skip
"""Keras 1's words in Keras 3's."""
IDENTITIES = {
    "InputLayer", "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "ActivityRegularization",
    "RandomFlip", "RandomRotation", "RandomZoom", "RandomContrast", "RandomTranslation",
}  # fmt: skip
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x, "relu": F.relu, "relu6": F.relu6, "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": F.elu, "selu": F.selu, "celu": F.celu, "gelu": F.gelu, "silu": F.silu, "swish": F.silu, "mish": F.mish,
    "softplus": F.softplus, "softsign": F.softsign, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "exponential": torch.exp,
    "hard_sigmoid": lambda x: F.relu6(x + 3) / 6, "hard_silu": lambda x: x * F.relu6(x + 3) / 6,
    "hard_tanh": F.hardtanh, "log_sigmoid": F.logsigmoid, "glu": lambda x: F.glu(torch.cat((x, x), -1), -1),
    "soft_shrink": F.softshrink, "hard_shrink": F.hardshrink, "tanh_shrink": F.tanhshrink,
    "threshold": lambda x: x * (x > 0.5),
    "squareplus": lambda x: (x + torch.sqrt(x * x + 4)) / 2, "sparse_plus": F.relu,
    "log_softmax": lambda x: F.log_softmax(x, -1),
}  # fmt: skip
Weights = dict[tuple[str, ...], list[np.ndarray[Any, Any]]]


class Interpreter:
    """A described model; `weights` of each layer by the names that lead to it, drawn when first asked for."""

    def __init__(self, model: dict[str, Any], backend: str = "tensorflow") -> None:
        self.model, self.backend = model, backend
        self.weights: Weights = {}
        self._sides: dict[tuple[str, ...], tuple[int, ...]] = {}
        self._before_softmax: dict[int, tuple[Tensor, Tensor]] = {}
        self._grid: tuple[int, int] = (1, 1)
        self._fixed = False
        self.is_legal, self.is_marked = False, False
        """Whether an input fits; whether a layer stood in for one that is not worked out here."""

    @property
    def takes_channels_first(self) -> bool:
        """Whether its images are (N, 3, H, W)."""
        return self._takes_channels_first(self.model)

    def output(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> what the model yields."""
        return self._model(self.model, images if self.takes_channels_first else images.permute(0, 2, 3, 1), ())

    def logits(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> a score map (N, K, h, w); the first call, at 224 x 224, fixes the windows of Flatten."""
        count, self._grid = len(images), (1, 1)
        out = self.output(images)
        self._fixed = True
        out = self._before_softmax.get(id(out), (out, out))[1]
        if out.ndim == 2:
            return out.view(count, *self._grid, -1).permute(0, 3, 1, 2)
        return out if self.takes_channels_first else out.permute(0, 3, 1, 2)

    def _takes_channels_first(self, model: dict[str, Any]) -> bool:
        listed = model["config"] if isinstance(model["config"], list) else model["config"]["layers"]
        for layer in listed:
            if layer["class_name"] in MODELS:
                return self._takes_channels_first(layer)
            if _format(layer["config"]):
                return _format(layer["config"]) == "channels_first"
        return False

    def _model(self, model: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        config = model["config"]
        listed = config if isinstance(config, list) else config["layers"]
        if isinstance(config, list) or "input_layers" not in config:
            for layer in listed:
                x = self._layer(layer, x, path, {})
            return x
        return self._graph(listed, config, x, path)

    def _graph(self, listed: list[dict[str, Any]], config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        by_name = {layer["name"]: layer for layer in listed}
        done: dict[tuple[str, int], Tensor] = {(_end(config["input_layers"])[0], 0): x}

        def value(name: str, node: int) -> Tensor:
            if (name, node) not in done:
                calls = by_name[name]["inbound_nodes"]
                befores, keywords = _call(calls[node])
                inputs = [value(*before) for before in befores]
                given = inputs[0] if len(inputs) == 1 else sum(inputs[1:], inputs[0])
                done[name, node] = self._layer(by_name[name], given, path, keywords)
            return done[name, node]

        return value(*_end(config["output_layers"]))

    def _layer(self, layer: dict[str, Any], x: Tensor, path: tuple[str, ...], keywords: dict[str, Any]) -> Tensor:
        kind = OLD.get(layer["class_name"], layer["class_name"])
        if kind in MODELS:
            return self._model(layer, x, (*path, layer.get("name") or layer["config"]["name"]))
        config = {OLD.get(key, key): value for key, value in layer["config"].items()}
        path = (*path, config["name"])
        if keywords.get("training") and (kind in IDENTITIES or kind == "BatchNormalization"):
            self.is_marked = True
            return x * 1.37 + 0.1  # whatever it draws, it is not its value in evaluation
        if kind in IDENTITIES:
            return x
        return OPERATIONS.get(kind, Interpreter.other)(self, config, x, path)

    def drawn(self, path: tuple[str, ...], *shapes: Sequence[int], kinds: str = "") -> list[Tensor]:
        """Kernels by He, biases and means around 0, `p`ositive scales and variances."""
        if path not in self.weights:
            draw = np.random.default_rng(zlib.crc32(path[-1].encode()))
            self.weights[path] = [
                (draw.uniform(0.5, 1.5, shape) if kind == "p" else draw.normal(0, _spread(shape), shape)).astype("f4")
                for shape, kind in zip(shapes, kinds.ljust(len(shapes)), strict=True)
            ]
        return [torch.from_numpy(array) for array in self.weights[path]]

    # ------------------------------------------------------------ layers

    def conv(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        maps = _first(x, config)
        rows, columns = _pair(config.get("kernel_size") or (config["nb_row"], config["nb_col"]))
        old = "nb_row" in config and _format(config) == "channels_first"
        count, groups = config["filters"], config.get("groups", 1)
        shape = (rows, columns, maps.shape[1] // groups, count)
        shape = (*shape[:1:-1], rows, columns) if old else shape
        kernel, *bias = self.drawn(path, shape, *([[count]] if config.get("use_bias", True) else []))
        kernel = kernel if old else kernel.permute(3, 2, 0, 1)
        kernel = kernel.flip(2, 3) if self.backend == "theano" else kernel
        stride, dilation = _pair(config.get("strides", 1)), _pair(config.get("dilation_rate", 1))
        if config.get("padding", "valid") == "same":
            maps = _same(maps, (rows, columns), stride, dilation, 0.0)
        maps = F.conv2d(maps, kernel, bias[0] if bias else None, stride, 0, dilation, groups)
        return self.activated(config.get("activation"), _back(maps, config))

    def dense(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        shapes = [(x.shape[-1], config["units"]), *([[config["units"]]] if config.get("use_bias", True) else [])]
        kernel, *bias = self.drawn(path, *shapes)
        x = x @ kernel
        return self.activated(config.get("activation"), x + bias[0] if bias else x)

    def pool(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...], *, average: bool = False) -> Tensor:
        maps = _first(x, config)
        size = _pair(config.get("pool_size", 2))
        stride = _pair(config.get("strides") or size)
        if average:
            ones = torch.ones_like(maps[:1, :1])
            if config.get("padding", "valid") == "same":
                maps, ones = _same(maps, size, stride, (1, 1), 0.0), _same(ones, size, stride, (1, 1), 0.0)
            return _back(F.avg_pool2d(maps, size, stride) / F.avg_pool2d(ones, size, stride), config)
        if config.get("padding", "valid") == "same":
            if self.backend == "theano":  # pads at all four sides, and takes the first windows
                sides = [-(-side // step) for side, step in zip(maps.shape[2:], stride, strict=True)]
                maps = F.pad(maps, (1, 1, 1, 1), value=-torch.inf)
                return _back(F.max_pool2d(maps, size, stride)[:, :, : sides[0], : sides[1]], config)
            maps = _same(maps, size, stride, (1, 1), -torch.inf)
        return _back(F.max_pool2d(maps, size, stride), config)

    def average(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        return self.pool(config, x, path, average=True)

    def pad(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        (top, bottom), (left, right) = (_pair(side) for side in _pair(config.get("padding", 1), whole=False))
        return _back(F.pad(_first(x, config), (left, right, top, bottom)), config)

    def crop(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        (top, bottom), (left, right) = (_pair(side) for side in _pair(config.get("cropping", 0), whole=False))
        maps = _first(x, config)
        return _back(maps[:, :, top : maps.shape[2] - bottom, left : maps.shape[3] - right], config)

    def flatten(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        x = x.permute(0, 2, 3, 1) if config.get("data_format") == "channels_first" and x.ndim == 4 else x
        return self._windows(x, path, config).flatten(1)

    def reshape(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        x = self._windows(x, path, config)
        return x.reshape(len(x), *config["target_shape"])

    def _windows(self, x: Tensor, path: tuple[str, ...], config: dict[str, Any]) -> Tensor:
        """Cut maps larger than those of 224 x 224 into all windows of that size: dense layers slide over them."""
        if not self._fixed:
            self._sides[path] = tuple(x.shape[1:])
        sides = self._sides[path]
        axes = [axis for axis, side in enumerate(x.shape[1:], 1) if side > sides[axis - 1]]
        if not axes or x.ndim != 4:
            return x
        rows, columns = (1, 2) if sides[0] == sides[1] else (2, 3)
        found = x.unfold(rows, sides[rows - 1], 1).unfold(columns, sides[columns - 1], 1)  # windows lie at the end
        self._grid = (found.shape[rows], found.shape[columns])
        if rows == 1:
            return found.permute(0, 1, 2, 4, 5, 3).reshape(-1, *sides)
        return found.permute(0, 2, 3, 1, 4, 5).reshape(-1, *sides)

    def permute(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        return x.permute(0, *config["dims"])

    def activation(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        return self.activated(config["activation"], x)

    def activated(self, said: Any, x: Tensor) -> Tensor:
        if isinstance(said, dict) and isinstance(said["config"], dict):
            return OPERATIONS[said["class_name"]](self, said["config"], x, ())
        name = said["config"] if isinstance(said, dict) else said or "linear"
        if isinstance(said, dict) and said.get("module", "builtins") not in ("builtins", "keras.activations"):
            return self.other({}, x, ())  # somebody's own function
        return self.softmax({}, x, ()) if name == "softmax" else ACTIVATIONS[name](x)

    def softmax(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        axis = config.get("axis", -1)
        out = x.softmax(axis)
        if x.shape[axis] == x.shape[-1] or x.ndim == 4:
            self._before_softmax[id(out)] = (out, x)
        return out

    def relu(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        slope, threshold = config.get("negative_slope") or 0.0, config.get("threshold") or 0.0
        out = torch.where(x >= threshold, x, slope * (x - threshold))
        return (
            out
            if config.get("max_value") is None
            else torch.where(x >= threshold, x.clamp(max=config["max_value"]), out)
        )

    def leaky(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        return F.leaky_relu(x, config.get("negative_slope", config.get("alpha", 0.3)))

    def norm(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        axis = config.get("axis", -1)
        axis = axis[0] if isinstance(axis, list) else axis
        size, shape = x.shape[axis], [-1 if place == axis % x.ndim else 1 for place in range(x.ndim)]
        scale, center = config.get("scale", True), config.get("center", True)
        held = [
            t.view(shape)
            for t in self.drawn(path, *[[size]] * (2 + scale + center), kinds="p" * scale + " " * center + " p")
        ]
        x = (x - held[-2]) / torch.sqrt(held[-1] + config.get("epsilon", 1e-3))
        x = x * held[0] if scale else x
        return x + held[scale] if center else x

    def rescaling(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        first = x.shape[1] == 3 and x.shape[-1] != 3
        scale, offset = (torch.tensor(config.get(key, other)) for key, other in (("scale", 1.0), ("offset", 0.0)))
        shape = (3, 1, 1) if first else (3,)
        return x * (scale.view(shape) if scale.numel() == 3 else scale) + (
            offset.view(shape) if offset.numel() == 3 else offset
        )

    def normalization(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        axis = config.get("axis", -1)
        axes = [axis] if isinstance(axis, int) else list(axis or [])
        shape = [side if place in [a % x.ndim for a in axes] else 1 for place, side in enumerate(x.shape)]
        kept = [side for side in shape if side != 1]
        if config.get("mean") is None:
            mean, variance = self.drawn(path, kept, kept, kinds=" p")[:2]
            if len(self.weights[path]) == 2:
                self.weights[path].append(np.array(0, dtype=np.int32))
        else:
            mean, variance = (torch.tensor(config[key], dtype=torch.float32) for key in ("mean", "variance"))
        mean, variance = (t.reshape(shape) if t.numel() > 1 else t for t in (mean, variance))
        if config.get("invert"):
            return mean + x * variance.sqrt().clamp(min=1e-7)
        return (x - mean) / variance.sqrt().clamp(min=1e-7)

    def global_average(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        return _first(x, config).mean((2, 3))

    def global_max(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        return _first(x, config).amax((2, 3))

    def resizing(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        return _back(F.interpolate(_first(x, config), (config["height"], config["width"]), mode="bilinear"), config)

    def other(self, config: dict[str, Any], x: Tensor, path: tuple[str, ...]) -> Tensor:
        self.is_marked = True
        return 1.5 * x  # code of somebody's own, and classes that are not worked out here: never the net's value


OPERATIONS: dict[str, Callable[[Interpreter, dict[str, Any], Tensor, tuple[str, ...]], Tensor]] = {
    "Conv2D": Interpreter.conv, "Dense": Interpreter.dense, "MaxPooling2D": Interpreter.pool,
    "AveragePooling2D": Interpreter.average, "ZeroPadding2D": Interpreter.pad, "Cropping2D": Interpreter.crop,
    "Flatten": Interpreter.flatten, "Reshape": Interpreter.reshape, "Permute": Interpreter.permute,
    "Activation": Interpreter.activation, "ReLU": Interpreter.relu, "LeakyReLU": Interpreter.leaky,
    "Softmax": Interpreter.softmax, "BatchNormalization": Interpreter.norm, "Rescaling": Interpreter.rescaling,
    "BatchNormalizationV1": Interpreter.norm,
    "Normalization": Interpreter.normalization, "GlobalAveragePooling2D": Interpreter.global_average,
    "GlobalMaxPooling2D": Interpreter.global_max, "Resizing": Interpreter.resizing, "Lambda": Interpreter.other,
    "Add": lambda net, config, x, path: x,  # the inputs were added where they were gathered
}  # fmt: skip


def _call(node: Any) -> tuple[list[tuple[str, int]], dict[str, Any]]:
    """The (layer, call) pairs that a call takes, and its keywords: of Keras 3, or of older ones."""
    if isinstance(node, dict):
        found = node["args"][0] if isinstance(node["args"][0], list) else node["args"]
        return [tuple(t["config"]["keras_history"][:2]) for t in found], node["kwargs"]
    return [(entry[0], entry[1]) for entry in node], node[0][3] if len(node[0]) > 3 else {}


def _end(ends: Any) -> tuple[str, int]:
    end = ends if isinstance(ends[0], str) else ends[0]
    return end[0], 0


def _format(config: dict[str, Any]) -> str | None:
    said = config.get("data_format", config.get("dim_ordering"))
    return OLD.get(said, said) if said else None


def _first(x: Tensor, config: dict[str, Any]) -> Tensor:
    return x if _format(config) == "channels_first" else x.permute(0, 3, 1, 2)


def _back(maps: Tensor, config: dict[str, Any]) -> Tensor:
    return maps if _format(config) == "channels_first" else maps.permute(0, 2, 3, 1)


def _pair(value: Any, *, whole: bool = True) -> tuple[Any, Any]:
    one, two = value if isinstance(value, list | tuple) else (value, value)
    return (int(one), int(two)) if whole else (one, two)


def _same(maps: Tensor, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int], value: float) -> Tensor:
    """TensorFlow's SAME: the odd pixel is added below and at the right."""
    pads: list[int] = []
    for side, window, step, spread in zip(maps.shape[:1:-1], size[::-1], stride[::-1], dilation[::-1], strict=True):
        need = max((-(-side // step) - 1) * step + (window - 1) * spread + 1 - side, 0)
        pads += [need // 2, need - need // 2]
    return F.pad(maps, pads, value=value)


def _spread(shape: Sequence[int]) -> float:
    if len(shape) < 2:
        return 0.1
    fan = np.prod(shape) / shape[-1] if len(shape) != 4 or shape[0] == shape[1] else np.prod(shape[1:])
    return float((2 / fan) ** 0.5)

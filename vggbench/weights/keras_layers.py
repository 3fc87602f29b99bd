"""What Keras's layers mean: each class and each of its settings, in the words that all formats share."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.weights.description import Described, StatedInput, with_fc
from vggbench.weights.keras_config import KerasLayer, require_kerass_own
from vggbench.weights.layers import Foreign, Norm, Weighted, channels_first, for_our_epsilon

_INERT = {
    "name", "trainable", "dtype", "batch_input_shape", "batch_shape", "input_shape", "input_dtype", "input_dim",
    "sparse", "ragged", "optional", "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer",
    "activity_regularizer", "kernel_constraint", "bias_constraint", "init", "W_regularizer", "b_regularizer",
    "W_constraint", "b_constraint", "input_length", "implementation", "supports_masking", "autocast", "weights",
}  # fmt: skip
"""Settings that change no value when a net is evaluated."""
_QUANTISED = re.compile("Quantized|_from_")
"""Types of numbers, by class or name (int8_from_float32), that round weights or values to few levels."""
_NORM_INERT = {
    "momentum", "beta_initializer", "gamma_initializer", "moving_mean_initializer", "moving_variance_initializer",
    "beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint", "synchronized", "renorm_clipping",
    "renorm_momentum", "beta_init", "gamma_init", "fused",
}  # fmt: skip
_SETTINGS: dict[str, set[str]] = {
    "Conv2D": {
        "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "groups", "activation",
        "use_bias",
    },
    "Dense": {"units", "activation", "use_bias"},
    "MaxPooling2D": {"pool_size", "strides", "padding", "data_format"},
    "AveragePooling2D": {"pool_size", "strides", "padding", "data_format"},
    "ZeroPadding2D": {"padding", "data_format"},
    "Flatten": {"data_format"},
    "Reshape": {"target_shape"},
    "Activation": {"activation"},
    "ReLU": {"max_value", "negative_slope", "threshold"},
    "Softmax": {"axis"},
    "BatchNormalization": {"axis", "epsilon", "center", "scale", "renorm", "virtual_batch_size", "mode"} | _NORM_INERT,
    "Rescaling": {"scale", "offset"},
    "Normalization": {"axis", "mean", "variance", "invert"},
}  # fmt: skip
"""The settings of each class that are read here."""
_WITHOUT_EFFECT = {
    "InputLayer", "Dropout", "SpatialDropout2D", "GaussianDropout", "GaussianNoise", "AlphaDropout",
    "ActivityRegularization", "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast",
    "RandomBrightness", "RandomHue", "RandomSaturation", "RandomShear",
}  # fmt: skip
"""Classes that change no value when a net is evaluated, whatever their settings."""
KNOWN = {*_SETTINGS, *_WITHOUT_EFFECT}
_PADDED = ("Conv2D", "MaxPooling2D", "AveragePooling2D", "ZeroPadding2D")
"""What padding may stand before: zeros are zeros to these alone."""


class KerasNet:
    """Layers read so far; `tensors` of each are as the file has them."""

    def __init__(self, path: Path, *, channels_last: bool, flipped: bool) -> None:
        self._path, self._channels_last, self._flipped = path, channels_last, flipped
        self._layers: list[Weighted] = []
        self._described: list[Described] = []
        self._affine: tuple[Tensor, Tensor] | None = None  # x -> x * first + second, (3,) each
        self._padding: tuple[int, ...] = (0, 0, 0, 0)
        self._format: str | None = None
        self._order: str | None = None
        """In which order fc6's inputs come, once the maps are flattened."""

    def take(self, layer: KerasLayer, tensors: list[Tensor]) -> None:
        """The next layer."""
        if layer.kind in _WITHOUT_EFFECT:
            return
        if any(self._padding) and layer.kind not in _PADDED:
            raise WeightsError(
                f"{self._path} pads maps by ZeroPadding2D before layer {layer.name!r} ({layer.kind}): expected a "
                "convolution behind the padding."
            )
        if layer.kind not in _SETTINGS:
            if tensors:
                raise self._odd(layer)
            self._described.append(Described(layer.kind, layer.name))
            return
        self._require_known(layer)
        _READERS[layer.kind](self, layer, tensors)

    def read(self) -> Foreign:
        """All of it."""
        if any(self._padding):
            raise WeightsError(f"{self._path} pads its last maps: expected a convolution or pooling behind.")
        turned = self._flipped or self._order == "channel, row, column"
        return Foreign(self._layers, with_fc(self._described), complete=True, input=self._stated_input(), turned=turned)

    def conv(self, layer: KerasLayer, tensors: list[Tensor]) -> None:
        """Kernels (row, column, in, out), or (out, in, row, column) of Keras 1 with channels first."""
        kernel, bias = self._kernel_and_bias(layer, tensors, 4)
        weight = kernel.permute(3, 2, 0, 1) if self._channels_last else kernel
        weight = (weight.flip(2, 3) if self._flipped else weight).contiguous()
        self._layers.append(Weighted(layer.name, weight, bias))
        self._agree_on_format(layer)
        same, side = self._setting(layer, "padding", "valid"), weight.shape[-1]
        own = (side // 2,) * 4 if same == "same" else (0,) * 4
        facts = {
            "kernel": _pair(layer.config.get("kernel_size", side)),
            "stride": _pair(layer.config.get("strides", 1)),
            "padding": tuple(a + b for a, b in zip(own, self._padded(), strict=True)),
            "dilation": _pair(layer.config.get("dilation_rate", 1)),
            "groups": layer.config.get("groups", 1),
        }
        if same not in ("same", "valid"):
            raise self._other(layer, "padding", same)
        self._described.append(Described("conv", layer.name, facts))
        self.activation(layer)

    def dense(self, layer: KerasLayer, tensors: list[Tensor]) -> None:
        """Kernels (in, out); fc6's inputs in the order that the maps were flattened in."""
        kernel, bias = self._kernel_and_bias(layer, tensors, 2)
        weight = kernel.T.contiguous()
        before = self._layers[-1].weight if self._layers else None
        if before is not None and before.ndim == 4 and self._order == _ROWS_FIRST and len(kernel) == 49 * len(before):
            weight = channels_first(kernel, len(before))
        self._layers.append(Weighted(layer.name, weight, bias))
        self._described.append(Described("fc" if self._order else "Dense on maps", layer.name))
        self.activation(layer)

    def pool(self, layer: KerasLayer, tensors: list[Tensor]) -> None:
        """`same` pads below and at the right, as rounding up does."""
        self._agree_on_format(layer)
        padding = self._setting(layer, "padding", "valid")
        if padding != "valid" and (padding != "same" or self._flipped):  # Theano's `same` pads at all four sides
            raise self._other(layer, "padding", padding)
        size = _pair(layer.config.get("pool_size", 2))
        facts = {
            "method": "max" if layer.kind == "MaxPooling2D" else "average",
            "kernel": size,
            "stride": _pair(layer.config.get("strides") or size),
            "padding": self._padded(),
            "rounding": "ceil" if padding == "same" else "floor",
        }
        self._described.append(Described("pool", layer.name, facts))

    def pad(self, layer: KerasLayer, tensors: list[Tensor]) -> None:
        """What the next convolution has in addition."""
        self._agree_on_format(layer)
        value = layer.config.get("padding", 1)
        rows, columns = value if isinstance(value, list | tuple) else (value, value)
        (top, bottom), (left, right) = (_pair(side) for side in (rows, columns))
        self._padding = tuple(a + b for a, b in zip(self._padding, (top, left, bottom, right), strict=True))

    def flatten(self, layer: KerasLayer, tensors: list[Tensor]) -> None:
        """With channels_first it turns the maps to channels last before; without, they stay as they are."""
        if self._order:
            return  # flat already
        asked = layer.config.get("data_format")
        maps = self._format or "channels_last"
        if asked == "channels_first" and maps == "channels_last":
            raise self._other(layer, "data_format", "channels_first after maps with channels last")
        self._order = _CHANNELS_FIRST if maps == "channels_first" and asked != "channels_first" else _ROWS_FIRST

    def reshape(self, layer: KerasLayer, tensors: list[Tensor]) -> None:
        """To one axis: the same as Flatten without a format."""
        shape = layer.config.get("target_shape")
        if not isinstance(shape, list | tuple) or len(shape) != 1:
            raise self._other(layer, "target_shape", shape)
        self.flatten(KerasLayer("Flatten", layer.name, {}, layer.keys, layer.top), tensors)

    def relu(self, layer: KerasLayer, tensors: list[Tensor]) -> None:
        """Leaky, capped or with a threshold where it says so."""
        largest = layer.config.get("max_value")
        facts = {
            "negative slope": _number(layer.config.get("negative_slope")),
            "threshold": _number(layer.config.get("threshold")),
            "largest value": None if largest is None else _number(largest),
        }
        self._described.append(Described("relu", layer.name, facts))

    def softmax(self, layer: KerasLayer, tensors: list[Tensor]) -> None:
        """Over the last axis."""
        axis = layer.config.get("axis", -1)
        self._described.append(Described("softmax", layer.name, {"axis": self._axis(axis)}))

    def norm(self, layer: KerasLayer, tensors: list[Tensor]) -> None:
        """gamma and beta where there are any, moving mean and variance."""
        config = layer.config
        scale, center = config.get("scale", True), config.get("center", True)
        if len(tensors) != 2 + bool(scale) + bool(center) or any(tensor.ndim != 1 for tensor in tensors):
            raise self._odd(layer)
        if not self._described or self._described[-1].kind != "conv":
            raise WeightsError(
                f"{self._path} normalises in {layer.name!r} elsewhere than between a convolution and its activation: "
                "expected it there."
            )
        for setting in ("renorm", "virtual_batch_size", "mode"):
            if config.get(setting):
                raise self._other(layer, setting, config[setting])
        *affine, mean, var = tensors
        weight = affine.pop(0) if scale else torch.ones_like(mean)
        bias = affine.pop(0) if center else torch.zeros_like(mean)
        var = for_our_epsilon(var, float(config.get("epsilon", 1e-3)))
        self._layers[-1] = self._layers[-1]._replace(norm=Norm(weight, bias, mean, var))
        axis = config.get("axis", -1)
        axis = axis[0] if isinstance(axis, list | tuple) and len(axis) == 1 else axis
        self._described.append(Described("norm", layer.name, {"normalised axis": self._axis(axis, maps=True)}))

    def rescaling(self, layer: KerasLayer, tensors: list[Tensor]) -> None:
        """x * scale + offset, of pixels."""
        scale, offset = (layer.config.get(name, value) for name, value in (("scale", 1.0), ("offset", 0.0)))
        self._transform(layer, self._three(layer, "scale", scale), self._three(layer, "offset", offset))

    def normalization(self, layer: KerasLayer, tensors: list[Tensor]) -> None:
        """(x - mean) / sqrt(variance), by its settings or, where those are none, by what it learned."""
        config = layer.config
        if config.get("invert"):
            raise self._other(layer, "invert", True)
        mean, variance = config.get("mean"), config.get("variance")
        if mean is None or variance is None:
            if len(tensors) < 2:
                raise self._odd(layer)
            mean, variance = (tensor.flatten().tolist() for tensor in tensors[:2])
        deviation = self._three(layer, "variance", variance).sqrt()
        self._transform(layer, 1 / deviation, -self._three(layer, "mean", mean) / deviation)

    def _transform(self, layer: KerasLayer, scale: Tensor, offset: Tensor) -> None:
        if self._described or not bool(((scale > 0) & scale.isfinite() & offset.isfinite()).all()):
            where = "behind other layers" if self._described else f"by {scale.tolist()}"
            raise WeightsError(
                f"{self._path} rescales its maps in {layer.name!r} {where}: expected it of pixels alone, by positive "
                "numbers."
            )
        before, shift = self._affine or (torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
        self._affine = (before * scale, shift * scale + offset)

    def _three(self, layer: KerasLayer, name: str, value: Any) -> Tensor:
        """One number for each channel, or one for all; more are those of another axis."""
        numbers = torch.tensor(_plain(value), dtype=torch.float64).flatten()
        if len(numbers) not in (1, 3):
            axis = layer.config.get("axis")
            raise self._other(layer, name, f"of {len(numbers)} numbers{'' if axis is None else f' along axis {axis}'}")
        return numbers.expand(3)

    def _stated_input(self) -> StatedInput | None:
        """What the net does to pixels in the order RGB, in which Keras reads images; None where it does nothing."""
        if self._affine is None:
            return None
        scale, offset = self._affine
        return StatedInput("RGB", tuple((-offset / scale).tolist()), tuple((1 / scale).tolist()))

    def _agree_on_format(self, layer: KerasLayer) -> None:
        said = layer.config.get("data_format")
        if said is not None and self._format is not None and said != self._format:
            raise self._other(layer, "data_format", f"{said} after {self._format}")
        self._format = self._format or said

    def activation(self, layer: KerasLayer, tensors: list[Tensor] | None = None) -> None:
        """By name, by a dict with one, or by a layer of its own; also that of a layer with weights."""
        said = layer.config.get("activation", "linear")
        inner = said.get("config") if isinstance(said, dict) else None
        if isinstance(said, dict):
            require_kerass_own(said, layer.name, self._path)
        if isinstance(inner, str):  # {"class_name": "function", "config": "relu"}
            said = inner
        if isinstance(said, dict):
            settings = inner if isinstance(inner, dict) else {}
            self.take(KerasLayer(str(said.get("class_name")), layer.name, settings, layer.keys, layer.top), [])
        elif said == "relu":
            self._described.append(Described("relu", layer.name))
        elif said == "softmax":
            self._described.append(Described("softmax", layer.name, {"axis": self._axis(-1)}))
        elif said not in (None, "linear"):
            self._described.append(Described(str(said), layer.name))

    def _axis(self, axis: Any, *, maps: bool = False) -> Any:
        """`channels` where an axis is that of channels, of maps or of flat vectors."""
        flat = self._order is not None and not maps
        right = (-1, 1) if flat else (1, -3) if self._format == "channels_first" else (-1, 3)
        return "channels" if axis in right else str(axis)

    def _padded(self) -> tuple[int, ...]:
        found, self._padding = self._padding, (0, 0, 0, 0)
        return found

    def _kernel_and_bias(self, layer: KerasLayer, tensors: list[Tensor], axes: int) -> tuple[Tensor, Tensor]:
        has_bias = layer.config.get("use_bias", True)
        if len(tensors) != 1 + bool(has_bias) or tensors[0].ndim != axes or any(t.ndim != 1 for t in tensors[1:]):
            raise self._odd(layer)
        outputs = layer.config.get("filters", layer.config.get("units"))
        bias = tensors[1] if has_bias else torch.zeros(int(outputs or 0))
        if outputs is not None and int(outputs) != len(bias):
            raise WeightsError(
                f"{self._path} says that {layer.name!r} has {outputs} outputs and holds {len(bias)} biases: damaged."
            )
        return tensors[0], bias

    def _setting(self, layer: KerasLayer, name: str, otherwise: str) -> str:
        return str(layer.config.get(name, otherwise))

    def _require_known(self, layer: KerasLayer) -> None:
        for name, value in layer.config.items():
            quantises = name == "dtype" and _QUANTISED.search(str(value))
            if value is not None and (quantises or name not in _SETTINGS[layer.kind] | _INERT):
                raise self._other(layer, name, value)

    def _other(self, layer: KerasLayer, setting: str, value: Any) -> WeightsError:
        return WeightsError(
            f"{self._path} says {setting} {str(value)[:100]} of layer {layer.name!r} ({layer.kind}): expected a VGG's "
            "own, or a setting that is known here. Save the model as ONNX if that is what it is."
        )

    def _odd(self, layer: KerasLayer) -> WeightsError:
        return WeightsError(
            f"{self._path} has weights in layer {layer.name[:100]!r} ({layer.kind}) other than a kernel and a bias: "
            "expected convolutions, dense layers and batch normalisation after a convolution."
        )


_READERS: dict[str, Callable[[KerasNet, KerasLayer, list[Tensor]], None]] = {
    "Conv2D": KerasNet.conv, "Dense": KerasNet.dense, "MaxPooling2D": KerasNet.pool, "AveragePooling2D": KerasNet.pool,
    "ZeroPadding2D": KerasNet.pad, "Flatten": KerasNet.flatten, "Reshape": KerasNet.reshape,
    "Activation": KerasNet.activation, "ReLU": KerasNet.relu, "Softmax": KerasNet.softmax,
    "BatchNormalization": KerasNet.norm, "Rescaling": KerasNet.rescaling, "Normalization": KerasNet.normalization,
}  # fmt: skip
_ROWS_FIRST, _CHANNELS_FIRST = "row, column, channel", "channel, row, column"


def is_channels_last(kernel: Tensor) -> bool:
    """Whether a kernel can be (row, column, in, out), by its two equal sides; and not (out, in, row, column)."""
    return kernel.shape[0] == kernel.shape[1] or kernel.shape[2] != kernel.shape[3]


def _pair(value: Any) -> tuple[int, int]:
    one, two = value if isinstance(value, list | tuple) else (value, value)
    return int(one), int(two)


def _plain(value: Any) -> Any:
    """Keras holds NumPy's values as {"class_name": "__numpy__", "config": {"value": 0.0}}."""
    return value.get("config", {}).get("value") if isinstance(value, dict) else value


def _number(value: Any) -> float:
    return float(_plain(value) or 0.0)

"""Caffe's `.caffemodel`: its layers, followed from the images on, with all that they say of themselves."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.weights.caffe_proto import PARAMETERS, parsed, unknown_field
from vggbench.weights.description import Described, StatedInput, same, with_fc
from vggbench.weights.layers import Foreign, Norm, Weighted, for_our_epsilon, require_affordable

_MAX_LAYERS = 1000
_V1_TYPES = {
    1: "Accuracy", 4: "Convolution", 5: "Data", 6: "Dropout", 8: "Flatten", 9: "HDF5Data", 12: "ImageData",
    14: "InnerProduct", 15: "LRN", 17: "Pooling", 18: "ReLU", 19: "Sigmoid", 20: "Softmax", 21: "SoftmaxWithLoss",
    22: "Split", 23: "TanH", 24: "WindowData", 25: "Eltwise", 29: "MemoryData", 32: "DummyData", 36: "Silence",
}  # fmt: skip
"""Of Caffe's enum V1LayerParameter.LayerType."""
_BGR = ("Data", "ImageData", "WindowData")
"""Layers that yield images as OpenCV decodes them, in the order BGR."""
_SOURCES = (*_BGR, "HDF5Data", "MemoryData", "DummyData", "Input", "AnnotatedData", "Python")
_SIDE = ("SoftmaxWithLoss", "Accuracy", "Silence")
"""Layers that the scores go into and that yield none."""
_POOLS = ("max", "average", "stochastic")
_LOCAL_SIZE, _ALPHA, _BETA, _K, _EPS = 5, 1.0, 0.75, 1.0, 1e-5
"""Caffe's defaults."""


class _Layer:
    """One layer of either generation."""

    def __init__(self, message: Any, path: Path, *, old: bool) -> None:
        self._message, self._path = message, path
        self.type = _V1_TYPES.get(message.type, f"type {message.type}") if old else _text(message.type)
        self.name = _text(message.name)
        self.bottoms = [_text(name) for name in message.bottom]
        self.tops = [_text(name) for name in message.top]
        if old and message.HasField("older"):
            raise WeightsError(
                f"{path} is of Caffe's first generation: expected a later one. Caffe's tool upgrade_net_proto_binary "
                "turns it into one."
            )

    def says(self, parameter: str) -> Any:
        """Settings of one kind, or None; raises WeightsError where they hold what is not known here."""
        if parameter not in self._message.DESCRIPTOR.fields_by_name or not self._message.HasField(parameter):
            return None
        settings = getattr(self._message, parameter)
        unknown = unknown_field(PARAMETERS[parameter], settings)
        if unknown is not None:
            raise WeightsError(
                f"{self._path} has field {unknown} in {parameter} of layer {self.name!r}, which BVLC's Caffe has not: "
                "expected what that defines. Save the net by BVLC's Caffe."
            )
        return settings

    def blobs(self) -> list[Tensor]:
        """Its weights, each with its own shape."""
        return [_tensor(parsed("Blob", blob, self._path), self._path, self.name) for blob in self._message.blobs]

    @property
    def has_weights(self) -> bool:
        """Whether it holds any."""
        return bool(self._message.blobs)


def read_caffe(path: Path) -> Foreign:
    """The layers of either generation, batch normalisation with its scale as one.

    A file that says how its layers are joined is followed from the images on; one stripped to its weights is read in
    its own order. Raises WeightsError for a file that is no Caffe model, and for layers that cannot be a VGG's.
    """
    net = parsed("Net", path.read_bytes(), path)
    raw = [*net.layers, *net.layer]
    if not raw or len(raw) > _MAX_LAYERS or (net.layers and net.layer):
        raise WeightsError(f"{path} holds {len(raw)} Caffe layers: expected a .caffemodel of some twenty.")
    old, inputs = bool(net.layers), [_text(name) for name in net.input]
    del net
    found = _Net(path)
    chain = _Chain(inputs, path)
    while raw:
        layer = _Layer(parsed("V1Layer" if old else "Layer", raw.pop(0), path), path, old=old)
        if layer.type in _SOURCES and not layer.has_weights:
            found.hear(layer)
            chain.start(layer)
        elif chain.goes_through(layer):
            found.take(layer)
    return found.read(complete=chain.is_followed)


class _Chain:
    """The one way from the images to the scores."""

    def __init__(self, inputs: Sequence[str], path: Path) -> None:
        self._live, self._path = set(inputs[:1]), path
        self.is_followed = False

    def start(self, layer: _Layer) -> None:
        """Images come from here."""
        self._live |= set(layer.tops[:1])

    def goes_through(self, layer: _Layer) -> bool:
        """Whether a layer is one of the net's; raises WeightsError for a branch."""
        if not layer.bottoms and not layer.tops:
            if self.is_followed:
                raise self._branch(layer)
            return layer.type not in (*_SIDE, "Split")
        if layer.type in _SIDE and layer.bottoms[:1] and (layer.type == "Silence" or layer.bottoms[0] in self._live):
            return False
        if not self.is_followed and not self._live:  # a net without a source: its first layer's input are the images
            self._live = set(layer.bottoms)
        if len(layer.bottoms) != 1 or layer.bottoms[0] not in self._live:
            raise self._branch(layer)
        self.is_followed = True
        self._live = set(layer.tops)
        return layer.type != "Split"

    def _branch(self, layer: _Layer) -> WeightsError:
        return WeightsError(
            f"{self._path} joins layer {layer.name!r} ({layer.type}) to {' and '.join(layer.bottoms) or 'nothing'}: "
            f"expected one chain of layers, here from {' or '.join(sorted(self._live)) or 'the images'}. "
            "Model.wrap evaluates any net from Python."
        )


class _Net:
    """What has been read so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._layers: list[Weighted] = []
        self._described: list[Described] = []
        self._inputs: list[StatedInput] = []

    def read(self, *, complete: bool) -> Foreign:
        """All of it."""
        if any(not same((one.mean, one.std), (self._inputs[0].mean, self._inputs[0].std)) for one in self._inputs):
            both = " and ".join(str(one) for one in self._inputs)
            raise WeightsError(f"{self._path} says of its input {both}: expected one. Keep one data layer.")
        described = with_fc(self._described) if complete else tuple(self._described)
        return Foreign(self._layers, described, complete, self._inputs[0] if self._inputs else None)

    def hear(self, source: _Layer) -> None:
        """What a layer that yields images does to them."""
        settings = [source.says(name) for name in ("data_param", "image_data_param", "window_data_param")]
        older = next((said for said in settings if said is not None), None)
        said = source.says("transform_param")
        mean_file = (said and said.mean_file) or (older is not None and older.mean_file)
        if mean_file:
            raise WeightsError(
                f"{self._path} subtracts the mean image of {_text(mean_file)!r}, which it does not hold: expected a "
                "mean for each channel. Save the net of deploy.prototxt, which has no data layer "
                "(caffe.Net('deploy.prototxt', FILE, caffe.TEST).save('deploy.caffemodel')), and state the mean with "
                "--input."
            )
        if said is not None and said.force_gray:
            raise WeightsError(f"{self._path} takes grey images (force_gray): expected colour, as all VGGs take.")
        if said is None and not (older is not None and older.HasField("scale")):
            return
        mean = tuple(said.mean_value) if said else ()
        if len(mean) not in (0, 1, 3):
            raise WeightsError(f"{self._path} subtracts {len(mean)} means: expected one for each of three channels.")
        scale = said.scale if said and said.HasField("scale") else older.scale if older and older.scale else 1.0
        if not math.isfinite(scale) or scale <= 0 or not all(map(math.isfinite, mean)):
            raise WeightsError(f"{self._path} scales its pixels by {scale}: expected a positive number.")
        three = mean if len(mean) == 3 else (mean or (0.0,)) * 3
        self._inputs.append(StatedInput("BGR" if source.type in _BGR else None, three, (1 / scale,) * 3))

    def take(self, layer: _Layer) -> None:
        """A layer of the net."""
        reader = _READERS.get(layer.type)
        if reader is None:
            if layer.has_weights:
                raise self._odd(layer)
            self._described.append(Described(layer.type, layer.name))
            return
        reader(self, layer)

    def convolution(self, layer: _Layer) -> None:
        """Also one that stands for an inner product."""
        said = layer.says("convolution_param")
        weight, bias = self._weight_and_bias(layer, said)
        if weight.ndim != 4:
            raise self._odd(layer)
        self._layers.append(Weighted(layer.name, weight, bias))
        facts = {} if said is None else {
            "kernel": _pair(said, "kernel", "kernel_size", tuple(weight.shape[2:])),
            "stride": _pair(said, "stride", "stride", (1, 1)),
            "padding": _pair(said, "pad", "pad", (0, 0)) * 2,
            "dilation": (*said.dilation, *said.dilation)[:2] or (1, 1),
            "groups": said.group if said.HasField("group") else 1,
        }  # fmt: skip
        self._require_axis(layer, said, 1)
        self._described.append(Described("conv", layer.name, facts))

    def inner_product(self, layer: _Layer) -> None:
        """Its weight is (out, in), or (in, out) where it says so."""
        said = layer.says("inner_product_param")
        weight, bias = self._weight_and_bias(layer, said)
        if weight.ndim < 2 or weight.shape[:-2].numel() != 1:  # (1, 1, out, in) in the old generation
            raise WeightsError(
                f"{self._path} has an inner product {layer.name!r} of shape {tuple(weight.shape)}: expected (out, in)."
            )
        weight = weight.view(weight.shape[-2:])
        self._require_axis(layer, said, 1)
        if said is not None and said.transpose:
            weight = weight.T.contiguous()
        self._layers.append(Weighted(layer.name, weight, bias))
        self._described.append(Described("fc", layer.name))

    def batch_norm(self, layer: _Layer) -> None:
        """Mean and variance, both times a factor that the third blob holds."""
        said, blobs = layer.says("batch_norm_param"), layer.blobs()
        if len(blobs) != 3 or blobs[2].numel() != 1 or not self._follows("conv"):
            raise self._odd(layer)
        factor = 1 / blobs[2].flatten() if blobs[2].item() else torch.zeros(1)
        mean, var = (blob.flatten() * factor for blob in blobs[:2])
        var = for_our_epsilon(var, said.eps if said is not None and said.HasField("eps") else _EPS)
        norm = Norm(torch.ones_like(mean), torch.zeros_like(mean), mean, var)
        self._layers[-1] = self._layers[-1]._replace(norm=norm)
        self._described.append(Described("norm", layer.name))

    def scale(self, layer: _Layer) -> None:
        """The second half of batch normalisation."""
        said, blobs = layer.says("scale_param"), layer.blobs()
        norm = self._layers[-1].norm if self._layers else None
        has_bias = said is not None and said.bias_term
        if norm is None or not self._follows("norm") or self._described[-1].facts or len(blobs) != 1 + has_bias:
            raise self._odd(layer)
        self._require_axis(layer, said, 1)
        if said is not None and said.HasField("num_axes") and said.num_axes != 1:
            raise self._odd(layer)
        bias = blobs[1].flatten() if has_bias else norm.bias
        self._layers[-1] = self._layers[-1]._replace(norm=norm._replace(weight=blobs[0].flatten(), bias=bias))
        self._described[-1] = Described("norm", self._described[-1].name, {"normalised axis": "channels"})

    def pooling(self, layer: _Layer) -> None:
        """Sizes are rounded up unless `round_mode` says otherwise."""
        said = layer.says("pooling_param")
        if said is None or said.global_pooling:
            self._described.append(Described("global pooling" if said else "pooling of no size", layer.name))
            return
        facts = {
            "method": _POOLS[said.pool] if said.pool in range(3) else f"number {said.pool}",
            "kernel": _pair(said, "kernel", "kernel_size", (1, 1)),
            "stride": _pair(said, "stride", "stride", (1, 1)),
            "padding": _pair(said, "pad", "pad", (0, 0)) * 2,
            "rounding": "floor" if said.round_mode == 1 else "ceil",
        }
        if said.round_mode not in (0, 1):
            raise self._odd(layer)
        self._described.append(Described("pool", layer.name, facts))

    def relu(self, layer: _Layer) -> None:
        """Leaky where it says so."""
        said = layer.says("relu_param")
        self._described.append(
            Described("relu", layer.name, {"negative slope": float(said.negative_slope) if said else 0.0})
        )

    def lrn(self, layer: _Layer) -> None:
        """Caffe divides alpha by the size."""
        said = layer.says("lrn_param")
        facts: dict[str, Any] = {}
        if said is not None:
            size = said.local_size if said.HasField("local_size") else _LOCAL_SIZE
            facts = {
                "size": size,
                "alpha": float(said.alpha if said.HasField("alpha") else _ALPHA) / max(size, 1),
                "beta": float(said.beta if said.HasField("beta") else _BETA),
                "k": float(said.k if said.HasField("k") else _K),
                "region": "within a channel" if said.norm_region else "across channels",
            }
        self._described.append(Described("lrn", layer.name, facts))

    def softmax(self, layer: _Layer) -> None:
        """Over channels."""
        said = layer.says("softmax_param")
        axis = said.axis if said is not None and said.HasField("axis") else 1
        self._described.append(Described("softmax", layer.name, {"axis": "channels" if axis == 1 else axis}))

    def dropout(self, layer: _Layer) -> None:
        """Changes nothing in evaluation."""
        layer.says("dropout_param")

    def flatten(self, layer: _Layer) -> None:
        """To (N, C * H * W), which an inner product does by itself."""
        said = layer.says("flatten_param")
        self._require_axis(layer, said, 1)
        if said is not None and said.HasField("end_axis") and said.end_axis != -1:
            raise self._odd(layer)

    def _follows(self, kind: str) -> bool:
        return bool(self._described) and self._described[-1].kind == kind and bool(self._layers)

    def _weight_and_bias(self, layer: _Layer, said: Any) -> tuple[Tensor, Tensor]:
        blobs = layer.blobs()
        has_bias = said is None or not said.HasField("bias_term") or said.bias_term
        if len(blobs) != 1 + has_bias:
            raise self._odd(layer)
        outputs = int(said.num_output) if said is not None and said.HasField("num_output") else None
        weight = blobs[0]
        bias = blobs[1] if has_bias else torch.zeros(outputs or len(weight))
        if outputs is not None and outputs != bias.numel():
            raise WeightsError(
                f"{self._path} says that {layer.name!r} has {outputs} outputs and holds {bias.numel()} biases: damaged."
            )
        return weight, bias

    def _require_axis(self, layer: _Layer, said: Any, axis: int) -> None:
        if said is not None and said.HasField("axis") and said.axis != axis:
            raise WeightsError(
                f"{self._path} says that {layer.name!r} works along axis {said.axis}: expected {axis}, the channels."
            )

    def _odd(self, layer: _Layer) -> WeightsError:
        blobs = len(layer.blobs())
        return WeightsError(
            f"{self._path} has weights in layer {layer.name!r} ({layer.type}, {blobs} blobs): expected convolutions "
            "and inner products alone, with weight and bias, as Oxford's nets have them, or batch normalisation with "
            "its scale after a convolution."
        )


_READERS: dict[str, Callable[[_Net, _Layer], None]] = {
    "Convolution": _Net.convolution, "InnerProduct": _Net.inner_product, "BatchNorm": _Net.batch_norm,
    "Scale": _Net.scale, "Pooling": _Net.pooling, "ReLU": _Net.relu, "LRN": _Net.lrn, "Softmax": _Net.softmax,
    "Dropout": _Net.dropout, "Flatten": _Net.flatten,
}  # fmt: skip
"""What takes each type of layer."""


def _pair(said: Any, stem: str, name: str, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    """(height, width) of a setting: one number for both, one for each, or by `_h` and `_w`."""
    if said.HasField(f"{stem}_h") or said.HasField(f"{stem}_w"):
        return tuple(int(getattr(said, f"{stem}_{side}")) for side in "hw")
    value = getattr(said, name)
    if isinstance(value, int):
        return (value, value) if said.HasField(name) else otherwise
    values = tuple(int(number) for number in value)
    return values * 2 if len(values) == 1 else values or otherwise


def _tensor(blob: Any, path: Path, name: str) -> Tensor:
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    require_affordable(shape, path, name)
    packed, kind = (blob.data, "<f4") if blob.data else (blob.double_data, "<f8")
    data = b"".join(packed)
    if len(data) != math.prod(shape) * np.dtype(kind).itemsize:
        raise WeightsError(f"{path} says that {name!r} has shape {shape} and holds {len(data):,} bytes: damaged.")
    return torch.from_numpy(np.frombuffer(data, kind).astype(np.float32)).view(shape)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")[:100]

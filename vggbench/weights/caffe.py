"""Caffe's `.caffemodel`: its layers, followed from the images on, with all that they say of themselves."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.weights.caffe_layers import BGR_SOURCES, CaffeLayer, Chain, text
from vggbench.weights.caffe_proto import parsed
from vggbench.weights.description import Described, StatedInput, same, with_fc
from vggbench.weights.layers import Foreign, Norm, Weighted, for_our_epsilon

_MAX_LAYERS = 1000
_POOLS = ("max", "average", "stochastic")
_LOCAL_SIZE, _ALPHA, _BETA, _K, _EPS = 5, 1.0, 0.75, 1.0, 1e-5
"""Caffe's defaults."""


def read_caffe(path: Path) -> Foreign:
    """The layers of either generation, batch normalisation with its scale as one.

    A file that says how its layers are joined is followed from the images on; one stripped to its weights is read in
    its own order. Raises WeightsError for a file that is no Caffe model, and for layers that cannot be a VGG's.
    """
    net = parsed("Net", path.read_bytes(), path)
    raw = [*net.layers, *net.layer]
    if not raw or len(raw) > _MAX_LAYERS:
        raise WeightsError(f"{path} holds {len(raw)} Caffe layers: expected a .caffemodel of some twenty.")
    if net.layers and net.layer:
        raise WeightsError(f"{path} holds `layers` and `layer`, of two generations of Caffe: expected one of them.")
    old, inputs = bool(net.layers), [text(name) for name in net.input]
    del net
    found, chain = _Net(path), Chain(inputs, path)
    sources = []
    while raw:
        layer = CaffeLayer(parsed("V1Layer" if old else "Layer", raw.pop(0), path), path, old=old)
        if layer.is_source:
            chain.start(layer)
            sources.append(layer)
        elif chain.goes_through(layer):
            found.take(layer)
    for source in sources:
        if chain.entry is None or chain.entry in source.tops:
            found.hear(source)
    return found.read(complete=chain.entry is not None)


class _Net:
    """What has been read so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._layers: list[Weighted] = []
        self._described: list[Described] = []
        self._inputs: list[StatedInput] = []
        self._is_flat = self._turned = False

    def read(self, *, complete: bool) -> Foreign:
        """All of it."""
        if any(not same((one.mean, one.std), (self._inputs[0].mean, self._inputs[0].std)) for one in self._inputs):
            both = " and ".join(str(one) for one in self._inputs)
            raise WeightsError(f"{self._path} says of its input {both}: expected one. Keep one data layer.")
        described = with_fc(self._described) if complete else tuple(self._described)
        stated = self._inputs[0] if self._inputs else None
        return Foreign(self._layers, described, complete, stated, turned=self._turned)

    def hear(self, source: CaffeLayer) -> None:
        """What a layer that yields images does to them: settings of the older generation, then of the later one."""
        older = source.says(BGR_SOURCES[source.type]) if source.type in BGR_SOURCES else None
        said = source.says("transform_param")
        if older is None and said is None and source.type not in BGR_SOURCES:
            return
        mean_file = (said and said.mean_file) or (older and older.mean_file)
        if mean_file:
            raise WeightsError(
                f"{self._path} subtracts the mean image of {text(mean_file)!r} (mean_file), which it does not hold: "
                "expected mean_value, a mean for each channel. By Caffe's own messages: net.ParseFromString(...), then "
                "of its data layer t = net.layer[0].transform_param, t.ClearField('mean_file'), "
                "t.mean_value.extend([blue, green, red]), and write net.SerializeToString()."
            )
        self._require_colour(source, said, older)
        mean = tuple(said.mean_value) if said else ()
        if len(mean) not in (0, 1, 3):
            raise WeightsError(f"{self._path} subtracts {len(mean)} means: expected one for each of three channels.")
        scales = {float(one.scale) for one in (said, older) if one is not None and one.HasField("scale")} or {1.0}
        scale = next(iter(scales))
        if len(scales) > 1 or not math.isfinite(scale) or scale <= 0 or not all(map(math.isfinite, mean)):
            every = " and ".join(f"{one:g}" for one in sorted(scales))
            raise WeightsError(f"{self._path} scales its pixels by {every}: expected one positive scale.")
        three = mean if len(mean) == 3 else (mean or (0.0,)) * 3
        self._inputs.append(StatedInput("BGR" if source.type in BGR_SOURCES else None, three, (1 / scale,) * 3))

    def _require_colour(self, source: CaffeLayer, said: Any, older: Any) -> None:
        is_grey = source.type == "ImageData" and older is not None and older.HasField("is_color") and not older.is_color
        if is_grey or (said is not None and said.force_gray):
            word = "is_color: false" if is_grey else "force_gray"
            raise WeightsError(f"{self._path} takes grey images ({word}): expected colour, as all VGGs take.")

    def take(self, layer: CaffeLayer) -> None:
        """A layer of the net."""
        reader = _READERS.get(layer.type)
        if reader is None:
            if layer.has_weights:
                raise self._odd(layer)
            self._described.append(Described(layer.type, layer.name))
            return
        reader(self, layer)

    def convolution(self, layer: CaffeLayer) -> None:
        """Also one that stands for an inner product."""
        said = layer.says("convolution_param")
        weight, bias = self._weight_and_bias(layer, said)
        if weight.ndim != 4 or self._is_flat:
            raise self._odd(layer)
        self._require_outputs(layer, said, weight)
        self._layers.append(Weighted(layer.name, weight, torch.zeros(len(weight)) if bias is None else bias))
        self._require_axis(layer, said, (1, -3))
        kernel = tuple(weight.shape[2:])
        facts: dict[str, Any] = {"kernel": kernel}
        if said is not None:
            facts = {
                "kernel": self._pair(layer, said, "kernel", kernel),
                "stride": self._pair(layer, said, "stride", (1, 1)),
                "padding": self._pair(layer, said, "pad", (0, 0)) * 2,
                "dilation": _both(said.dilation, (1, 1)),
                "groups": said.group if said.HasField("group") else 1,
            }
        if facts["kernel"] != kernel:
            raise WeightsError(
                f"{self._path} says that {layer.name} has kernel {facts['kernel']}, and holds one of {kernel}: damaged."
            )
        self._described.append(Described("conv", layer.name, facts))

    def inner_product(self, layer: CaffeLayer) -> None:
        """Its weight is (out, in), or (in, out) where it says so."""
        said = layer.says("inner_product_param")
        weight, bias = self._weight_and_bias(layer, said)
        if weight.ndim < 2 or weight.shape[:-2].numel() != 1:  # (1, 1, out, in) in the old generation
            raise WeightsError(
                f"{self._path} has an inner product {layer.name!r} of shape {tuple(weight.shape)}: expected (out, in)."
            )
        weight = weight.view(weight.shape[-2:])
        self._require_axis(layer, said, (1,))
        if said is not None and said.transpose:
            weight, self._turned = weight.T.contiguous(), True
        self._require_outputs(layer, said, weight)
        self._is_flat = True
        self._layers.append(Weighted(layer.name, weight, torch.zeros(len(weight)) if bias is None else bias))
        self._described.append(Described("fc", layer.name))

    def batch_norm(self, layer: CaffeLayer) -> None:
        """Mean and variance, both times a factor that the third blob holds."""
        said, blobs = layer.says("batch_norm_param"), layer.blobs()
        if len(blobs) != 3 or blobs[2].numel() != 1 or not self._follows("conv"):
            raise self._odd(layer)
        by_batch = said is not None and said.HasField("use_global_stats") and not said.use_global_stats
        if by_batch and not layer.is_of_training:
            raise WeightsError(
                f"{self._path} says that {layer.name!r} normalises by the current batch (use_global_stats: false): "
                "expected its stored mean and variance, as a net has them when it is evaluated. Save the net of "
                "deploy.prototxt."
            )
        factor = 1 / blobs[2].flatten() if blobs[2].item() else torch.zeros(1)
        mean, var = (blob.flatten() * factor for blob in blobs[:2])
        var = for_our_epsilon(var, said.eps if said is not None and said.HasField("eps") else _EPS)
        norm = Norm(torch.ones_like(mean), torch.zeros_like(mean), mean, var)
        self._layers[-1] = self._layers[-1]._replace(norm=norm)
        self._described.append(Described("norm", layer.name))

    def scale(self, layer: CaffeLayer) -> None:
        """The second half of batch normalisation."""
        said, blobs = layer.says("scale_param"), layer.blobs()
        norm = self._layers[-1].norm if self._layers else None
        has_bias = len(blobs) == 2 if said is None else said.bias_term
        if norm is None or not self._follows("norm") or self._described[-1].facts:
            raise self._odd(layer)
        self._require_blobs(layer, blobs, has_bias=has_bias)
        self._require_axis(layer, said, (1, -3))
        if said is not None and said.HasField("num_axes") and said.num_axes != 1:
            raise WeightsError(
                f"{self._path} says that {layer.name!r} scales along num_axes {said.num_axes}: expected 1, channels."
            )
        bias = blobs[1].flatten() if has_bias else norm.bias
        self._layers[-1] = self._layers[-1]._replace(norm=norm._replace(weight=blobs[0].flatten(), bias=bias))
        self._described[-1] = Described("norm", self._described[-1].name, {"normalised axis": "channels"})

    def pooling(self, layer: CaffeLayer) -> None:
        """Sizes are rounded up unless `round_mode` says otherwise."""
        said = layer.says("pooling_param")
        if said is None or said.global_pooling:
            self._described.append(Described("global pooling" if said else "pooling of no size", layer.name))
            return
        if said.round_mode not in (0, 1) or self._is_flat:
            raise WeightsError(
                f"{self._path} pools {'a flat vector' if self._is_flat else f'by round_mode {said.round_mode}'} in "
                f"{layer.name}: expected maps, and CEIL or FLOOR."
            )
        facts = {
            "method": _POOLS[said.pool] if said.pool in range(3) else f"number {said.pool}",
            "kernel": self._pair(layer, said, "kernel", (1, 1)),
            "stride": self._pair(layer, said, "stride", (1, 1)),
            "padding": self._pair(layer, said, "pad", (0, 0)) * 2,
            "rounding": "floor" if said.round_mode == 1 else "ceil",
        }
        self._described.append(Described("pool", layer.name, facts))

    def relu(self, layer: CaffeLayer) -> None:
        """Leaky where it says so."""
        said = layer.says("relu_param")
        self._described.append(
            Described("relu", layer.name, {"negative slope": float(said.negative_slope) if said else 0.0})
        )

    def lrn(self, layer: CaffeLayer) -> None:
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

    def softmax(self, layer: CaffeLayer) -> None:
        """Over channels."""
        said = layer.says("softmax_param")
        axis = said.axis if said is not None and said.HasField("axis") else 1
        self._described.append(Described("softmax", layer.name, {"axis": "channels" if axis == 1 else axis}))

    def dropout(self, layer: CaffeLayer) -> None:
        """Changes nothing in evaluation, unless it divides there and not in training, as some forks can."""
        said = layer.says("dropout_param")
        if said is not None and said.HasField("scale_train") and not said.scale_train:
            raise WeightsError(
                f"{self._path} says that {layer.name} scales in evaluation (scale_train: false): expected dropout as "
                "BVLC's Caffe has it, which changes nothing there."
            )

    def flatten(self, layer: CaffeLayer) -> None:
        """To (N, C * H * W), which an inner product does by itself."""
        said = layer.says("flatten_param")
        self._require_axis(layer, said, (1,))
        if said is not None and said.HasField("end_axis") and said.end_axis != -1:
            raise WeightsError(
                f"{self._path} says that {layer.name!r} flattens to end_axis {said.end_axis}: expected -1, the last."
            )
        self._is_flat = True

    def _follows(self, kind: str) -> bool:
        return bool(self._described) and self._described[-1].kind == kind and bool(self._layers)

    def _weight_and_bias(self, layer: CaffeLayer, said: Any) -> tuple[Tensor, Tensor | None]:
        blobs = layer.blobs()
        has_bias = said is None or not said.HasField("bias_term") or said.bias_term
        self._require_blobs(layer, blobs, has_bias=has_bias)
        return blobs[0], blobs[1] if has_bias else None

    def _require_blobs(self, layer: CaffeLayer, blobs: list[Tensor], *, has_bias: bool) -> None:
        if len(blobs) != 1 + has_bias:
            raise WeightsError(
                f"{self._path} says that {layer.name!r} ({layer.type}) has bias_term {str(has_bias).lower()}, and "
                f"holds {len(blobs)} blobs there: expected {1 + has_bias}. Copy it again, or save it again by Caffe."
            )

    def _require_outputs(self, layer: CaffeLayer, said: Any, weight: Tensor) -> None:
        if said is not None and said.HasField("num_output") and said.num_output != len(weight):
            raise WeightsError(
                f"{self._path} says that {layer.name!r} has {said.num_output} outputs (num_output) and holds weights "
                f"of {len(weight)}: damaged."
            )

    def _require_axis(self, layer: CaffeLayer, said: Any, axes: tuple[int, ...]) -> None:
        if said is not None and said.HasField("axis") and said.axis not in axes:
            raise WeightsError(
                f"{self._path} says that {layer.name!r} works along axis {said.axis}: expected {axes[0]}, the channels."
            )

    def _pair(self, layer: CaffeLayer, said: Any, stem: str, otherwise: tuple[int, ...]) -> tuple[int, ...]:
        """(height, width) of a setting: one number for both, one for each, or by `_h` and `_w`."""
        name = "kernel_size" if stem == "kernel" else stem
        value = getattr(said, name)
        values = ((value,) if said.HasField(name) else ()) if isinstance(value, int) else tuple(value)
        if not (said.HasField(f"{stem}_h") or said.HasField(f"{stem}_w")):
            return _both(values, otherwise)
        if values:
            raise WeightsError(
                f"{self._path} says both {name} and {stem}_h or {stem}_w of {layer.name!r}, which Caffe refuses: "
                "expected one of them."
            )
        return tuple(int(getattr(said, f"{stem}_{side}")) for side in "hw")

    def _odd(self, layer: CaffeLayer) -> WeightsError:
        blobs = len(layer.blobs())
        return WeightsError(
            f"{self._path} has weights in layer {layer.name!r} ({layer.type}, {blobs} blobs): expected convolutions "
            "and inner products alone, with weight and bias, as Oxford's nets have them, or batch normalisation with "
            "its scale after a convolution."
        )


_READERS: dict[str, Callable[[_Net, CaffeLayer], None]] = {
    "Convolution": _Net.convolution, "InnerProduct": _Net.inner_product, "BatchNorm": _Net.batch_norm,
    "Scale": _Net.scale, "Pooling": _Net.pooling, "ReLU": _Net.relu, "LRN": _Net.lrn, "Softmax": _Net.softmax,
    "Dropout": _Net.dropout, "Flatten": _Net.flatten,
}  # fmt: skip
"""What takes each type of layer."""


def _both(values: Sequence[int], otherwise: tuple[int, ...]) -> tuple[int, ...]:
    """One number stands for height and width."""
    found = tuple(int(value) for value in values)
    return found * 2 if len(found) == 1 else found or otherwise

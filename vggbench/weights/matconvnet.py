"""MatConvNet's `.mat`: MATLAB's version 5 format, read by SciPy, with all that its layers and `meta` say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.data.matlab import load_mat
from vggbench.errors import WeightsError
from vggbench.weights.description import Described, StatedInput, with_fc
from vggbench.weights.layers import Foreign, Norm, Weighted, for_our_epsilon, require_affordable, whole

_LARGEST = 1_500_000_000
"""Bytes that all compressed elements may hold: E at width 1 has 575 million."""
_INERT = {
    "name", "type", "precious", "learningRate", "weightDecay", "momentum", "rate", "size", "rememberOutput",
    "class",
    *(f"{what}{of}" for what in ("filters", "biases") for of in ("LearningRate", "WeightDecay", "Momentum")),
}  # fmt: skip
"""Fields of a layer that change no value when a net is evaluated."""
_OPTIONS = "opts"
"""Words that are handed to the layer's function: those about cuDNN change no value."""
_KNOWN = {
    "conv": {"weights", "filters", "biases", "stride", "pad", "dilate", "dilation"},
    "relu": {"leak", "weights"},
    "pool": {"method", "pool", "stride", "pad"},
    "normalize": {"param"},
    "lrn": {"param"},
    "bnorm": {"weights", "epsilon"},
    "dropout": set(),
    "softmax": set(),
    "softmaxloss": set(),
    "loss": {"loss"},
}
"""Fields of each type of layer that are read here."""
_CEIL_PADDING = (0, 0, 1, 1)
"""At the bottom and at the right: what MatConvNet, which rounds down, needs to round up as Caffe does."""
_METHODS = {"max": "max", "avg": "average"}
_NORMALISATION = {
    "imageSize", "keepAspect", "border", "interpolation", "averageImage", "cropSize", "rgbVariance", "transformation",
    "numAugments", "brightness", "saturation", "contrast", "jitterBrightness", "jitterLight", "jitterColor",
    "jitterLocation",
}  # fmt: skip
"""Fields of `meta.normalization`: `averageImage` changes pixels, the others say how images are cut and varied."""
_CHANNELS_AT = 2
"""Place of the number of channels in `imageSize`."""
Struct = NDArray[np.void]


def read_matconvnet(path: Path) -> Foreign:
    """All layers of a simplenn, with `weights` or the older `filters` and `biases`, in order.

    Its fc layers are convolutions. Raises WeightsError for a file that is damaged, or says what no VGG has.
    """
    with whole(path, "MatConvNet model", "`layers`, as simplenn has them"):
        content = load_mat(path.read_bytes(), _LARGEST, path, WeightsError)
        net = _net(content, path)
        cells = net("layers")
        if cells is None:
            held = ", ".join(sorted(name for name in content if not name.startswith("__")))
            raise WeightsError(
                f"{path} holds {held or 'nothing'}: expected `layers`, or `net`, of MatConvNet's simplenn."
            )
        layers = [_Layer(cell[0, 0], path) for cell in cells.ravel()]
        found = _Net()
        for layer in layers:
            _READERS[layer.type](found, layer)
            layer.require_known()
        stated, names = (_once(what, net, reader, path) for what, reader in _META.items())
    return Foreign(found.layers, with_fc(found.described), complete=True, input=stated, class_names=names)


def _net(content: dict[str, Any], path: Path) -> Callable[[str], Any]:
    """What yields a field of the net, which lies open in the file or in a struct `net`."""
    inner = content.get("net") if "layers" not in content else None
    fields = (inner.dtype.names or ()) if inner is not None else tuple(content)
    if {"vars", "params"} <= set(fields):
        raise WeightsError(
            f"{path} is a DagNN of MatConvNet: expected a simplenn, a plain list of layers. Load it in MATLAB, and "
            "save the simplenn that it was made from."
        )
    return lambda name: None if name not in fields else content[name] if inner is None else inner[name][0, 0]


class _Layer:
    """One struct of the cell array."""

    def __init__(self, struct: Struct, path: Path) -> None:
        self._struct, self.path = struct, path
        self._fields = struct.dtype.names or ()
        self.type, self.name = self._text("type"), self._text("name") if "name" in self._fields else ""
        if self.type not in _KNOWN:
            raise (
                self.odd()
                if self.weights()
                else WeightsError(
                    f"{path} has layer {self.name!r} of type {self.type!r}: expected a VGG's, {', '.join(_KNOWN)}."
                )
            )

    def require_known(self) -> None:
        """Raise WeightsError where the layer says what is not read here and could change a value."""
        known = _KNOWN[self.type]
        strange = next((name for name in self._fields if name not in known | _INERT and self._says(name)), None)
        if strange:
            raise WeightsError(
                f"{self.path} says {strange} of layer {self.name!r} ({self.type}), which is not known here: expected "
                f"{', '.join(sorted(known)) or 'nothing'}."
            )

    def _says(self, field: str) -> bool:
        """Whether a field holds anything that could change a value."""
        words = [str(word.ravel()[0]) for word in self._struct[field].ravel() if word.dtype.kind == "U" and word.size]
        about_cudnn = field == _OPTIONS and words and all("cudnn" in word.lower() for word in words)
        return bool(self._struct[field].size) and not about_cudnn

    def _text(self, field: str) -> str:
        value = self._struct[field]
        return str(value[0])[:100] if value.size else ""

    def text(self, field: str, otherwise: str) -> str:
        """A word that the layer says."""
        return self._text(field) or otherwise if field in self._fields else otherwise

    def numbers(self, field: str, otherwise: tuple[float, ...]) -> tuple[float, ...]:
        """Numbers that the layer says."""
        value = self._struct[field] if field in self._fields else np.empty(0)
        return tuple(float(number) for number in value.ravel()) or otherwise

    def pair(self, field: str, otherwise: tuple[int, int]) -> tuple[float, ...]:
        """(vertical, horizontal); one number stands for both."""
        found = self.numbers(field, otherwise)
        return found * 2 if len(found) == 1 else found

    def padding(self) -> tuple[float, ...]:
        """(top, left, bottom, right), of (top, bottom, left, right); one number stands for all."""
        found = self.numbers("pad", (0,))
        if len(found) == 1:
            return found * 4
        top, bottom, left, right = found if len(found) == 4 else (-1, -1, -1, -1)
        return top, left, bottom, right

    def weights(self) -> list[NDArray[np.float32]]:
        """All arrays of a layer's weights, or none."""
        if "weights" in self._fields and self._struct["weights"].size:
            return list(self._struct["weights"].ravel())
        return [self._struct["filters"], self._struct["biases"]] if {"filters", "biases"} <= set(self._fields) else []

    def tensor(self, values: NDArray[np.float32]) -> Tensor:
        """Values as PyTorch's, in the shape they have."""
        require_affordable(values.shape, self.path, self.name)
        if values.dtype.kind not in "fiu":
            raise self.odd()
        return torch.from_numpy(np.array(values, dtype=np.float32, order="F").copy())

    def odd(self) -> WeightsError:
        """Weights where a VGG has none."""
        return WeightsError(
            f"{self.path} has weights in layer {self.name!r} of type {self.type!r}: expected convolutions alone, with "
            "filters and biases, as Oxford's nets have them, or batch normalisation after one."
        )


class _Net:
    """What has been read so far."""

    def __init__(self) -> None:
        self.layers: list[Weighted] = []
        self.described: list[Described] = []

    def conv(self, layer: _Layer) -> None:
        """Filters (row, column, in, out); an empty bias is none."""
        found = layer.weights()
        if len(found) not in (1, 2):
            raise layer.odd()
        filters = layer.tensor(found[0])
        weight = filters.reshape((*filters.shape, 1, 1, 1, 1)[:4]).permute(3, 2, 0, 1).contiguous()
        bias = layer.tensor(found[1]).flatten() if len(found) == 2 and found[1].size else torch.zeros(len(weight))
        self.layers.append(Weighted(layer.name, weight, bias))
        later = layer.pair("dilation", (1, 1))
        facts = {
            "kernel": tuple(weight.shape[2:]), "stride": layer.pair("stride", (1, 1)), "padding": layer.padding(),
            "dilation": layer.pair("dilate", (1, 1)) if later == (1, 1) else later,
        }  # fmt: skip
        self.described.append(Described("conv", layer.name, facts))

    def bnorm(self, layer: _Layer) -> None:
        """Scale, shift, and (C, 2) moments: mean and deviation, which epsilon is part of."""
        found = layer.weights()
        if len(found) != 3 or not self.described or self.described[-1].kind != "conv":
            raise layer.odd()
        weight, bias, moments = (layer.tensor(values) for values in found)
        if moments.shape != (weight.numel(), 2):
            raise layer.odd()
        var = for_our_epsilon(moments[:, 1] ** 2, 0.0)
        norm = Norm(weight.flatten(), bias.flatten(), moments[:, 0].contiguous(), var)
        self.layers[-1] = self.layers[-1]._replace(norm=norm)
        self.described.append(Described("norm", layer.name))

    def relu(self, layer: _Layer) -> None:
        """Leaky where it says so."""
        self.described.append(Described("relu", layer.name, {"negative slope": layer.numbers("leak", (0,))[0]}))

    def pool(self, layer: _Layer) -> None:
        """Sizes are rounded down, after padding."""
        padding, method = layer.padding(), layer.text("method", "max")
        ceil = padding == _CEIL_PADDING
        facts = {
            "method": _METHODS.get(method, method), "kernel": layer.pair("pool", (0, 0)),
            "stride": layer.pair("stride", (1, 1)), "padding": (0,) * 4 if ceil else padding,
            "rounding": "ceil" if ceil else "floor",
        }  # fmt: skip
        self.described.append(Described("pool", layer.name, facts))

    def lrn(self, layer: _Layer) -> None:
        """`param` is [N kappa alpha beta], alpha by the plain sum."""
        given = layer.numbers("param", ())
        if len(given) != 4:
            raise WeightsError(
                f"Layer {layer.name!r} ({layer.type}) of {layer.path} has a param of {len(given)} numbers: expected N, "
                "kappa, alpha, beta."
            )
        size, k, alpha, beta = given
        self.described.append(Described("lrn", layer.name, {"size": size, "k": k, "alpha": alpha, "beta": beta}))

    def softmax(self, layer: _Layer) -> None:
        """Over channels; as a loss too."""
        loss = layer.text("loss", "softmaxlog") if layer.type == "loss" else "softmaxlog"
        if loss == "log" and self.described and self.described[-1].kind == "softmax":
            return  # of the posteriors that stand before it
        self.described.append(Described("softmax" if loss == "softmaxlog" else f"loss {loss}", layer.name))

    def nothing(self, layer: _Layer) -> None:
        """Changes no value when a net is evaluated."""


_READERS: dict[str, Callable[[_Net, _Layer], None]] = {
    "conv": _Net.conv, "bnorm": _Net.bnorm, "relu": _Net.relu, "pool": _Net.pool, "normalize": _Net.lrn,
    "lrn": _Net.lrn, "softmax": _Net.softmax, "softmaxloss": _Net.softmax, "loss": _Net.softmax,
    "dropout": _Net.nothing,
}  # fmt: skip


def _once(what: str, net: Callable[[str], Any], reader: Callable[[Struct, Path], Any], path: Path) -> Any:
    """What `meta`, or older files beside the layers, say: once, or twice the same."""
    meta = net("meta")
    structs = [net(what), None if meta is None else _field(meta, what)]
    told = [said for said in (reader(struct, path) for struct in structs if struct is not None) if said is not None]
    if any(said != told[0] for said in told):
        raise WeightsError(f"{path} says {what} twice, beside its layers and in meta, and not the same: expected one.")
    return told[0] if told else None


def _field(struct: Struct, name: str) -> Any:
    names = struct.dtype.names or ()
    return struct[name][0, 0] if name in names and struct.size else None


def _input(normalisation: Struct, path: Path) -> StatedInput | None:
    """RGB minus `averageImage`: a value a channel, or an image of that value throughout."""
    strange = next((name for name in normalisation.dtype.names or () if name not in _NORMALISATION), None)
    if strange:
        raise WeightsError(
            f"{path} says {strange} of its normalization, which is not known here: expected averageImage and how "
            "images are cut."
        )
    size = _field(normalisation, "imageSize")
    if size is not None and size.size > _CHANNELS_AT and size.ravel()[_CHANNELS_AT] != 3:
        raise WeightsError(f"{path} takes images of imageSize {size.ravel().tolist()}: expected three channels of RGB.")
    average = _field(normalisation, "averageImage")
    if average is None:
        return None
    values = np.asarray(average, dtype=np.float64)
    if not values.size:
        return StatedInput("RGB")
    by_channel = values.reshape(-1, values.shape[-1]) if values.ndim == 3 else values.reshape(1, -1)
    if by_channel.shape[1] == 1:
        by_channel = by_channel.repeat(3, axis=1)
    if by_channel.shape[1] != 3 or not np.isfinite(values).all():
        raise WeightsError(f"{path} has an averageImage of shape {values.shape}: expected three channels of RGB.")
    if np.ptp(by_channel, axis=0).max() > 1e-3:
        raise WeightsError(
            f"{path} subtracts a mean image (averageImage) whose pixels differ: expected one value for each channel, "
            "since an image of another size has no such mean. Save its mean over pixels in its place, and expect other "
            "figures."
        )
    return StatedInput("RGB", tuple(float(value) for value in by_channel[0]))


def _class_names(classes: Struct, path: Path) -> tuple[str, ...] | None:
    names = _field(classes, "name")
    if names is None or not names.size:
        return None
    if names.dtype.kind != "O" or not all(name.size and name.dtype.kind == "U" for name in names.ravel()):
        raise WeightsError(f"{path} has classes.name that is not a list of words: expected a cell array of them.")
    return tuple(str(name.ravel()[0]) for name in names.ravel())


_META: dict[str, Callable[[Struct, Path], Any]] = {"normalization": _input, "classes": _class_names}

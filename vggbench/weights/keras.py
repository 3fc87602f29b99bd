"""Keras's files: HDF5 of every generation, with the model's description or without, and `.keras` archives."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.weights.description import Described
from vggbench.weights.keras_config import KerasLayer, chain, snake_case
from vggbench.weights.keras_layers import KNOWN, KerasNet, is_channels_last
from vggbench.weights.layers import MAX_VALUES, Foreign, Weighted, channels_first, require_affordable, whole
from vggbench.weights.recognition import is_keras_archive

_MAX_NAMES = 1000
_DEEPEST = 10
"""Models within models."""
_MAX_CONFIG = 10_000_000
"""Bytes of a model's description."""
_CONV, _DENSE = 4, 2
"""Axes of their kernels."""
_OWN_FILTERS = (1, 2, 3)
"""HDF5's deflate, shuffle and checksum, which need no plug-in."""
_MOST_DEFLATED = 1100
"""Bytes that one deflated byte can hold, and some."""
_MOST_ZIPPED = 4
"""Bytes of weights that one byte of an archive holds, at most: Keras packs nothing, and weights hardly shrink."""
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""Where Keras 3 keeps the layers of a model, later and at first."""
_CLASSES = {snake_case(kind): kind for kind in KNOWN}
_OTHERS = {
    "average_pooling2d", "global_average_pooling2d", "global_max_pooling2d", "leaky_re_lu", "p_re_lu", "elu",
    "thresholded_re_lu", "lambda", "separable_conv2d", "depthwise_conv2d", "conv2d_transpose", "up_sampling2d",
    "permute", "layer_normalization", "group_normalization", "resizing", "center_crop",
}  # fmt: skip
"""Classes of Keras that no VGG has, by the names that it gives to layers without one."""
_SAID_BY = {"Conv2D": "conv", "Dense": "fc", "MaxPooling2D": "pool", "ReLU": "relu"}

Found = list[tuple[str, list[Any]]]
"""Layers by name, each with its datasets, kernel and bias."""


def read_keras(path: Path) -> Foreign:
    """The net of an HDF5 file or a `.keras` archive: by its description, else layers in the file's order.

    Raises WeightsError.
    """
    with whole(path, "Keras file", "one written by save_weights or model.save"):
        net = _archive(path) if is_keras_archive(path) else _hdf5(path, path, None)
    return net  # noqa: RET504 - a return inside would look to mypy as if it could be skipped


def _archive(path: Path) -> Foreign:
    with zipfile.ZipFile(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        if sizes["config.json"] > _MAX_CONFIG or sizes["model.weights.h5"] > _MOST_ZIPPED * path.stat().st_size:
            raise WeightsError(f"{path} would inflate to {sum(sizes.values()):,} bytes: expected a VGG's weights.")
        config = json.loads(archive.read("config.json"))
        return _hdf5(io.BytesIO(archive.read("model.weights.h5")), path, config)


def _hdf5(source: Any, path: Path, config: dict[str, Any] | None) -> Foreign:
    import h5py

    with h5py.File(source, "r") as file:
        config = config or _config(file, path)
        group = _child(file, "model_weights", path) if "model_weights" in file else file
        container = next((name for name in _CONTAINERS if name in group), None)
        backend = _word(group, "backend", path) or _word(file, "backend", path)
        if config:
            return _described(config, group, container, backend, path)
        if container:
            return _plain(list(_of_keras_3(_child(group, container, path), path)), backend, path, sorted_by_kind=True)
        if "data" in group and "layer_names" not in group.attrs:
            return _plain(list(_of_caffe(_child(group, "data", path), path)), None, path, caffe=True)
        return _plain(list(_of_keras_2(group, path)), backend, path)


# ---------------------------------------------------------------- with a description


def _config(file: Any, path: Path) -> dict[str, Any] | None:
    text = _word(file, "model_config", path)
    if text is None:
        return None
    config = json.loads(text)
    if not isinstance(config, dict):
        raise WeightsError(f"{path} describes its model by {type(config).__name__}: expected a JSON object.")
    return config


def _described(config: dict[str, Any], group: Any, container: str | None, backend: str | None, path: Path) -> Foreign:
    layers = chain(config, path)
    if container:
        found = [(layer, _of_keys(group, container, layer.keys, path)) for layer in layers]
        _require_all_used(group, container, [datasets for _, datasets in found], path)
    else:
        found = list(_by_name(group, layers, path))
    tops = list(dict.fromkeys(layer.top for layer in layers))
    reordered = not container and [name for name in _names(group, "layer_names", path) if name in tops] != tops
    _require_few([(layer.name, datasets) for layer, datasets in found], path)
    tensors = [(layer, [_tensor(dataset, path) for dataset in _used(layer, datasets)]) for layer, datasets in found]
    kernels = [held[0] for layer, held in tensors if layer.kind == "Conv2D" and held]
    last = all(is_channels_last(kernel) for kernel in kernels)
    net = KerasNet(path, channels_last=last, flipped=_is_flipped(kernels, backend, path))
    for layer, held in tensors:
        net.take(layer, held)
    read = net.read()
    return replace(read, turned=read.turned or reordered)


def _used(layer: KerasLayer, datasets: list[Any]) -> list[Any]:
    """Without the count of images that Normalization saw, a whole number."""
    return datasets[:2] if layer.kind == "Normalization" else datasets


def _of_keys(group: Any, container: str, keys: tuple[str, ...], path: Path) -> list[Any]:
    """The variables of a layer that lies in nested containers."""
    for key in keys:
        if container not in group or key not in group[container]:
            return []
        group = _child(group, f"{container}/{key}", path)
    return _variables(group, path)


def _variables(group: Any, path: Path) -> list[Any]:
    variables = _child(group, "vars", path) if "vars" in group else ()
    return [_child(variables, key, path) for key in sorted(variables, key=_as_numbered)]


def _require_all_used(group: Any, container: str, used: list[list[Any]], path: Path) -> None:
    held = sum(len(datasets) for _, datasets in _of_keras_3(_child(group, container, path), path))
    if held != sum(map(len, used)):
        raise WeightsError(
            f"{path} holds {held} weights in its layers and describes {sum(map(len, used))}: expected the same. "
            "Save it again by the Keras that made it."
        )


def _by_name(group: Any, layers: list[KerasLayer], path: Path) -> Iterator[tuple[KerasLayer, list[Any]]]:
    """The datasets of each layer, those of nested models by the layer that their names tell."""
    tops = {layer.top: layer.top for layer in layers}
    extra = [name for name in _names(group, "layer_names", path) if name not in tops]
    extra = [name for name in extra if _datasets(_child(group, name, path), path)]
    models = [top for top in tops if sum(layer.top == top for layer in layers) > 1]
    unnamed = [top for top in models if top not in group]
    if len(unnamed) == len(extra):  # until Keras 2.2 a Sequential in a Sequential bore no name
        tops |= dict(zip(unnamed, extra, strict=True))
    elif extra:
        raise WeightsError(
            f"{path} holds weights of layers that it does not describe, such as {extra[0][:100]!r}: expected the same "
            "layers. Save it again by the Keras that made it."
        )
    for described, top in tops.items():
        mine = [layer for layer in layers if layer.top == described]
        named = _datasets(_child(group, top, path), path) if top in group else []
        if len(mine) == 1:
            yield mine[0], [dataset for _, dataset in named]
            continue
        held: dict[str, list[Any]] = {layer.name: [] for layer in mine}
        for name, dataset in named:
            owner = name.split("/")[-2] if "/" in name else ""
            owner = owner if owner in held else re.sub(r"_\d+$", "", owner)  # numbered once more by TensorFlow 1
            if owner not in held:
                raise WeightsError(
                    f"{path} holds weight {name[:100]!r} in model {top[:100]!r}, which has no layer of that name: "
                    "expected one. Save the model again, as .keras."
                )
            held[owner].append(dataset)
        yield from ((layer, held[layer.name]) for layer in mine)


# ---------------------------------------------------------------- without a description


def _plain(
    found: Found, backend: str | None, path: Path, *, sorted_by_kind: bool = False, caffe: bool = False
) -> Foreign:
    """Layers in the file's order, fc6 turned to channels first where its kernels are of channels last."""
    described = tuple(_said_by_names(found, path))
    found = [(name, datasets) for name, datasets in found if datasets]
    _require_few(found, path)
    for name, datasets in found:
        if len(datasets) != 2 or datasets[0].ndim not in (_CONV, _DENSE) or datasets[1].ndim != 1:
            raise WeightsError(
                f"{path} has weights in layer {name[:100]!r} other than a kernel and a bias: expected convolutions and "
                "dense layers alone, or a file that describes its model (model.save)."
            )
    if sorted_by_kind:  # convolutions come before dense layers
        found = sorted(found, key=lambda layer: layer[1][0].ndim, reverse=True)
    pairs = [(name, _tensor(kernel, path), _tensor(bias, path)) for name, (kernel, bias) in found]
    kernels = [kernel for _, kernel, _ in pairs if kernel.ndim == _CONV]
    last = not caffe and all(is_channels_last(kernel) for kernel in kernels)
    flipped = not caffe and _is_flipped(kernels, backend, path)
    layers = [Weighted(name, _out_first(kernel, last, flipped, caffe), bias) for name, kernel, bias in pairs]
    first = next((place for place, layer in enumerate(layers) if layer.weight.ndim == _DENSE), None)
    if first and last:
        fc6, channels = layers[first], len(layers[first - 1].weight)
        if fc6.weight.shape[1] == 49 * channels:
            layers[first] = fc6._replace(weight=channels_first(fc6.weight.T, channels))
    return Foreign(layers, described, turned=flipped)


def _out_first(kernel: Tensor, last: bool, flipped: bool, caffe: bool) -> Tensor:
    if kernel.ndim == _DENSE:
        return kernel if caffe else kernel.T.contiguous()
    kernel = kernel.permute(3, 2, 0, 1) if last else kernel
    return (kernel.flip(2, 3) if flipped else kernel).contiguous()


def _said_by_names(found: Found, path: Path) -> Iterator[Described]:
    """What the names that Keras gives to layers say of their classes."""
    for name, datasets in found:
        stem = re.sub(r"_\d+$", "", name.rpartition("/")[2])
        kind = _CLASSES.get(stem)
        if kind in ("Rescaling", "Normalization", "BatchNormalization"):
            raise WeightsError(
                f"{path} has a layer {name[:100]!r} whose settings it does not hold: expected a file that describes "
                "its model. Save it by model.save('x.keras')."
            )
        if stem in _OTHERS:
            yield Described(stem, name)
        elif kind in _SAID_BY:
            yield Described(_SAID_BY[kind], name)
        elif datasets:
            yield Described("conv" if datasets[0].ndim == _CONV else "fc", name)


def _of_keras_2(group: Any, path: Path) -> Iterator[tuple[str, list[Any]]]:
    """By lists of names, or in the first Keras's files by numbers."""
    if "layer_names" in group.attrs or "layer_names0" in group.attrs:
        for name in _names(group, "layer_names", path):
            yield name, [dataset for _, dataset in _datasets(_child(group, name, path), path)]
    elif "nb_layers" in group.attrs:
        for number in range(min(int(group.attrs["nb_layers"]), _MAX_NAMES)):
            layer = _child(group, f"layer_{number}", path)
            count = min(int(layer.attrs.get("nb_params", 0)), _MAX_NAMES)
            yield f"layer_{number}", [_child(layer, f"param_{place}", path) for place in range(count)]
    else:
        raise WeightsError(
            f"{path} is an HDF5 file without layer_names, layers or data: expected Keras's weights, or Caffe's."
        )


def _datasets(layer: Any, path: Path) -> list[tuple[str, Any]]:
    return [(name, _child(layer, name, path)) for name in _names(layer, "weight_names", path)]


def _of_keras_3(
    group: Any, path: Path, above: str = "", met: set[Any] | None = None
) -> Iterator[tuple[str, list[Any]]]:
    """HDF5 lists names in the alphabet's order, conv2d_10 before conv2d_2: sorted here as they are numbered."""
    met = set() if met is None else met
    for name in sorted(list(group)[:_MAX_NAMES], key=_as_numbered):
        layer = _child(group, name, path)
        inner = next((container for container in _CONTAINERS if container in layer), None)
        if inner:
            held = _child(layer, inner, path)
            if held.id in met or above.count("/") >= _DEEPEST:
                raise WeightsError(f"{path} holds models nested without end: expected each layer once.")
            met.add(held.id)
            yield from _of_keras_3(held, path, f"{above}{name}/", met)
        else:
            yield f"{above}{name}", _variables(layer, path)


def _of_caffe(group: Any, path: Path) -> Iterator[tuple[str, list[Any]]]:
    """Caffe's own HDF5: a group a layer, conv1_1 and on, its blobs by number; it has no order but that of names."""
    stems = set()
    for name in sorted(list(group)[:_MAX_NAMES], key=_as_numbered):
        layer = _child(group, name, path)
        blobs = [_child(layer, key, path) for key in sorted(layer, key=_as_numbered)]
        if blobs and len(blobs[0].shape) == _CONV and not name.startswith("fc"):
            stem = re.fullmatch(r"(\D*)\d+(?:_\d+)*", name)
            stems.add(stem[1] if stem else name)
            if len(stems) > 1 or stem is None:
                raise WeightsError(
                    f"{path} has a convolution {name[:100]!r}, and Caffe's HDF5 has no order of layers but that of "
                    "their names: expected conv1_1, conv1_2 and on. Save the net as .caffemodel."
                )
        yield name, blobs


def _as_numbered(name: str) -> tuple[Any, ...]:
    """conv2d, conv2d_1, conv2d_2, conv2d_10; block1_conv2, block2_conv1; dense, dense_1; fc1, predictions."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", name))


def _is_flipped(kernels: list[Tensor], backend: str | None, path: Path) -> bool:
    """Whether kernels are Theano's, which convolves where all others correlate: the file says so, or its name."""
    if backend is not None:
        return backend == "theano"
    named = re.search(r"_(th|tf)_kernels", path.name)
    if named:
        return named[1] == "th"
    if kernels and not all(is_channels_last(kernel) for kernel in kernels):
        raise WeightsError(
            f"{path} has kernels in Theano's order (out, in, row, column) and does not say whether they are turned, as "
            "Theano's convolution wants them: expected a name that ends in th_kernels.h5 (turned) or tf_kernels.h5 "
            "(not), as Keras's files have."
        )
    return False


# ---------------------------------------------------------------- HDF5


def _require_few(found: Found, path: Path) -> None:
    """Refuse the same values under many names, and more of them than a VGG has, before any is read."""
    names = [dataset.name for _, datasets in found for dataset in datasets]
    values = sum(dataset.size for _, datasets in found for dataset in datasets)
    if len(set(names)) < len(names) or values > MAX_VALUES:
        raise WeightsError(f"{path} holds {values:,} values in {len(names)} datasets: expected a VGG's, each once.")


def _tensor(dataset: Any, path: Path) -> Tensor:
    """The values of a dataset that lies in this file, as it is or deflated."""
    require_affordable(dataset.shape, path, dataset.name)
    plain = dataset.id.get_create_plist()
    filters = [plain.get_filter(place)[0] for place in range(plain.get_nfilters())]
    if (
        dataset.dtype.kind != "f"
        or set(filters) - set(_OWN_FILTERS)
        or plain.get_external_count()
        or dataset.is_virtual
    ):
        raise WeightsError(
            f"{path} holds {dataset.name} in another form than plain floating point: expected what Keras writes."
        )
    most = dataset.id.get_storage_size() * (_MOST_DEFLATED if filters else 1)
    if dataset.nbytes > most:
        raise WeightsError(f"{path} claims a dataset {dataset.name} larger than itself. Do not trust this file.")
    return torch.from_numpy(np.asarray(dataset[()], dtype=np.float32))


def _word(group: Any, attribute: str, path: Path) -> str | None:
    """A text that an attribute holds."""
    if attribute not in group.attrs:
        return None
    held = group.attrs.get_id(attribute)
    if held.shape not in ((), (1,)) or held.dtype.itemsize > _MAX_CONFIG:
        raise WeightsError(f"{path} holds {attribute} of {held.dtype.itemsize:,} bytes: expected a text.")
    value = group.attrs[attribute]
    value = value.ravel()[0] if isinstance(value, np.ndarray) else value
    text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
    if len(text) > _MAX_CONFIG:
        raise WeightsError(f"{path} holds {attribute} of {len(text):,} characters: expected a shorter one.")
    return text


def _names(group: Any, attribute: str, path: Path) -> list[str]:
    """A list of names that an attribute holds; Keras splits a long one into attribute0, attribute1 and so on."""
    keys = [attribute] if attribute in group.attrs else []
    keys = keys or sorted((key for key in group.attrs if re.fullmatch(rf"{attribute}\d+", key)), key=_as_numbered)
    names: list[str] = []
    for key in keys:
        held = group.attrs.get_id(key)
        if np.prod(held.shape) > _MAX_NAMES or held.dtype.itemsize > _MAX_NAMES:
            raise WeightsError(f"{path} claims more than {_MAX_NAMES} {attribute}: expected some twenty layers.")
        names += [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in group.attrs[key]]
    return names


def _child(group: Any, name: str, path: Path) -> Any:
    """A group or dataset by name, a step at a time: links that lead into other files are refused."""
    import h5py

    for part in name.split("/"):
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):  # another could lead out of the file
            raise WeightsError(f"{path} links to another place at {name[:100]!r}: expected the weights themselves.")
        group = group[part]
    return group

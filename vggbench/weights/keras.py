"""Keras's HDF5 files in three layouts: the released one, `model.save`'s, and Keras 3's `.weights.h5`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.weights.layers import MAX_VALUES, Foreign, Weighted, channels_first, require_affordable, whole

_MAX_NAMES = 1000
_CONV, _DENSE = 4, 2
"""Axes of their kernels."""


def read_keras(path: Path) -> Foreign:
    """Convolutions and dense layers in the net's order, fc6 turned to channels first. Raises WeightsError."""
    import h5py

    with whole(path, "Keras file", "one written by save_weights or model.save"), h5py.File(path, "r") as file:
        found = list(_layers(file, path))
        _require_few(found, path)
        layers = [_weighted(name, datasets, path) for name, datasets in found]
    first = next((place for place, layer in enumerate(layers) if layer.weight.ndim == _DENSE), None)
    if not first:
        return Foreign(layers)
    fc6, channels = layers[first], len(layers[first - 1].weight)
    if fc6.weight.shape[1] == 49 * channels:
        layers[first] = fc6._replace(weight=channels_first(fc6.weight.T, channels))
    return Foreign(layers)


def _require_few(found: list[tuple[str, list[Any]]], path: Path) -> None:
    """Refuse the same values under many names, and more of them than a VGG has, before any is read."""
    names = [dataset.name for _, datasets in found for dataset in datasets]
    values = sum(dataset.size for _, datasets in found for dataset in datasets)
    if len(set(names)) < len(names) or values > MAX_VALUES:
        raise WeightsError(f"{path} holds {values:,} values in {len(names)} datasets: expected a VGG's, each once.")


def _layers(file: Any, path: Path) -> Iterator[tuple[str, list[Any]]]:
    """Each layer with weights and its datasets, kernel and bias."""
    group = _child(file, "model_weights", path) if "model_weights" in file else file
    if "layer_names" in group.attrs:
        for name in _names(group, "layer_names", path):
            layer = _child(group, name, path)
            datasets = [_child(layer, weight, path) for weight in _names(layer, "weight_names", path)]
            if datasets:
                yield name, datasets
    elif "layers" in group:
        yield from _of_keras_3(_child(group, "layers", path), path)
    else:
        raise WeightsError(f"{path} is an HDF5 file without layer_names or layers: expected Keras's weights.")


def _of_keras_3(group: Any, path: Path) -> Iterator[tuple[str, list[Any]]]:
    """HDF5 lists names in the alphabet's order, conv2d_10 before conv2d_2: sorted here as they are numbered."""
    found = []
    for name in sorted(list(group)[:_MAX_NAMES], key=_as_numbered):
        layer = _child(group, name, path)
        variables = _child(layer, "vars", path) if "vars" in layer else ()
        datasets = [_child(variables, key, path) for key in sorted(variables, key=_as_numbered)]
        if datasets:
            found.append((name, datasets))
    yield from sorted(found, key=lambda layer: layer[1][0].ndim, reverse=True)  # convolutions before dense layers


def _as_numbered(name: str) -> tuple[Any, ...]:
    """conv2d, conv2d_1, conv2d_2, conv2d_10; block1_conv2, block2_conv1; dense, dense_1; fc1, predictions."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", name))


def _weighted(name: str, datasets: list[Any], path: Path) -> Weighted:
    if len(datasets) != 2 or datasets[0].ndim not in (_CONV, _DENSE) or datasets[1].ndim != 1:
        raise WeightsError(
            f"{path} has weights in layer {name[:100]!r} that are no kernel and bias: expected convolutions and dense "
            "layers alone."
        )
    kernel, bias = (_tensor(dataset, path) for dataset in datasets)
    kernel = kernel.permute(3, 2, 0, 1) if kernel.ndim == _CONV else kernel.T
    return Weighted(name, kernel.contiguous(), bias)


def _tensor(dataset: Any, path: Path) -> Tensor:
    """The values of a dataset that lies in this file as it is."""
    require_affordable(dataset.shape, path, dataset.name)
    plain = dataset.id.get_create_plist()
    if dataset.dtype.kind != "f" or plain.get_nfilters() or plain.get_external_count() or dataset.is_virtual:
        raise WeightsError(
            f"{path} holds {dataset.name} in another form than plain floating point: expected what Keras writes."
        )
    if dataset.nbytes > path.stat().st_size:
        raise WeightsError(f"{path} claims a dataset {dataset.name} larger than itself. Do not trust this file.")
    return torch.from_numpy(np.asarray(dataset[()], dtype=np.float32))


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

"""MatConvNet's `.mat`: MATLAB's version 5 format, read by SciPy."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.matlab import load_mat
from vggbench.weights.layers import Foreign, Weighted, require_affordable, whole

_LARGEST = 1_500_000_000
"""Bytes that all compressed elements may hold: E at width 1 has 575 million."""


def read_matconvnet(path: Path) -> Foreign:
    """Convolutions of a simplenn, with `weights` or the older `filters` and `biases`, in order.

    Its fc layers are convolutions. Raises WeightsError.
    """
    with whole(path, "MatConvNet model", "`layers`, as simplenn has them"):
        content = load_mat(path.read_bytes(), _LARGEST, path, WeightsError)
        cells = content["layers"] if "layers" in content else content["net"]["layers"][0, 0]
        layers = [layer[0, 0] for layer in cells.ravel()]
        kinds = {str(layer["type"][0]) for layer in layers}
        found = [_weighted(layer, path) for layer in layers if _filters(layer)]
    return Foreign(found, has_lrn=bool(kinds & {"normalize", "lrn"}))


def _filters(layer: NDArray[np.void]) -> list[NDArray[np.float32]]:
    """Weight and bias of a layer, or none."""
    fields = layer.dtype.names or ()
    if "weights" in fields and layer["weights"].size:
        return list(layer["weights"].ravel())
    return [layer["filters"], layer["biases"]] if {"filters", "biases"} <= set(fields) else []


def _weighted(layer: NDArray[np.void], path: Path) -> Weighted:
    kind, name = str(layer["type"][0]), str(layer["name"][0])[:100]
    if kind != "conv" or len(_filters(layer)) != 2:
        raise WeightsError(
            f"{path} has weights in layer {name!r} of type {kind!r}: expected convolutions alone, with filters and "
            "biases, as Oxford's nets have them."
        )
    filters, biases = _filters(layer)
    require_affordable(filters.shape, path, name)
    shape = (*filters.shape, 1, 1, 1, 1)[:4]  # MATLAB leaves out last sides of 1
    weight = torch.from_numpy(np.asarray(filters, dtype=np.float32).reshape(shape, order="F").copy())
    return Weighted(name, _out_first(weight), torch.from_numpy(np.asarray(biases, dtype=np.float32).ravel().copy()))


def _out_first(weight: Tensor) -> Tensor:
    """(row, column, in, out) -> (out, in, row, column)."""
    return weight.permute(3, 2, 0, 1).contiguous()

"""MatConvNet's `.mat`: MATLAB's version 5 format, read by SciPy."""

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.weights.layers import Foreign, Weighted, require_affordable, whole

_HEADER, _TAG, _COMPRESSED, _CHUNK = 128, 8, 15, 1 << 20
_LARGEST = 1_500_000_000
"""Bytes that all compressed elements may hold: E at width 1 has 575 million."""


def read_matconvnet(path: Path) -> Foreign:
    """Convolutions of a simplenn, with `weights` or the older `filters` and `biases`, in order.

    Its fc layers are convolutions. Raises WeightsError.
    """
    _require_no_bomb(path)
    with whole(path, "MatConvNet model", "`layers`, as simplenn has them"):
        content = _loaded(path)
        cells = content["layers"] if "layers" in content else content["net"]["layers"][0, 0]
        layers = [layer[0, 0] for layer in cells.ravel()]
        kinds = {str(layer["type"][0]) for layer in layers}
        found = [_weighted(layer, path) for layer in layers if _filters(layer)]
    return Foreign(found, has_lrn=bool(kinds & {"normalize", "lrn"}))


def _loaded(path: Path) -> dict[str, Any]:
    import scipy.io

    # From memory, so that SciPy opens no file by a name of its own making.
    content: dict[str, Any] = scipy.io.loadmat(io.BytesIO(path.read_bytes()))
    return content


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


def _require_no_bomb(path: Path) -> None:
    """Raise WeightsError where the compressed elements of the file hold more than any VGG does, or end too early."""
    allowed, size = _LARGEST, path.stat().st_size
    with path.open("rb") as file:
        if file.read(_HEADER)[-2:] != b"IM":  # SciPy would read the sizes the other way round
            raise WeightsError(f"{path} is no little-endian .mat: expected one as MATLAB on a PC writes it.")
        while len(tag := file.read(_TAG)) == _TAG:
            kind, length = (int.from_bytes(tag[i : i + 4], "little") for i in (0, 4))
            if file.tell() + length > size:
                raise WeightsError(f"{path} ends too early: expected a whole .mat. Copy or download it again.")
            if kind != _COMPRESSED:
                file.seek(length, io.SEEK_CUR)
                continue
            allowed -= _inflated(file, length, allowed)
            if allowed < 0:
                raise WeightsError(f"{path} would inflate beyond {_LARGEST:,} bytes: expected a VGG's weights.")


def _inflated(file: io.BufferedReader, length: int, allowed: int) -> int:
    """Bytes that come out of the next `length` ones, counted until there are more than `allowed`."""
    inflate, count, left = zlib.decompressobj(), 0, length
    while left > 0 and count <= allowed and (chunk := file.read(min(left, _CHUNK))):
        left -= len(chunk)
        try:
            while chunk and count <= allowed:
                count += len(inflate.decompress(chunk, _CHUNK))
                chunk = inflate.unconsumed_tail
        except zlib.error:
            return count  # SciPy says what is wrong with it
    return count

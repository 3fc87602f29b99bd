"""Caffe's `.caffemodel`: a protobuf message, whose few fields that matter are declared here."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.weights.layers import Foreign, Weighted, require_affordable

_MAX_LAYERS = 1000
_V1_TYPES = {4: "Convolution", 14: "InnerProduct", 15: "LRN", 17: "Pooling", 18: "ReLU"}
"""Of Caffe's enum V1LayerParameter.LayerType."""
_WEIGHTED = ("Convolution", "InnerProduct")

# Message -> fields as (name, number, type, repeated). Layers and blobs are bytes here, to be parsed one at a time;
# so are packed numbers, which NumPy reads a thousand times faster than one by one.
_MESSAGES = {
    "Net": (("layers", 2, "bytes", True), ("layer", 100, "bytes", True)),
    "V1Layer": (("name", 4, "bytes", False), ("type", 5, "int32", False), ("blobs", 6, "bytes", True)),
    "Layer": (("name", 1, "bytes", False), ("type", 2, "bytes", False), ("blobs", 7, "bytes", True)),
    "Blob": (
        ("num", 1, "int32", False), ("channels", 2, "int32", False), ("height", 3, "int32", False),
        ("width", 4, "int32", False), ("data", 5, "bytes", True), ("shape", 7, "Shape", False),
        ("double_data", 8, "bytes", True),
    ),
    "Shape": (("dim", 1, "int64", True),),
}  # fmt: skip


def read_caffe(path: Path) -> Foreign:
    """Convolutions and inner products of either generation of Caffe's layers, in the file's order.

    Raises WeightsError for anything else that holds weights, and for a file that is no Caffe model.
    """
    net = _parsed("Net", path.read_bytes(), path)
    layers = [*net.layers, *net.layer]
    if not layers or len(layers) > _MAX_LAYERS or (net.layers and net.layer):
        raise WeightsError(f"{path} holds {len(layers)} Caffe layers: expected a .caffemodel of some twenty.")
    old = bool(net.layers)
    del net
    found, kinds = [], set()
    while layers:
        layer = _parsed("V1Layer" if old else "Layer", layers.pop(0), path)
        kind = _V1_TYPES.get(layer.type, f"type {layer.type}") if old else _text(layer.type)
        kinds.add(kind)
        if layer.blobs:
            found.append(_weighted(_text(layer.name), kind, list(layer.blobs), path))
    # A file stripped to its weights says nothing of the layers between them.
    return Foreign(found, has_lrn="LRN" in kinds if kinds - set(_WEIGHTED) else None)


def _weighted(name: str, kind: str, blobs: list[bytes], path: Path) -> Weighted:
    if kind not in _WEIGHTED or len(blobs) != 2:
        raise WeightsError(
            f"{path} has weights in layer {name!r} ({kind}, {len(blobs)} blobs): expected convolutions and inner "
            "products alone, with weight and bias, as Oxford's nets have them."
        )
    weight, bias = (_tensor(_parsed("Blob", blob, path), path, name) for blob in blobs)
    if kind == "InnerProduct":
        if weight.ndim < 2 or weight.shape[:-2].numel() != 1:  # (1, 1, out, in) in the old generation
            raise WeightsError(
                f"{path} has an inner product {name!r} of shape {tuple(weight.shape)}: expected (out, in)."
            )
        weight = weight.view(weight.shape[-2:])
    return Weighted(name, weight, bias)


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


def _parsed(kind: str, data: bytes, path: Path) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return _classes()[kind].FromString(data)
    except DecodeError as error:
        raise WeightsError(
            f"{path} is no whole Caffe model (no {kind} message): expected a .caffemodel. Copy or download it again."
        ) from error


@cache
def _classes() -> dict[str, Any]:
    """Message classes from `_MESSAGES`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="vggbench_caffe.proto", package="vggbench_caffe", syntax="proto2")
    for message, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            field = declared.field.add(name=name, number=number, label=3 if repeated else 1)
            if kind in _MESSAGES:
                field.type, field.type_name = 11, f".vggbench_caffe.{kind}"
            else:
                field.type = descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
                if repeated and kind != "bytes":
                    field.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"vggbench_caffe.{name}"))
        for name in _MESSAGES
    }

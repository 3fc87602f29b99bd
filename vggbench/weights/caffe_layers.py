"""Caffe's layers one at a time, and the one way through them from the images to the scores."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.weights.caffe_proto import PARAMETERS, parsed, unknown_field
from vggbench.weights.layers import require_affordable

_V1_TYPES = {
    1: "Accuracy", 2: "BNLL", 3: "Concat", 4: "Convolution", 5: "Data", 6: "Dropout", 7: "EuclideanLoss", 8: "Flatten",
    9: "HDF5Data", 10: "HDF5Output", 11: "Im2col", 12: "ImageData", 13: "InfogainLoss", 14: "InnerProduct", 15: "LRN",
    16: "MultinomialLogisticLoss", 17: "Pooling", 18: "ReLU", 19: "Sigmoid", 20: "Softmax", 21: "SoftmaxWithLoss",
    22: "Split", 23: "TanH", 24: "WindowData", 25: "Eltwise", 26: "Power", 27: "SigmoidCrossEntropyLoss",
    28: "HingeLoss", 29: "MemoryData", 30: "ArgMax", 31: "Threshold", 32: "DummyData", 33: "Slice", 34: "MVN",
    35: "AbsVal", 36: "Silence", 37: "ContrastiveLoss", 38: "Exp", 39: "Deconvolution",
}  # fmt: skip
"""Caffe's enum V1LayerParameter.LayerType."""
BGR_SOURCES = {"Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param"}
"""Layers that yield images as OpenCV decodes them, in the order BGR, and labels; and where older files say how."""
_SOURCES = (*BGR_SOURCES, "HDF5Data", "MemoryData", "DummyData", "Input", "AnnotatedData", "Python")
_SIDE = ("SoftmaxWithLoss", "Accuracy", "Silence")
"""Layers that the scores go into and that yield none."""


class CaffeLayer:
    """One layer of either generation."""

    def __init__(self, message: Any, path: Path, *, old: bool) -> None:
        self._message, self._path = message, path
        self.type = _V1_TYPES.get(message.type, f"type {message.type}") if old else text(message.type)
        self.name = text(message.name)
        self.bottoms = [text(name) for name in message.bottom]
        self.tops = [text(name) for name in message.top]
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
                f"{self._path} has field {unknown} in {parameter} of layer {self.name!r}, which BVLC's Caffe has not "
                "and which may change a number: expected a net of BVLC's Caffe. Save it by that."
            )
        return settings

    def blobs(self) -> list[Tensor]:
        """Its weights, each with its own shape."""
        return [_tensor(blob, self._path, self.name) for blob in self._message.blobs]

    @property
    def has_weights(self) -> bool:
        """Whether it holds any."""
        return bool(self._message.blobs)

    @property
    def is_source(self) -> bool:
        """Whether images, or labels, come from it."""
        return self.type in _SOURCES and not self.bottoms and not self.has_weights

    @property
    def is_of_training(self) -> bool:
        """Whether it is of a net as a solver saved it, in its phase TRAIN."""
        phases = [self._message] if "phase" in self._message.DESCRIPTOR.fields_by_name else []
        return any(one.HasField("phase") and one.phase == 0 for one in (*phases, *self._message.include))


class Chain:
    """The one way from the images to the scores."""

    def __init__(self, inputs: Sequence[str], path: Path) -> None:
        self._live, self._path = set(inputs), path
        self._aside: set[str] = set()
        """What no layer of the net may take: labels."""
        self._has_loose = False
        self.entry: str | None = None
        """What the first layer takes: the images; None of a file that does not say how its layers are joined."""

    def start(self, source: CaffeLayer) -> None:
        """Images come from here, or labels."""
        if self.entry in source.tops and self.entry is not None:
            raise self._branch(source)
        images = source.tops[:1] if source.type in BGR_SOURCES else source.tops
        (self._live if self.entry is None else self._aside).update(images)
        self._aside.update(source.tops[len(images) :])

    def goes_through(self, layer: CaffeLayer) -> bool:
        """Whether a layer is one of the net's; raises WeightsError for a branch."""
        if not layer.bottoms and not layer.tops and self.entry is None:
            self._has_loose |= layer.type not in (*_SIDE, "Split")
            return layer.type not in (*_SIDE, "Split")
        if self._is_aside(layer):
            self._aside.update(layer.tops)
            return False
        if self.entry is None and not self._live:  # a net without a source: its first layer's input are the images
            self._live = set(layer.bottoms)
        if len(layer.bottoms) != 1 or layer.bottoms[0] not in self._live or self._has_loose:
            raise self._branch(layer)
        if self.entry is None:
            self.entry = layer.bottoms[0]
            self._aside |= self._live - {self.entry}
        self._live = set(layer.tops if layer.type == "Split" else layer.tops[:1])
        return layer.type != "Split"

    def _is_aside(self, layer: CaffeLayer) -> bool:
        below = layer.bottoms[:1]
        if layer.type in ("Split", "Silence") and below and (layer.type == "Silence" or below[0] in self._aside):
            return True
        return layer.type in _SIDE and bool(below) and below[0] in self._live

    def _branch(self, layer: CaffeLayer) -> WeightsError:
        return WeightsError(
            f"{self._path} joins layer {layer.name!r} ({layer.type}) to {' and '.join(layer.bottoms) or 'nothing'}: "
            f"expected one chain of layers, here from {' or '.join(sorted(self._live)) or 'the images'}. "
            "Model.wrap evaluates any net from Python."
        )


def _tensor(data: bytes, path: Path, name: str) -> Tensor:
    blob = parsed("Blob", data, path)
    older = ("num", "channels", "height", "width")  # which Caffe takes first
    has_older = any(blob.HasField(side) for side in older)
    shape = tuple(getattr(blob, side) for side in older) if has_older else tuple(blob.shape.dim)
    require_affordable(shape, path, name)
    values = _values(blob)
    if values is None:  # not packed, as nobody writes them, and protobuf allows
        loose = parsed("LooseBlob", data, path)
        values = np.array(loose.double_data or loose.data, dtype=np.float32)
    if len(values) != math.prod(shape):
        held = f"{len(values):,} values" if len(values) else "none in `data`, where BVLC's Caffe keeps them"
        raise WeightsError(
            f"{path} says that {name!r} has shape {shape} and holds {held}: expected {math.prod(shape):,}. Copy it "
            "again, or save it by BVLC's Caffe."
        )
    return torch.from_numpy(values).view(shape)


def _values(blob: Any) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """The packed values, as float32; None where there are none. Of both kinds Caffe takes the double ones."""
    for chunks, kind in ((blob.double_data, "<f8"), (blob.data, "<f4")):
        data = b"".join(chunks)
        if data and len(data) % np.dtype(kind).itemsize == 0:
            return np.frombuffer(data, kind).astype(np.float32)
    return None


def text(value: bytes) -> str:
    """A word of the file."""
    return value.decode("utf-8", "replace")[:100]

"""ONNX graphs: the chain of a VGG's operators is followed from the images on, and their initialisers are read."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.paper.configs import CROP, FC6_KERNEL
from vggbench.weights import onnx_nodes as nodes
from vggbench.weights.description import Described, StatedInput, with_fc
from vggbench.weights.files import METADATA_KEY
from vggbench.weights.layers import EPSILON, Foreign, Norm, Weighted, channels_first, for_our_epsilon, whole
from vggbench.weights.onnx_nodes import Dims, Shapes

_ENDING = {"GlobalAveragePool", "ReduceMean", "Softmax"}
"""Operators that may follow the last layer."""
_COLOURS = 3
_AFFINE = ("Add", "Sub", "Mul", "Div")
_TO_LAST, _TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
_FLOATS = (1, 10, 11, 16)
"""ONNX's numbers of floating point types."""


def read_onnx(path: Path) -> Foreign:
    """Layers with weights, fc layers as Gemm or as convolutions. Raises WeightsError for a graph that is not a VGG."""
    with whole(path, "ONNX model", "a VGG's graph, with its external data beside it if it has any"):
        net = _Chain(nodes.model_of(path), path).followed()
    return net  # noqa: RET504 - a return inside would look to mypy as if it could be skipped


def read_description(path: Path) -> dict[str, Any]:
    """What a file that `vggbench export` wrote says of itself; {} for any other."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    own = next((entry.value for entry in model.metadata_props if entry.key == METADATA_KEY), "{}")
    try:
        description = json.loads(own)
    except ValueError:
        description = None
    if not isinstance(description, dict):
        raise WeightsError(
            f"{path} describes itself by something else than a JSON object: expected one. Export it again."
        )
    return description


class _Chain:
    """The operators from the images to the scores, one after the other, followed for images of the graph's own size."""

    def __init__(self, model: Any, path: Path) -> None:
        self._graph, self._path = model.graph, path
        self._values = {tensor.name: tensor for tensor in self._graph.initializer}
        inputs = [value for value in self._graph.input if value.name not in self._values]
        if len(inputs) != 1:
            raise WeightsError(f"{path} takes {len(inputs)} inputs: expected images alone.")
        self._data = inputs[0].name
        self._dims, self._channels_last = _image_dims(inputs[0], path)  # (N, C, H, W), whatever their order there
        self._given = self._dims[2:]
        self._shapes = Shapes(self._values, model.opset_import)
        self._shapes.keep(self._data, self._actual)
        self._layers: list[Weighted] = []
        self._described: list[Described] = []
        self._rows_first = False
        self._affine = (torch.ones(_COLOURS, dtype=torch.float64), torch.zeros(_COLOURS, dtype=torch.float64))
        self._has_affine, self._has_bias = False, True
        self._ended: str | None = None

    def followed(self) -> Foreign:
        """All layers."""
        for node in self._graph.node:
            attributes = {attribute.name: nodes.value_of(attribute) for attribute in node.attribute}
            takes = self._data in node.input and (node.input[0] == self._data or node.op_type in _AFFINE)
            if takes and node.op_type != "Shape":
                self._take(node, attributes)
                self._data = node.output[0]
                self._shapes.keep(self._data, self._actual)
            else:
                self._note(node, attributes)
        if self._data not in {value.name for value in self._graph.output}:
            raise WeightsError(
                f"{self._path} yields {', '.join(value.name for value in self._graph.output)[:100]}: expected the last "
                f"layer's scores, {self._data[:100]}."
            )
        if math.prod(self._dims[2:]) != 1:
            raise WeightsError(
                f"{self._path} yields maps of {self._dims[2:]} from {self._given[0]} x {self._given[1]}: expected one "
                "position."
            )
        scale, shift = self._affine
        stated = StatedInput(None, tuple((-shift / scale).tolist()), tuple((1 / scale).tolist()))
        return Foreign(
            self._layers, with_fc(self._described), complete=True, input=stated if self._has_affine else None
        )

    def _take(self, node: Any, attributes: dict[str, Any]) -> None:
        """A node of the chain."""
        if self._ended and node.op_type not in nodes.PASSING:
            raise WeightsError(
                f"{self._path} goes on with {node.op_type} after an average or softmax: expected no layer."
            )
        if node.op_type in _AFFINE:
            nodes.require_own(node, _AFFINE, self._path)
            self._add_constant(node)
            return
        nodes.require_usual(node, attributes, self._shapes.opset, self._path)
        if node.op_type in nodes.PASSING:
            self._pass(node, attributes)
            return
        kind = nodes.KINDS[node.op_type]
        if self._channels_last and node.op_type not in ("Relu", "MatMul", "Gemm"):
            raise self._odd(node, f"{node.op_type} on maps with channels last")
        rounding = "ceil" if kind == "pool" and nodes.rounds_up(node, attributes, self._path) else "floor"
        facts = {"rounding": rounding} if kind == "pool" else {}
        self._described.append(Described(kind, node.name or node.op_type, facts))
        if kind in ("conv", "fc"):
            self._weighted(node, attributes)
        elif kind == "norm":
            if [layer.kind for layer in self._described[-2:-1]] != ["conv"]:
                raise WeightsError(f"{self._path} normalises elsewhere than after a convolution: expected it there.")
            scale, shift, mean, var = self._parameters(node, 4)
            var = for_our_epsilon(var, float(attributes.get("epsilon", EPSILON)))
            self._layers[-1] = self._layers[-1]._replace(norm=Norm(scale, shift, mean, var))
        elif kind == "pool":
            odd_too = self._described[-1].facts["rounding"] == "ceil"
            self._dims = (*self._dims[:2], *((side + odd_too) // 2 for side in self._dims[2:]))

    def _weighted(self, node: Any, attributes: dict[str, Any]) -> None:
        is_conv = node.op_type == "Conv"
        has_bias = len([name for name in node.input if name]) > 2  # an exporter leaves out one of zeros
        weight, *biases = self._parameters(node, 1 + has_bias)
        if is_conv:
            nodes.require_padded(node, weight, attributes, self._path)
        elif len(self._dims) != 2 or weight.ndim != 2:
            raise self._odd(node, f"{node.op_type} on maps")
        elif not attributes.get("transB", 0):
            weight = weight.T.contiguous()
        if self._rows_first and not is_conv and self._layers[-1].weight.ndim == 4:
            weight = channels_first(weight.T, len(self._layers[-1].weight))
        bias = self._bias(node, biases[0], len(weight)) if biases else torch.zeros(len(weight))
        self._layers.append(Weighted(node.name or node.input[1], weight, bias))
        self._has_bias = bool(biases)
        taken = FC6_KERNEL - 1 if weight.shape[-1] == FC6_KERNEL else 0
        self._dims = (self._dims[0], len(weight), *(side - taken for side in self._dims[2:] if is_conv))

    def _bias(self, node: Any, bias: Tensor, outputs: int) -> Tensor:
        """One number for each output, however it is broadcast."""
        found = _by_channel(bias, (self._dims[0], outputs), 1)
        if found is None:
            raise self._odd(node, f"{node.op_type} with a bias of shape {tuple(bias.shape)}")
        return found

    def _add_constant(self, node: Any) -> None:
        """Take an operator with a constant: it rescales pixels, or is the bias of a layer's outputs."""
        first = node.input[0] == self._data
        other = node.input[1] if first else node.input[0]
        if other in self._values:
            constant = nodes.tensor(self._values[other], self._path).to(torch.float64)
        else:
            known = self._shapes.constant(other)  # from a node, such as a Constant with value_float
            if known is None or known.dtype.kind != "f":
                raise self._odd(node, f"{node.op_type} of two computed values")
            constant = torch.from_numpy(known.astype(np.float64))
        by_channel = _by_channel(constant, self._dims, -1 if self._channels_last else 1)
        if by_channel is None:
            raise self._odd(node, f"{node.op_type} with values of shape {tuple(constant.shape)}")
        if not self._described:
            self._rescale(node, by_channel, first=first)
        elif node.op_type == "Add" and not self._has_bias and self._described[-1].kind in ("conv", "fc"):
            self._layers[-1] = self._layers[-1]._replace(bias=by_channel.to(torch.float32))
            self._has_bias = True
        else:
            self._described.append(Described(node.op_type, node.name or node.output[0]))  # only another net has it here

    def _rescale(self, node: Any, by: Tensor, *, first: bool) -> None:
        scale, shift = self._affine
        if node.op_type == "Add":
            shift = shift + by
        elif node.op_type == "Sub" and first:
            shift = shift - by
        elif node.op_type == "Mul":
            scale, shift = scale * by, shift * by
        elif node.op_type == "Div" and first:
            scale, shift = scale / by, shift / by
        else:
            raise self._odd(node, f"{node.op_type} from a constant")
        if not bool((scale > 0).all() and scale.isfinite().all() and shift.isfinite().all()):
            raise self._odd(node, f"{node.op_type} with values that turn pixels round")
        self._affine, self._has_affine = (scale, shift), True

    def _pass(self, node: Any, attributes: dict[str, Any]) -> None:
        """An operator that changes no value, but perhaps the order of values."""
        kind = node.op_type
        if kind == "Transpose":
            self._transpose(node, list(attributes.get("perm", [])))
        elif kind == "Reshape":
            self._reshape(node, self._shapes.resolved(node, attributes, self._actual))
        elif kind == "Flatten":
            self._reshape(node, (self._dims[0], math.prod(self._dims[1:])))
        elif kind == "Cast" and attributes.get("to") not in _FLOATS:
            raise self._odd(node, "Cast to a type that is not floating point")
        elif kind == "Dropout" and len(node.input) > 2 and self._shapes.numbers(node.input[2]) not in ([0], [False]):
            raise self._odd(node, "Dropout as in training")
        elif kind in _ENDING:
            self._end(node, attributes)

    def _end(self, node: Any, attributes: dict[str, Any]) -> None:
        """Averaging scores over positions comes before the softmax over classes."""
        kind, maps = node.op_type, len(self._dims) == 4
        if kind == "Softmax":
            axis = attributes.get("axis", -1 if self._shapes.opset >= 13 else 1)  # before, all axes from there on
            over_classes = (1, -3) if maps and not self._channels_last else (-1, len(self._dims) - 1)
            if axis not in over_classes and math.prod(self._dims[2:]) == 1:
                raise self._odd(node, f"Softmax with axis {axis}")
            if self._ended == kind:
                raise self._odd(node, "Softmax of a softmax")
        else:
            axes = attributes.get("axes") or (self._shapes.numbers(node.input[1]) if len(node.input) > 1 else None)
            if kind == "ReduceMean" and sorted(axis % 4 for axis in axes or ()) != (
                [1, 2] if self._channels_last else [2, 3]
            ):
                raise self._odd(node, f"ReduceMean with axes {axes}")
            if self._ended == "Softmax":
                raise self._odd(node, f"{kind} of posteriors")
            keeps = kind == "GlobalAveragePool" or attributes.get("keepdims", 1)
            self._dims = (*self._dims[:2], 1, 1) if keeps else self._dims[:2]
        self._ended = kind

    def _transpose(self, node: Any, perm: list[int]) -> None:
        if len(self._dims) != 4 or perm not in (_TO_LAST, _TO_FIRST) or self._channels_last == (perm == _TO_LAST):
            raise self._odd(node, f"Transpose with perm {perm}")
        self._channels_last = perm == _TO_LAST

    @property
    def _actual(self) -> Dims:
        """The sizes in the order that the graph has them in."""
        return tuple(self._dims[axis] for axis in _TO_LAST) if self._channels_last else self._dims

    def _reshape(self, node: Any, dims: Dims | None) -> None:
        """Maps become vectors, in the order that they have; vectors may become maps of one position."""
        if dims is None or dims[:1] != self._dims[:1] or math.prod(dims) != math.prod(self._dims):
            raise self._odd(node, f"{node.op_type} to {dims or 'a shape that is not known'}")
        if len(self._dims) == 4 and len(dims) == 2 and self._described:
            self._rows_first, self._channels_last = self._channels_last and math.prod(self._dims[2:]) > 1, False
            self._dims = dims
        elif dims == (*self._dims, 1, 1):
            self._dims = dims
        elif dims != self._actual:
            raise self._odd(node, f"{node.op_type} to {dims}")

    def _note(self, node: Any, attributes: dict[str, Any]) -> None:
        """A node beside the chain: constants and shapes."""
        nodes.require_own(node, nodes.SHAPES, self._path)
        if self._data in node.input and node.op_type != "Shape":
            raise self._odd(node, node.op_type)
        if node.op_type == "Constant" and "value" in attributes:
            self._values[node.output[0]] = attributes["value"]
        elif node.op_type == "Identity" and node.input[0] in self._values:
            self._values[node.output[0]] = self._values[node.input[0]]
        else:
            self._shapes.work_out(node)

    def _parameters(self, node: Any, count: int) -> list[Tensor]:
        names = list(node.input[1 : count + 1])
        known = [name for name in names if name in self._values]
        if len(known) != count:
            raise WeightsError(
                f"{self._path} computes the weights of {node.op_type} {node.name}: expected {count} initialisers, "
                f"found {len(known)}."
            )
        return [nodes.tensor(self._values[name], self._path) for name in names]

    def _odd(self, node: Any, what: str) -> WeightsError:
        return nodes.odd(node, what, self._path)


def _image_dims(value: Any, path: Path) -> tuple[Dims, bool]:
    """(N, C, H, W) of the images that a graph takes, and whether it takes them with channels last."""
    sizes = [int(dim.dim_value) for dim in value.type.tensor_type.shape.dim]
    if value.type.tensor_type.elem_type not in _FLOATS or len(sizes) != 4 or _COLOURS not in (sizes[1], sizes[3]):
        raise WeightsError(
            f"{path} takes {value.name!r} of shape {sizes or 'unknown'}: expected images of floating point, three "
            "channels first or last."
        )
    last = sizes[3] == _COLOURS and sizes[1] != _COLOURS
    high, wide = sizes[1:3] if last else sizes[2:4]
    return (sizes[0] or 2, _COLOURS, high or CROP, wide or CROP), last


def _by_channel(constant: Tensor, dims: Dims, axis: int) -> Tensor | None:
    """A constant that differs from channel to channel at most, (C,)."""
    channels = [1] * len(dims)
    channels[axis] = dims[1]
    shape = (1,) * (len(dims) - constant.ndim) + tuple(constant.shape)
    if len(shape) != len(dims) or any(side not in (1, own) for side, own in zip(shape, channels, strict=True)):
        return None
    return constant.flatten().expand(dims[1]).clone()

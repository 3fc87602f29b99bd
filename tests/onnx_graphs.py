"""ONNX graphs of a narrow VGG as several exporters write them, and every change of them that is tried."""

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from vggbench.paper.configs import CONFIGS

CHANNELS, HIDDEN, CLASSES = (2, 4, 8, 16, 16), 128, 5
MEAN, STD = np.array([123.0, 117.0, 104.0], "f4"), np.array([58.0, 57.0, 57.5], "f4")


class Style(NamedTuple):
    """How an exporter writes a VGG."""

    table: str = "A"
    last: bool = False
    """Channels last, as tf2onnx has it: transposed before the first layer and after the last pooling."""
    fc: str = "gemm"
    """gemm, matmul (with Add) or conv."""
    flat: str = "flatten"
    """flatten, reshape (by a constant) or computed (from the sizes of the maps)."""
    pad: str = "pads"
    """pads or auto (SAME_UPPER)."""
    ceil: bool = False
    rescale: str = ""
    """Operators before the first layer, as "Sub Div"."""
    softmax: bool = False
    opset: int = 17
    mean: bool = False
    dropout: bool = False


STYLES = {
    "torch": Style(dropout=True),
    "torch-reshape": Style(flat="reshape", opset=13, rescale="Sub Div"),
    "tf2onnx": Style(last=True, fc="matmul", flat="reshape", softmax=True, opset=13),
    "tf2onnx-computed": Style(last=True, fc="matmul", flat="computed", pad="auto", softmax=True, opset=15),
    "tf2onnx-rescaled": Style(last=True, fc="matmul", flat="reshape", softmax=True, opset=11, rescale="Mul Add"),
    "convolutional": Style(fc="conv", ceil=True, mean=True),
    "normalised": Style(table="A-BN"),
    "lrn": Style(table="A-LRN", opset=9),
}


class _Builder:
    def __init__(self, style: Style) -> None:
        self.style = style
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.draw = np.random.default_rng(3)
        self.data, self.count = "images", 0

    def add(self, kind: str, *others: str, outputs: int = 1, **attributes: Any) -> str:
        self.count += 1
        names = [f"{kind}{self.count}" + (f".{place}" if place else "") for place in range(outputs)]
        self.nodes.append(
            helper.make_node(kind, [self.data, *others], names, name=f"node{self.count}_{kind}", **attributes)
        )
        self.data = names[0]
        return self.data

    def beside(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self.count += 1
        self.nodes.append(
            helper.make_node(kind, list(inputs), [f"{kind}{self.count}"], name=f"node{self.count}_{kind}", **attributes)
        )
        return f"{kind}{self.count}"

    def value(self, array: Any, kind: str = "f4") -> str:
        name = f"value{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(array, kind, order="C"), name))
        return name

    def weight(self, *shape: int) -> Any:
        fan = np.prod(shape[1:])
        return self.draw.normal(0, (2 / fan) ** 0.5, shape)

    def conv(self, inputs: int, outputs: int, side: int, padded: bool = True) -> None:
        pads: dict[str, Any] = {"auto_pad": "SAME_UPPER"} if self.style.pad == "auto" else {"pads": [side // 2] * 4}
        if not padded:
            pads = {"pads": [0] * 4}
        self.add(
            "Conv", self.value(self.weight(outputs, inputs, side, side)), self.value(self.draw.normal(0, 0.1, outputs)),
            kernel_shape=[side, side], strides=[1, 1], dilations=[1, 1], group=1, **pads,
        )  # fmt: skip

    def rescale(self) -> None:
        for kind in self.style.rescale.split():
            values = {"Sub": MEAN, "Div": STD, "Mul": 1 / STD, "Add": -MEAN / STD}[kind]
            self.add(kind, self.value(values if self.style.last else values.reshape(1, 3, 1, 1)))

    def flatten(self, channels: int) -> None:
        style = self.style
        if style.flat == "flatten":
            self.add("Flatten", axis=1)
        elif style.flat == "reshape":
            self.add("Reshape", self.value([-1, channels * 49], "i8"))
        else:
            shape = self.beside("Cast", self.beside("Shape", "images"), to=TensorProto.INT64)
            first = self.beside("Slice", shape, self.value([0], "i8"), self.value([1], "i8"), self.value([0], "i8"))
            whole = self.beside("Concat", first, self.value([channels * 49], "i8"), axis=0)
            self.add("Reshape", self.beside("Cast", whole, to=TensorProto.INT64))

    def dense(self, inputs: int, outputs: int, side: int) -> None:
        if self.style.fc == "conv":
            self.conv(inputs, outputs, side, padded=False)
            return
        inputs *= side * side
        weight, bias = self.weight(outputs, inputs), self.draw.normal(0, 0.1, outputs)
        if self.style.fc == "gemm":
            self.add("Gemm", self.value(weight), self.value(bias), alpha=1.0, beta=1.0, transB=1)
        else:
            self.add("MatMul", self.value(weight.T))
            self.add("Add", self.value(bias))


def built(style: Style) -> ModelProto:
    """A graph, of any number of images."""
    b = _Builder(style)
    b.rescale()
    if style.last:
        b.add("Transpose", perm=[0, 3, 1, 2])
    channels = _features(b)
    if style.fc != "conv":
        if style.last:
            b.add("Transpose", perm=[0, 2, 3, 1])
        b.flatten(channels)
    for inputs, outputs, side in ((channels, HIDDEN, 7), (HIDDEN, HIDDEN, 1), (HIDDEN, CLASSES, 1)):
        b.dense(inputs, outputs, side)
        if outputs == HIDDEN:
            b.add("Relu")
            if style.dropout:
                b.add("Dropout", b.value(0.5), b.value(np.array(False), "?"))
    if style.softmax:
        b.add("Softmax", axis=-1 if style.opset > 12 else 1)
    if style.mean:
        b.add("ReduceMean", axes=[2, 3], keepdims=0)
    return _model(b)


def _features(b: _Builder) -> int:
    """The layers before fc6; returns their last channels."""
    style, channels, config = b.style, 3, CONFIGS[b.style.table]
    for layer in config.layers:
        if layer.kind == "conv":
            outputs = layer.channels // 32
            b.conv(channels, outputs, layer.kernel)
            channels = outputs
            if config.batch_norm:
                draws = (b.draw.uniform(0.5, 1.5, channels), *b.draw.normal(0, 0.2, (2, channels)))
                values = [b.value(draw) for draw in (*draws, b.draw.uniform(0.5, 1.5, channels))]
                b.add("BatchNormalization", *values, epsilon=1e-3, momentum=0.9)
            b.add("Relu")
        elif layer.kind == "lrn":
            b.add("LRN", size=5, alpha=5e-4, beta=0.75, bias=2.0)
        else:
            ways: dict[str, Any] = {"auto_pad": "VALID"} if style.pad == "auto" else {"pads": [0] * 4}
            ways |= {"ceil_mode": int(style.ceil)} if style.opset > 9 else {}
            b.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2], **ways)
    return channels


def _model(b: _Builder) -> ModelProto:
    sides: list[Any] = ["h", "w"] if b.style.fc == "conv" else [224, 224]
    given = ["n", *sides, 3] if b.style.last else ["n", 3, *sides]
    graph = helper.make_graph(
        b.nodes, "vgg", [helper.make_tensor_value_info("images", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info(b.data, TensorProto.FLOAT, None)], b.initializers,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", b.style.opset)], ir_version=8)


# ---------------------------------------------------------------- changes

PADS = [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [2, 2, 2, 2], [1, 0, 1, 0], [3, 3, 3, 3]]
VALUES: dict[str, list[Any]] = {
    "kernel_shape": [[1, 1], [2, 2], [3, 3], [2, 3], [7, 7]], "strides": [[1, 1], [2, 2], [1, 2], [3, 3]],
    "dilations": [[2, 2], [1, 2]], "pads": PADS, "auto_pad": ["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"],
    "group": [2],
    "ceil_mode": [0, 1], "storage_order": [1], "count_include_pad": [1], "alpha": [0.5, 1e-4, 1.0],
    "beta": [0.5, 2.0, 0.75],
    "bias": [1.0, 3.0], "size": [3, 7], "transA": [1], "transB": [0, 1], "axis": [-4, -3, -2, -1, 0, 1, 2, 3],
    "axes": [[2], [3], [1, 2], [1], [2, 3], [-1, -2], [0]], "keepdims": [0, 1], "epsilon": [1e-5, 0.5],
    "momentum": [0.1],
    "training_mode": [1], "spatial": [0], "to": [1, 6, 7, 9, 10, 11, 16], "allowzero": [1], "start": [1], "end": [1, 2],
    "perm": [list(perm) for perm in itertools.permutations(range(4))], "ratio": [0.1], "seed": [1],
    "noop_with_empty_axes": [1],
    "saturate": [0], "round_mode": ["down"], "shape": [], "consumed_inputs": [], "is_test": [],
}  # fmt: skip
"""Every attribute of every operator of the graphs, and the legal values that are tried."""

Change = tuple[str, Callable[[ModelProto], object]]


def changes(model: ModelProto, *, every: bool) -> Iterator[Change]:
    """What is changed, and the change; of alike operators one where not `every`."""
    seen: dict[str, int] = {}
    for place, node in enumerate(model.graph.node):
        seen[node.op_type] = seen.get(node.op_type, 0) + 1
        if every or seen[node.op_type] in (1, 4):
            yield from _of_attributes(place, node, model.opset_import[0].version)
            yield from _of_node(place, node)
    yield from _of_graph(model)


def _with(change: Callable[..., object], *arguments: Any) -> Callable[[ModelProto], object]:
    return lambda model: change(model, *arguments)


def _of_attributes(place: int, node: NodeProto, opset: int) -> Iterator[Change]:
    schema = onnx.defs.get_schema(node.op_type, opset)
    held = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    for name in sorted(schema.attributes.keys() | held.keys()):
        if name in held:
            yield f"{node.op_type} without {name}", _with(_set, place, name, None)
        for value in [] if node.op_type == "Constant" else VALUES[name]:
            if value != held.get(name):
                yield f"{node.op_type} {name} {value}", _with(_set, place, name, value)


def _set(model: ModelProto, place: int, name: str, value: Any) -> None:
    node = model.graph.node[place]
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend(kept + ([] if value is None else [helper.make_attribute(name, value)]))


def _of_node(place: int, node: NodeProto) -> Iterator[Change]:
    kind = node.op_type
    yield f"{kind} dropped", _with(_drop, place)
    yield f"{kind} twice", _with(_twice, place)
    yield f"{kind} and the next change places", _with(_swap, place)
    for domain in ("ai.onnx", "com.microsoft", "my.domain"):
        yield f"{kind} of {domain}", _with(_domain, place, domain)
    for other in OTHERS:
        yield f"{other} after {kind}", _with(_after, place, other)
        if len(node.input) == 1 and kind != other:
            yield f"{other} for {kind}", _with(_replace, place, other)
    yield f"output moved to {kind}", _with(_output, place, True)
    yield f"{kind} an output too", _with(_output, place, False)
    if len(node.input) > 1:
        yield f"{kind} inputs turned round", _with(_turn, place)
        yield f"{kind} without last input", lambda model: model.graph.node[place].input.pop()
        yield f"{kind} with itself", _with(_itself, place)
    if kind in ("MaxPool", "Dropout", "BatchNormalization"):
        yield f"{kind} second output", lambda model: model.graph.node[place].output.append("second")


OTHERS = (
    "Relu", "Sigmoid", "Identity", "Neg", "Tanh", "Dropout", "LeakyRelu", "Softmax", "LogSoftmax", "GlobalAveragePool",
)  # fmt: skip
SHAPES = (
    [-1, 784], [0, 784], [0, -1], [2, -1], [1, 784], [784, -1], [-1, 392], [0, 0], [-1], [0, 16, 49], [2, 784],
)  # fmt: skip


def _of_graph(model: ModelProto) -> Iterator[Change]:
    for version in (7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 21, 22):
        yield f"opset {version}", _with(_opset, version)
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, tensor in enumerate(model.graph.initializer):
        alike.setdefault(tuple(tensor.dims), []).append(place)
        for kind in (TensorProto.FLOAT16, TensorProto.DOUBLE):
            if tensor.data_type == TensorProto.FLOAT and place < 4:
                yield f"initialiser {place} as {kind}", _with(_cast, place, kind)
        for value in SHAPES if tensor.data_type == TensorProto.INT64 else ():
            yield f"shape {value}", _with(_value, place, value)
    for one, two in ((places[0], places[1]) for places in alike.values() if len(places) > 1):
        yield f"initialisers {one} and {two} swapped", _with(_swap_values, one, two)
    yield "nodes in another order", _reversed
    yield "a function of Relu", _with(_function, "")
    yield "a function of own", _with(_function, "own")
    yield "dead end", _dead_end
    yield "an image flipped", _before


def _twice(model: ModelProto, place: int) -> None:
    _insert(model, place, copy.deepcopy(model.graph.node[place]))


def _after(model: ModelProto, place: int, kind: str) -> None:
    _insert(model, place, helper.make_node(kind, ["?"], ["?"]))


def _value(model: ModelProto, place: int, value: list[int]) -> None:
    tensor = model.graph.initializer[place]
    tensor.CopyFrom(numpy_helper.from_array(np.array(value), tensor.name))


def _dead_end(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Neg", [model.graph.node[0].output[0]], ["dead"]))


def _rewire(model: ModelProto, old: str, new: str, start: int = 0) -> None:
    for node in list(model.graph.node)[start:]:
        node.input[:] = [new if name == old else name for name in node.input]
    for value in model.graph.output:
        value.name = new if value.name == old else value.name


def _drop(model: ModelProto, place: int) -> None:
    node = model.graph.node.pop(place)
    _rewire(model, node.output[0], node.input[0])


def _insert(model: ModelProto, place: int, node: NodeProto) -> None:
    before = model.graph.node[place].output[0]
    _rewire(model, before, "inserted", place + 1)
    node.input[0], node.output[0] = before, "inserted"
    model.graph.node.insert(place + 1, node)


def _swap(model: ModelProto, place: int) -> None:
    """Operators change places in the chain: attributes and weights go with them."""
    if place + 1 >= len(model.graph.node):
        raise IndexError(place)
    one, two = model.graph.node[place], model.graph.node[place + 1]
    kept = copy.deepcopy(one)
    first, second, between = one.input[0], two.output[0], one.output[0]
    one.CopyFrom(two)
    two.CopyFrom(kept)
    one.input[0], one.output[0], two.input[0], two.output[0] = first, between, between, second


def _domain(model: ModelProto, place: int, domain: str) -> None:
    model.graph.node[place].domain = domain
    if domain not in ("", "ai.onnx"):
        model.opset_import.append(helper.make_opsetid(domain, 1))


def _replace(model: ModelProto, place: int, kind: str) -> None:
    model.graph.node[place].op_type = kind
    del model.graph.node[place].attribute[:]


def _output(model: ModelProto, place: int, alone: bool) -> None:
    if alone:
        del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(model.graph.node[place].output[0], TensorProto.FLOAT, None))


def _turn(model: ModelProto, place: int) -> None:
    node = model.graph.node[place]
    node.input[0], node.input[1] = node.input[1], node.input[0]


def _itself(model: ModelProto, place: int) -> None:
    model.graph.node[place].input[1] = model.graph.node[place].input[0]


def _opset(model: ModelProto, version: int) -> None:
    model.opset_import[0].version = version


def _cast(model: ModelProto, place: int, kind: int) -> None:
    tensor = model.graph.initializer[place]
    array = numpy_helper.to_array(tensor).astype(helper.tensor_dtype_to_np_dtype(kind))
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(array, f"{name}.raw"))
    model.graph.node.insert(0, helper.make_node("Cast", [f"{name}.raw"], [name], to=TensorProto.FLOAT))


def _swap_values(model: ModelProto, one: int, two: int) -> None:
    a, b = model.graph.initializer[one], model.graph.initializer[two]
    a.name, b.name = b.name, a.name


def _reversed(model: ModelProto) -> None:
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))


def _function(model: ModelProto, domain: str) -> None:
    """A function by the name of Relu that does something else."""
    body = [helper.make_node("Tanh", ["x"], ["y"])]
    model.functions.append(helper.make_function(domain, "Relu", ["x"], ["y"], body, [helper.make_opsetid("", 17)]))
    if domain:
        _domain(model, next(place for place, node in enumerate(model.graph.node) if node.op_type == "Relu"), domain)


def _before(model: ModelProto) -> None:
    """Channels in the other order before anything else, by Gather."""
    axis = 3 if model.graph.input[0].type.tensor_type.shape.dim[3].dim_value == 3 else 1
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "turned"))
    _rewire(model, "images", "gathered")
    model.graph.node.insert(0, helper.make_node("Gather", ["images", "turned"], ["gathered"], axis=axis))


def has_halves(model: ModelProto) -> bool:
    """Whether it rounds to half precision anywhere."""
    casts = [
        a.i
        for node in model.graph.node
        if node.op_type == "Cast"
        for a in node.attribute
        if a.name == "to" and a.type == AttributeProto.INT
    ]
    return bool(
        {TensorProto.FLOAT16, TensorProto.BFLOAT16}
        & {*casts, *(tensor.data_type for tensor in model.graph.initializer)}
    )

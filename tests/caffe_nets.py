"""The nets that people keep in `.caffemodel`, as descriptions: Oxford's, a solver's snapshot, with LRN, and so on."""

from copy import deepcopy
from typing import Any

from caffe_net import Layer, Net
from judged import Part, parts

BGR_MEAN = (103.939, 116.779, 123.68)
SOFTMAX = {"type": "Softmax", "name": "prob", "bottom": ["fc8"], "top": ["prob"]}
LOSS = {"type": "SoftmaxWithLoss", "name": "loss", "bottom": ["fc8", "label"], "top": ["loss"]}


def deploy(config: str = "A", *, old: bool = False, fcn: bool = False, norm: bool = False) -> Net:
    """As deploy.prototxt has it, images given from outside; `fcn`: fc layers as convolutions."""
    layers: list[Layer] = []
    for part in parts(config, norm=norm):
        layers += _layers(part, layers[-1]["top"][0] if layers else "data", fcn=fcn, old=old)
    softmax = {**SOFTMAX, "softmax_param": {"axis": 1}}
    return {"name": "VGG", "old": old, "input": ["data"], "layers": [*layers, softmax]}


def _layers(part: Part, below: str, *, fcn: bool, old: bool) -> list[Layer]:
    name, is_fc = part.name, part.kind == "fc"
    joined: Layer = {"name": name, "bottom": [below], "top": [name]}
    if part.kind == "pool":
        return [{**joined, "type": "Pooling", "pooling_param": {"pool": 0, "kernel_size": 2, "stride": 2}}]
    if part.kind == "lrn":
        return [{**joined, "type": "LRN", "lrn_param": {"local_size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2.0}}]
    shape = part.weight.shape
    outputs: dict[str, Any] = {"num_output": shape[0]}
    if is_fc and not fcn:
        weight = part.weight
        joined |= {"type": "InnerProduct", "inner_product_param": outputs}
    else:
        side = 7 if name == "fc6" else 1 if is_fc else shape[-1]
        weight = part.weight.reshape(shape[0], -1, side, side)
        pad = {} if is_fc else {"pad": side // 2}
        joined |= {"type": "Convolution", "convolution_param": {**outputs, **pad, "kernel_size": side}}
    rest = _norm(part) if part.norm else []
    if name != "fc8":
        rest.append({"type": "ReLU", "name": f"relu_{name}", "bottom": [name], "top": [name]})
    if name in ("fc6", "fc7"):
        drop = {"type": "Dropout", "name": f"drop_{name}", "bottom": [name], "top": [name]}
        rest.append({**drop, "dropout_param": {"dropout_ratio": 0.5}})
    return [{**joined, "blobs": [weight, part.bias]}, *rest]


def _norm(part: Part) -> list[Layer]:
    """BatchNorm, whose sums are three times the moments, then Scale."""
    weight, bias, mean, var = part.norm
    inplace = {"bottom": [part.name], "top": [part.name]}
    shifted = {"bias_term": 1}
    return [
        {"type": "BatchNorm", "name": f"{part.name}_bn", **inplace, "blobs": [mean * 3, var * 3, [3.0]]},
        {
            "type": "Scale",
            "name": f"{part.name}_s",
            **inplace,
            "scale_param": shifted,
            "blobs": [weight, bias],
        },
    ]


def snapshot(config: str = "A", *, old: bool = False, norm: bool = False) -> Net:
    """As a solver saves it: with a data layer that says its means, and a loss in place of the softmax."""
    net = deploy(config, old=old, norm=norm)
    data = {
        "type": "Data", "name": "data", "top": ["data", "label"], "bottom": [],
        "transform_param": {"mirror": 1, "crop_size": 224, "mean_value": list(BGR_MEAN)},
        "data_param": {"source": "train_lmdb", "batch_size": 64, "backend": 1},
    }  # fmt: skip
    return {**net, "input": [], "layers": [data, *net["layers"][:-1], LOSS]}


def changed(net: Net, name: str, **settings: Any) -> Net:
    """A net with other words in one layer: fields, or settings as `..._param={...}`, None to take one away."""
    return {**net, "layers": [_changed(layer, settings) if layer["name"] == name else layer for layer in net["layers"]]}


def _changed(layer: Layer, settings: dict[str, Any]) -> Layer:
    found = {name: value if name == "blobs" else deepcopy(value) for name, value in layer.items()}
    for name, value in settings.items():
        found[name] = {**found.get(name, {}), **value} if isinstance(value, dict) else value
        if isinstance(value, dict):
            found[name] = {key: word for key, word in found[name].items() if word is not None}
        if value is None:
            del found[name]
    return found


def without(net: Net, name: str) -> Net:
    """A net without one layer, whose neighbours are joined."""
    layer = next(one for one in net["layers"] if one["name"] == name)
    old, new = layer["top"][0], layer["bottom"][0]
    at = net["layers"].index(layer)
    renamed = {old: new}
    joined = [
        {**one, **{side: [renamed.get(name, name) for name in one.get(side, [])] for side in ("bottom", "top")}}
        for one in net["layers"][at + 1 :]
    ]
    return {**net, "layers": [*net["layers"][:at], *joined]}


def with_layer(net: Net, after: str, layer: Layer) -> Net:
    """A net with one more layer in place (the same bottom and top) after another."""
    at = next(place for place, one in enumerate(net["layers"]) if one["name"] == after)
    top = net["layers"][at]["top"][:1]
    return {**net, "layers": [*net["layers"][: at + 1], {"bottom": top, "top": top, **layer}, *net["layers"][at + 1 :]]}

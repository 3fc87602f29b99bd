"""Keras files of any generation, written by h5py and zipfile from a list of layers, without Keras."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from keras_interpreter import MODELS, Weights

Layer = dict[str, Any]
"""class_name, config with its name, and perhaps `call` (keywords of its call), `of` (layers it takes), `module`."""
MARK = "_layer_checkpoint_dependencies"
_NAMES_1 = {
    "filters": "nb_filter", "padding": "border_mode", "strides": "subsample", "data_format": "dim_ordering",
    "use_bias": "bias", "units": "output_dim",
}  # fmt: skip
_VARIABLES = {
    "Conv2D": ("kernel", "bias"), "Dense": ("kernel", "bias"), "Normalization": ("mean", "variance", "count"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}  # fmt: skip


def layer(kind: str, name: str, **config: Any) -> Layer:
    """One layer as Keras 3 has it."""
    return {"class_name": kind, "config": {"name": name, "trainable": True, **config}}


def vgg(
    table: str = "A", *, form: str = "channels_last", norm: bool = False, channels: tuple[int, ...] = (2, 4, 8, 16, 16)
) -> list[Layer]:
    """The layers of a narrow net as Keras writes them, every setting spelled out."""
    from vggbench.paper.configs import CONFIGS

    found: list[Layer] = [
        layer(
            "InputLayer",
            "input",
            batch_shape=[None, 224, 224, 3] if form == "channels_last" else [None, 3, 224, 224],
            dtype="float32",
        )
    ]
    convs = 0
    for stage, tokens in enumerate(CONFIGS[table].table.split("M")[:-1]):
        for token in tokens.split():
            convs += 1
            found.append(conv(f"conv{convs}", channels[stage], int(token), form, None if norm else "relu"))
            if norm:
                found.append(
                    layer(
                        "BatchNormalization",
                        f"bn{convs}",
                        axis=-1 if form == "channels_last" else 1,
                        momentum=0.99,
                        epsilon=0.001,
                        center=True,
                        scale=True,
                    )
                )
                found.append(layer("Activation", f"act{convs}", activation="relu"))
        found.append(
            layer(
                "MaxPooling2D", f"pool{stage + 1}", pool_size=[2, 2], padding="valid", strides=[2, 2], data_format=form
            )
        )
    found.append(layer("Flatten", "flatten", data_format=form))
    for name, units in (("fc1", channels[0] * 64), ("fc2", channels[0] * 64), ("predictions", 5)):
        found.append(
            layer(
                "Dense",
                name,
                units=units,
                activation="softmax" if units == 5 else "relu",
                use_bias=True,
                kernel_regularizer=None,
            )
        )
        if units != 5:
            found.append(layer("Dropout", f"drop_{name}", rate=0.5, seed=None, noise_shape=None))
    return found


def conv(
    name: str,
    filters: int,
    side: int = 3,
    form: str = "channels_last",
    activation: str | None = "relu",
    padding: str = "same",
) -> Layer:
    """A convolution with all its settings."""
    return layer(
        "Conv2D", name, filters=filters, kernel_size=[side, side], strides=[1, 1], padding=padding, data_format=form,
        dilation_rate=[1, 1], groups=1, activation=activation, use_bias=True, kernel_initializer="glorot_uniform",
        bias_regularizer=None,
    )  # fmt: skip


def nested(name: str, layers: list[Layer], kind: str = "Functional", **config: Any) -> Layer:
    """A model as a layer."""
    return {"class_name": kind, "config": {"name": name, "trainable": True, **config}, "layers": layers}


def spelled(layers: list[Layer], generation: int, kind: str = "Functional", name: str = "vgg") -> dict[str, Any]:
    """A model's description in the words of Keras 1, 2 or 3; `kind` Sequential or Functional."""
    listed = [_one(entry, generation) for entry in layers]
    kind = "Model" if kind == "Functional" and generation < 3 else kind
    if kind == "Sequential":
        if generation == 1:
            listed = [entry for entry in listed if entry["class_name"] != "InputLayer"]
        config: Any = listed if generation == 1 else {"name": name, "layers": listed}
    else:
        before = None
        for entry, plain in zip(listed, layers, strict=True):
            entry["name"] = plain["config"]["name"]
            calls = plain.get("calls") or [plain.get("of") or ([before] if before else [])]
            entry["inbound_nodes"] = [_node(call, plain.get("call", {}), generation) for call in calls if call]
            before = entry["name"]
        ends = [[entry["name"], 0, 0] for entry in (listed[0], listed[-1])]
        ends = ends if generation == 3 else [[end] for end in ends]
        config = {"name": name, "trainable": True, "layers": listed, "input_layers": ends[0], "output_layers": ends[1]}
    return {"class_name": kind, "config": config} | (
        {"module": "keras" if kind == "Sequential" else "keras.src.models.functional", "registered_name": kind}
        if generation == 3
        else {}
    )


def _one(entry: Layer, generation: int) -> dict[str, Any]:
    if entry["class_name"] in MODELS:
        inner = spelled(entry["layers"], generation, entry["class_name"], entry["config"]["name"])
        return inner | (
            {"name": entry["config"]["name"]} if generation < 3 and isinstance(inner["config"], list) else {}
        )
    found: dict[str, Any] = {"class_name": entry["class_name"], "config": dict(entry["config"])}
    if generation == 3:
        policy = {
            "module": "keras",
            "class_name": "DTypePolicy",
            "config": {"name": "float32"},
            "registered_name": None,
        }
        found["config"] = {"dtype": policy} | found["config"]
        return (
            {"module": "keras.layers", "registered_name": None}
            | found
            | {key: entry[key] for key in ("module", "registered_name") if key in entry}
        )
    if generation == 2 and "batch_shape" in found["config"]:
        found["config"]["batch_input_shape"] = found["config"].pop("batch_shape")
    if generation == 1:
        _renamed(found)
    return found


def _renamed(found: dict[str, Any]) -> None:
    config = found["config"]
    if found["class_name"] == "Conv2D":
        found["class_name"] = "Convolution2D"
        config["nb_row"], config["nb_col"] = config.pop("kernel_size")
    for gone in ("groups", "dilation_rate", *(("data_format",) if found["class_name"] == "Flatten" else ())):
        config.pop(gone, None)
    config["batch_input_shape"] = config.pop("batch_shape", None)
    names = _NAMES_1 | ({"strides": "strides"} if found["class_name"].endswith("Pooling2D") else {})
    if found["class_name"] == "ZeroPadding2D":
        names = {"data_format": "dim_ordering"}
    found["config"] = {names.get(key, key): value for key, value in config.items()}
    said = found["config"].get("dim_ordering")
    if said:
        found["config"]["dim_ordering"] = {"channels_last": "tf", "channels_first": "th"}.get(said, said)


def _node(of: list[Any], keywords: dict[str, Any], generation: int) -> Any:
    ends = [(end, 0) if isinstance(end, str) else end for end in of]
    if generation < 3:
        return [[name, node, 0, keywords] for name, node in ends]
    tensors = [
        {
            "class_name": "__keras_tensor__",
            "config": {"shape": [None], "dtype": "float32", "keras_history": [name, node, 0]},
        }
        for name, node in ends
    ]
    return {"args": tensors if len(tensors) == 1 else [tensors], "kwargs": keywords}


# ---------------------------------------------------------------- files


def write_h5(
    path: Path,
    config: dict[str, Any] | None,
    layers: list[Layer],
    weights: Weights,
    *,
    backend: str = "tensorflow",
    **options: Any,
) -> None:
    """What model.save('x.h5') writes, or save_weights where `config` is None; `options` are those of each dataset."""
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if config else file
        for place in (file, group):
            place.attrs["backend"], place.attrs["keras_version"] = backend, "2.4.0"
        if config:
            file.attrs["model_config"] = json.dumps(config)
        group.attrs["layer_names"] = [entry["config"]["name"].encode() for entry in layers]
        for entry in layers:
            held = list(_named(entry, weights, ()))
            held.sort(key=lambda one: one[2])  # frozen ones come last
            top = group.create_group(entry["config"]["name"])
            top.attrs["weight_names"] = (
                np.array([name.encode() for name, _, _ in held], dtype="S") if held else np.array([])
            )
            for name, array, _ in held:
                top.create_dataset(name, data=array, **(options if array.shape else {}))


def _named(entry: Layer, weights: Weights, path: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray[Any, Any], int]]:
    path = (*path, entry["config"]["name"])
    if entry["class_name"] in MODELS:
        for inner in entry["layers"]:
            for name, array, frozen in _named(inner, weights, path):
                yield name, array, frozen or not entry["config"]["trainable"]
        return
    for variable, array in zip(variables(entry), weights.get(path, []), strict=False):
        frozen = not entry["config"]["trainable"] or variable.startswith("moving")
        yield f"{path[-1]}/{variable}:0", array, frozen


def variables(entry: Layer) -> list[str]:
    """The names of a layer's variables."""
    config = entry["config"]
    left_out = {"bias"} if not config.get("use_bias", True) else set()
    left_out |= {name for name, key in (("gamma", "scale"), ("beta", "center")) if not config.get(key, True)}
    kind = "BatchNormalization" if entry["class_name"].startswith("BatchNorm") else entry["class_name"]
    return [name for name in _VARIABLES.get(kind, ()) if name not in left_out]


def write_archive(
    path: Path, config: dict[str, Any], layers: list[Layer], weights: Weights, kind: str = "Functional"
) -> None:
    """What model.save('x.keras') writes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights_h5(layers, weights, kind))


def weights_h5(layers: list[Layer], weights: Weights, kind: str = "Functional") -> bytes:
    """What save_weights('x.weights.h5') writes: groups by class."""
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        _container(file, layers, weights, (), kind)
    return held.getvalue()


def _container(group: Any, layers: list[Layer], weights: Weights, path: tuple[str, ...], kind: str) -> None:
    counts: dict[str, int] = {}
    group.create_group("vars")
    inside = group.create_group("layers")
    for entry in layers:
        if kind == "Sequential" and entry["class_name"] == "InputLayer":
            continue
        stem = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", entry["class_name"])).lower()
        counts[stem] = counts.get(stem, -1) + 1
        one = inside.create_group(f"{stem}_{counts[stem]}" if counts[stem] else stem)
        inner = (*path, entry["config"]["name"])
        if entry["class_name"] in MODELS:
            _container(one, entry["layers"], weights, inner, entry["class_name"])
            continue
        held = one.create_group("vars")
        for place, array in enumerate(weights.get(inner, [])):
            held[str(place)] = array

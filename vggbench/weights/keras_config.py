"""Keras's description of a model, `model_config` or `config.json`: its layers in order, told apart by class."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggbench.errors import WeightsError

_MOST_LAYERS = 1000
_MODELS = ("Sequential", "Functional", "Model")
_OF_KERAS_1 = {
    "nb_filter": "filters", "border_mode": "padding", "subsample": "strides", "dim_ordering": "data_format",
    "bias": "use_bias", "output_dim": "units", "p": "rate",
}  # fmt: skip
"""What Keras 1 called what Keras 2 and 3 call otherwise."""
_FORMATS = {"th": "channels_first", "tf": "channels_last"}


@dataclass(frozen=True)
class KerasLayer:
    """A layer that is no model itself; `keys` lead to it in Keras 3's files of weights, `top` in the older ones."""

    kind: str
    """Keras's class: Conv2D, MaxPooling2D."""
    name: str
    config: dict[str, Any]
    keys: tuple[str, ...]
    top: str


def chain(model: dict[str, Any], path: Path) -> list[KerasLayer]:
    """All layers from the images to the scores, those of nested models in their place.

    Raises WeightsError where they branch, or where one is used twice or runs as in training.
    """
    found = list(itertools.islice(_layers(model, path, (), None), _MOST_LAYERS + 1))
    if len(found) > _MOST_LAYERS:
        raise WeightsError(f"{path} describes more than {_MOST_LAYERS:,} layers: expected a VGG's.")
    return found


def snake_case(name: str) -> str:
    """A class as Keras names its layers: MaxPooling2D -> max_pooling2d."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def _layers(model: dict[str, Any], path: Path, keys: tuple[str, ...], top: str | None) -> Iterator[KerasLayer]:
    if model["class_name"] not in _MODELS:
        raise WeightsError(
            f"{path} describes a model of class {str(model['class_name'])[:100]}: expected Sequential or Functional, "
            "whose layers a file lists. Save it as ONNX."
        )
    config = model["config"]
    listed = config if isinstance(config, list) else config["layers"]
    by_key = _keyed(listed, sequential=model["class_name"] == "Sequential")
    for key, layer in _ordered(by_key, config, path):
        kind, name = str(layer["class_name"]), _name(layer, key)
        require_kerass_own(layer, name, path)
        if kind in _MODELS:
            yield from _layers(layer, path, (*keys, key), top or name)
        else:
            yield KerasLayer(_CLASSES.get(kind, kind), name, _modern(layer["config"]), (*keys, key), top or name)


_CLASSES = {
    "Convolution2D": "Conv2D", "MaxPool2D": "MaxPooling2D", "AvgPool2D": "AveragePooling2D",
    "BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization",
}  # fmt: skip
_MODULES = re.compile(r"(keras|tf_keras|tensorflow(\.python)?\.keras|builtins)(\.|$)")


def require_kerass_own(said: dict[str, Any], name: str, path: Path) -> None:
    """Refuse a class or function of somebody's own, which may bear a name of Keras's. Raises WeightsError."""
    module, registered = (str(said.get(key) or "") for key in ("module", "registered_name"))
    if (module and not _MODULES.match(module)) or ">" in registered:
        raise WeightsError(
            f"{path} has {str(said.get('class_name'))[:100]} of {(registered or module)[:100]} in layer "
            f"{name[:100]!r}: expected Keras's own classes and functions. Save the model as ONNX."
        )


def _keyed(listed: Sequence[dict[str, Any]], *, sequential: bool) -> list[tuple[str, dict[str, Any]]]:
    """Each layer with its key: its class, numbered from the second on. A Sequential does not count its input."""
    counts: dict[str, int] = {}
    found = []
    for layer in listed:
        if sequential and layer["class_name"] == "InputLayer":
            continue
        stem = snake_case(str(layer["class_name"]))
        counts[stem] = counts.get(stem, -1) + 1
        found.append((f"{stem}_{counts[stem]}" if counts[stem] else stem, layer))
    return found


def _ordered(by_key: list[tuple[str, dict[str, Any]]], config: Any, path: Path) -> list[tuple[str, dict[str, Any]]]:
    """From input to output, as each layer names the one before it."""
    if isinstance(config, list) or "input_layers" not in config:
        return by_key
    after: dict[str, tuple[str, dict[str, Any]]] = {}
    for key, layer in by_key:
        for before in _inputs(layer, path):
            if before in after:
                raise WeightsError(
                    f"{path} hands what layer {before[:100]!r} yields to two others: expected one chain of layers."
                )
            after[before] = (key, layer)
    (first,), (last,) = (_names(config[side]) for side in ("input_layers", "output_layers"))
    found = [entry for entry in by_key if _name(entry[1]) == first]
    while _name(found[-1][1]) in after and len(found) <= len(by_key):
        found.append(after[_name(found[-1][1])])
    if _name(found[-1][1]) != last or len(found) != len(by_key):
        raise WeightsError(
            f"{path} describes {len(by_key)} layers, and {len(found)} of them are on the way from {first[:100]!r} to "
            f"{last[:100]!r}: expected one chain of layers."
        )
    return found


def _name(layer: dict[str, Any], otherwise: str = "") -> str:
    config = layer["config"]
    return str(layer.get("name") or (isinstance(config, dict) and config.get("name")) or otherwise)


def _names(ends: Any) -> list[str]:
    """The names of layers in [name, 0, 0] or in a list of such entries."""
    return [str(ends[0])] if isinstance(ends[0], str) else [str(end[0]) for end in ends]


def _inputs(layer: dict[str, Any], path: Path) -> list[str]:
    """The layers whose outputs a layer takes."""
    nodes = layer.get("inbound_nodes") or []
    if len(nodes) > 1:
        raise WeightsError(f"{path} uses layer {_name(layer)[:100]!r} {len(nodes)} times: expected once.")
    found: list[str] = []
    for node in nodes:
        if isinstance(node, dict):  # Keras 3
            found += [str(history[0]) for history in _histories([node["args"], node["kwargs"]])]
            keywords = node["kwargs"]
        else:
            entries = [node] if node and isinstance(node[0], str) else node
            found += [str(entry[0]) for entry in entries]
            keywords = {key: value for entry in entries for key, value in (entry[3] if len(entry) > 3 else {}).items()}
        if keywords.get("training"):
            raise WeightsError(
                f"{path} runs layer {_name(layer)[:100]!r} as in training, whenever it is used: expected evaluation."
            )
    if len(found) > 1:
        raise WeightsError(
            f"{path} joins {len(found)} inputs in layer {_name(layer)[:100]!r}: expected one chain of layers."
        )
    return found


def _histories(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield value["config"]["keras_history"]
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _histories(inner)


def _modern(config: dict[str, Any]) -> dict[str, Any]:
    """Settings by their names in Keras 2 and 3."""
    found = {_OF_KERAS_1.get(key, key): value for key, value in config.items()}
    if {"nb_row", "nb_col"} <= found.keys():
        found["kernel_size"] = [found.pop("nb_row"), found.pop("nb_col")]
    if "data_format" in found:
        found["data_format"] = _FORMATS.get(found["data_format"], found["data_format"])
    return found

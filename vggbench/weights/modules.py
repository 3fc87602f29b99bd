"""A network that was pickled whole: its tensors by the tree of its modules, and what the modules say of themselves."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from vggbench.errors import WeightsError
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import Config
from vggbench.weights.archives import Archive
from vggbench.weights.held import Held, Odd, State
from vggbench.weights.rebuilt import mapping_of, tensor_of
from vggbench.weights.unpickling import Inert, shown

_MOST_MODULES = 10_000
_DEEPEST = 20
# What modules of torch must say for a VGG's figures to come out; a class that is not here is refused by name.
_SAYS: dict[str, dict[str, Any]] = {
    "Conv2d": {"stride": (1, 1), "dilation": (1, 1), "groups": 1, "padding_mode": "zeros", "transposed": False},
    "MaxPool2d": {"kernel_size": 2, "stride": 2, "padding": 0, "dilation": 1, "return_indices": False},
    "BatchNorm2d": {"eps": 1e-5, "affine": True, "track_running_stats": True},
    "SyncBatchNorm": {"eps": 1e-5, "affine": True, "track_running_stats": True},
    "AdaptiveAvgPool2d": {},  # before fc6, whose shape says what it must be; or over one position
    "Linear": {}, "ReLU": {}, "Dropout": {}, "Dropout2d": {}, "Identity": {},
    "Flatten": {"start_dim": 1, "end_dim": -1},
    "Sequential": {}, "ModuleList": {}, "ModuleDict": {}, "DataParallel": {}, "DistributedDataParallel": {},
}  # fmt: skip
_PASSING = ("ReLU", "Dropout", "Dropout2d", "Identity", "AdaptiveAvgPool2d", "Flatten")
"""Kinds that change nothing after the last pooling, and what stands before fc6."""
_PAIRS = ("stride", "dilation", "kernel_size", "padding")
"""Attributes that one number stands for as well as two equal ones."""


def _state(module: Inert) -> dict[Any, Any]:
    assert isinstance(module.state, dict)
    return module.state


def is_module(value: object) -> bool:
    """Whether a value of a pickle would be a network."""
    return isinstance(value, Inert) and isinstance(value.state, dict) and "_modules" in value.state


def of_module(root: Inert, archive: Archive) -> State:
    """The tensors that its state dict would have, by name.

    Raises WeightsError for layers that no VGG has, and for those that compute something else.
    """
    tensors: dict[str, Held] = {}
    kinds: dict[str, str] = {}
    roundings: set[bool] = set()
    for count, (name, module) in enumerate(_walked("", root, 0, archive)):
        if count > _MOST_MODULES:
            raise WeightsError(f"{archive.path} holds more than {_MOST_MODULES:,} modules: expected a VGG's.")
        state = _state(module)
        kinds[name] = module.kind.rpartition(".")[2]
        own = _own_tensors(name, module, archive)
        _require_usual(name, module, bool(own) or bool(mapping_of(state.get("_modules"))), archive)
        tensors |= own
        if kinds[name] == "MaxPool2d":
            roundings.add(bool(state.get("ceil_mode", False)))
    if len(roundings) > 1:
        raise WeightsError(f"{archive.path} rounds some pooled sizes up and others down: expected one way.")
    return State(tensors, ceil_pool=roundings.pop() if roundings else None, kinds=kinds)


def _walked(name: str, module: Inert, depth: int, archive: Archive) -> Iterator[tuple[str, Inert]]:
    if depth > _DEEPEST:
        raise WeightsError(f"{archive.path} holds modules nested without end: expected a VGG's.")
    yield name, module
    for key, inner in (mapping_of(_state(module).get("_modules")) or {}).items():
        path = f"{name}.{key}" if name else str(key)
        if is_module(inner):
            yield from _walked(path, inner, depth + 1, archive)
        elif inner is not None:
            raise WeightsError(
                f"{archive.path} holds {path[:80]!r} in a network, which is not a module: expected layers."
            )


def _own_tensors(name: str, module: Inert, archive: Archive) -> dict[str, Held]:
    state = _state(module)
    beside = next((key for key, value in state.items() if isinstance(tensor_of(value, archive), Held)), None)
    passing = {key for key in _members(state.get("_non_persistent_buffers_set")) if isinstance(key, str)}
    found = {}
    for part in ("_parameters", "_buffers"):
        for key, value in (mapping_of(state.get(part)) or {}).items():
            tensor = tensor_of(value, archive)
            if value is None:
                continue
            beside = key if key in passing and isinstance(tensor, Held) else beside
            if not isinstance(tensor, Held):
                kind = tensor.kind if isinstance(tensor, Odd) else "other object"
                raise WeightsError(f"{archive.path} holds {name}.{key} as a {kind}: expected a plain tensor.")
            found[f"{name}.{key}" if name else str(key)] = tensor
    if beside is not None:
        raise WeightsError(
            f"{archive.path} is a network saved whole in which {name or 'it'} keeps a tensor {str(beside)[:80]!r}, "
            "which its state dict would not have, as a mean that it subtracts: expected weights alone. Save what it is "
            "without by torch.save(net.state_dict(), PATH)."
        )
    return found


def _members(value: object) -> list[Any]:
    """The members of a set, in either way that pickles hold it."""
    if not isinstance(value, Inert):
        return []
    listed = value.arguments[0] if isinstance(value.arguments, tuple) and value.arguments else []
    return [*value.items, *(listed if isinstance(listed, list) else [])]


def _require_usual(name: str, module: Inert, holds: bool, archive: Archive) -> None:
    """Refuse layers that are unknown, or known to compute something else."""
    kind, state = module.kind.rpartition(".")[2], _state(module)
    of_torch = module.kind.startswith("torch.nn.")
    if (of_torch and kind not in _SAYS) or (not of_torch and not holds):
        raise WeightsError(
            f"{archive.path} is a network saved whole whose {name or 'first module'} is a {module.kind}: expected a "
            "VGG's own layers, convolutions, ReLU, max-pooling and fully connected layers."
        )
    usual = dict(_SAYS[kind]) if of_torch else {}
    if kind == "Conv2d":
        usual["padding"] = _padding(state)
    for attribute, expected in usual.items():
        found = (
            _pair(state[attribute]) if attribute in _PAIRS and attribute in state else state.get(attribute, expected)
        )
        if found != (_pair(expected) if attribute in _PAIRS else expected):
            raise WeightsError(
                f"{archive.path} is a network saved whole whose {name} is a {kind} with {attribute} {shown(found)}: "
                f"expected {expected!r}."
            )


def _padding(state: dict[Any, Any]) -> object:
    """A convolution keeps its map's size; one that stands for fc6 takes 7 x 7 windows unpadded."""
    kernel = _pair(state.get("kernel_size"))
    if not (isinstance(kernel, tuple) and len(kernel) == 2 and kernel[0] == kernel[1] and isinstance(kernel[0], int)):
        return "that of a square kernel"
    return 0 if kernel[0] == 7 else kernel[0] // 2


def _pair(value: object) -> object:
    return (value, value) if isinstance(value, int) else value


def require_places(kinds: dict[str, str], config: Config, path: Path) -> None:
    """Raise WeightsError where a network that was pickled whole has another kind of layer in a place than `config`."""
    before = next((name.removesuffix("features.0") for name in kinds if name.endswith("features.0")), None)
    if before is None:
        return
    with torch.device("meta"):
        features = VGG(config, 1, 1 / 64).features.named_children()
    places = {f"features.{name}": type(module).__name__ for name, module in features}
    own = {name.removeprefix(before): kind for name, kind in kinds.items()}
    for place, expected in places.items():
        found = own.get(place)
        if found != expected and (found, expected) != ("SyncBatchNorm", "BatchNorm2d"):
            raise WeightsError(
                f"{path} does not fit config {config.name}: expected {expected} at {place}, found {found}."
            )
    more = next((name for name in own if re.fullmatch(r"features\.\d+", name) and name not in places), None)
    if more and own[more] not in _PASSING:
        raise WeightsError(f"{path} does not fit config {config.name}: expected nothing at {more}, found {own[more]}.")
    fc = [kind for name, kind in own.items() if re.fullmatch(r"classifier\.\d+", name) and kind in ("Linear", "ReLU")]
    if fc and fc != ["Linear", "ReLU", "Linear", "ReLU", "Linear"]:
        raise WeightsError(f"{path} has {' '.join(fc)} in its classifier: expected three Linear with ReLU between.")

"""The graph of an exported program, carried out node by node: an interpreter of its JSON, which makes no code of it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vggbench.errors import WeightsError
from vggbench.weights.classifiers.pt2_archive import DTYPES
from vggbench.weights.classifiers.pt2_operators import NO_OPERATORS, arithmetic, operator_of, require_in_use

_MOST_NODES, _MOST_DEPTH = 200_000, 8
_MOST_VALUES = 2**33
"""The most values of a tensor whose sizes a node states."""
_KEYWORD = 2
"""The number of the JSON for an argument that is passed by name."""
_FORMATS = {
    1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format,
}  # fmt: skip
_LAYOUTS = {7: torch.strided}
_NO_GRADIENTS = "torch.ops.higher_order.wrap_with_set_grad_enabled"
_AUTOCAST = "torch.ops.higher_order.wrap_with_autocast"


class Ref(NamedTuple):
    """A value by the name that the graph has for it."""

    name: str


class Device(NamedTuple):
    """The device that it runs on, in the place of that which it was exported on."""


Run = Callable[..., Any]


@dataclass
class Step:
    """One node: what it calls, with what, and the name of what it yields, or a list of names."""

    run: Run
    args: list[Any]
    kwargs: dict[str, Any]
    outputs: Any
    dead: list[str] = field(default_factory=list)
    """What no later step needs."""


@dataclass
class Steps:
    """A graph; calling it with values for its inputs yields its outputs."""

    inputs: list[str]
    steps: list[Step]
    outputs: list[Any]

    def __call__(self, given: Sequence[Any], device: torch.device) -> list[Any]:
        """Carry out all nodes in order."""
        values = dict(zip(self.inputs, given, strict=True))
        for step in self.steps:
            kwargs = {name: _filled(value, values, device) for name, value in step.kwargs.items()}
            found = step.run(*(_filled(value, values, device) for value in step.args), **kwargs)
            _bind(step.outputs, found, values)
            for name in step.dead:
                values.pop(name, None)
        return [_filled(value, values, device) for value in self.outputs]


class Reader:
    """Makes steps of the JSON of a graph; `operators` are the names of all that it calls."""

    def __init__(self, path: Path) -> None:
        self._path, self._nodes = path, 0
        self.operators: set[str] = set()
        self.writes = False
        """Whether a node changes what it is given."""

    def graph(self, graph: dict[str, Any], depth: int = 0) -> Steps:
        """The steps of one graph. Raises WeightsError for a node that is not to be run."""
        self._nodes += len(graph["nodes"])
        if depth > _MOST_DEPTH or self._nodes > _MOST_NODES:
            raise WeightsError(f"{self._path} has more nodes than a network has: expected {_MOST_NODES:,} at most.")
        inputs = [_name_of(entry) for entry in graph["inputs"]]
        steps = [step for node in graph["nodes"] for step in self._steps(node, depth)]
        outputs = [self._value(entry, depth) for entry in graph["outputs"]]
        _let_go(steps, {ref.name for ref in _refs(outputs)})
        return Steps(inputs, steps, outputs)

    def _steps(self, node: dict[str, Any], depth: int) -> Iterator[Step]:
        target = node["target"]
        if target in NO_OPERATORS:
            return
        self.operators.add(target)
        named = [(entry["name"], entry.get("kind"), entry["arg"]) for entry in node["inputs"]]
        names = [_output(entry) for entry in node["outputs"]]
        outputs = (names[0] if len(names) == 1 else names) if names else None
        if target in (_NO_GRADIENTS, _AUTOCAST):
            run = _within if target == _NO_GRADIENTS else _within_autocast
            several = outputs if isinstance(outputs, list) else names
            yield Step(run, [Device(), *(self._value(arg, depth) for _, _, arg in named)], {}, several)
            return
        if (function := arithmetic(target)) is not None:
            yield Step(function, [self._value(arg, depth) for _, _, arg in named], {}, outputs)
            return
        operator = operator_of(target, self._path)
        given = {name: self._value(arg, depth) for name, _, arg in named}
        require_in_use(operator, given, self._path)
        self.writes |= operator._schema.is_mutable
        args, kwargs = _placed(operator, given, {name for name, kind, _ in named if kind == _KEYWORD})
        yield Step(operator, args, kwargs, outputs)

    def _value(self, argument: dict[str, Any], depth: int) -> Any:
        """A constant, or where a value comes from."""
        ((kind, value),) = argument.items()
        if kind == "as_graph":
            return self.graph(value["graph"], depth + 1)
        if kind == "as_string_to_argument":
            return {name: self._value(part, depth) for name, part in value.items()}
        if kind not in _READ:
            raise WeightsError(f"{self._path} passes {kind[:30]!r} to a node: expected tensors, numbers and sizes.")
        return _READ[kind](value)


def _placed(operator: Any, given: dict[str, Any], by_name: set[str]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments by place and by name, on the device that it will run on."""
    args, kwargs, is_gap = [], {}, False
    arguments = operator._schema.arguments
    if not set(given) <= {argument.name for argument in arguments}:
        raise ValueError(f"{operator} has no argument of such a name")
    takes_tensors = any("Tensor" in str(argument.type) for argument in arguments)
    for argument in arguments:
        name = argument.name
        value = given.get(name)
        if name == "device" and (value is not None or not takes_tensors):
            value = Device()
        elif name not in given or name == "pin_memory":
            is_gap = True
            continue
        if argument.kwarg_only or is_gap or name in by_name:
            kwargs[name] = value
        else:
            args.append(value)
    return args, kwargs


def _within(device: torch.device, _: Any, steps: Steps, *given: Any) -> list[Any]:
    """A graph inside that was exported with or without gradients, which nothing here takes."""
    return steps(given, device)


def _within_autocast(
    device: torch.device, _: Any, dtype: Any, enabled: Any, cached: Any, steps: Steps, *given: Any
) -> list[Any]:
    with torch.autocast(device.type, dtype, enabled=enabled, cache_enabled=cached):
        return steps(given, device)


def _filled(value: Any, values: dict[str, Any], device: torch.device) -> Any:
    if isinstance(value, Ref):
        return values[value.name]
    if isinstance(value, Device):
        return device
    if type(value) is list:
        return [_filled(part, values, device) for part in value]
    if type(value) is dict:
        return {name: _filled(part, values, device) for name, part in value.items()}
    return value


def _bind(names: Any, found: Any, values: dict[str, Any]) -> None:
    """Keep what a node yields by its names."""
    if isinstance(names, list):
        for name, part in zip(names, found, strict=True):
            _bind(name, part, values)
    elif names is not None:
        values[names] = found


def _let_go(steps: list[Step], kept: set[str]) -> None:
    """Note after which step each value is needed no more."""
    later = set(kept)
    for step in reversed(steps):
        names = {ref.name for ref in _refs([step.args, list(step.kwargs.values())])} | set(_names(step.outputs))
        step.dead = sorted(names - later)
        later |= names


def _refs(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif type(value) is list:
        for part in value:
            yield from _refs(part)
    elif type(value) is dict:
        yield from _refs(list(value.values()))


def _names(outputs: Any) -> Iterator[str]:
    if isinstance(outputs, list):
        for name in outputs:
            yield from _names(name)
    elif outputs is not None:
        yield outputs


def _name_of(entry: dict[str, Any]) -> str:
    ((kind, value),) = entry.items()
    if kind == "as_tensor":
        return _text(value["name"])
    if kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
        return _text(value["as_name"])
    return ""  # a constant, which no node asks for by name


def _output(entry: dict[str, Any]) -> Any:
    ((kind, value),) = entry.items()
    if kind == "as_tensors":
        return [_text(part["name"]) for part in value]
    if kind == "as_optional_tensors":
        return [_text(part["as_tensor"]["name"]) if "as_tensor" in part else None for part in value]
    return _name_of(entry) or None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in the place of a name")
    return value


def _numbers(value: Any) -> list[int]:
    numbers = [_number(part) for part in value]
    if math.prod(max(1, number) for number in numbers) > _MOST_VALUES:
        raise ValueError("a node asks for a tensor beyond all bounds")
    return numbers


def _number(value: Any) -> Any:
    if type(value) not in (int, bool):
        raise TypeError(f"{type(value).__name__} in the place of a number")
    return value


def _symbolic(value: dict[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    return Ref(_text(inner)) if kind == "as_name" else float(inner) if kind == "as_float" else _number(inner)


def _optional(value: dict[str, Any]) -> Any:
    return Ref(_text(value["as_tensor"]["name"])) if "as_tensor" in value else None


_READ: dict[str, Callable[[Any], Any]] = {
    "as_none":             lambda _: None,
    "as_tensor":           lambda value: Ref(_text(value["name"])),
    "as_tensors":          lambda value: [Ref(_text(part["name"])) for part in value],
    "as_nested_tensors":   lambda value: [[Ref(_text(part["name"])) for part in inner] for inner in value],
    "as_optional_tensor":  _optional,
    "as_optional_tensors": lambda value: [_optional(part) for part in value],
    "as_int":              _number,
    "as_ints":             _numbers,
    "as_int_lists":        lambda value: [_numbers(part) for part in value],
    "as_float":            float,
    "as_floats":           lambda value: [float(part) for part in value],
    "as_bool":             _number,
    "as_bools":            lambda value: [_number(part) for part in value],
    "as_string":           _text,
    "as_sym_int":          _symbolic,
    "as_sym_float":        _symbolic,
    "as_sym_bool":         _symbolic,
    "as_sym_ints":         lambda value: [_symbolic(part) for part in value],
    "as_sym_floats":       lambda value: [_symbolic(part) for part in value],
    "as_sym_bools":        lambda value: [_symbolic(part) for part in value],
    "as_scalar_type":      lambda value: DTYPES[value],
    "as_memory_format":    lambda value: _FORMATS[value],
    "as_layout":           lambda value: _LAYOUTS[value],
    "as_device":           lambda _: Device(),
}  # fmt: skip
"""Arguments by the kinds that the JSON has; objects, operators as values and complex numbers are not among them."""

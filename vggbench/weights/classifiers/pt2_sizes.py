"""What an exported program says of the sizes of its images: read by a grammar of its own, and nothing is evaluated.

A network may branch on sizes, and the exporter keeps one branch: so its conditions hold, or its scores are wrong.
"""

import ast
import functools
import math
import operator
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

_SYMBOL = r"(?:Symbol\('(\w+)'[^()]*\)|([su]\d+))"
_MULTIPLE = re.compile(rf"(?:Mul\(Integer\((\d+)\), {_SYMBOL}\)|(?:(\d+)\*)?{_SYMBOL})")
"""How a program writes a size that it leaves open: `s77` or `32*s39`, in either of the exporter's spellings."""
_AT_LEAST_TWO = 2
"""The exporter says it of a size that may be 1, too."""
_MOST_TEXT = 20_000

Shape = tuple[int, ...]
Value = Callable[[Shape], Any]


class Open(NamedTuple):
    """A size that a program does not fix: a multiple of a symbol, which may stand for another size, too."""

    symbol: str
    sides: range

    @property
    def most(self) -> int | None:
        """The largest, where one is stated."""
        return self.sides[-1] if self.sides and self.sides.stop < sys.maxsize else None


class _Condition(NamedTuple):
    text: str
    holds: Value


@dataclass(frozen=True)
class Sizes:
    """The sizes of a batch (N, 3, H, W) that a program takes."""

    axes: tuple[int | Open, ...]
    conditions: tuple[_Condition, ...]

    @classmethod
    def read(cls, sizes: Sequence[dict[str, Any]], ranges: dict[str, Any], guards: Sequence[str]) -> "Sizes":
        """As the JSON has them. Raises ValueError, and whatever JSON of another form makes it raise."""
        axes = tuple(_size(entry, ranges) for entry in sizes)
        return cls(axes, tuple(_Condition(text, _read(_parsed(text))) for text in guards))

    def complaint(self, shape: Shape) -> str | None:
        """Why a batch of this shape is not taken; its first size need not be looked at."""
        return _complaint(self, shape)


@functools.lru_cache(maxsize=256)
def _complaint(sizes: Sizes, shape: Shape) -> str | None:
    symbols: dict[str, int] = {}
    for side, axis in list(zip(shape, sizes.axes, strict=True))[2:]:
        if isinstance(axis, Open):
            if side not in axis.sides:
                most = f"to {axis.most:,} " if axis.most is not None else ""
                return f"sides from {axis.sides.start:,} {most}in steps of {axis.sides.step:,}"
            if symbols.setdefault(axis.symbol, side // axis.sides.step) != side // axis.sides.step:
                return "sides that are multiples of one number"
    for condition in sizes.conditions:
        try:
            holds = bool(condition.holds(shape))
        except ArithmeticError:
            holds = False
        if not holds:
            return f"sizes for which {condition.text[:80]} (L is what goes in)"
    return None


def _size(entry: dict[str, Any], ranges: dict[str, Any]) -> int | Open:
    ((kind, value),) = entry.items()
    if kind == "as_int":
        if type(value) is not int or value < 1:
            raise ValueError(f"{str(value)[:20]} is not a size")
        return value
    match = _MULTIPLE.fullmatch(value["expr_str"])
    if match is None:
        raise ValueError(f"a size is {value['expr_str'][:60]!r}, where a symbol or its multiple was expected")
    symbol = next(group for place, group in enumerate(match.groups()) if group and place not in (0, 3))
    bounds = ranges.get(symbol, {})
    step, least, most = int(match[1] or match[4] or 1), bounds.get("min_val") or 0, bounds.get("max_val")
    if step < 1 or type(least) is not int or not (most is None or type(most) is int):
        raise ValueError("its range of sizes is none")
    least = 1 if least <= _AT_LEAST_TWO else least
    stop = sys.maxsize if most is None or step * most >= sys.maxsize else step * most + 1
    return Open(symbol, range(min(step * least, sys.maxsize), stop, step))


def _parsed(text: str) -> ast.expr:
    if len(text) > _MOST_TEXT:
        raise ValueError("a condition on its sizes is too long")
    return ast.parse(text.strip(), mode="eval").body


def _read(node: ast.expr) -> Value:
    """A condition as a function of a shape."""
    match node:
        case ast.UnaryOp(operand=inner) if type(node.op) in _UNARY:
            return _applied(_UNARY[type(node.op)], _read(inner))
        case ast.BinOp(left=left, right=right) if type(node.op) in _BINARY:
            return _applied(_BINARY[type(node.op)], _read(left), _read(right))
        case ast.BoolOp(values=values):
            return _applied(_all if isinstance(node.op, ast.And) else _any, *map(_read, values))
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARED for op in ops):
            sides = [_read(side) for side in (left, *others)]
            pairs = zip(ops, sides, sides[1:], strict=False)
            return _applied(_all, *(_applied(_COMPARED[type(op)], one, other) for op, one, other in pairs))
        case ast.Call(args=args, keywords=[]) if ast.unparse(node.func) in _FUNCTIONS and args:
            return _applied(_FUNCTIONS[ast.unparse(node.func)], *map(_read, args))
    return _leaf(node)


def _leaf(node: ast.expr) -> Value:
    """A number, or a size."""
    match node:
        case ast.Constant(value=bool() | int() | float() as value):
            return lambda _: value
        case ast.Subscript(
            value=ast.Call(func=ast.Attribute(value=given, attr="size"), args=[], keywords=[]),
            slice=ast.Constant(value=int() as axis),
        ) if _is_given(given) and 0 <= axis < 4:
            return lambda shape: shape[axis]
    raise ValueError(f"a condition on its sizes is {ast.unparse(node)[:60]!r}, where arithmetic was expected")


def _is_given(node: ast.expr) -> bool:
    """Whether it is `L['x']` or `L['args'][0]`: there is one input."""
    while isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        node = node.value
    return isinstance(node, ast.Name) and node.id == "L"


def _applied(function: Callable[..., Any], *parts: Value) -> Value:
    return lambda shape: function(*(part(shape) for part in parts))


def _all(*values: Any) -> bool:
    return all(values)


def _any(*values: Any) -> bool:
    return any(values)


_UNARY: dict[type, Callable[..., Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
_BINARY: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod, ast.Div: operator.truediv,
}  # fmt: skip
_COMPARED: dict[type, Callable[..., Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "torch.sym_max": max, "torch.sym_min": min, "torch.sym_not": operator.not_, "torch.sym_float": float,
    "math.floor": math.floor, "math.ceil": math.ceil, "math.trunc": math.trunc,
}  # fmt: skip

"""Pickles read as data: each opcode is carried out, and nothing that a pickle names is imported, called or built.

`pickletools` of the standard library decodes the opcodes. `pickle.Unpickler` itself is not
used: even with a `find_class` that yields placeholders it takes gigabytes for one large memo
index and hashes nested tuples in time that doubles with their depth, inside C.
"""

import pickletools
from collections.abc import Callable
from typing import IO, Any, NamedTuple, cast

_MOST_STEPS = 3_000_000
"""Opcodes: a checkpoint of a VGG has some thousands, a whole pickled module some ten thousand."""
_LONGEST_LINE = 100_000
"""Bytes of a text argument of protocol 0."""


class Named(NamedTuple):
    """A global that a pickle names: only its name is known here."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Inert:
    """What a pickle would have built by calling something; what it would have passed and added is kept as it came."""

    __slots__ = ("arguments", "items", "made_by", "pairs", "state")

    def __init__(self, made_by: object, arguments: object = ()) -> None:
        self.made_by, self.arguments = made_by, arguments
        self.state: object = None
        self.items: list[object] = []
        self.pairs: dict[object, object] = {}

    @property
    def kind(self) -> str:
        """The name of what would have built it, such as `collections.OrderedDict`."""
        return str(self.made_by) if isinstance(self.made_by, Named) else "an object made by another"


def shown(value: object) -> str:
    """A plain value for a sentence, in brief; of any other the type, since its whole text may have no end."""
    if isinstance(value, tuple) and len(value) <= 4 and all(isinstance(part, _KEYS) for part in value):
        return f"({', '.join(map(shown, value))})"[:40]
    if isinstance(value, int) and value.bit_length() > 64:
        return "a large number"
    return f"{value!r:.40}" if isinstance(value, _KEYS) else f"a {type(value).__name__}"


class Window:
    """A part of a buffer, read as a file."""

    def __init__(self, buffer: Any, start: int = 0, end: int | None = None) -> None:
        self._buffer, self._at, self._end = memoryview(buffer), start, len(buffer) if end is None else end

    def read(self, count: int) -> bytes:
        """Up to `count` bytes."""
        start, self._at = self._at, min(self._at + max(count, 0), self._end)
        return bytes(self._buffer[start : self._at])

    def readline(self) -> bytes:
        """To the end of the line, within bounds."""
        ahead = bytes(self._buffer[self._at : min(self._at + _LONGEST_LINE, self._end)])
        line, newline, _ = ahead.partition(b"\n")
        self._at += len(line) + len(newline)
        return line + newline

    def tell(self) -> int:
        """Where the next byte lies."""
        return self._at


def unpickled(stream: Window, persistent: Callable[[object], object]) -> object:
    """The one object that a pickle holds, of numbers, texts, bytes, lists, tuples, dicts, `Named` and `Inert`.

    `persistent` turns what a persistent id says into a value. The stream is left after the pickle.
    Raises ValueError, IndexError, KeyError and the like for a stream that is no pickle.
    """
    machine = _Machine(persistent)
    for step, (opcode, argument, _) in enumerate(pickletools.genops(cast("IO[bytes]", stream))):
        if step > _MOST_STEPS:
            raise ValueError(f"more than {_MOST_STEPS:,} steps")
        if opcode.name in _LITERAL:
            machine.stack.append(argument)
        elif opcode.name in _CONSTANT:
            machine.stack.append(_CONSTANT[opcode.name])
        elif opcode.name not in _PASSED:
            _STEPS[opcode.name](machine, argument)
    if len(machine.stack) != 1:
        raise ValueError(f"{len(machine.stack)} objects left at its end")
    return machine.stack[0]


class _Machine:
    """The stack and the memo of a pickle that is being read."""

    def __init__(self, persistent: Callable[[object], object]) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.persistent = persistent

    def since_mark(self) -> list[Any]:
        """All from the last mark on, taken off the stack."""
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def make(self) -> None:
        """Put what would be made by a call."""
        made_by, arguments = self.take(2)
        self.stack.append(Inert(made_by, arguments))

    def extend(self, items: list[Any]) -> None:
        """Add to the list or set on top."""
        top = self.stack[-1]
        (top.items if isinstance(top, Inert) else _only(list, top)).extend(items)

    def update(self, flat: list[Any]) -> None:
        """Set keys, each followed by its value, in the dict on top; what could be slow to hash is no key."""
        top = self.stack[-1]
        pairs = top.pairs if isinstance(top, Inert) else _only(dict, top)
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            pairs[key if isinstance(key, _KEYS) else Inert("key", key)] = value

    def build(self) -> None:
        """Keep a state; a plain container has none."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Inert):
            self.stack[-1].state = state

    def take(self, count: int) -> list[Any]:
        """The last `count` things."""
        taken = self.stack[-count:]
        if len(taken) != count:
            raise IndexError("too little on the stack")
        del self.stack[-count:]
        return taken


def _only(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"adds to a {type(value).__name__}")
    return value


def _named(module: object, name: object) -> Named:
    if not (isinstance(module, str) and isinstance(name, str)):
        raise ValueError("names a global by what is not text")
    return Named(module[:200], name[:200])


def _global(argument: str) -> Named:
    module, _, name = argument.partition(" ")
    return _named(module, name)


def _object(machine: _Machine, taken: list[Any]) -> None:
    made_by, *arguments = taken
    machine.stack.append(Inert(made_by, tuple(arguments)))


def _empty_set(machine: _Machine, items: list[Any]) -> None:
    machine.stack.append(made := Inert(Named("builtins", "set")))
    made.items = items


def _dict(machine: _Machine, flat: list[Any]) -> None:
    machine.stack.append({})
    machine.update(flat)


def _remember(machine: _Machine, place: int) -> None:
    machine.memo[place] = machine.stack[-1]


def _pop(machine: _Machine) -> None:
    """Off the stack: what is on top, or a mark."""
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.stack.pop()


_KEYS = (str, bytes, int, float, bool, type(None))
_LITERAL = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE",
    "BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_CONSTANT: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_PASSED = {"PROTO", "FRAME", "STOP"}
# fmt: off
_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    "MARK":         lambda m, _: m.marks.append(len(m.stack)),
    "POP":          lambda m, _: _pop(m),
    "POP_MARK":     lambda m, _: m.since_mark(),
    "DUP":          lambda m, _: m.stack.append(m.stack[-1]),
    "EMPTY_LIST":   lambda m, _: m.stack.append([]),
    "EMPTY_DICT":   lambda m, _: m.stack.append({}),
    "EMPTY_SET":    lambda m, _: _empty_set(m, []),
    "FROZENSET":    lambda m, _: _empty_set(m, m.since_mark()),
    "LIST":         lambda m, _: m.stack.append(m.since_mark()),
    "TUPLE":        lambda m, _: m.stack.append(tuple(m.since_mark())),
    "TUPLE1":       lambda m, _: m.stack.append(tuple(m.take(1))),
    "TUPLE2":       lambda m, _: m.stack.append(tuple(m.take(2))),
    "TUPLE3":       lambda m, _: m.stack.append(tuple(m.take(3))),
    "DICT":         lambda m, _: _dict(m, m.since_mark()),
    "APPEND":       lambda m, _: m.extend(m.take(1)),
    "APPENDS":      lambda m, _: m.extend(m.since_mark()),
    "ADDITEMS":     lambda m, _: m.extend(m.since_mark()),
    "SETITEM":      lambda m, _: m.update(m.take(2)),
    "SETITEMS":     lambda m, _: m.update(m.since_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _remember),
    "MEMOIZE":      lambda m, _: _remember(m, len(m.memo)),
    "GET":          lambda m, place: m.stack.append(m.memo[place]),
    "BINGET":       lambda m, place: m.stack.append(m.memo[place]),
    "LONG_BINGET":  lambda m, place: m.stack.append(m.memo[place]),
    "GLOBAL":       lambda m, text: m.stack.append(_global(text)),
    "STACK_GLOBAL": lambda m, _: m.stack.append(_named(*m.take(2))),
    "EXT1":         lambda m, code: m.stack.append(Named("copyreg", f"extension {code}")),
    "EXT2":         lambda m, code: m.stack.append(Named("copyreg", f"extension {code}")),
    "EXT4":         lambda m, code: m.stack.append(Named("copyreg", f"extension {code}")),
    "INST":         lambda m, text: _object(m, [_global(text), *m.since_mark()]),
    "OBJ":          lambda m, _: _object(m, m.since_mark()),
    "NEWOBJ":       lambda m, _: m.make(),
    "NEWOBJ_EX":    lambda m, _: _object(m, m.take(3)),
    "REDUCE":       lambda m, _: m.make(),
    "BUILD":        lambda m, _: m.build(),
    "PERSID":       lambda m, text: m.stack.append(m.persistent(text)),
    "BINPERSID":    lambda m, _: m.stack.append(m.persistent(m.stack.pop())),
}
# fmt: on

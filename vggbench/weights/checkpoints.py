"""Which of the objects in a PyTorch file are a network's tensors by name, and what the file says of them."""

from pathlib import Path
from typing import Any, NamedTuple

from vggbench.errors import WeightsError
from vggbench.weights.archives import Archive
from vggbench.weights.held import Held, Odd, State
from vggbench.weights.modules import is_module, of_module
from vggbench.weights.rebuilt import mapping_of, tensor_of
from vggbench.weights.unpickling import Inert

_HOLDERS = (
    "state_dict", "model_state_dict", "model", "net", "network", "net_state_dict", "model_state", "network_state_dict",
    "weights", "params", "module", "checkpoint",
    "state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema", "ema_model", "params_ema",
)  # fmt: skip
"""Under which names checkpoints keep a network; with `ema` in it, an average over steps."""
_KINDS = ("weight", "bias", "running_mean", "running_var", "W", "b", "kernel")
"""How names of what must be a tensor end."""
_DEEPEST = 2
_MMENGINE = "message_hub"
"""A key of mmengine's checkpoints, whose `state_dict` is the average, and `ema_state_dict` what it was made from."""


class _Candidate(NamedTuple):
    name: str
    averaged: bool
    value: Any


_Known = dict[tuple[int, int], list[_Candidate]]
"""What an object, by its identity, holds at a depth."""


def chosen(archive: Archive, *, ema: bool, of_vgg: bool = True) -> State:
    """The tensors of the network in a file; `ema` asks for those that were averaged over steps.

    Without `of_vgg` a network that was saved whole is refused: only the layers of a VGG are checked.

    Raises WeightsError where there are none, or several and nothing says which.
    """
    found = _candidates(archive.content, archive, 0, {})
    candidates = list({id(item.value): item for item in reversed(found)}.values())
    taken, said = _one(list(reversed(candidates)), archive, ema=ema)
    if is_module(taken.value) and not of_vgg:
        raise WeightsError(
            f"{archive.path} is a network saved whole: expected its tensors by name, which are all that is read. Save "
            "them by torch.save(net.state_dict(), PATH)."
        )
    if is_module(taken.value):
        return of_module(taken.value, archive)._replace(said=said)
    mapping = mapping_of(taken.value)
    assert mapping is not None
    return State(_tensors(mapping, archive), said)


def _candidates(value: object, archive: Archive, depth: int, known: _Known) -> list[_Candidate]:
    """Modules and state dicts, by the names of what holds them; without what is `known`, it could take hours."""
    key = (id(value), depth)
    if key not in known:
        known[key] = _found(value, archive, depth, known)
    return known[key]


def _found(value: object, archive: Archive, depth: int, known: _Known) -> list[_Candidate]:
    if is_module(value):
        return [_Candidate("", False, value)]
    mapping = mapping_of(value)
    if mapping is None or depth > _DEEPEST:
        return []
    found = []
    for name in _HOLDERS:
        for inner in _candidates(mapping.get(name), archive, depth + 1, known):
            path = f"{name}.{inner.name}" if inner.name else name
            found.append(_Candidate(path, "ema" in name or inner.averaged, inner.value))
    if not found and any(_is_weight(tensor_of(item, archive)) for item in mapping.values()):
        found = [_Candidate("", False, value)]
    if _MMENGINE in mapping and "ema_state_dict" in mapping:
        found = [item._replace(averaged=not item.averaged) for item in found]
    return found


def _is_weight(tensor: Held | Odd | None) -> bool:
    return isinstance(tensor, Odd) or (tensor is not None and len(tensor.shape) > 0)


def _one(candidates: list[_Candidate], archive: Archive, *, ema: bool) -> tuple[_Candidate, tuple[str, ...]]:
    """The candidate that was asked for, and a sentence where there was another."""
    if not candidates:
        raise WeightsError(_nothing(archive.content, archive.path))
    asked = [item for item in candidates if item.averaged == ema]
    others = [item for item in candidates if item.averaged != ema]
    if ema and not asked:
        raise WeightsError(
            f"{archive.path} holds no averaged weights (--ema): expected state_dict_ema or model_ema in it, found "
            f"{' and '.join(repr(item.name) for item in others if item.name) or 'a state dict alone'}."
        )
    pool = asked or others
    if len(pool) > 1:
        names = " and ".join(repr(item.name) for item in pool)
        raise WeightsError(
            f"{archive.path} holds several networks, {names}: expected one. Save it alone, by "
            f"torch.save(torch.load(PATH)[{pool[0].name!r}], 'one.pth')."
        )
    (taken,) = pool
    if taken.averaged and not ema:
        return taken, (f"{taken.name} of the file, averaged weights, the only ones there",)
    if others:
        other = " and ".join(item.name for item in others)
        return taken, (f"{taken.name} of the file, not {other}" + ("" if ema else "; --ema takes the other"),)
    return taken, ()


def _tensors(mapping: dict[Any, Any], archive: Archive) -> dict[str, Held]:
    """All tensors of a state dict; other objects beside them are left, but not in a tensor's place."""
    tensors: dict[str, Held] = {}
    known: _Known = {}
    for name, value in mapping.items():
        tensor = tensor_of(value, archive)
        if isinstance(tensor, Held) and isinstance(name, str):
            tensors[name] = tensor
        elif tensor is not None or (isinstance(name, str) and name.rpartition(".")[2] in _KINDS):
            raise WeightsError(
                f"{archive.path} holds {str(name)[:80]!r} as {_kind(value, tensor)}: expected plain tensors in "
                "floating point, by name; anything else is never executed here."
            )
        elif _candidates(value, archive, 0, known):
            raise WeightsError(
                f"{archive.path} holds more tensors under {str(name)[:80]!r}, beside those of a state dict: expected "
                "one state dict. Save the network's alone, by torch.save(net.state_dict(), PATH)."
            )
    return tensors


def _kind(value: object, tensor: Held | Odd | None) -> str:
    if isinstance(tensor, Odd):
        return f"a {tensor.kind}"
    if tensor:
        return "a tensor without a name"
    return _made(value)


def _made(value: object) -> str:
    return f"what {value.kind} would make" if isinstance(value, Inert) else type(value).__name__


def _nothing(content: object, path: Path) -> str:
    mapping = mapping_of(content)
    keys = ", ".join(repr(str(key)[:40]) for key in list(mapping or ())[:5]) or "nothing"
    held = _made(content) if mapping is None else f"a dict of {keys}"
    return (
        f"{path} holds no state dict, but {held}, which is never executed here: expected tensors by name. Save them by "
        "torch.save(net.state_dict(), PATH)."
    )

"""The names that frameworks give a VGG's tensors, as rows of a table, and the net that names and shapes determine."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.paper.configs import CONFIGS, FC6_KERNEL, Config
from vggbench.weights.held import Held, held
from vggbench.weights.layers import channels_first
from vggbench.weights.parts import FC_PLACES, LayerShape, PartOfNetError, convolution_places, norm_place, part_of

_WRAPPERS = frozenset({
    "module", "_orig_mod", "_fsdp_wrapped_module", "model", "backbone", "net", "network", "encoder", "vgg", "_model",
    "vgg11", "vgg13", "vgg16", "vgg19", "vgg_16", "vgg_19",
})  # fmt: skip
"""Parts of a name that DataParallel, torch.compile and people's own classes put before or into it."""


class _Row(NamedTuple):
    """How one framework names layers: a pattern of the name, and the place that it stands for."""

    whose: str
    pattern: str
    place: str
    """torchvision's name, or how the numbers in the name are counted: `by layer`, `by block`, or `norm by block`."""


# fmt: off
_ROWS = (
    _Row("torchvision",           r"features\.(\d+)",                      "features.{0}"),
    _Row("torchvision",           r"classifier\.([036])",                  "classifier.{0}"),
    _Row("torchvision until 0.1", r"classifier\.1",                        "classifier.0"),
    _Row("torchvision until 0.1", r"classifier\.4",                        "classifier.3"),
    _Row("timm",                  r"pre_logits\.fc1",                      "classifier.0"),
    _Row("timm",                  r"pre_logits\.fc2",                      "classifier.3"),
    _Row("timm",                  r"head\.fc",                             "classifier.6"),
    _Row("mmpretrain",            r"features\.(\d+)\.conv",                "by block"),
    _Row("mmpretrain",            r"features\.(\d+)\.bn",                  "norm by block"),
    _Row("SSD",                   r"(\d+)",                                "features.{0}"),
    _Row("Caffe",                 r"(?:features\.)?(?:conv\d\.)?conv(\d)_(\d)", "by layer"),
    _Row("Caffe",                 r"(?:classifier\.)?fc6",                 "classifier.0"),
    _Row("Caffe",                 r"(?:classifier\.)?fc7",                 "classifier.3"),
    _Row("Caffe",                 r"(?:classifier\.)?fc8",                 "classifier.6"),
)
_KINDS = {
    "weight": "weight", "bias": "bias", "running_mean": "running_mean", "running_var": "running_var",
    "num_batches_tracked": "num_batches_tracked", "W": "weight", "b": "bias", "weights": "weight", "biases": "bias",
}
# fmt: on
_NAME = re.compile(rf"(?P<stem>.+?)(?:[./]|_(?=[Wb](?::0)?$))(?P<kind>{'|'.join(_KINDS)})(?::0)?")
_COUNTERS = ("n_averaged", "steps")
"""Numbers beside an average's tensors."""


def named(
    tensors: dict[str, Held], config: Config, path: Path, *, says_whole: bool = False
) -> tuple[dict[str, Held], tuple[str, ...]]:
    """The tensors by torchvision's names, as far as the table knows theirs, and what was taken for granted.

    A name that it does not know stays as it is, for `fitted` to refuse. Raises WeightsError where
    two names stand for one tensor, an order of axes is ambiguous, or the names are another
    config's, and PartOfNetError for a part of a net, but for a file that says which net it holds.
    """
    stems = _stems([name for name in tensors if name not in _COUNTERS])
    placed = _placed(stems, config)
    twice = [place for place, count in Counter(placed.values()).items() if count > 1]
    if twice:
        first, second, *_ = (name for name, place in placed.items() if place == twice[0])
        raise WeightsError(
            f"{path} holds {first[:80]!r} and {second[:80]!r}, either can be {twice[0]}: expected one network. "
            "Save the state dict of that one alone."
        )
    turned, said = _turned({place: tensors[name] for name, place in placed.items()}, config, path)
    order = sorted(placed, key=lambda name: _order(stems[name][0], placed[name]))
    if not says_whole:
        _refuse_part({name: turned[placed[name]] for name in order}, stems, path)
    _require_own_names(stems, placed, config, path)
    biased, more = _with_biases(turned, config)
    return biased, (*said, *more)


def _placed(stems: dict[str, tuple[str, str]], config: Config) -> dict[str, str]:
    """torchvision's name for each, or its own where there is none."""
    places = {name: _place(stem, config) for name, (stem, _) in stems.items()}
    return {name: f"{place}.{stems[name][1]}" if place else name for name, place in places.items()}


def _require_own_names(stems: dict[str, tuple[str, str]], placed: dict[str, str], config: Config, path: Path) -> None:
    """Refuse names that count the layers of another config, and name that config."""
    if not any(name == place and _row(stems[name][0]) for name, place in placed.items()):
        return
    norms = any(kind == "running_mean" for _, kind in stems.values())
    for other in CONFIGS.values():
        unplaced = [name for name, place in _placed(stems, other).items() if name == place and _row(stems[name][0])]
        if other.batch_norm == norms and not unplaced:
            raise WeightsError(
                f"{path} does not fit config {config.name}: its layers are named as those of {other.name}. Ask for "
                f"{other.name}@{path} instead."
            )


def _stems(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Each name's layer, without wrappers, and what of it the tensor is; without either as it stands.

    What stands before all names alike goes as far as it takes for most to be known.
    """
    parted = {name: _parted(name) for name in names}
    layers = [segments for segments, kind in parted.values() if kind]
    common = 0
    while layers and all(len(own) > common + 1 for own in layers) and len({own[common] for own in layers}) == 1:
        common += 1
    best = max(range(common + 1), key=lambda cut: (_known(layers, cut), -cut))
    return {name: (".".join(segments[best:]) if kind else name, kind) for name, (segments, kind) in parted.items()}


def _parted(name: str) -> tuple[list[str], str]:
    match = _NAME.fullmatch(name)
    if match is None:
        return [], ""
    segments = [part for part in re.split(r"[./]", match["stem"]) if part not in _WRAPPERS]
    return segments, _KINDS[match["kind"]]


def _known(layers: Sequence[list[str]], cut: int) -> int:
    return sum(_row(".".join(own[cut:])) is not None for own in layers)


def _row(stem: str) -> tuple[_Row, tuple[str, ...]] | None:
    for row in _ROWS:
        match = re.fullmatch(row.pattern, stem)
        if match:
            return row, match.groups()
    return None


def _place(stem: str, config: Config) -> str | None:
    """torchvision's name of a layer; None for one that is in no row, or not in this config."""
    found = _row(stem)
    if found is None:
        return None
    row, numbers = found
    places = iter(convolution_places(config))
    if row.place == "by layer":
        by_name = dict(zip([layer.name for layer in config.convs], places, strict=True))
        return by_name.get(f"conv{numbers[0]}_{numbers[1]}")
    if row.place in ("by block", "norm by block"):
        blocks = [layer for layer in config.layers if layer.kind != "lrn"]
        by_block = {str(i): next(places) for i, layer in enumerate(blocks) if layer.kind == "conv"}
        place = by_block.get(numbers[0])
        return norm_place(place) if place and row.place == "norm by block" else place
    return row.place.format(*numbers)


def _turned(tensors: dict[str, Held], config: Config, path: Path) -> tuple[dict[str, Held], tuple[str, ...]]:
    """Weights with outputs first, and fc layers as matrices; which axis is which, the shapes of all layers must say."""
    convs = [tensors[f"{place}.weight"].shape for place in convolution_places(config) if f"{place}.weight" in tensors]
    outputs_first, outputs_last = _is_chain(convs, (0, 1, 2, 3)), _is_chain(convs, (3, 2, 0, 1))
    if outputs_first and outputs_last:
        raise WeightsError(
            f"{path} holds convolutions whose shapes, {convs[0]} the first, do not say which axis is which: expected "
            "PyTorch's order. Save them by torch.save(net.state_dict(), PATH)."
        )
    turned = dict(tensors)
    for place in convolution_places(config) if outputs_last else ():
        if f"{place}.weight" in tensors:
            turned[f"{place}.weight"] = _permuted(tensors[f"{place}.weight"], (3, 2, 0, 1))
    for place in FC_PLACES:
        weight = tensors.get(f"{place}.weight")
        if weight is not None:
            if place == FC_PLACES[0] and outputs_last and len(weight.shape) == 2 and weight.transposed:
                raise _ambiguous(path)
            turned[f"{place}.weight"] = _fc(place, weight, convs[-1][3] if outputs_last else 0)
    said = ("axes in TensorFlow's order (row, column, input, output), so fc6's inputs by row, column, channel",)
    return turned, said if outputs_last else ()


def _ambiguous(path: Path) -> WeightsError:
    """The error for an fc6 that lies as a transpose: putting it in TensorFlow's order would have moved its values."""
    return WeightsError(
        f"{path} has convolutions in TensorFlow's order and fc6 as the transpose of Caffe's or PyTorch's: it does not "
        "say whether fc6's inputs come by row, column, channel, as in TensorFlow, or by channel, row, column. Expected "
        "one order for all. If it is TensorFlow's: numpy.savez('x.npz', **{k: v.copy(order='C') for k, v in "
        f"numpy.load({str(path)!r}).items()}}); else save PyTorch's state dict."
    )


def _is_chain(convs: Sequence[tuple[int, ...]], axes: tuple[int, ...]) -> bool:
    """Whether shapes, in this order of axes, are of convolutions that follow one another from RGB on."""
    if not convs or any(len(shape) != 4 for shape in convs):
        return False
    sides = [tuple(shape[axis] for axis in axes) for shape in convs]  # (out, in, k, k)
    linked = all(before[0] == after[1] for before, after in pairwise(sides))
    return sides[0][1] == 3 and linked and all(own[2] == own[3] and own[2] in (1, 3) for own in sides)


def _fc(place: str, weight: Held, channels_last: int) -> Held:
    """(out, in), inputs by channel, row and column; `channels_last` is the channels of a net in TensorFlow's order."""
    shape = weight.shape
    if not channels_last:
        return _flat(weight) if len(shape) == 4 else weight
    if len(shape) == 4:
        return _flat(_permuted(weight, (3, 2, 0, 1)))
    if len(shape) != 2:
        return weight
    inputs, outputs = shape
    if place == FC_PLACES[0] and inputs == FC6_KERNEL**2 * channels_last:
        return weight.turned((outputs, inputs), lambda tensor: channels_first(tensor, channels_last))
    return weight.turned((outputs, inputs), lambda tensor: tensor.T.contiguous())


def _permuted(weight: Held, axes: tuple[int, ...]) -> Held:
    if len(weight.shape) != len(axes):
        return weight
    return weight.turned(tuple(weight.shape[axis] for axis in axes), lambda tensor: tensor.permute(axes).contiguous())


def _flat(weight: Held) -> Held:
    """A convolution over whole windows, as the matrix that it is."""
    out, *rest = weight.shape
    inputs = rest[0] * rest[1] * rest[2]
    return weight.turned((out, inputs), lambda tensor: tensor.reshape(out, inputs))


def _with_biases(tensors: dict[str, Held], config: Config) -> tuple[dict[str, Held], tuple[str, ...]]:
    """A convolution before batch normalisation may have none in any layer, which is the same as zeros in all."""
    places = convolution_places(config)
    weights = [tensors.get(f"{place}.weight") for place in places]
    if not config.batch_norm or any(f"{place}.bias" in tensors for place in places) or None in weights:
        return tensors, ()
    zeros = {
        f"{place}.bias": held(torch.zeros(weight.shape[0] if weight.shape[0] < 10**6 else 1))
        for place, weight in zip(places, weights, strict=True)
        if weight and weight.shape
    }
    return tensors | zeros, ("no biases before batch normalisation, so zeros",)


def _refuse_part(tensors: dict[str, Held], stems: dict[str, tuple[str, str]], path: Path) -> None:
    """Raise PartOfNetError for the convolutions of a config with another head, or none, in its order."""
    weights = [name for name, tensor in tensors.items() if len(tensor.shape) > 1]
    batch_norm = any(kind == "running_mean" for _, kind in stems.values())
    part = part_of([LayerShape(name, tensors[name].shape) for name in weights], batch_norm=batch_norm)
    if part is None:
        return
    by_stem = {stem: name for name, stem in stems.items()}
    convolutions: dict[str, Tensor] = {}
    for name, place in zip(weights, convolution_places(part.config), strict=False):
        bias = by_stem.get((stems[name][0], "bias"))
        convolutions[f"{place}.weight"] = tensors[name].read()
        convolutions[f"{place}.bias"] = tensors[bias].read() if bias else torch.zeros(tensors[name].shape[0])
    raise PartOfNetError(path, part, convolutions)


def _order(stem: str, place: str) -> tuple[object, ...]:
    """Convolutions of known names by the numbers in them, then fc layers, then the others as they come."""
    if place.startswith("classifier."):
        return (1, place)
    if _row(stem) is None:
        return (2,)
    return (0, *(int(number) for number in re.findall(r"\d+", stem)))

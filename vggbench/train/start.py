"""How a net starts: random weights, and what it takes over from a trained one."""

from collections.abc import Sequence

import torch
from torch import nn

from vggbench.errors import UsageError, WeightsError
from vggbench.images.preprocessing import input_of_text
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CONFIGS, Config
from vggbench.store.identity import Identity
from vggbench.train.frozen import Halves
from vggbench.train.recipe import Recipe
from vggbench.weights.description import ORDERS
from vggbench.weights.files import tensors_hash
from vggbench.weights.load import CEIL_POOLED, Model
from vggbench.weights.parts import PartOfNetError

TRANSFERRED_CONVS = 4
"""Deeper nets take these of a trained A, conv1_1, conv2_1, conv3_1 and conv3_2, and its fc layers (section 3.1)."""

STEADY_RATE = 0.0005
"""Ours, at which new fc layers on Oxford's convolutions were fitted to 360 photographs without trouble."""
_LAST = "classifier.6"
_STAYING = {"fc": "the convolutions", "last": "all layers but the last"}
_NORMAL_STD = {"paper": 0.01, "paper-literal": 0.1}
"""The paper prints a variance of 0.01, a deviation of 0.1; its predecessors' deviation is 0.01."""


def is_deeper(config: Config) -> bool:
    """Than A, which the paper trains from random weights, and deeper nets from a trained A (section 3.1)."""
    return len(config.convs) > len(CONFIGS["A"].convs)


def shares_convolutions(source: Config, config: Config) -> bool:
    """Whether the first convolutions of two nets are of one size: B-5x5 has only the fc layers of others."""
    return source.convs[0].kernel == config.convs[0].kernel


def begin(network: VGG, recipe: Recipe, start: Model | None, names: Sequence[str] | None = None) -> list[str]:
    """Fill a network with its first weights; returns the names of the tensors taken from `start`.

    `names`: the classes in the order of its outputs, without any those of `start`. Raises UsageError where `start`
    does not fit, or is missing for `identity` or for layers that are not trained.
    """
    if start is None:
        _refuse_without_start(network, recipe)
    _draw(network, recipe)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = recipe.dropout
    halves = Halves.of(network, recipe.train_layers)
    if halves:
        halves.freeze()
    if start is None:
        return []
    if not isinstance(start.module, VGG):
        raise UsageError(f"{start.identity.name} is not a VGG: expected a trained A to start from.")
    rows = range(network.classes) if names is None else kept_outputs(start.identity, names)
    taken = _take(start.identity.name, start.module, network, _origins(start.module, network, recipe), rows)
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    passing = recipe.init == "identity"  # new convolutions pass their input on
    left = [name for name in frozen if name not in taken and not (passing and name.startswith("features."))]
    if left:
        raise UsageError(
            f"--train-layers {recipe.train_layers} leaves {_STAYING[recipe.train_layers]} as they are, and {left[0]} "
            f"is not in {start.identity.name}: expected a trained {network.config.name} in --from."
        )
    return taken


def kept_outputs(start: Identity, names: Sequence[str]) -> Sequence[int] | None:
    """The outputs of the net to start from that are these classes, in their order; None where it has others.

    A net that names no classes, and has as many, is taken to have these, in their order, as an evaluation takes it.
    """
    if start.class_names is None:
        return range(len(names)) if start.classes == len(names) else None
    if set(start.class_names) != set(names):
        return None
    return [start.class_names.index(name) for name in names]


def on_last_layer(start: Model, names: Sequence[str], init: str) -> str | None:
    """What becomes of the last layer of the net to start from, in a sentence; None where it stays as it is."""
    own = start.identity
    if _is_of_convolutions(start):
        return None
    outputs = kept_outputs(own, names)
    if outputs is None:
        known = "other classes" if own.class_names else "classes that it does not name"
        return (
            f"{own.name} was trained on {known}, {own.classes:,} of them: its last layer starts anew (--init {init}), "
            "all others as they are there."
        )
    if own.class_names is None:
        return (
            f"{own.name} names no classes: its {own.classes:,} outputs are taken for the {len(names):,} classes in "
            "their order, as in an evaluation, and its last layer is kept."
        )
    if own.class_names != tuple(names):
        return f"{own.name} has the same classes in another order: its last layer is kept, by their names."
    return None


def convolutions_alone(found: PartOfNetError, name: str, input: str | None, classes: tuple[str, ...]) -> Model:
    """The convolutions of a part of a net as a net to start from, whose fc layers have no values (meta tensors).

    Its input and pooling are the file's where it says them, else those of `input`. Raises UsageError where neither
    states the input, WeightsError where they contradict.
    """
    if found.input is None and input in (None, *ORDERS):
        raise UsageError(
            f"{found.path} is not known and does not say what it expects at its input: expected --input torchvision, "
            "caffe or matconvnet, or any other such as RGB,1,0.5,0.5; the trained net keeps it."
        )
    given = found.input.agreed(input, found.path) if found.input else input_of_text(str(input))
    part, ceil = found.part, input in CEIL_POOLED if found.ceil_pool is None else found.ceil_pool
    with torch.device("meta"):
        network = VGG(part.config, len(classes), part.width, ceil_pool=ceil)
    tensors = {key: tensor.to(torch.float32, copy=True) for key, tensor in found.convolutions.items()}
    broken = next((key for key, tensor in tensors.items() if not tensor.isfinite().all()), None)
    if broken:
        raise WeightsError(f"{found.path} holds NaN or infinity in {broken}: expected finite weights.")
    network.load_state_dict(tensors, strict=False, assign=True)
    net = Architecture(part.config, len(classes), part.width, ceil)
    identity = Identity(name, given, len(classes), classes, tensors_hash(tensors), architecture=net)
    return Model(identity, network.eval())


def on_rate(start: Model, recipe: Recipe) -> str | None:
    """What to say of a rate that a new fc6 may not stand, whose inputs reach hundreds; None where all is well."""
    given = start.input
    if given.range == 1 or max(given.std) > 1 or not _is_of_convolutions(start) or recipe.rate <= STEADY_RATE:
        return None
    return (
        f"{start.identity.name} takes {given}, so that what its convolutions give reaches hundreds, and fc6 starts "
        f"anew on it: at --rate {recipe.rate:g} the loss may grow. --rate {STEADY_RATE:g} is proposed."
    )


def _is_of_convolutions(start: Model) -> bool:
    """Whether its fc layers have no values."""
    return isinstance(start.module, VGG) and any(tensor.is_meta for tensor in start.module.state_dict().values())


def _refuse_without_start(network: VGG, recipe: Recipe) -> None:
    if recipe.init == "identity":
        raise UsageError("--init identity continues a trained net: expected --from A@FILE beside it.")
    if recipe.init.startswith("paper") and is_deeper(network.config):
        raise UsageError(
            f"--init {recipe.init} starts nets deeper than A from a trained A: expected --from A@a.safetensors, from "
            f"`vggbench train A --data DATA --init {recipe.init} --output a.safetensors`; or --init glorot."
        )
    if recipe.train_layers != "all":
        raise UsageError(
            f"--train-layers {recipe.train_layers} leaves {_STAYING[recipe.train_layers]} as they are: expected a "
            "trained net in --from."
        )


def _draw(network: VGG, recipe: Recipe) -> None:
    generator = torch.Generator().manual_seed(recipe.seed)
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        assert module.bias is not None
        if recipe.init == "glorot":
            nn.init.xavier_uniform_(module.weight, generator=generator)
        elif recipe.init in _NORMAL_STD:
            nn.init.normal_(module.weight, std=_NORMAL_STD[recipe.init], generator=generator)
        elif recipe.init == "he" or isinstance(module, nn.Linear) or module.in_channels != module.out_channels:
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu", generator=generator)
        else:
            nn.init.dirac_(module.weight)
        nn.init.zeros_(module.bias)


def _origins(source: VGG, network: VGG, recipe: Recipe) -> dict[str, str]:
    """The layers of `network` that start from a layer of `source`, convolutions by their place in their stage.

    All of them for the same config, and between A and A-LRN; else what the paper takes from A, as far as it fits:
    between B-5x5 and the others the fc layers.
    `identity` takes every convolution, and those that are new pass their input through, so that
    the deeper net starts as the trained one (Net2DeeperNet, Chen et al., arXiv 1511.05641).
    """
    ours, theirs = _conv_modules(network), _conv_modules(source)
    convs = list(theirs)
    if ours.keys() != theirs.keys() and recipe.init != "identity":
        convs = convs[:TRANSFERRED_CONVS]
    if not shares_convolutions(source.config, network.config):
        if recipe.init == "identity":
            raise UsageError(
                f"--init identity continues all convolutions of {source.config.name}, and none fits "
                f"{network.config.name}: expected a net of the same kernels in --from."
            )
        convs = []
    lost = [name for name in convs if name not in ours]
    if lost:
        raise UsageError(
            f"{source.config.name} has {lost[0]} and {network.config.name} has not: expected to start from a "
            "net that is not deeper, such as A."
        )
    return {ours[name]: theirs[name] for name in convs} | {f"classifier.{i}": f"classifier.{i}" for i in (0, 3, 6)}


def _take(
    name: str, source: VGG, network: VGG, origins: dict[str, str], rows: Sequence[int] | None
) -> list[str]:  # fmt: skip
    """Copy the layers; of the last one these rows, or none."""
    ours, theirs = network.state_dict(), source.state_dict()
    copied = []
    for layer, origin in origins.items():
        for kind in ("weight", "bias"):
            target, value = ours[f"{layer}.{kind}"], theirs[f"{origin}.{kind}"]
            if value.is_meta or (layer == _LAST and rows is None):  # of convolutions alone, and of other classes
                continue
            value = value[list(rows)] if layer == _LAST and rows is not None and len(rows) == len(value) else value
            if target.shape != value.shape:
                raise UsageError(
                    f"{name} has {origin}.{kind} of shape {tuple(value.shape)}: expected {tuple(target.shape)}. "
                    "Start from a net of the same width and kernels (--width)."
                )
            target.copy_(value)
            copied.append(f"{layer}.{kind}")
    return copied


def _conv_modules(network: VGG) -> dict[str, str]:
    """The name of each convolution in the paper's stages (conv3_1), and of its module."""
    modules = [f"features.{i}" for i, module in enumerate(network.features) if isinstance(module, nn.Conv2d)]
    return {layer.name: module for layer, module in zip(network.config.convs, modules, strict=True)}

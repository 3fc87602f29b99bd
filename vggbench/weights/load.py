"""Models: a network together with everything that its figures depend on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from vggbench.configs import CONFIGS, MAX_WIDTH, STAGE_CHANNELS, Config, config_named
from vggbench.cost import Network
from vggbench.data.imagenet import wnids
from vggbench.errors import UsageError, WeightsError
from vggbench.model import VGG, initialise
from vggbench.protocols import TrainScale
from vggbench.views import INPUTS, Input
from vggbench.weights.files import file_hash, read_tensors, tensors_hash, write_tensors
from vggbench.weights.spec import RANDOM, ModelSpec

RANDOM_SEED = 0


@dataclass(frozen=True)
class Model:
    """A network with weights, and what they need at the input.

    `network` maps (N, 3, H, W) float32 to a score map (N, K, h, w) or scores (N, K);
    `net` is its place in the paper, or None for a network that is not a VGG.
    """

    name: str
    network: Callable[[Tensor], Tensor]
    input: Input
    classes: int
    class_names: tuple[str, ...] | None
    weights_hash: str
    train_scale: TrainScale | None = None
    net: Network | None = None
    trained_ids: str | None = None
    """The fingerprint of the images that it learned from; that of those which chose its epoch is `validation_ids`."""
    validation_ids: str | None = None

    @classmethod
    def wrap(
        cls,
        name: str,
        network: Callable[[Tensor], Tensor],
        input: Input,
        class_names: tuple[str, ...] | list[str],
        *,
        identity: str | None = None,
        train_scale: TrainScale | None = None,
    ) -> Self:
        """Any callable as a model, so that pruned, quantised or other networks get the paper's protocols.

        `class_names` in the order of the outputs. What is stored is found again by `identity`: name
        the weights and the code, and change the name when either changes. For a module whose state is
        all tensors it may be left out: its printed structure and weights are hashed, but not the
        code of a `forward` of your own. Raises UsageError where an identity is needed.
        """
        if isinstance(network, nn.Module):
            network.eval()
            identity = identity or _module_identity(network)
        if not identity:
            raise UsageError(
                f"Model {name!r} is a plain callable, or keeps weights that are no tensors: expected identity='...', "
                "a name for its code and weights, since stored posteriors are found again by it."
            )
        names = tuple(class_names)
        return cls(name, network, input, len(names), names, identity, train_scale)


@dataclass(frozen=True)
class LoadOptions:
    """What the command line states about files that do not state it themselves, and about random nets."""

    train_scale: TrainScale | None = None
    input: str | None = None
    width: float = 1.0


def load_model(spec: ModelSpec, options: LoadOptions, folders: tuple[str, ...]) -> Model:
    """Load the weights that `spec` names; a random net takes `folders`, the data's class folders, as its classes.

    Raises WeightsError for a file that does not fit, UsageError where --input is missing.
    """
    if spec.source == RANDOM:
        return _random_model(spec, options, folders)
    if spec.path is None:
        raise UsageError(no_weights(spec.config))
    return _model_from_file(spec, spec.path, options)


def no_weights(config: Config) -> str:
    """What to do about a bare config name."""
    return f"{config.name} names no weights: pass a file, {config.name}@FILE, or {config.name}@{RANDOM} for timing."


def save_model(model: Model, path: Path, *, recipe: dict[str, Any] | None = None, half: bool = False) -> None:
    """Write a VGG as a `.safetensors` that describes itself; `half` stores float16. Raises WeightsError."""
    assert isinstance(model.network, VGG)
    assert model.net is not None
    description = {
        "config": model.net.config.name,
        "width": model.net.width,
        "classes": list(model.class_names) if model.class_names else None,
        "train_scale": str(model.train_scale) if model.train_scale else None,
        "input": model.input.as_dict(),
        "ceil_pool": model.net.ceil_pool,
        "recipe": recipe or {},
    }
    tensors = {name: t.half() if half else t for name, t in model.network.state_dict().items()}
    write_tensors(path, tensors, description)


def _random_model(spec: ModelSpec, options: LoadOptions, folders: tuple[str, ...]) -> Model:
    names = wnids() if set(folders) <= set(wnids()) else folders
    network = VGG(spec.config, len(names), options.width)
    initialise(network, RANDOM_SEED)
    return Model(
        name=spec.name,
        network=_frozen(network),
        input=INPUTS["torchvision"],
        classes=len(names),
        class_names=names,
        weights_hash=tensors_hash(network.state_dict()),
        net=Network(spec.config, len(names), options.width),
    )


def _model_from_file(spec: ModelSpec, path: Path, options: LoadOptions) -> Model:
    tensors, description = read_tensors(path)
    own = _Description.read(description, path) if description else _Description.stated(options, path)
    if own.config and own.config != spec.config:
        raise WeightsError(
            f"{path} says that it is config {own.config.name}: expected {spec.config.name}. "
            f"Ask for {own.config.name}@{path} instead."
        )
    network = _fitted(spec.config, tensors, own, path)
    names = own.class_names or (wnids() if network.classes == len(wnids()) else None)
    if names and len(names) != network.classes:
        raise WeightsError(
            f"{path} names {len(names)} classes and its last layer has {network.classes}: expected equal."
        )
    return Model(
        name=spec.name,
        network=network,
        input=own.input,
        classes=network.classes,
        class_names=names,
        weights_hash=file_hash(path),
        train_scale=own.train_scale,
        net=Network(spec.config, network.classes, network.width, own.ceil_pool),
        trained_ids=own.trained_ids,
        validation_ids=own.validation_ids,
    )


@dataclass(frozen=True)
class _Description:
    """What a file says of itself, or the command line says in its place."""

    input: Input
    train_scale: TrainScale | None
    config: Config | None = None
    width: float | None = None
    class_names: tuple[str, ...] | None = None
    ceil_pool: bool = False
    trained_ids: str | None = None
    validation_ids: str | None = None

    @classmethod
    def stated(cls, options: LoadOptions, path: Path) -> Self:
        if options.input is None:
            raise UsageError(
                f"{path} does not say what it expects at its input, and a guess could give a wrong number: pass "
                "--input torchvision (RGB 0-1, mean and std) or --input caffe (BGR 0-255, mean; ceil pooling)."
            )
        return cls(INPUTS[options.input], options.train_scale, ceil_pool=options.input == "caffe")

    @classmethod
    def read(cls, fields: dict[str, Any], path: Path) -> Self:
        try:
            names, scale = fields["classes"], fields["train_scale"]
            if not 0 < float(fields["width"]) <= MAX_WIDTH or (names and len(set(names)) != len(names)):
                raise ValueError("its width or class names cannot be")
            return cls(
                input=Input.from_dict(fields["input"]),
                train_scale=TrainScale.parse(scale) if scale else None,
                config=config_named(fields["config"]),
                width=float(fields["width"]),
                class_names=tuple(str(name) for name in names) if names else None,
                ceil_pool=bool(fields["ceil_pool"]),
                trained_ids=fields.get("recipe", {}).get("trained_ids"),
                validation_ids=fields.get("recipe", {}).get("validation_ids"),
            )
        except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
            raise WeightsError(
                f"{path} describes itself in a way this version cannot read ({type(error).__name__}: {error}): "
                "expected what `vggbench` writes. Update vggbench, or save the file again."
            ) from error


def _fitted(config: Config, tensors: dict[str, Tensor], own: _Description, path: Path) -> VGG:
    """The network of `config` with exactly these tensors: names, count and every shape are compared, then copied."""
    if not tensors:
        raise WeightsError(f"{path} holds no tensors: expected torchvision's names, features.0.weight and on.")
    first, last = tensors.get("features.0.weight"), tensors.get("classifier.6.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 2:
        raise WeightsError(
            f"{path} holds {len(tensors)} tensors, the first {next(iter(tensors))!r}: expected torchvision's names, "
            "features.0.weight to classifier.6.bias."
        )
    width = own.width or first.shape[0] / STAGE_CHANNELS[0]
    with torch.device("meta"):
        network = VGG(config, last.shape[0], width, ceil_pool=own.ceil_pool)
    misfit = _misfit(network, tensors)
    if misfit:
        raise WeightsError(f"{path} does not fit config {config.name}: {misfit}.{_guess(tensors)}")
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}
    broken = next((name for name, tensor in copies.items() if not tensor.isfinite().all()), None)
    if broken:
        raise WeightsError(f"{path} holds NaN or infinity in {broken}: expected finite weights. Copy the file again.")
    network.load_state_dict(copies, assign=True)
    return _frozen(network)


def _misfit(network: VGG, tensors: dict[str, Tensor]) -> str | None:
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or extra:
        odd = f"without {missing[0]}" if missing else f"with {extra[0]}"
        return f"expected {len(expected)} tensors, found {len(tensors)}, {odd}"
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            return f"expected {name} of shape {shape}, found {tuple(tensors[name].shape)}"
        if not tensors[name].is_floating_point():
            return f"expected {name} in floating point, found {tensors[name].dtype}"
    return None


def _guess(tensors: dict[str, Tensor]) -> str:
    """Which config the tensors would fit, as a hint."""
    width = tensors["features.0.weight"].shape[0] / STAGE_CHANNELS[0]
    with torch.device("meta"):
        fitting = [
            config.name
            for config in CONFIGS.values()
            if _misfit(VGG(config, tensors["classifier.6.weight"].shape[0], width), tensors) is None
        ]
    if fitting:
        return f" It fits {' and '.join(fitting)}."
    if any("running_mean" in name for name in tensors):
        return " It has batch normalisation, which this version does not load."
    return ""


def _frozen(network: VGG) -> VGG:
    return network.eval().requires_grad_(False)


def _module_identity(module: nn.Module) -> str | None:
    """A hash of structure and weights; None where some weights are no tensors, as in quantised modules."""
    state = module.state_dict()
    if not all(isinstance(value, Tensor) and not value.is_quantized for value in state.values()):
        return None
    structure = torch.frombuffer(bytearray(repr(module).encode()), dtype=torch.uint8)
    return tensors_hash({"": structure} | state)

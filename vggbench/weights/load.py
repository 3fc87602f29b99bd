"""Models: a network together with everything that its figures depend on."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from vggbench.data.imagenet import wnids
from vggbench.errors import UsageError, WeightsError
from vggbench.images.preprocessing import INPUTS, Input, input_of_text
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import VGG, initialise
from vggbench.paper.configs import MAX_WIDTH, PAPER, Config, config_named
from vggbench.paper.protocols import TrainScale
from vggbench.store.identity import Identity
from vggbench.weights.description import ORDERS, StatedInput
from vggbench.weights.download import DownloadWatch, fetch
from vggbench.weights.files import tensors_hash, write_tensors
from vggbench.weights.fit import fitted, frozen
from vggbench.weights.formats import read_weights
from vggbench.weights.held import Contents
from vggbench.weights.released import SOURCES, Released, recognise, released, sources_of
from vggbench.weights.spec import NAMED_SOURCES, RANDOM, SAMPLE_NETS, ModelSpec

RANDOM_SEED = 0
CEIL_POOLED = ("caffe", "matconvnet")
"""The inputs of Oxford's nets, whose pooling rounds up."""


@dataclass(frozen=True)
class Model:
    """A network that can run, and what it is; `module` maps (N, 3, H, W) float32 to scores, (N, K, h, w) or (N, K)."""

    identity: Identity
    module: Callable[[Tensor], Tensor]
    path: Path | None = None
    """The file that it was loaded from."""
    no_preset: str | None = None
    """Why its publisher's own way to evaluate it cannot be taken, if so."""

    @property
    def input(self) -> Input:
        """What it expects."""
        assert self.identity.input, "what others ran is no model here"
        return self.identity.input

    def with_identity(self, **changes: Any) -> Self:
        """The same network, known otherwise."""
        return replace(self, identity=replace(self.identity, **changes))

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
                f"Model {name!r} is a plain callable, or keeps weights that are not tensors: expected identity='...', "
                "a name for its code and weights, since stored posteriors are found again by it."
            )
        names = tuple(class_names)
        return cls(Identity(name, input, len(names), names, identity, train_scale), network)


@dataclass(frozen=True)
class LoadOptions:
    """What the command line states about files that do not state it themselves, and about random nets."""

    train_scale: TrainScale | None = None
    input: str | None = None
    width: float = 1.0
    ema: bool = False
    """Whether weights that were averaged over steps are taken from a checkpoint that has both."""
    otherwise: str | None = None
    """The input where neither a file nor `input` states one."""
    size: int | None = None
    """Side of the square images of a program that takes any."""


def load_model(
    spec: ModelSpec, options: LoadOptions, folders: tuple[str, ...], watch: DownloadWatch | None = None
) -> Model:
    """Load the weights that `spec` names; a random net takes `folders`, the data's class folders, as its classes.

    Raises WeightsError for a file that does not fit or cannot be had, UsageError where --input is
    missing or a source has no such net.
    """
    if spec.source == RANDOM:
        return _random_model(spec, options, folders)
    if spec.source in SOURCES:
        row = row_of(spec)
        _require_of_use(row, row.url)
        return _model_from_file(spec, fetch(row, watch), options, row, watch)
    if spec.path is None:
        raise UsageError(no_weights(spec.config))
    if spec.source == SAMPLE_NETS and not spec.path.exists():
        raise UsageError(f"The sample has no net {spec.config.name}: expected one of {', '.join(PAPER)}.")
    return _model_from_file(spec, spec.path, options, _recognised(spec.path), watch)


def no_weights(config: Config) -> str:
    """What to do about a bare config name."""
    published = sources_of(config)
    if published:
        return (
            f"{config.name} names no weights: pass {config.name}@FILE, or for the classes of ILSVRC one of "
            f"{', '.join(f'{config.name}@{source}' for source in published)}."
        )
    return (
        f"{config.name} has no released weights anywhere: train it (`vggbench train --plan {config.name}` prints how), "
        f"and pass {config.name}@FILE."
    )


def save_model(model: Model, path: Path, *, recipe: dict[str, Any] | None = None, half: bool = False) -> None:
    """Write a VGG as a `.safetensors` that describes itself; `half` stores float16. Raises WeightsError."""
    assert isinstance(model.module, VGG)
    tensors = {name: t.half() if half else t for name, t in model.module.state_dict().items()}
    write_tensors(path, tensors, describe(model, recipe or {}))


def describe(model: Model, recipe: dict[str, Any]) -> dict[str, Any]:
    """What a file says of itself, for JSON."""
    identity = model.identity
    assert identity.architecture is not None
    return {
        "config": identity.architecture.config.name,
        "width": identity.architecture.width,
        "classes": list(identity.class_names) if identity.class_names else None,
        "train_scale": str(identity.train_scale) if identity.train_scale else None,
        "input": model.input.as_dict(),
        "ceil_pool": identity.architecture.ceil_pool,
        "recipe": recipe,
    }


def _random_model(spec: ModelSpec, options: LoadOptions, folders: tuple[str, ...]) -> Model:
    names = wnids() if set(folders) <= set(wnids()) else folders
    network = VGG(spec.config, len(names), options.width)
    initialise(network, RANDOM_SEED)
    identity = Identity(
        name=spec.name,
        input=INPUTS["torchvision"],
        classes=len(names),
        class_names=names,
        weights_hash=tensors_hash(network.state_dict()),
        architecture=Architecture(spec.config, len(names), options.width),
        source=RANDOM,
        spec=spec.name,
    )
    return Model(identity, frozen(network))


def row_of(spec: ModelSpec) -> Released:
    """The released file that a source names. Raises UsageError where it has released none of this config."""
    row = released(spec.config, str(spec.source))
    if row is None:
        others = sources_of(spec.config)
        expected = f"expected one of {', '.join(others)}" if others else "nobody is known to have"
        raise UsageError(f"{spec.source} has released no {spec.config.name}: {expected}; or a file.")
    return row


def _require_of_use(row: Released, where: Path | str) -> None:
    if row.refused:
        raise WeightsError(f"{where} cannot be evaluated: {row.refused}. Pass {row.config.name}@torchvision.")


def _recognised(path: Path) -> Released | None:
    try:
        return recognise(path)
    except OSError:
        return None  # the reader says what is wrong


def _model_from_file(
    spec: ModelSpec, path: Path, options: LoadOptions, row: Released | None, watch: DownloadWatch | None
) -> Model:
    if row:
        _require_of_use(row, path)
    if row and row.config != spec.config:
        raise WeightsError(
            f"{path} is {row.source}'s {row.file}, which is {row.config.name}: expected {spec.config.name}. "
            f"Ask for {row.config.name}@{path} instead."
        )
    content = read_weights(path, spec.config, ema=options.ema)
    for sentence in content.said:
        (watch or DownloadWatch()).begin(f"{spec.name}: {sentence}.")
    own = _Description.of(content, row, options, path)
    if own.config and own.config != spec.config:
        raise WeightsError(
            f"{path} says that it is config {own.config.name}: expected {spec.config.name}. "
            f"Ask for {own.config.name}@{path} instead."
        )
    if content.description.get("foreign"):  # our own files ignore --input, which others beside them may need
        StatedInput.of(own.input).agreed(options.input, path)
    network = fitted(spec.config, content.tensors, path, width=own.width, ceil_pool=own.ceil_pool)
    names = own.class_names or (wnids() if network.classes == len(wnids()) else None)
    if names and len(names) != network.classes:
        raise WeightsError(
            f"{path} names {len(names)} classes and its last layer has {network.classes}: expected equal."
        )
    twice = next((name for name, count in Counter(names or ()).items() if count > 1), None)
    if twice is not None:
        raise WeightsError(
            f"{path} names two of its classes {twice!r}: expected each name once, so that folders can be matched."
        )
    identity = Identity(
        name=spec.name,
        input=own.input,
        classes=network.classes,
        class_names=names,
        weights_hash=content.sha256,
        train_scale=own.train_scale,
        architecture=Architecture(spec.config, network.classes, network.width, own.ceil_pool),
        source=spec.shown_source,
        spec=spec.name if spec.source in NAMED_SOURCES else f"{spec.config.name}@{path.absolute()}",
        released=row.name if row else None,
        trained_ids=own.trained_ids,
        validation_ids=own.validation_ids,
        is_described=bool(row or content.is_described or content.description),
        said=content.said,
        averaged=options.ema,
    )
    return Model(identity, network, path)


@dataclass(frozen=True)
class _Description:
    """What a file says of itself; else what is on record of it; else what the command line says."""

    input: Input
    train_scale: TrainScale | None
    config: Config | None = None
    width: float | None = None
    class_names: tuple[str, ...] | None = None
    ceil_pool: bool = False
    trained_ids: str | None = None
    validation_ids: str | None = None

    @classmethod
    def of(cls, content: Contents, row: Released | None, options: LoadOptions, path: Path) -> Self:
        if content.description:
            own = cls.read(content.description, path)
            _require_no_contradiction(own, content, path)
            return own
        if row:
            return cls(row.input, row.train_scale, ceil_pool=row.ceil_pool)
        name = options.input or options.otherwise
        if content.input and not options.input:  # its word; where it says no order, that of `otherwise`
            name = INPUTS[options.otherwise].channels if options.otherwise and not content.input.channels else None
        if content.input is None and name in (None, *ORDERS):
            raise UsageError(
                f"{path} is not known and does not say what it expects at its input, and a guess could give a wrong "
                "number: pass --input torchvision (RGB 0-1, mean and std), --input caffe (BGR 0-255, mean; ceil "
                "pooling), --input matconvnet (the same in RGB), or any other such as RGB,1,0.5,0.5 (floor pooling)."
            )
        input = content.input.agreed(name, path) if content.input else input_of_text(str(name))
        ceil = options.input in CEIL_POOLED if content.ceil_pool is None else content.ceil_pool
        return cls(input, options.train_scale, class_names=content.class_names, ceil_pool=ceil)

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


def _require_no_contradiction(own: _Description, content: Contents, path: Path) -> None:
    """A graph that vggbench wrote and another changed may not say otherwise than its description."""
    ceil = content.ceil_pool
    if content.input or (ceil is not None and ceil != own.ceil_pool):
        what = "rescales its pixels" if content.input else f"rounds pooled sizes {'up' if ceil else 'down'}"
        raise WeightsError(
            f"{path} {what}, and describes itself otherwise: expected the same. Export it again, or remove "
            "its metadata."
        )


def _module_identity(module: nn.Module) -> str | None:
    """A hash of structure and weights; None where some weights are not tensors, as in quantised modules."""
    state = module.state_dict()
    if not all(isinstance(value, Tensor) and not value.is_quantized for value in state.values()):
        return None
    structure = torch.frombuffer(bytearray(repr(module).encode()), dtype=torch.uint8)
    return tensors_hash({"": structure} | state)

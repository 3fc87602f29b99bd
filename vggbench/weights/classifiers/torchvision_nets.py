"""torchvision's classifiers: built, or loaded by torchvision itself, and the transforms that its weights come with."""

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from vggbench.errors import UsageError
from vggbench.images.preprocessing import Input, Preset, Rescale
from vggbench.paper.configs import CONFIGS, Config
from vggbench.weights.classifiers.built import Built
from vggbench.weights.files import file_hash
from vggbench.weights.spec import OtherSpec

_TRANSFORMING = ("googlenet", "inception_v3")
"""Their weights want the input turned to another mean, which the networks do inside."""
_AUXILIARY = ("aux1", "aux2", "AuxLogits")
"""Their outputs that only training uses."""
_HASH_DIGITS = 8
"""How many digits of the SHA-256 of a file of weights its name has."""
_VGGS = {str(config.known_as).lower().replace("-", ""): config for config in CONFIGS.values() if config.known_as}
_FILTERS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


def names() -> list[str]:
    """The names of all networks that classify images."""
    from torchvision import models

    return list(models.list_models(module=models))


def knows(name: str) -> bool:
    """Whether there is such a network."""
    return name in names()


def config_of(spec: OtherSpec) -> Config | None:
    """The VGG that this is, as we have it ourselves."""
    name = spec.network.replace("_bn", "bn") if spec.kind == "torchvision" else ""
    return _VGGS.get(name)


def require_source(spec: OtherSpec) -> None:
    """Refuse what is none of the network's weights by torchvision's names. Raises UsageError."""
    known = [entry.name for entry in _weights(spec.network)]
    if spec.source not in known:
        raise UsageError(
            f"{spec.name}: there is no file {spec.source}, and torchvision has no such weights of {spec.network}: "
            f"expected {', '.join(known)}, a file, or random."
        )


def pretrained(spec: OtherSpec) -> Built:
    """Load the weights that the source names; torchvision's default where it names none."""
    from torchvision import models

    entry = _entry(spec)
    return _built(models.get_model(spec.network, weights=entry, progress=False), entry)._replace(is_published=True)


def build(
    spec: OtherSpec, classes: int | None, *, tensors: dict[str, Tensor] | None = None, path: Path | None = None
) -> Built:
    """The network of so many classes, or of its usual ones, without weights, as those of `tensors` need it."""
    from torchvision import models

    known = known_weights(spec, path) if path else None
    entry = known or _weights(spec.network).DEFAULT
    own = _arguments(spec.network, entry, has_weights=tensors is not None)
    own |= {} if classes is None else {"num_classes": classes}
    built = _built(models.get_model(spec.network, weights=None, **own), entry)._replace(is_published=bool(known))
    if getattr(built.module, "transform_input", False):
        said = "its input is turned to another mean and deviation inside, as torchvision does for weights of this net"
        built = built._replace(said=(said,))
    if path and not known:
        built = built._replace(said=(*built.said, f"no weights that torchvision knows: evaluated as {entry.name} is"))
    return built if classes is None else built._replace(classes=classes)


def renamed(spec: OtherSpec, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by the names that torchvision's networks have now, without those of outputs that only training uses."""
    if spec.network.startswith("densenet"):  # the names in torchvision's files are older
        return {_OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in tensors.items()}
    if spec.network in _TRANSFORMING:
        return {name: tensor for name, tensor in tensors.items() if name.partition(".")[0] not in _AUXILIARY}
    return tensors


def preset_of(spec: OtherSpec) -> tuple[Preset | None, str | None]:
    """What torchvision does with images before these weights; or why we cannot do it exactly."""
    return _preset((spec.path and known_weights(spec, spec.path)) or _entry(spec))


def known_weights(spec: OtherSpec, path: Path) -> Any:
    """The weights of torchvision's that a file is, by its hash; None for any other."""
    digest = file_hash(path)[:_HASH_DIGITS] if path.is_file() else "none"
    return next((entry for entry in _weights(spec.network) if digest in entry.url), None)


def _weights(name: str) -> Any:
    from torchvision import models

    return models.get_model_weights(name)


def _entry(spec: OtherSpec) -> Any:
    """The weights that are named; else the network's default."""
    entries = _weights(spec.network)
    return entries[spec.source] if spec.source in entries.__members__ else entries.DEFAULT


def _arguments(name: str, entry: Any, *, has_weights: bool) -> dict[str, Any]:
    """What torchvision itself sets where it builds a network for its weights."""
    if name in _TRANSFORMING:
        return {"transform_input": has_weights, "init_weights": False, "aux_logits": False}
    return {"image_size": entry.meta["min_size"][0]} if name.startswith("vit_") else {}


def _built(network: Any, entry: Any) -> Built:
    for name in _AUXILIARY:
        if hasattr(network, name):
            setattr(network, name, None)
    how = entry.transforms()
    preset, why_not = _preset(entry)
    one, two, three = how.mean
    red, green, blue = how.std
    given = Input("RGB", 1, (one, two, three), (red, green, blue))
    return Built(network, len(entry.meta["categories"]), given, how.crop_size[0], preset, why_not)


def _preset(entry: Any) -> tuple[Preset | None, str | None]:
    how = entry.transforms()
    named = f"torchvision's weights.transforms() of {entry.name}"
    filter, crop, scale = str(how.interpolation.value), how.crop_size, how.resize_size
    if type(how).__name__ != "ImageClassification":
        return None, f"{named} is {type(how).__name__}"
    if filter not in _FILTERS:
        return None, f"{named} rescales by {filter}, which Pillow lacks"
    if len(set(crop)) > 1 or len(set(scale)) > 1 or crop[0] > scale[0]:
        return None, f"{named} takes {crop} of {scale}: no square crop inside a shorter side"
    accuracy = entry.meta.get("_metrics", {}).get("ImageNet-1K", {})
    top1, top5 = (round(100 - accuracy[key], 3) if key in accuracy else None for key in ("acc@1", "acc@5"))
    rescale = Rescale(filter, library="Pillow", square=len(scale) > 1)  # type: ignore[arg-type] # checked above
    return Preset(named, int(scale[0]), int(crop[0]), rescale, top1, top5), None

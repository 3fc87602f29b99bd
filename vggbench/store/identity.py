"""What a model is, as a value that JSON holds: all that its figures depend on, without anything that could run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from vggbench.data.imagenet import wnids
from vggbench.errors import UsageError
from vggbench.images.preprocessing import Input, Preset
from vggbench.nets.cost import Architecture
from vggbench.paper.configs import CONFIGS, CROP, config_named
from vggbench.paper.protocols import IMPORTED, TrainScale

_ILSVRC = "ILSVRC-2012"
"""In a record, the 1,000 wnids."""


@dataclass(frozen=True)
class Identity:
    """A model by what it is made of; `architecture` is None for a network that is not a VGG."""

    name: str
    """As it is printed; nothing is read from it."""
    input: Input | None
    """None where another tool predicted, as `kind` says."""
    classes: int
    class_names: tuple[str, ...] | None
    """In the order of the outputs; None where its file names none."""
    weights_hash: str
    train_scale: TrainScale | None = None
    architecture: Architecture | None = None
    source: str | None = None
    """Where its weights are from, as it is printed: oxford, random, a file's name."""
    spec: str | None = None
    """What loads it again, from any folder; None for a network that is not from a file or a named source."""
    released: str | None = None
    """The released file that its weights are, as `weights.released` names it."""
    trained_ids: str | None = None
    """The fingerprint of the images that it learned from; `validation_ids` is that of those that chose its epoch."""
    validation_ids: str | None = None
    is_described: bool = True
    """Whether its file lists the layers, or is known by its hash; else they are taken in the order of its tensors."""
    altered: str | None = None
    """How it is run otherwise than its weights ask for, as by `explain`: no published figure is for that."""
    said: tuple[str, ...] = ()
    """What was taken from its file where that has several things, and by what convention."""
    averaged: bool = False
    """Whether it has the averaged weights of a checkpoint (`--ema`)."""
    kind: str | None = None
    """Which network that is not a VGG, whatever its weights: torchvision:resnet18, onnx, pt2, imported."""
    side: int = CROP
    """The side of the square crops that it takes."""
    preset: Preset | None = None
    """How its publisher evaluates it."""
    is_published: bool = False
    """Whether its weights are those that the figures of its preset were published for."""
    parameters: int | None = None
    """The number of parameters of a network that is not a VGG."""
    macs: int | None = None
    """MACs for one crop of a network that is not a VGG; what its operators in `uncounted` do comes on top."""
    uncounted: tuple[str, ...] = ()
    has_five_best: bool = False
    """Whether only its five best classes are known: stored posteriors then tell their order, and are none."""

    @property
    def key(self) -> tuple[str, str, Input | None, int]:
        """What tells two models of one table apart, whatever else their records say."""
        return self.name, self.weights_hash, self.input, self.side

    @property
    def weights(self) -> tuple[object, ...]:
        """What tells networks and their weights apart, by whatever name and at whatever input."""
        return self.weights_hash, self.architecture, self.kind

    @property
    def names_of_classes(self) -> tuple[str, ...]:
        """The classes in order, by number where they have no names."""
        return self.class_names or tuple(str(place) for place in range(self.classes))

    @property
    def is_imported(self) -> bool:
        """Whether another tool ran it, by a protocol and an input that are not known here."""
        return self.kind == IMPORTED

    @property
    def is_random(self) -> bool:
        """Whether its weights were drawn, so that its errors mean nothing."""
        return self.source == "random"

    def signature(self) -> dict[str, Any]:
        """All of it that can change a run's numbers."""
        net = self.architecture
        return {
            "config": net.config.name if net else self.kind or self.name,
            "width": net.width if net else 1.0,
            "classes": self.classes,
            "weights": self.weights_hash,
            "input": self.input and self.input.as_dict() | {"ceil_pool": net.ceil_pool if net else False},
        }

    def about(self) -> dict[str, Any]:
        """Everything else, for the record of a run."""
        return {
            "model": self.name,
            "source": self.source,
            "spec": self.spec,
            "released": self.released,
            "trained_ids": self.trained_ids,
            "validation_ids": self.validation_ids,
            "altered": self.altered,
            "is_described": self.is_described,
            "said": list(self.said),
            "averaged": self.averaged,
            "train_scale": str(self.train_scale) if self.train_scale else None,
            "class_names": _ILSVRC if self.class_names == wnids() else self.class_names and list(self.class_names),
            "kind": self.kind,
            "side": self.side,
            "preset": self.preset and self.preset.as_dict(),
            "is_published": self.is_published,
            "parameters": self.parameters,
            "macs": self.macs,
            "uncounted": list(self.uncounted),
        }

    @classmethod
    def of_record(cls, signature: Mapping[str, Any], about: Mapping[str, Any], title: str) -> Self:
        """Read what both wrote; `title` names it in older records. Raises whatever a broken record makes it raise."""
        given = signature["input"] or {}
        own = {name: value for name, value in given.items() if name != "ceil_pool"}
        config = config_named(signature["config"]) if signature["config"] in CONFIGS else None
        classes, ceil = int(signature["classes"]), bool(given and given["ceil_pool"])
        name, names, scale = str(about.get("model") or title), about.get("class_names"), about.get("train_scale")
        _require_agreement(signature, about, names)
        return cls(
            name=name,
            input=Input.from_dict(own) if own else None,
            classes=classes,
            class_names=wnids() if names == _ILSVRC else tuple(str(name) for name in names) if names else None,
            weights_hash=str(signature["weights"]),
            train_scale=TrainScale.parse(scale) if scale else None,
            architecture=Architecture(config, classes, float(signature["width"]), ceil) if config else None,
            source=_text(about, "source") if "source" in about else _source_of_old(name),
            spec=_text(about, "spec"),
            released=_text(about, "released"),
            trained_ids=_text(about, "trained_ids"),
            validation_ids=_text(about, "validation_ids"),
            is_described=bool(about.get("is_described", True)),
            altered=_altered(about.get("altered")),
            said=tuple(str(sentence) for sentence in about.get("said", ())),
            averaged=bool(about.get("averaged", False)),
            kind=_text(about, "kind"),
            side=int(about.get("side", CROP)),
            preset=Preset.from_dict(about["preset"]) if about.get("preset") else None,
            is_published=bool(about.get("is_published", False)),
            parameters=_count(about, "parameters"),
            macs=_count(about, "macs"),
            uncounted=tuple(about.get("uncounted", ())),
            has_five_best=bool(signature.get("five_best", False)),
        )


def _require_agreement(signature: Mapping[str, Any], about: Mapping[str, Any], names: Any) -> None:
    """What a record says besides its signature may not contradict it. Raises ValueError."""
    kind, side = about.get("kind"), about.get("side", CROP)
    counts = [about.get(name) for name in ("macs", "parameters")]
    wrong = {
        "kind": kind is not None and kind != signature["config"],
        "protocol": (kind == IMPORTED) != (signature.get("protocol", "") == IMPORTED),
        "input": (signature["input"] is None) != (kind == IMPORTED),
        "side": type(side) is not int or side < 1,
        "macs or parameters": any(count is not None and (type(count) is not int or count < 0) for count in counts),
        "uncounted": not _is_of_texts(about.get("uncounted", [])),
        "class_names": isinstance(names, list) and (not _is_of_texts(names) or len(names) != signature["classes"]),
        "classes_of_data": not _is_of_texts(about.get("classes_of_data", [])),
        "images_total": type(about.get("images_total", 0)) is not int,
    }
    found = next((what for what, is_wrong in wrong.items() if is_wrong), None)
    if found:
        raise ValueError(f"its {found} contradicts its signature")


def _is_of_texts(found: Any) -> bool:
    return isinstance(found, list | tuple) and all(isinstance(text, str) for text in found)


def require_same_classes(models: Sequence[Identity]) -> None:
    """Raise UsageError where models have different classes, or the same in another order."""
    for other in models[1:]:
        if (other.class_names, other.classes) != (models[0].class_names, models[0].classes):
            raise UsageError(
                f"{models[0].name} and {other.name} have different classes or order: expected the same list. "
                "Compare and fuse nets that were trained on the same classes."
            )


def _text(about: Mapping[str, Any], name: str) -> str | None:
    return None if about.get(name) is None else str(about[name])


def _count(about: Mapping[str, Any], name: str) -> int | None:
    return None if about.get(name) is None else int(about[name])


def _source_of_old(name: str) -> str | None:
    """Records of version 0.1 tell the source in the name alone."""
    return name.partition("@")[2] or None


def _altered(kept: Any) -> str | None:
    """Records of version 0.1 say whether, and not how."""
    return ("" if kept else None) if kept is None or isinstance(kept, bool) else str(kept)

"""What a MODEL argument names: `D`, `vgg16`, `D@oxford`, `D@path/to/file`; `timm:resnet50`, `onnx:path/to/file`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

from vggbench.cache import at_home
from vggbench.errors import UsageError, nearest
from vggbench.paper.configs import Config, config_named
from vggbench.sample.pictures import NETS
from vggbench.weights.released import SOURCES

RANDOM = "random"
SAMPLE_NETS = "sample"
"""The six small nets in the package, trained on the built-in sample (`make sample-nets`)."""
NAMED_SOURCES = (RANDOM, SAMPLE_NETS, *SOURCES)
_ENDINGS = (".safetensors", ".pth", ".pt", ".caffemodel", ".mat", ".h5", ".keras", ".onnx", ".npz")
Kind = Literal["torchvision", "timm", "onnx", "pt2"]
ONNX: Kind = "onnx"
LIBRARIES = ("torchvision", "timm")
"""Kinds whose networks have names; the others are programs in files."""
_OTHER_NETWORKS = (
    "Networks that are not VGGs are torchvision:NAME, timm:NAME, onnx:FILE and pt2:FILE; any other is evaluated from "
    "Python: Model.wrap."
)


@dataclass(frozen=True)
class ModelSpec:
    """A config and where its weights come from; `source` None asks for the data set's default."""

    config: Config
    source: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read CONFIG[@SOURCE]; raises UsageError."""
        if OtherSpec.parse(text):
            raise UsageError(f"{text!r} is not a VGG of the paper: expected CONFIG@SOURCE here, such as D@oxford.")
        name, at, source = text.partition("@")
        if at and not source:
            raise UsageError(
                f"{text!r} names no source after the @: expected {name}@FILE, or one of {', '.join(NAMED_SOURCES)}."
            )
        if source.lower() in NAMED_SOURCES and not Path(source).exists():
            source = source.lower()  # D@Oxford
        try:
            return cls(config_named(name), source or None)
        except UsageError as error:
            raise UsageError(_meant(name, text) or f"{error} {_OTHER_NETWORKS}") from error

    @property
    def name(self) -> str:
        """As it is printed: a file by its name alone."""
        if self.source is None:
            return self.config.name
        return f"{self.config.name}@{self.shown_source}"

    @property
    def in_full(self) -> str:
        """The same with the path as it was given."""
        return f"{self.config.name}@{self.source}" if self.source else self.name

    @property
    def shown_source(self) -> str | None:
        """Where the weights are from: a file by its name alone."""
        return self.source if self.source is None or self.source in NAMED_SOURCES else Path(self.source).name

    @property
    def path(self) -> Path | None:
        """The weights file, if the source is one."""
        if self.source == SAMPLE_NETS:
            return NETS / f"{self.config.name}.safetensors"
        return at_home(self.source) if self.source and self.source not in NAMED_SOURCES else None


@dataclass(frozen=True)
class OtherSpec:
    """A network that is not a VGG: of a library by its name, and whose weights, or a program in a file."""

    kind: Kind
    network: str
    """The library's name for it, or the path."""
    source: str | None = None
    """`random`, a file, or what the library calls weights of its own; None: its usual ones."""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read KIND:NAME[@SOURCE]; None for what is none. Raises UsageError."""
        kind, colon, rest = text.partition(":")
        if not colon or kind.lower() not in get_args(Kind):
            return None
        kind = kind.lower()
        is_file = kind not in LIBRARIES and rest
        network, at, source = (os.path.normpath(rest), "", "") if is_file else rest.partition("@")
        if not network or (at and not source):
            what = f"{kind}:NAME, {kind}:NAME@FILE or {kind}:NAME@random" if kind in LIBRARIES else f"{kind}:FILE"
            raise UsageError(f"{text!r} names no {'source after the @' if network else 'network'}: expected {what}.")
        return cls(kind, network, source or None)  # type: ignore[arg-type] # checked above

    @property
    def name(self) -> str:
        """As it is printed: a file by its name alone."""
        if self.kind not in LIBRARIES:
            return f"{self.kind}:{Path(self.network).name}"
        return f"{self.kind}:{self.network}" + (f"@{self.shown_source}" if self.source else "")

    @property
    def in_full(self) -> str:
        """The same with whole paths, from any folder."""
        if self.kind not in LIBRARIES:
            return f"{self.kind}:{at_home(self.network).absolute()}"
        path = self.path
        return f"{self.kind}:{self.network}@{path.absolute()}" if path else self.name

    @property
    def may_be_fetched(self) -> bool:
        """Whether the library has to give the weights, from its cache or the internet."""
        return self.kind in LIBRARIES and self.source != RANDOM and self.path is None

    @property
    def shown_source(self) -> str | None:
        """Where the weights are from: a file by its name alone."""
        return Path(self.source).name if self.source else None

    @property
    def path(self) -> Path | None:
        """The file that is named, if there is one."""
        if self.kind not in LIBRARIES:
            return at_home(self.network)
        is_path = self.source not in (None, RANDOM) and ("/" in str(self.source) or Path(str(self.source)).suffix)
        return at_home(str(self.source)) if is_path or (self.source and at_home(self.source).is_file()) else None


AnySpec = ModelSpec | OtherSpec


def parse_model(text: str) -> AnySpec:
    """Read a MODEL; raises UsageError."""
    return OtherSpec.parse(text) or ModelSpec.parse(text)


def _meant(name: str, text: str) -> str | None:
    """What to write instead of a MODEL whose first part is no config, where that can be seen."""
    kind, colon, rest = text.partition(":")
    if colon and (near := nearest(kind, get_args(Kind))):
        return (
            f"{text!r}: {kind} is no kind of network. Expected torchvision:NAME, timm:NAME, onnx:FILE or pt2:FILE. "
            f"Did you mean {near[0]}:{rest}?"
        )
    if name.lower() in NAMED_SOURCES:
        return f"{text!r} begins with a source of weights: expected CONFIG@SOURCE, such as D@{name.lower()}."
    path = at_home(name)
    if path.suffix.lower() in (".onnx", ".pt2"):
        kind = path.suffix.lower()[1:]
        return f"{text!r} is a file: expected {kind}:{name} to run it as it is, or CONFIG@FILE of a VGG's weights."
    if path.suffix.lower() in _ENDINGS or path.is_file():
        return f"{text!r} is a file without the config that it is of: expected CONFIG@FILE, such as D@{name}."
    if path.is_dir():
        return f"{text!r} is a folder: expected a model, such as D@FILE. Images are named by --data."
    return None

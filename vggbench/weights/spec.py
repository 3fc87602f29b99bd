"""What a MODEL argument names: `D`, `vgg16`, `D@oxford`, `D@random`, `D@sample`, `D@path/to/file`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vggbench.cache import at_home
from vggbench.errors import UsageError
from vggbench.paper.configs import Config, config_named
from vggbench.sample.pictures import NETS
from vggbench.weights.released import SOURCES

RANDOM = "random"
SAMPLE_NETS = "sample"
"""The six small nets in the package, trained on the built-in sample (`make sample-nets`)."""
NAMED_SOURCES = (RANDOM, SAMPLE_NETS, *SOURCES)
_ENDINGS = (".safetensors", ".pth", ".pt", ".caffemodel", ".mat", ".h5", ".keras", ".onnx", ".npz")
_OTHER_NETWORKS = "Networks that are no VGG are evaluated from Python: Model.wrap."


@dataclass(frozen=True)
class ModelSpec:
    """A config and where its weights come from; `source` None asks for the data set's default."""

    config: Config
    source: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read CONFIG[@SOURCE]; raises UsageError."""
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
    def shown_source(self) -> str | None:
        """Where the weights are from: a file by its name alone."""
        return self.source if self.source is None or self.source in NAMED_SOURCES else Path(self.source).name

    @property
    def path(self) -> Path | None:
        """The weights file, if the source is one."""
        if self.source == SAMPLE_NETS:
            return NETS / f"{self.config.name}.safetensors"
        return at_home(self.source) if self.source and self.source not in NAMED_SOURCES else None


def _meant(name: str, text: str) -> str | None:
    """What to write instead of a MODEL whose first part is no config, where that can be seen."""
    if name.lower() in NAMED_SOURCES:
        return f"{text!r} begins with a source of weights: expected CONFIG@SOURCE, such as D@{name.lower()}."
    path = at_home(name)
    if path.suffix.lower() in _ENDINGS or path.is_file():
        return f"{text!r} is a file without the config that it is of: expected CONFIG@FILE, such as D@{name}."
    if path.is_dir():
        return f"{text!r} is a folder: expected a model, such as D@FILE. Images are named by --data."
    return None

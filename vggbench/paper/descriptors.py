"""What is taken of a network as the description of an image (paper, appendix B): a layer, before or after its ReLU.

The maps of that layer become one vector: averaged over positions, or flattened.
"""

from dataclasses import dataclass
from typing import Literal, Self, get_args

from vggbench.errors import UsageError
from vggbench.paper.protocols import Protocol, ProtocolName

Layer = Literal["fc7", "fc6", "pool5", "pool4", "pool3", "pool2", "pool1"]
Pool = Literal["average", "flatten"]
OverScales = Literal["average", "stack"]
Views = Literal["dense", "center", "tencrop", "multicrop"]
PENULTIMATE: Layer = "fc7"
"""The paper's."""
_BEFORE, _FLAT = "-before-relu", "-flatten"


@dataclass(frozen=True)
class Descriptor:
    """A layer by the paper's name, as a value that prints as its name: `fc7`, `fc6-before-relu`, `pool5-flatten`."""

    layer: Layer = PENULTIMATE
    after_relu: bool = True
    pool: Pool = "average"
    """What becomes of the positions of its maps; flattened in the order channel, row, column."""

    def __post_init__(self) -> None:
        for name, value, kind in (("--layer", self.layer, Layer), ("--pool", self.pool, Pool)):
            if value not in get_args(kind):
                raise UsageError(f"{name} {value}: expected one of {', '.join(get_args(kind))}.")
        if self.is_pooling and not self.after_relu:
            raise UsageError(
                f"--before-relu with --layer {self.layer}: a pooling stage stands after ReLU. Expected --layer fc6 or "
                "fc7, or --before-relu left out."
            )

    def __str__(self) -> str:
        return f"{self.layer}{'' if self.after_relu else _BEFORE}{_FLAT if self.pool == 'flatten' else ''}"

    @classmethod
    def parse(cls, spec: str) -> Self:
        """Read what `str` wrote; raises UsageError."""
        plain = spec.removesuffix(_FLAT)
        layer = plain.removesuffix(_BEFORE)
        return cls(layer, layer == plain, "average" if plain == spec else "flatten")  # type: ignore[arg-type]

    @property
    def is_pooling(self) -> bool:
        """Whether the layer is one of the five pooling stages, which need no fc layer."""
        return self.layer.startswith("pool")

    def protocol(self, views: str | None) -> Protocol:
        """The views that it is taken of: the whole image and its mirror, or where it is flattened the central crop.

        Raises UsageError for views that flattened maps cannot be averaged over.
        """
        name: ProtocolName
        usual: ProtocolName = "center" if self.pool == "flatten" else "dense"
        if views is not None and views not in get_args(Views):
            raise UsageError(f"--views {views}: expected one of {', '.join(get_args(Views))}.")
        name = usual if views is None else views  # type: ignore[assignment] # checked above
        if self.pool == "flatten" and name != "center":
            raise UsageError(
                f"--pool flatten with --views {name}: flattened maps of different views cannot be averaged. Expected "
                "--views center, or --pool average."
            )
        return Protocol(name)

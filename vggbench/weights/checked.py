"""One file of weights, layer by layer, and what is known of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import VGG
from vggbench.store.identity import Identity
from vggbench.weights.files import file_hash
from vggbench.weights.formats import format_name
from vggbench.weights.load import Model
from vggbench.weights.released import Released, by_name


@dataclass(frozen=True)
class Layer:
    """One tensor of the net."""

    name: str
    shape: tuple[int, ...]
    values: int
    mean: float
    std: float


@dataclass(frozen=True)
class CheckedFile:
    """A file that holds the tensors of a net, all finite and of its shapes."""

    model: Identity
    architecture: Architecture
    released: Released | None
    name: str
    form: str
    size: int | None
    """Bytes; None for a folder."""
    hash_of: Literal["file", "tensors", "weights"]
    """What the model's hash is taken of; `weights` for those of a folder."""
    layers: tuple[Layer, ...]


def checked(model: Model, path: Path) -> CheckedFile:
    """The model was loaded from this file, so every shape fits."""
    assert isinstance(model.module, VGG)
    identity = model.identity
    assert identity.architecture
    layers = tuple(
        Layer(name, tuple(tensor.shape), tensor.numel(), float(tensor.mean()), float(tensor.std(correction=0)))
        for name, tensor in model.module.state_dict().items()
        if tensor.is_floating_point()
    )
    size = path.stat().st_size if path.is_file() else None
    hash_of: Literal["file", "tensors", "weights"] = "weights"
    if size is not None:
        hash_of = "file" if identity.weights_hash == file_hash(path) else "tensors"
    row = by_name(identity.released)
    return CheckedFile(identity, identity.architecture, row, path.name, format_name(path), size, hash_of, layers)

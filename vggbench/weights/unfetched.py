"""What can be said of a model before its weights are read: whether there is a file, and a released net's shape."""

import contextlib
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from vggbench.data.imagenet import wnids
from vggbench.errors import WeightsError
from vggbench.files import near_path
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import VGG
from vggbench.store.identity import Identity
from vggbench.weights.download import find
from vggbench.weights.fit import frozen
from vggbench.weights.load import Model, row_of
from vggbench.weights.released import SOURCES, Released, released, sources_of
from vggbench.weights.spec import NAMED_SOURCES, ModelSpec

_FILLING = 1e-3
"""Small enough that 19 layers overflow nowhere, and no denormal, which would be slow."""


def require_source(spec: ModelSpec) -> None:
    """Refuse a file that is not there, and a source without this net. Raises WeightsError and UsageError."""
    if spec.source in SOURCES:
        row_of(spec)
    if spec.source in NAMED_SOURCES or spec.path is None or spec.path.exists():
        return
    known = [name for name in NAMED_SOURCES if name not in SOURCES or name in sources_of(spec.config)]
    near = near_path(Path(str(spec.source)), NAMED_SOURCES).replace("mean ", f"mean {spec.config.name}@", 1)
    raise WeightsError(
        f"There is no readable weights file {spec.path}, and no source of that name: expected {spec.config.name}@FILE, "
        f"or after the @ one of {', '.join(known)}.{near}"
    )


def unfetched(spec: ModelSpec) -> Released | None:
    """The released file that loading `spec` would download; None where nothing would be. Raises WeightsError."""
    row = released(spec.config, str(spec.source))
    if row is None or row.refused:
        return None
    with contextlib.suppress(OSError):  # of a folder that cannot be read, nothing is known to be there
        if find(row):
            return None
    return row


def by_shape(row: Released) -> Model:
    """A released net without its weights, to forecast by: its tensors have shapes alone (PyTorch's meta device)."""
    with torch.device("meta"):
        network = VGG(row.config, len(wnids()), ceil_pool=row.ceil_pool)
    identity = Identity(
        name=row.name,
        input=row.input,
        classes=network.classes,
        class_names=wnids(),
        weights_hash=f"not fetched: {row.name}",
        train_scale=row.train_scale,
        architecture=Architecture(row.config, network.classes, ceil_pool=row.ceil_pool),
        source=row.source,
        spec=row.name,
        released=row.name,
    )
    return Model(identity, frozen(network))


def filled(model: Model) -> Model:
    """The model, to measure time with: where it has shapes alone, with numbers of no meaning in them."""
    network = model.module
    if not isinstance(network, nn.Module) or not any(tensor.is_meta for tensor in network.parameters()):
        return model
    network = deepcopy(network).to_empty(device="cpu")
    for tensor in network.state_dict().values():
        tensor.fill_(_FILLING)
    return replace(model, module=network)

"""A network of torchvision or timm: by the library's own names, with its own weights, a file's, or random ones."""

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from vggbench.data.imagenet import wnids
from vggbench.errors import UsageError, VggbenchError, WeightsError, did_you_mean, first_line
from vggbench.nets.recount import Counted, count
from vggbench.store.identity import Identity
from vggbench.weights.classifiers import timm_nets, torchvision_nets
from vggbench.weights.classifiers.built import Built
from vggbench.weights.download import DownloadWatch
from vggbench.weights.files import tensors_hash
from vggbench.weights.load import Model
from vggbench.weights.spec import RANDOM, OtherSpec
from vggbench.weights.states import state_of

_SEED = 0
_COUNTERS = "num_batches_tracked"
"""Tensors of batch normalisation, which only training needs and not every file has."""
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.")
"""What DataParallel, torch.compile and Lightning put before every name."""
_SAFELY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""With it, PyTorch unpickles nothing but tensors, whoever asks it to load."""


def require_network(spec: OtherSpec) -> None:
    """Refuse a name that the library does not know, a library that lacks, a file that is not there.

    Raises UsageError and WeightsError.
    """
    if importlib.util.find_spec(spec.kind) is None:
        raise UsageError(
            f"{spec.name}: the package {spec.kind} is not installed. Expected it: pip install 'vggbench[{spec.kind}]'."
        )
    library = _library(spec)
    if not library.knows(spec.network):
        hint = did_you_mean(spec.network, library.names(), f"{spec.kind}:", most=3)
        raise UsageError(f"{spec.kind} has no network {spec.network!r} that classifies images.{hint}")
    if spec.path and not spec.path.exists():
        raise WeightsError(f"There is no weights file {spec.path}: expected {spec.kind}:{spec.network}@FILE.")
    if spec.source not in (None, RANDOM) and not spec.path:
        library.require_source(spec)


def load_network(
    spec: OtherSpec,
    folders: tuple[str, ...],
    watch: DownloadWatch | None = None,
    *,
    ema: bool = False,
    shape_alone: bool = False,
) -> tuple[Built, Identity]:
    """Build it, and say what it is; a random one takes `folders`, the data's class folders, as its classes.

    `shape_alone`: with random weights in place of those that would have to be fetched. Raises UsageError and
    WeightsError.
    """
    names = wnids() if set(folders) <= set(wnids()) else folders
    if spec.source == RANDOM or (shape_alone and spec.may_be_fetched):
        built = _random(spec, len(names))
    elif spec.path:
        built, names = _of_file(spec, spec.path, ema=ema), ()
    else:
        built, names = _of_library(spec, watch or DownloadWatch()), ()
    built.module.eval().requires_grad_(False)
    counted = count(built.module, built.side, built.side) if built.counts else Counted(0, 0)
    return built, _identity(spec, built, names, counted)


def counted_at(model: Model, side: int) -> tuple[int | None, tuple[str, ...]]:
    """MACs for an image of another size, and the operators that are not counted; None for an ONNX file.

    Raises UsageError for a size that it does not take.
    """
    network, own = model.module, model.identity
    if not isinstance(network, nn.Module) or own.macs is None:
        return None, ()
    try:
        found = count(network, side, side)
    except Exception as error:  # whatever a network raises that cannot
        raise UsageError(
            f"{own.name} does not take images of {side} x {side} ({first_line(error)}): expected {own.side}."
        ) from error
    return found.macs, found.uncounted


def _identity(spec: OtherSpec, built: Built, names: tuple[str, ...], counted: Counted) -> Identity:
    classes = built.classes
    if not names and classes == len(wnids()):
        names = wnids()
    return Identity(
        name=spec.name,
        input=built.input,
        classes=classes,
        class_names=names or None,
        weights_hash=_hash(built.module),
        source=spec.shown_source or spec.kind,
        spec=spec.in_full,
        said=built.said,
        kind=f"{spec.kind}:{spec.network}",
        side=built.side,
        preset=built.preset,
        is_published=built.is_published,
        parameters=counted.parameters,
        macs=counted.macs,
        uncounted=counted.uncounted,
    )


def _hash(network: nn.Module) -> str:
    """The hash of the tensors, and of whether GoogLeNet or Inception transforms its input before them."""
    turns = getattr(network, "transform_input", False)
    return tensors_hash(network.state_dict() | ({"transform_input": torch.tensor(1)} if turns else {}))


def _library(spec: OtherSpec) -> ModuleType:
    return torchvision_nets if spec.kind == "torchvision" else timm_nets


def _random(spec: OtherSpec, classes: int) -> Built:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        built: Built = _library(spec).build(spec, classes)
    return built


def _of_library(spec: OtherSpec, watch: DownloadWatch) -> Built:
    """With the library's own weights, loaded by itself into its own cache."""
    watch.begin(f"{spec.name}: the weights come by {spec.kind}'s own loader, from its cache or the internet.")
    try:
        with _unpickling_tensors_alone():
            built: Built = _library(spec).pretrained(spec)
    except VggbenchError:
        raise
    except Exception as error:  # errors of the connection, of the file system, and of whatever else a loader meets
        raise WeightsError(
            f"{spec.name}: {spec.kind} could not give its weights ({first_line(error)}). Expected the internet, or "
            f"them in its cache; else pass {spec.kind}:{spec.network}@FILE."
        ) from error
    return built


def _of_file(spec: OtherSpec, path: Path, *, ema: bool) -> Built:
    """With the tensors of a file, by the library's names: all of them, and nothing else. Raises WeightsError."""
    state = state_of(path, ema=ema)
    library = _library(spec)
    tensors = library.renamed(spec, _unwrapped({name: held.read() for name, held in state.tensors.items()}))
    built: Built = library.build(spec, None, tensors=tensors, path=path)
    classes = _classes(built.module, tensors)
    if classes and classes != built.classes:
        built = library.build(spec, classes, tensors=tensors, path=path)
    _require_fitting(spec, built.module, tensors, path)
    built.module.load_state_dict(tensors, strict=False)
    return built._replace(said=(*built.said, *state.said))


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            return _unwrapped({name.removeprefix(wrapper): tensor for name, tensor in tensors.items()})
    return tensors


def _classes(network: nn.Module, tensors: dict[str, Tensor]) -> int:
    """Rows of the last layer in a file, where nothing else differs from the network; 0 in any other case."""
    own = {name: tensor.shape for name, tensor in network.state_dict().items() if tensor.ndim}
    differing = [name for name in own if name in tensors and tensors[name].shape != own[name]]
    found = {int(tensors[name].shape[0]) for name in differing if tensors[name].shape[1:] == own[name][1:]}
    return found.pop() if len(found) == 1 else 0


def _require_fitting(spec: OtherSpec, network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    expected = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(_COUNTERS)}
    found = {name: tensor for name, tensor in tensors.items() if not name.endswith(_COUNTERS)}
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    misfit = None
    if missing or extra:
        odd = f"without {missing[0]}" if missing else f"with {extra[0]}"
        misfit = f"expected {len(expected)} tensors, found {len(found)}, {odd}"
    for name in () if misfit else expected:
        shape, own = tuple(found[name].shape), tuple(expected[name].shape)
        if shape != own:
            misfit = f"expected {name} of shape {own}, found {shape}"
        elif found[name].is_floating_point() and not found[name].isfinite().all():
            raise WeightsError(f"{path} holds NaN or infinity in {name}: expected finite weights. Copy the file again.")
    if misfit:
        raise WeightsError(f"{path} does not fit {spec.kind}:{spec.network}: {misfit}.")


@contextlib.contextmanager
def _unpickling_tensors_alone() -> Iterator[None]:
    before = os.environ.get(_SAFELY)
    os.environ[_SAFELY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFELY]
        else:
            os.environ[_SAFELY] = before

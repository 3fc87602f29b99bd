"""From a file or folder of tensors to a config's tensors by torchvision's names: safetensors, PyTorch, `.npz`."""

import zipfile
from pathlib import Path

from vggbench.errors import WeightsError
from vggbench.paper.configs import Config
from vggbench.weights.archives import read_archive
from vggbench.weights.checkpoints import chosen
from vggbench.weights.files import description_in, file_hash, held_in, is_safetensors, magic_of, tensors_hash
from vggbench.weights.folders import FILES, INDEX, description_of, read_shards, weights_in
from vggbench.weights.held import Contents, State
from vggbench.weights.modules import require_places
from vggbench.weights.naming import named
from vggbench.weights.npz import read_npz
from vggbench.weights.parts import PartOfNetError
from vggbench.weights.recognition import refuse, refuse_folder, refuse_zip

LARGEST = 4_000_000_000
"""The most bytes of a file that is read."""


def read_state(path: Path, config: Config, *, ema: bool = False) -> Contents:
    """The tensors of `config` in a file, or in a folder as Hugging Face has it; `ema` asks for averaged ones.

    Raises WeightsError for what is not a complete file, is ambiguous, or holds anything else, and
    PartOfNetError for a part of a net.
    """
    file, chosen_file = _file(path)
    state = _state(file, ema=ema)
    try:
        tensors, said = named(state.tensors, config, path, says_whole=bool(state.description))
    except PartOfNetError as found:
        found.ceil_pool = state.ceil_pool
        raise
    require_places(state.kinds, config, path)
    is_described = _is_hugging_face(path) or path.name in FILES  # by config.json, a file by itself too
    description = state.description or (description_of(file.parent, tensors) if is_described else {})
    read = {name: tensor.read() for name, tensor in tensors.items()}
    digest = tensors_hash(read) if ema or file.name.endswith(INDEX) else file_hash(file)
    said = (*chosen_file, *state.said, *said)
    ceil = state.ceil_pool
    return Contents(read, description, digest, ceil_pool=ceil, is_described=ceil is not None, said=said)


def state_of(path: Path, *, ema: bool = False) -> State:
    """The tensors of a file by its own names, for a network that is not a VGG. Raises WeightsError as `read_state`."""
    file, chosen_file = _file(path)
    state = _state(file, ema=ema, of_vgg=False)
    return state._replace(said=(*chosen_file, *state.said))


def is_of_tensors(path: Path) -> bool:
    """Whether a file or folder is one that `read_state` reads, or refuses by name."""
    head = magic_of(path) if path.is_file() else b""
    return path.is_dir() or path.name.endswith(INDEX) or is_safetensors(head, path) or head.startswith((b"PK", b"\x80"))


def form_name(path: Path) -> str:
    """The form of a file or folder that `read_state` reads. Raises WeightsError."""
    if _is_hugging_face(path):
        return "Hugging Face"
    head = magic_of(path)
    is_npz = head.startswith(b"PK") and all(name.endswith(".npy") for name in _names(path))
    return "NumPy" if is_npz else "safetensors" if is_safetensors(head, path) else "PyTorch"


def _is_hugging_face(path: Path) -> bool:
    return path.is_dir() or path.name.endswith(INDEX)


def _file(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The file that is meant by a folder, and what it is taken for."""
    if not path.is_dir():
        return path, ()
    found = weights_in(path)
    if found is None:
        raise refuse_folder(path)
    return found


def _state(file: Path, *, ema: bool, of_vgg: bool = True) -> State:
    if file.is_file() and file.stat().st_size > LARGEST:
        raise WeightsError(f"{file} is not a file of weights: expected one of up to {LARGEST / 1e9:g} GB.")
    plain = _plain(file)
    if plain and ema:
        raise WeightsError(f"{file} holds no averaged weights (--ema): expected a checkpoint that torch.save wrote.")
    return plain or _of_torch(file, ema=ema, of_vgg=of_vgg)


def _plain(file: Path) -> State | None:
    """The state of a file with one set of tensors; None for a file that may be PyTorch's."""
    if file.name.endswith(INDEX):
        return State(read_shards(file))
    magic = magic_of(file)
    if is_safetensors(magic, file):
        return State(held_in(file), description=description_in(file))
    if magic.startswith(b"PK"):
        names = _names(file)
        if names and all(name.endswith(".npy") for name in names):
            return read_npz(file)
        if not any(name.rpartition("/")[2] == "data.pkl" for name in names) or any("/code/" in name for name in names):
            raise refuse_zip(file, names)
    elif not magic.startswith(b"\x80"):
        raise refuse(file)
    return None


def _of_torch(file: Path, *, ema: bool, of_vgg: bool) -> State:
    state = chosen(read_archive(file), ema=ema, of_vgg=of_vgg)
    if sum(tensor.values * tensor.itemsize for tensor in state.tensors.values()) > file.stat().st_size:
        raise WeightsError(
            f"{file} claims tensors larger than itself: expected a plain state dict. Do not trust this file."
        )
    return state


def _names(file: Path) -> list[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except Exception as error:  # a damaged zip raises nearly anything
        raise WeightsError(
            f"{file} is a zip archive that is cut off or damaged ({type(error).__name__}): expected a whole file, as "
            "torch.save or numpy.savez writes it. Copy or download it again."
        ) from error

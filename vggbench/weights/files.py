"""Tensors in files: safetensors and torch's own format, recognised by content; nothing else is unpickled."""

import contextlib
import hashlib
import json
import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vggbench.errors import WeightsError

METADATA_KEY = "vggbench"
_MAX_SAFETENSORS_HEADER = 100_000_000
_WRAPPERS = ("module.", "_orig_mod.")
_TIMM = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
"""timm's names of the fc layers; its first two are convolutions."""
_CHECKPOINT_KEYS = ("state_dict", "model")


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a safetensors or PyTorch file by torchvision's names, and its own description ({} if it has none).

    Raises WeightsError for a file that is missing, in neither format, truncated, or
    holds anything but tensors.
    """
    magic = magic_of(path)
    if is_safetensors(magic, path):
        tensors, description = _read_safetensors(path)
    elif magic.startswith((b"PK", b"\x80")):
        tensors, description = _read_torch(path, zipped=magic.startswith(b"PK")), {}
    else:
        raise WeightsError(
            f"{path} is no weights file: expected safetensors or a PyTorch state dict (.pth), found other bytes."
        )
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > path.stat().st_size:
        raise WeightsError(
            f"{path} claims tensors larger than itself: expected a plain state dict. Do not trust this file."
        )
    return tensors, description


def write_tensors(path: Path, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    """Write a safetensors file that describes itself, whole or not at all; raises WeightsError."""
    from safetensors.torch import save_file

    with written(path) as partial:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            partial,
            metadata={METADATA_KEY: json.dumps(description, sort_keys=True)},
        )


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """A file beside the final one, which takes its name once it is whole. Raises WeightsError."""
    from safetensors import SafetensorError

    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.chmod(0o644)  # safetensors makes files that only their owner can read
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be written ({error}).") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_hash(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def magic_of(path: Path, count: int = 9) -> bytes:
    """The first bytes of a file. Raises WeightsError."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise WeightsError(
            f"There is no readable weights file {path} ({error.strerror}): expected a file of weights."
        ) from error


def is_safetensors(magic: bytes, path: Path) -> bool:
    """Whether a file that begins with these nine bytes can be one."""
    header = int.from_bytes(magic[:8], "little")
    return magic[8:] == b"{" and header < min(_MAX_SAFETENSORS_HEADER, path.stat().st_size)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            description = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path} is a damaged safetensors file ({error}): expected a whole one. Copy or download it again."
        ) from error
    if not isinstance(description, dict):
        raise WeightsError(f"{path} describes itself by {type(description).__name__}: expected a JSON object.")
    return _unwrapped(tensors), description


def _read_torch(path: Path, *, zipped: bool) -> dict[str, Tensor]:
    try:
        bomb = zipped and _inflates(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what it then refuses
            content = None if bomb else torch.load(path, map_location="cpu", weights_only=True, mmap=zipped or None)
    except Exception as error:  # a hostile or truncated file raises nearly anything
        raise WeightsError(
            f"{path} cannot be read as tensors alone: it is damaged, or holds Python objects, which are never "
            "executed here. Expected torch.save(net.state_dict()) or .safetensors."
        ) from error
    if bomb:
        raise WeightsError(f"{path} would inflate beyond its size: expected what torch.save writes. Do not trust it.")
    for key in _CHECKPOINT_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path} holds no state dict: expected tensors by name, found {type(content).__name__}.")
    strays = [name for name, value in content.items() if not (isinstance(name, str) and _is_plain(value))]
    if strays:
        raise WeightsError(
            f"{path} holds {str(strays[0])!r}, which is no plain tensor: expected a state dict of tensors by name."
        )
    return _unwrapped(content)


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"


def _inflates(path: Path) -> bool:
    """Whether a zip file claims more than it holds: torch.save compresses nothing."""
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefixes that DataParallel and torch.compile put before every name, and with torchvision's names."""
    for prefix in (*_WRAPPERS, *_WRAPPERS):
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return _renamed(tensors) if "pre_logits.fc1.weight" in tensors else tensors


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        stem, _, kind = name.rpartition(".")
        if stem in _TIMM:
            name, tensor = f"{_TIMM[stem]}.{kind}", tensor.flatten(1) if tensor.ndim == 4 else tensor  # noqa: PLW2901
        renamed[name] = tensor
    return renamed

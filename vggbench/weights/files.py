"""Tensors in safetensors files, written whole or not at all; hashes of files and tensors."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.files import Refusal, written_whole
from vggbench.weights.held import Held

METADATA_KEY = "vggbench"
_MAX_SAFETENSORS_HEADER = 100_000_000


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a safetensors file by its own names, and its own description ({} if it has none).

    Raises WeightsError for a file that is missing, of another form, or truncated.
    """
    if not is_safetensors(magic_of(path), path):
        raise WeightsError(f"{path} is not a safetensors file: expected one, found other bytes.")
    return {name: tensor.read() for name, tensor in held_in(path).items()}, description_in(path)


def held_in(path: Path) -> dict[str, Held]:
    """The tensors of a safetensors file by name, unread. Raises WeightsError."""
    magic_of(path)
    with _whole_safetensors(path) as file:
        shapes = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        return {name: Held(tuple(part.get_shape()), 1, partial(_read_one, path, name)) for name, part in shapes.items()}


def description_in(path: Path) -> dict[str, Any]:
    """What a safetensors file that this project wrote says of itself; {} for any other. Raises WeightsError."""
    with _whole_safetensors(path) as file:
        description = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
    if not isinstance(description, dict):
        raise WeightsError(f"{path} describes itself by {type(description).__name__}: expected a JSON object.")
    return description


REFUSAL = Refusal(
    WeightsError,
    "room and a folder that this user may write. Name another file.",
    failures=(OSError, RuntimeError, SafetensorError),
)
"""What is said where a weights file cannot be written, whichever library writes it."""


def write_tensors(
    path: Path, tensors: dict[str, Tensor], description: dict[str, Any], refusal: Refusal = REFUSAL
) -> None:
    """Write a safetensors file that describes itself, whole or not at all; raises the refusal's error."""
    from safetensors.torch import save_file

    with written_whole(path, refusal) as partial:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            partial,
            metadata={METADATA_KEY: json.dumps(description, sort_keys=True)},
        )


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


def _read_one(path: Path, name: str) -> Tensor:
    with _whole_safetensors(path) as file:
        tensor: Tensor = file.get_tensor(name)
        return tensor


@contextlib.contextmanager
def _whole_safetensors(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path} is a damaged safetensors file ({error}): expected a whole one. Copy or download it again."
        ) from error

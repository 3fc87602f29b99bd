"""Archives of torch.export.save, read as data: the program's JSON and its tensors, and nothing is unpickled or run.

`torch.export.load` is not used. It unpickles sample inputs and what is said to be pickled, evaluates symbolic sizes by
`sympify`, makes Python of the graph's names and of its guards and executes that, and loads compiled code.
"""

import hashlib
import json
import math
import zipfile
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from vggbench.errors import WeightsError

SCHEMA = 8
"""The major version of the program's JSON, since PyTorch 2.5."""
DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
"""By the numbers of the JSON."""
_STRIDED = 7
_FORMAT, _MODELS = "archive_format", "models/"
_COMPILED = "data/aotinductor/"
_OLDER = ("serialized_exported_program.json", "serialized_state_dict.pt", "serialized_state_dict.json")
_PIECE = 2**20
_MOST_JSON = 2**27
_MOST_REPEATED = 2**28
"""Values of a tensor that repeats its storage."""


class Stored(NamedTuple):
    """A tensor of an archive."""

    tensor: Tensor
    is_parameter: bool
    place: tuple[Any, ...]
    """What tells its values from others'."""


class Contents(NamedTuple):
    """What an archive holds: `program` as its JSON says, weights and constants by the names that it has for them."""

    program: dict[str, Any]
    tensors: dict[str, Stored]
    sha256: str


def read_archive(path: Path) -> Contents:
    """Read an archive of one program. Raises WeightsError for one that is older, or that asks to be unpickled or run.

    Whatever a damaged file makes the readers of zip and JSON raise is left to the caller.
    """
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, path)
            name = _program(members, path)
            program = _json(archive, members[f"{_MODELS}{name}.json"])
            _require_version(program, path)
            tensors: dict[str, Stored] = {}
            for kind, folder, prefix in (("weights", "weights", "weight_"), ("constants", "constants", "tensor_")):
                config = f"data/{folder}/{name}_{kind}_config.json"
                if config not in members:
                    raise _older(path)
                entries = _json(archive, members[config])["config"]
                tensors |= _tensors(archive, members, entries, f"data/{folder}/", prefix, path)
    return Contents(program, tensors, sha256)


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files in the archive by their names in its one folder; none is compressed, and none is written anywhere."""
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise ValueError("two files of one name in it")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries.values()):
        raise ValueError("files in it are compressed or encrypted")
    if sum(entry.file_size for entry in entries.values()) > path.stat().st_size:
        raise ValueError("it would inflate beyond its size")
    if any(name.rpartition("/")[2] in _OLDER for name in entries):
        raise _older(path)
    root = next((name.removesuffix(_FORMAT) for name in entries if name.endswith(f"/{_FORMAT}")), None)
    if root is None or archive.read(entries[root + _FORMAT]) != b"pt2":
        raise WeightsError(f"{path} is a zip file, but not a PT2 archive: expected what torch.export.save writes.")
    return {name.removeprefix(root): entry for name, entry in entries.items() if name.startswith(root)}


def _program(members: dict[str, zipfile.ZipInfo], path: Path) -> str:
    """The name of the one program; compiled code is refused, whatever lies beside it."""
    if any(name.startswith(_COMPILED) for name in members):
        raise WeightsError(
            f"{path} holds compiled code (AOTInductor), which would be run unseen: expected what torch.export.save "
            "writes. Save the exported program by that."
        )
    names = [name.removeprefix(_MODELS) for name in members if name.startswith(_MODELS)]
    if len(names) != 1 or not names[0].endswith(".json"):
        raise WeightsError(f"{path} holds {len(names)} programs: expected one, as torch.export.save writes it.")
    return names[0].removesuffix(".json")


def _require_version(program: dict[str, Any], path: Path) -> None:
    version = program["schema_version"]["major"]
    if version != SCHEMA:
        raise WeightsError(
            f"{path} is of version {str(version)[:20]} of PyTorch's exported programs (torch "
            f"{str(program.get('torch_version'))[:20]}): expected {SCHEMA}. Export it again with PyTorch 2.9 or later."
        )


def _older(path: Path) -> WeightsError:
    return WeightsError(
        f"{path} is of an older form of torch.export.save, whose weights are pickled: expected that of PyTorch 2.9 or "
        "later. Save it again, by torch.export.save(torch.export.load(PATH), PATH), if you trust where it is from."
    )


def _json(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> dict[str, Any]:
    if entry.file_size > _MOST_JSON:
        raise ValueError(f"{entry.filename[:50]} in it is too long")
    return cast("dict[str, Any]", json.loads(archive.read(entry)))


def _tensors(
    archive: zipfile.ZipFile,
    members: dict[str, zipfile.ZipInfo],
    entries: dict[str, Any],
    folder: str,
    prefix: str,
    path: Path,
) -> dict[str, Stored]:
    storages: dict[str, Tensor] = {}
    found = {}
    for name, entry in entries.items():
        place = entry["path_name"]
        if entry["use_pickle"] or not place.startswith(prefix):
            raise WeightsError(
                f"{path} keeps {name[:50]!r} pickled, as an object or a tensor of another class, which could run "
                "anything: expected plain tensors. Save a program of plain tensors."
            )
        if place not in storages:
            storages[place] = _bytes(archive, members[folder + place])
        found[name] = _tensor(storages[place], entry, folder + place)
    return found


def _bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Tensor:
    """(bytes,), whose check sum is right."""
    found = torch.empty(entry.file_size, dtype=torch.uint8)
    into, at = found.numpy(), 0
    with archive.open(entry) as stream:
        while piece := stream.read(_PIECE):
            into[at : at + len(piece)] = memoryview(piece)
            at += len(piece)
    if at != entry.file_size:
        raise ValueError(f"{entry.filename[:50]} in it is cut short")
    return found


def _tensor(storage: Tensor, entry: dict[str, Any], place: str) -> Stored:
    """A view on a storage, within it."""
    meta = entry["tensor_meta"]
    dtype = DTYPES[meta["dtype"]]
    sizes = [_whole(size["as_int"]) for size in meta["sizes"]]
    strides = [_whole(stride["as_int"]) for stride in meta["strides"]]
    first = _whole(meta["storage_offset"]["as_int"])
    held = len(storage) // dtype.itemsize
    last = first + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    values = math.prod(sizes)
    if meta["layout"] != _STRIDED or len(storage) % dtype.itemsize or (values and last >= held):
        raise ValueError(f"{place} in it does not hold what it is said to hold")
    if values > max(held, _MOST_REPEATED):
        raise ValueError(f"{place} in it repeats too often")
    tensor = storage.view(dtype).as_strided(sizes, strides, first) if values else torch.zeros(sizes, dtype=dtype)
    return Stored(tensor, entry["is_param"] is True, (place, dtype, *sizes, *strides, first))


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{str(value)[:20]} is not a size")
    return value

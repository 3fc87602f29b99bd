"""Files of `torch.save`, as zip or in the older form, and plain pickles: what they say as data, and their storages."""

import mmap
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import torch

from vggbench.errors import WeightsError
from vggbench.weights.layers import whole
from vggbench.weights.unpickling import Inert, Named, Window, shown, unpickled

_MAGIC = 0x1950A86A20F9469CFC6C
"""The number that begins the older form, pickled; its version, its machine's sizes, object and storages follow."""
_STORED_TYPES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "UntypedStorage": "uint8",
    "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128", "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8", "QInt32Storage": "qint32",
}  # fmt: skip
ITEMSIZES: dict[str, int] = {name: getattr(torch, name).itemsize for name in _STORED_TYPES.values()}


class Storage(NamedTuple):
    """What a persistent id says: `dtype` as torch names it, `elements` of it; `first` of a view on another."""

    key: str
    dtype: str
    elements: int
    first: int = 0


class _Place(NamedTuple):
    start: int
    size: int
    crc: int = 0
    """Zero where none was written."""


class Archive:
    """A file that is mapped into memory, the object in it, and where its storages lie."""

    def __init__(self, path: Path, buffer: mmap.mmap) -> None:
        self.path, self.buffer = path, buffer
        self.content: object = None
        self.big_endian = False
        self.places: dict[str, _Place] = {}
        self._right: set[str] = set()

    def bytes_of(self, storage: Storage) -> memoryview:
        """The bytes of one storage, once its check sum is right. Raises WeightsError."""
        place = self.places.get(storage.key)
        size = ITEMSIZES[storage.dtype]
        if place is None or (storage.first + storage.elements) * size > place.size or min(storage[2:]) < 0:
            raise WeightsError(
                f"{self.path} lacks the values of a tensor (storage {storage.key[:50]!r}): expected a whole file. Copy "
                "or download it again."
            )
        content = memoryview(self.buffer)[place.start : place.start + place.size]
        if storage.key not in self._right and place.crc and zlib.crc32(content) != place.crc:
            raise WeightsError(
                f"{self.path} is damaged: the check sum of storage {storage.key[:50]!r} is wrong. Copy or download it "
                "again."
            )
        self._right.add(storage.key)
        return content[storage.first * size : (storage.first + storage.elements) * size]


def read_archive(path: Path) -> Archive:
    """Read a file that begins as a zip or a pickle. Raises WeightsError for one that is neither, or not complete."""
    with whole(path, "PyTorch file", "what torch.save(net.state_dict(), PATH) writes"), path.open("rb") as file:
        archive = Archive(path, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        if archive.buffer[:2] == b"PK":
            _read_zip(archive)
        else:
            _read_stream(archive)
    return archive


def _read_zip(archive: Archive) -> None:
    with zipfile.ZipFile(archive.path) as file:
        entries = {entry.filename: entry for entry in file.infolist()}
        if len(entries) != len(file.infolist()):
            raise ValueError("two files of one name in it")
        if sum(entry.file_size for entry in entries.values()) > len(archive.buffer):
            raise WeightsError(
                f"{archive.path} would inflate beyond its size: torch.save compresses nothing. Save it again, by "
                "torch.save(torch.load(PATH), PATH), if you trust where it is from."
            )
        prefix = next(name for name in entries if name.rpartition("/")[2] == "data.pkl").removesuffix("data.pkl")
        for name, entry in entries.items():
            if name.startswith(f"{prefix}data/"):
                archive.places[name.removeprefix(f"{prefix}data/")] = _place(archive, entry)
        order = entries.get(f"{prefix}byteorder")
        archive.big_endian = order is not None and _slice(archive, _place(archive, order)) == b"big"
        place = _place(archive, entries[f"{prefix}data.pkl"])
    if place.crc and zlib.crc32(_slice(archive, place)) != place.crc:
        raise ValueError("the check sum of data.pkl is wrong")
    archive.content = unpickled(Window(archive.buffer, place.start, place.start + place.size), _storage)


def _place(archive: Archive, entry: zipfile.ZipInfo) -> _Place:
    """Where a file of the zip lies; its own header, which may be longer than the zip's list says, is skipped."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        raise ValueError(f"{entry.filename[:80]} in it is compressed or encrypted")
    mark, name, extra = struct.unpack_from("<4s22xHH", archive.buffer, entry.header_offset)
    start = entry.header_offset + 30 + name + extra
    if mark != b"PK\x03\x04" or start + entry.file_size > len(archive.buffer):
        raise ValueError(f"{entry.filename[:80]} in it lies outside")
    return _Place(start, entry.file_size, entry.CRC)


def _slice(archive: Archive, place: _Place) -> bytes:
    return bytes(memoryview(archive.buffer)[place.start : place.start + place.size])


def _read_stream(archive: Archive) -> None:
    """The older form; or a plain pickle, of NumPy arrays as a rule."""
    stream = Window(archive.buffer)
    content = unpickled(stream, _storage)
    if content != _MAGIC:
        archive.content = content
        return
    version, machine = unpickled(stream, _storage), unpickled(stream, _storage)
    if version != 1001 or not isinstance(machine, dict):
        raise ValueError(f"version {shown(version)} of its form")
    archive.big_endian = machine.get("little_endian") is False
    types: dict[str, str] = {}

    def stored(saved: object) -> object:
        storage = _storage(saved)
        if isinstance(storage, Storage):
            types[storage.key] = storage.dtype
        return storage

    archive.content = unpickled(stream, stored)
    keys = unpickled(stream, _storage)
    if not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys):
        raise ValueError("no list of storages")
    at = stream.tell()
    for key in keys:
        (count,) = struct.unpack_from(">q" if archive.big_endian else "<q", archive.buffer, at)
        size = count * ITEMSIZES[types[str(key)]]
        if count < 0 or at + 8 + size > len(archive.buffer):
            raise ValueError(f"storage {shown(key)} ends beyond its end")
        archive.places[str(key)] = _Place(at + 8, size)
        at += 8 + size


def _storage(saved: object) -> object:
    """What a persistent id stands for; the older form also has a module's source by one, which is not looked at."""
    match saved:
        case ("storage", Named(_, kind), str(key), _, int(count), *view) if kind in _STORED_TYPES:
            dtype = _STORED_TYPES[kind]
            match view:
                case [(_, int(first), int(size))]:
                    return Storage(key, dtype, size, first)
            return Storage(key, dtype, count)
        case ("module", made_by, *_):
            return made_by
    return Inert("persistent id", saved)

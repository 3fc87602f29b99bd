"""What a file or folder is that holds no weights of a form that is read, and how to convert it."""

import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vggbench.errors import WeightsError

READ = (
    "safetensors, a PyTorch state dict, .npz, Caffe's .caffemodel, MatConvNet's .mat (version 5), Keras's .h5 or ONNX"
)
"""Forms that are read."""


@dataclass(frozen=True)
class _Form:
    """How something is known, its name, and what turns it into a file that is read."""

    is_it: Callable[[bytes, Path], bool]
    name: str
    advice: str


def _starts(*marks: bytes) -> Callable[[bytes, Path], bool]:
    return lambda head, path: head.startswith(marks)


def _ends(*endings: str) -> Callable[[bytes, Path], bool]:
    return lambda head, path: path.name.lower().endswith(endings)


def _text(*words: bytes) -> Callable[[bytes, Path], bool]:
    return lambda head, path: any(word in head.lower() for word in words) and b"\0" not in head


def _is_graph(head: bytes, path: Path) -> bool:
    """TensorFlow's frozen graph: a node (field 1) that begins with its name (field 1)."""
    return path.suffix == ".pb" and head[:1] == b"\x0a"


_ENGINES, _CORE_ML = (".engine", ".plan", ".trt"), ".mlmodel"
_OTHER_ENDINGS = (*_ENGINES, _CORE_ML)
# fmt: off
_UNPACK = "Unpack it and name the file within"
_ORIGIN = "Convert the model that it was made from"
_CHECKPOINT = (
    "Write its variables as conv1_1_W, conv1_1_b and on by numpy.savez, from tf.train.load_checkpoint(PATH).get_tensor"
)
_FROM_NPY = (
    "Convert it, if you trust where it is from: d = numpy.load(PATH, allow_pickle=True, encoding='latin1').item(); "
    "numpy.savez('x.npz', **{f'{k}_{n}': a for k, v in d.items() for n, a in zip('Wb', v)})"
)
_FILES = (
    _Form(lambda head, path: not head, "an empty file", "Copy or download it again"),
    _Form(_starts(b"version https://git-lfs"), "a Git LFS pointer, not the file that it stands for",
          "Fetch that by `git lfs pull`"),
    _Form(_text(b"<html", b"<!doctype", b"<?xml"), "a web page saved instead of a file",
          "Download the file itself, from the address behind the page's download button"),
    _Form(_starts(b"\x93NUMPY"), "NumPy's .npy, one array or a pickled dict of them", _FROM_NPY),
    _Form(lambda head, path: head[4:8] == b"TFL3", "a TensorFlow Lite model", _ORIGIN),
    _Form(_starts(b"ftrt", b"ptrt"), "a TensorRT engine, built for one GPU", _ORIGIN),
    _Form(_ends(*_ENGINES), "a TensorRT engine, built for one GPU", _ORIGIN),
    _Form(_ends(_CORE_ML), "a Core ML model", _ORIGIN),
    _Form(_is_graph, "a TensorFlow graph (.pb)",
          "Convert it: python -m tf2onnx.convert --graphdef PATH --inputs images:0 --outputs scores:0 --output x.onnx"),
    _Form(_starts(b"\x1f\x8b"), "a gzip archive", "Unpack it by `tar -xzf` or `gunzip`, and name the file within"),
    _Form(_starts(b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd"), "a packed archive", _UNPACK),
    _Form(lambda head, path: head[257:262] == b"ustar", "a tar archive", _UNPACK),
    _Form(_text(b"layer {", b"layers {", b"layer{", b"layers{", b"input_dim:"),
          "a Caffe prototxt, which has a net's layers and no weights", "Name the .caffemodel"),
    _Form(_ends(".ckpt", ".index", ".meta", ".data-00000-of-00001"), "a part of a TensorFlow checkpoint", _CHECKPOINT),
    _Form(_text(b"{"), "a JSON file", "Name the weights beside it, or their folder"),
    _Form(lambda head, path: b"\0" not in head and head.isascii(), "a text file", "Name the weights"),
)
_FROM_EXPORTED = "Save its tensors: torch.save(torch.export.load(PATH).state_dict, 'x.pth')"
# What a zip holds -> what it is, and what to do.
_ZIPS = (
    ({"code/"}, "a TorchScript archive, a program of its own",
     "Save its tensors: torch.save(torch.jit.load(PATH).state_dict(), 'x.pth')"),
    ({"models/", "archive_format"}, "an exported program (.pt2)", _FROM_EXPORTED),
    ({"serialized_exported_program.json"}, "an exported program (.pt2)", _FROM_EXPORTED),
    ({"config.json", "model.weights.h5"}, "a .keras archive",
     "Write its weights: keras.models.load_model(PATH).save_weights('x.weights.h5')"),
    ({"MAR-INF/"}, "a TorchServe archive (.mar)", _UNPACK),
)
_FOLDERS = (
    (("saved_model.pb",), "a TensorFlow SavedModel",
     "Convert it: python -m tf2onnx.convert --saved-model PATH --output x.onnx"),
    (("*.index", "checkpoint"), "a folder of a TensorFlow checkpoint", _CHECKPOINT),
    (("Manifest.json",), "a Core ML package", _ORIGIN),
    (("data.pkl",), "a PyTorch file that was unpacked", "Name the file as it was"),
    (("*.safetensors", "*.pth", "*.pth.tar", "*.pt", "*.bin", "*.h5", "*.keras", "*.onnx", "*.caffemodel", "*.mat",
      "*.npz"), "a folder of files", "Name the one that is meant"),
)
# fmt: on


def is_other(path: Path) -> bool:
    """Whether a file is in a form whose first bytes could be taken for those of one that is read."""
    with path.open("rb") as file:
        head = file.read(16)
    return path.suffix in _OTHER_ENDINGS or _is_graph(head, path)


def refuse(path: Path) -> WeightsError:
    """The sentence for a file that is in no form that is read. Never raises for what it finds."""
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        if path.with_name(f"{path.name}.index").is_file():
            return _is(path, "a TensorFlow checkpoint", _CHECKPOINT)
        return WeightsError(f"There is no readable weights file {path} ({error.strerror}): expected a file of weights.")
    form = next((form for form in _FILES if form.is_it(head, path)), None)
    if form is None:
        return WeightsError(f"{path} is not a weights file: expected {READ}, found other bytes.")
    return _is(path, form.name, form.advice)


def refuse_zip(path: Path, names: Iterable[str]) -> WeightsError:
    """The sentence for a zip that is neither PyTorch's nor NumPy's."""
    listed = list(names)
    for marks, name, advice in _ZIPS:
        if all(any(_has(entry, mark) for entry in listed) for mark in marks):
            return _is(path, name, advice)
    some = ", ".join(repr(entry[:40]) for entry in listed[:3]) or "nothing"
    return _is(path, f"a zip of {some}", "Unpack it and name the file within")


def refuse_folder(path: Path) -> WeightsError:
    """The sentence for a folder without weights of Hugging Face's names."""
    for patterns, name, advice in _FOLDERS:
        found = next((found for pattern in patterns for found in sorted(path.glob(pattern))), None)
        if found:
            return _is(path, f"{name} ({found.name[:60]} in it)", advice)
    return _is(path, "a folder without weights", "Name a file of weights")


def is_keras_archive(path: Path) -> bool:
    """Whether a file is a zip with the three members of Keras's `.keras`."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if not {"metadata.json", "config.json", "model.weights.h5"} <= names:
                return False
            with archive.open("metadata.json") as file:
                return "keras_version" in json.loads(file.read(10_000))
    except (OSError, ValueError, zipfile.BadZipFile, RuntimeError, NotImplementedError, RecursionError):
        return False


def _has(entry: str, mark: str) -> bool:
    """At the top of the zip or in the one folder that torch's zips begin with."""
    inner = entry.partition("/")[2]
    return any(part == mark or (mark.endswith("/") and part.startswith(mark)) for part in (entry, inner))


def _is(path: Path, name: str, advice: str) -> WeightsError:
    return WeightsError(f"{path} is {name}: expected {READ}. {advice.replace('PATH', repr(str(path)))}.")

"""What is not a file of weights is called by its name, and told how to convert it where one line does that."""

import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from vggbench.errors import WeightsError
from vggbench.paper.configs import CONFIGS
from vggbench.weights.formats import read_weights
from vggbench.weights.recognition import is_keras_archive

D = CONFIGS["D"]


def _zip(*names: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, '{"keras_version": "3.5"}')

    return write


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _tar(mode: Literal["w", "w:gz", "w:xz"]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with tarfile.open(path, mode) as archive:
            archive.add(Path(__file__))

    return write


def _folder(*names: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.mkdir()
        for name in names:
            (path / name).write_bytes(b"x")

    return write


def _scripted(path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), path)  # type: ignore[no-untyped-call]


def _exported(path: Path) -> None:
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),)), path)


KERAS = ("metadata.json", "config.json", "model.weights.h5")
FILES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "x.pt": (_scripted, "a TorchScript archive", r"torch\.save\(torch\.jit\.load\('.*x\.pt'\)\.state_dict\(\)"),
    "x.pt2": (_exported, "an exported program", r"torch\.save\(torch\.export\.load\('.*'\)\.state_dict, 'x\.pth'\)"),
    "x.keras": (_zip(*KERAS), "not a complete Keras file", "Copy or download it again"),
    "y.keras": (_zip(*KERAS[1:]), "a .keras archive", r"load_model\('.*'\)\.save_weights"),
    "x.mar": (_zip("MAR-INF/MANIFEST.json", "x.pth"), "a TorchServe archive", "Unpack it"),
    "x.zip": (_zip("holiday.jpg", "b"), "a zip of 'holiday.jpg', 'b'", "Unpack it"),
    "cut.zip": (_bytes(b"PK\x03\x04 cut"), "a zip archive that is cut off or damaged", "Copy or download it again"),
    "empty.pth": (_bytes(b""), "an empty file", "Copy or download it again"),
    "lfs.pth": (_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer", "git lfs pull"),
    "page.pth": (_bytes(b"<!DOCTYPE html><html><body>Sign in"), "a web page", "Download the file itself"),
    "x.npy": (lambda path: np.save(path, np.zeros(3)), r"NumPy's \.npy", r"numpy\.savez\('x\.npz'"),
    "x.tflite": (_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(99)), "a TensorFlow Lite model", "Convert the model"),
    "x.engine": (_bytes(b"ftrt" + bytes(99)), "a TensorRT engine", "Convert the model that it was made from"),
    "y.engine": (_bytes(bytes(99)), "a TensorRT engine", "Convert the model"),
    "x.mlmodel": (_bytes(b"\x08\x01" + bytes(99)), "a Core ML model", "Convert the model"),
    "x.pb": (_bytes(b"\x0a\x10\x0a\x05input" + bytes(99)), "a TensorFlow graph", r"tf2onnx\.convert --graphdef"),
    "x.tar.gz": (_tar("w:gz"), "a gzip archive", "tar -xzf"),
    "x.tar": (_tar("w"), "a tar archive", "Unpack it"),
    "x.tar.xz": (_tar("w:xz"), "a packed archive", "Unpack it"),
    "vgg.prototxt": (_bytes(b'name: "VGG"\nlayers { }'), "a Caffe prototxt", r"Name the \.caffemodel"),
    "x.index": (_bytes(b"\x00\x00\x03" + bytes(99)), "a part of a TensorFlow checkpoint", r"numpy\.savez"),
    "x.json": (_bytes(b'{"a": 1}'), "a JSON file", "Name the weights"),
    "x.txt": (_bytes(b"words"), "a text file", "Name the weights"),
    "other": (_bytes(b"\xfe\x00" * 99), "not a weights file", "found other bytes"),
    "saved": (_folder("saved_model.pb"), "a TensorFlow SavedModel", r"tf2onnx\.convert --saved-model"),
    "ckpt": (_folder("model.ckpt.index", "checkpoint"), "a folder of a TensorFlow checkpoint", r"numpy\.savez"),
    "x.mlpackage": (_folder("Manifest.json"), "a Core ML package", "Convert the model"),
    "unpacked": (_folder("data.pkl"), "a PyTorch file that was unpacked", "Name the file as it was"),
    "runs": (_folder("best.pth"), r"a folder of files \(best\.pth in it\)", "Name the one"),
    "empty": (_folder(), "a folder without weights", "Name a file"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_every_refusal_names_what_was_found_and_what_to_do(name: str, tmp_path: Path) -> None:
    write, found, advice = FILES[name]
    write(tmp_path / name)
    with pytest.raises(WeightsError, match=f"{found}.*: expected .*{advice}") as caught:
        read_weights(tmp_path / name, D)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert not any(word in str(caught.value) for word in ("Do not trust", "Python objects", "Is a directory"))


def test_a_checkpoint_that_is_named_without_its_ending_is_known(tmp_path: Path) -> None:
    (tmp_path / "vgg_16.ckpt.index").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"vgg_16\.ckpt is a TensorFlow checkpoint"):
        read_weights(tmp_path / "vgg_16.ckpt", D)


def test_an_object_that_is_no_network_is_told_by_its_kind(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "history": [1, 2]}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"no state dict, but a dict of 'epoch', 'history', which is never executed"):
        read_weights(tmp_path / "x.pth", D)
    torch.save(torch.ones(3), tmp_path / "x.pth")
    with pytest.raises(
        WeightsError, match=r"no state dict, but .*: expected tensors by name. Save them by torch\.save"
    ):
        read_weights(tmp_path / "x.pth", D)


@pytest.mark.parametrize(
    ("members", "is_it"),
    [
        (KERAS, True),
        (("config.json", "model.weights.h5"), False),
        (("metadata.json",), False),
    ],
)
def test_a_keras_archive_is_known_by_its_members(members: tuple[str, ...], is_it: bool, tmp_path: Path) -> None:
    _zip(*members)(tmp_path / "x")
    assert is_keras_archive(tmp_path / "x") == is_it
    for content in (b"", b"PK\x03\x04", json.dumps({}).encode()):
        (tmp_path / "y").write_bytes(content)
        assert not is_keras_archive(tmp_path / "y")
    assert not is_keras_archive(tmp_path / "missing")

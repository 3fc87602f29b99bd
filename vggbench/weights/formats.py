"""The formats that weights come in, recognised by content, and what reads each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggbench.errors import WeightsError
from vggbench.paper.configs import Config
from vggbench.weights.caffe import read_caffe
from vggbench.weights.description import require_described
from vggbench.weights.files import file_hash, magic_of, tensors_hash
from vggbench.weights.held import Contents
from vggbench.weights.keras import read_keras
from vggbench.weights.layers import Foreign, by_torchvisions_names
from vggbench.weights.matconvnet import read_matconvnet
from vggbench.weights.onnx import read_description, read_onnx
from vggbench.weights.recognition import is_keras_archive, is_other, refuse
from vggbench.weights.states import LARGEST, form_name, is_of_tensors, read_state


@dataclass(frozen=True)
class _Format:
    name: str
    starts: tuple[bytes, ...]
    """How a file of it can begin."""
    read: Callable[[Path], Foreign]
    describe: Callable[[Path], dict[str, Any]] = lambda path: {}


# Protobuf has no mark of its own: ONNX writes its version first (field 1, a number), Caffe the net's name (field 1,
# text) or, without one, its inputs or layers (field 3, 2 or 100).
_KERAS = _Format("Keras", (b"\x89HDF\r\n\x1a\n",), read_keras)
_FORMATS = (
    _KERAS,
    _Format("MatConvNet", (b"MATLAB 5.0 MAT-file",), read_matconvnet),
    _Format("ONNX", (b"\x08",), read_onnx, read_description),
    _Format("Caffe", (b"\x0a", b"\x12", b"\x1a", b"\xa2\x06"), read_caffe),
)


def read_weights(path: Path, config: Config, *, ema: bool = False) -> Contents:
    """The weights of `config` in a file of any format; `ema` asks for averaged ones. Raises WeightsError."""
    form = _form(path)
    if form is None:
        return read_state(path, config, ema=ema)
    if ema:
        raise WeightsError(
            f"{path} holds no averaged weights (--ema): expected a PyTorch checkpoint, found {form.name}."
        )
    net = form.read(path)
    tensors = by_torchvisions_names(config, net, path)
    return Contents(
        tensors,
        form.describe(path),
        tensors_hash(tensors) if form.name == "ONNX" or net.turned else file_hash(path),
        net.input,
        require_described(config, net.described, path, complete=net.complete),
        net.class_names,
        net.complete,
    )


def format_name(path: Path) -> str:
    """What a file is in. Raises WeightsError."""
    form = _form(path)
    return form.name if form else form_name(path)


def _form(path: Path) -> _Format | None:
    """The foreign format of a file; None for safetensors and PyTorch's."""
    if path.is_file() and is_keras_archive(path):
        return _KERAS
    if is_of_tensors(path):
        return None
    if not path.is_file() or is_other(path):
        raise refuse(path)
    if path.stat().st_size > LARGEST:
        raise WeightsError(f"{path} is not a file of weights: expected one of up to {LARGEST / 1e9:g} GB.")
    head = magic_of(path, 32)
    form = next((form for form in _FORMATS if head.startswith(form.starts)), None)
    if head.startswith(b"MATLAB 7.3"):
        raise WeightsError(
            f"{path} is MATLAB's version 7.3: expected version 5, as MatConvNet's files are. In MATLAB: net = "
            "load(FILE); save(OTHER, '-struct', 'net', '-v7')."
        )
    if form is None:
        raise refuse(path)
    return form

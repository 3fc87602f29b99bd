"""Writers of foreign weights files, none of which uses our readers: protobuf by hand, SciPy, and Keras itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from children import run_script
from numpy.typing import NDArray

from vggbench.paper.configs import CONFIGS

Array = NDArray[np.float32]
Layers = list[tuple[str, Array, Array]]
"""(name, weight, bias), weights as PyTorch has them."""


def layers_of(config: str, weights: dict[str, Any]) -> Layers:
    """A state dict as Oxford's layers: conv1_1 and so on, then fc6, fc7, fc8."""
    stems = list(dict.fromkeys(name.rpartition(".")[0] for name in weights))
    names = [layer.name for layer in CONFIGS[config].convs] + ["fc6", "fc7", "fc8"]
    return [
        (name, weights[f"{stem}.weight"].numpy(), weights[f"{stem}.bias"].numpy())
        for name, stem in zip(names, stems, strict=True)
    ]


# ---------------------------------------------------------------- Caffe


def caffemodel(layers: Layers, *, old: bool) -> bytes:
    """Either generation of layers; the old one has 4-D blobs for inner products too."""
    net = field(1, b"VGG")
    for name, weight, bias in layers:
        is_conv = weight.ndim == 4
        blobs = [_blob(weight, old=old), _blob(bias, old=old)]
        if old:
            kind = _varint(5 << 3) + _varint(4 if is_conv else 14)
            net += field(2, field(4, name.encode()) + kind + b"".join(field(6, blob) for blob in blobs))
        else:
            kind = field(2, b"Convolution" if is_conv else b"InnerProduct")
            net += field(100, field(1, name.encode()) + kind + b"".join(field(7, blob) for blob in blobs))
    return net


def _blob(values: Array, *, old: bool) -> bytes:
    data = field(5, values.astype("<f4").tobytes())
    if not old:
        return field(7, field(1, b"".join(_varint(side) for side in values.shape))) + data
    sides = (1, 1, 1, 1, *values.shape)[-4:]
    return b"".join(_varint(number << 3) + _varint(side) for number, side in enumerate(sides, 1)) + data


def field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def prototxt(config: str, layers: Layers, side: tuple[int, int]) -> str:
    """The net for Caffe's runners, up to fc8."""
    text = f'name: "VGG"\ninput: "data"\ninput_dim: 1\ninput_dim: 3\ninput_dim: {side[0]}\ninput_dim: {side[1]}\n'
    below = "data"
    for name, kind, extra in _text_layers(config, layers):
        text += f'layer {{ name: "{name}" type: "{kind}" bottom: "{below}" top: "{name}" {extra} }}\n'
        below = name
    return text


def _text_layers(config: str, layers: Layers) -> Iterator[tuple[str, str, str]]:
    outputs = {name: weight.shape[0] for name, weight, _ in layers}
    for layer in CONFIGS[config].layers:
        if layer.kind == "pool":
            yield layer.name, "Pooling", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
            continue
        sizes = f"num_output: {outputs[layer.name]} kernel_size: {layer.kernel} pad: {layer.kernel // 2}"
        yield layer.name, "Convolution", f"convolution_param {{ {sizes} }}"
        yield f"relu_{layer.name}", "ReLU", ""
    for name in ("fc6", "fc7", "fc8"):
        yield name, "InnerProduct", f"inner_product_param {{ num_output: {outputs[name]} }}"
        if name != "fc8":
            yield f"relu_{name}", "ReLU", ""


# ---------------------------------------------------------------- MatConvNet


CONV = "conv"


def write_mat(path: Path, layers: Layers, *, older: bool) -> None:
    """simplenn's cell array of structs, with pooling and ReLU between; `older` has filters and biases."""
    import scipy.io

    structs: list[dict[str, Any]] = []
    channels = 0
    for name, weight, bias in layers:
        if structs and (name.endswith("_1") or name == "fc6"):  # a stage begins
            structs.append(_mat_pool(len(structs)))
        if weight.ndim == 2:
            side = 7 if name == "fc6" else 1
            weight = weight.reshape(len(weight), channels if side == 7 else weight.shape[1], side, side)  # noqa: PLW2901
        channels = len(weight)
        pair: list[Any] = [weight.transpose(2, 3, 1, 0), bias[None, :]]
        cell = np.empty((1, 2), dtype=object)
        cell[0, 0], cell[0, 1] = pair
        held = {"filters": pair[0], "biases": pair[1]} if older else {"weights": cell}
        pad = 0.0 if name.startswith("fc") else float(weight.shape[-1] // 2)
        structs += [{"type": CONV, "name": name, **held, "pad": pad}, {"type": "relu", "name": f"relu_{name}"}]
    if layers[-1][0] == "fc8":
        structs[-1] = {"type": "softmax", "name": "prob"}
    cells = np.empty((1, len(structs)), dtype=object)
    for place, struct_ in enumerate(structs):
        cells[0, place] = struct_
    scipy.io.savemat(path, {"layers": cells}, do_compression=True)


def _mat_pool(number: int) -> dict[str, Any]:
    """Padded below and at the right, so that sizes are rounded up as Caffe does."""
    two = np.array([[2.0, 2.0]])
    pad = np.array([[0.0, 1.0, 0.0, 1.0]])
    return {"type": "pool", "name": f"pool{number}", "method": "max", "pool": two, "stride": two, "pad": pad}


# ---------------------------------------------------------------- Keras

KERAS = """
import os, sys
os.environ["KERAS_BACKEND"] = "torch"
import h5py, keras, numpy as np
from keras.src.legacy.saving import legacy_h5_format
folder, table, channels, hidden, classes = sys.argv[1], sys.argv[2], *eval(sys.argv[3])
keras.utils.set_random_seed(0)
if table == "VGG16":
    net = keras.applications.VGG16(weights=None, classifier_activation=None, classes=classes)
else:
    net = keras.Sequential([keras.Input((224, 224, 3))])
    for stage, tokens in enumerate(table.split("M")[:-1], 1):
        for number, token in enumerate(tokens.split(), 1):
            net.add(keras.layers.Conv2D(channels[stage - 1], int(token), padding="same", activation="relu",
                                        name=f"block{stage}_conv{number}"))
        net.add(keras.layers.MaxPooling2D(2, 2, name=f"block{stage}_pool"))
    net.add(keras.layers.Flatten(name="flatten"))
    for name in ("fc1", "fc2"):
        net.add(keras.layers.Dense(hidden, activation="relu", name=name))
    net.add(keras.layers.Dense(classes, name="predictions"))
draw = np.random.default_rng(0)
def weight(shape):
    fan = np.prod(shape[:-1])
    return draw.normal(0, (2 / fan) ** 0.5, shape) if len(shape) > 1 else draw.normal(0, 0.1, shape)
net.set_weights([weight(w.shape) for w in net.get_weights()])
images = np.load(f"{folder}/images.npy")  # (N, 224, 224, 3) RGB
pixels = keras.applications.vgg16.preprocess_input(images.astype("float32"), data_format="channels_last")
np.save(f"{folder}/logits.npy", net.predict(pixels, verbose=0))
with h5py.File(f"{folder}/released.h5", "w") as file:
    legacy_h5_format.save_weights_to_hdf5_group(file, net)
net.save(f"{folder}/saved.h5")
net.save_weights(f"{folder}/new.weights.h5")
"""


def write_keras(folder: Path, table: str, channels: tuple[int, ...], hidden: int, classes: int) -> None:
    """Let Keras write released.h5, saved.h5 and new.weights.h5, and logits.npy of images.npy."""
    sizes = repr((channels, hidden, classes))
    run_script(KERAS, folder, table, sizes, folder=folder)

"""Keras files as people have them: nested models, old generations, packed datasets; and hostile ones."""

import io
import json
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from keras_files import Layer, layer, nested, spelled, vgg, weights_h5, write_archive, write_h5
from keras_interpreter import Interpreter
from torch import Tensor

from vggbench import INPUTS, LoadOptions, ModelSpec, load_model
from vggbench.errors import WeightsError
from vggbench.inference.choice import start
from vggbench.paper.configs import CONFIGS
from vggbench.weights.files import file_hash
from vggbench.weights.formats import read_weights

PICTURES = torch.randint(0, 255, (1, 3, 224, 224), generator=torch.Generator().manual_seed(2)).to(torch.uint8)


def _interpreted(config: dict[str, Any], backend: str = "tensorflow") -> tuple[Interpreter, Tensor]:
    """The interpreter with its weights drawn, and its logits of Caffe's input."""
    interpreter = Interpreter(config, backend)
    return interpreter, interpreter.logits(INPUTS["caffe"].normalise(PICTURES))


def _assert_right(path: Path, expected: Tensor, config: str = "A") -> None:
    model = load_model(ModelSpec.parse(f"{config}@{path}"), LoadOptions(input="caffe"), ())
    found = start("pytorch", model, torch.device("cpu"), "fp32")(PICTURES)
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


def _refused(path: Path, sentence: str, config: str = "A") -> None:
    with pytest.raises(WeightsError, match=sentence):
        load_model(ModelSpec.parse(f"{config}@{path}"), LoadOptions(input="caffe"), ())


def _in_two(kind: str, *, frozen: bool = False) -> list[Layer]:
    """A transfer-learning model: the convolutional part is a model of its own, and so is the head."""
    layers = vgg()
    at = next(place for place, entry in enumerate(layers) if entry["class_name"] == "Flatten")
    base, head = layers[1:at], layers[at:]
    inner = [layer("InputLayer", "inner", batch_shape=[None, 224, 224, 3])]
    second = [layer("InputLayer", "second", batch_shape=[None, 7, 7, 16])]
    return [layers[0], nested("vgg16", inner + base, kind, trainable=not frozen), nested("head", second + head, kind)]


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", ["Functional", "Sequential"])
@pytest.mark.parametrize("generation", [1, 2, 3])
def test_nested_models_are_read(generation: int, kind: str, frozen: bool, tmp_path: Path) -> None:
    layers = _in_two(kind, frozen=frozen)
    for outer in ("Functional", "Sequential"):
        config = spelled(layers, generation, outer)
        interpreter, expected = _interpreted(config)
        write_h5(tmp_path / "x.h5", config, layers, interpreter.weights)
        _assert_right(tmp_path / "x.h5", expected)
        if generation == 3:
            write_archive(tmp_path / "x.keras", config, layers, interpreter.weights, outer)
            _assert_right(tmp_path / "x.keras", expected)
            (tmp_path / "x.weights.h5").write_bytes(weights_h5(layers, interpreter.weights, outer))
            _assert_right(tmp_path / "x.weights.h5", expected)


def test_layers_that_a_file_lists_otherwise_are_known_by_their_tensors(tmp_path: Path) -> None:
    """The description's order counts; older versions took the list's, and what they stored must not be found."""
    layers = vgg()
    config = spelled(layers, 2, "Functional")
    interpreter, expected = _interpreted(config)
    path = tmp_path / "x.h5"
    write_h5(path, config, layers, interpreter.weights)
    assert read_weights(path, CONFIGS["A"]).sha256 == file_hash(path)
    with h5py.File(path, "a") as file:
        group = file["model_weights"]
        group.attrs["layer_names"] = group.attrs["layer_names"][::-1]
    _assert_right(path, expected)
    assert read_weights(path, CONFIGS["A"]).sha256 != file_hash(path)


def test_models_without_a_name_are_read(tmp_path: Path) -> None:
    """Until Keras 2.2 a Sequential in a Sequential was a list of its layers."""
    layers = _in_two("Sequential")
    config = spelled(layers, 1, "Sequential")
    interpreter, expected = _interpreted(config)
    for entry in config["config"]:
        del entry["name"]
    write_h5(tmp_path / "x.h5", config, layers, interpreter.weights)
    _assert_right(tmp_path / "x.h5", expected)
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["model_weights"].attrs["layer_names"] = [b"vgg16", b"head", b"conv3"]
        file["model_weights"].create_group("conv3")
        file["model_weights"].copy("vgg16/conv3", "conv3/conv3")
        file["model_weights/conv3"].attrs["weight_names"] = [b"conv3/kernel:0"]
    _refused(tmp_path / "x.h5", "holds weights of layers that it does not describe")


def test_weights_whose_names_were_numbered_once_more_are_read(tmp_path: Path) -> None:
    """TensorFlow 1 put _1 behind a layer's name when a model of it was there already."""
    layers = _in_two("Functional")
    config = spelled(layers, 2)
    interpreter, expected = _interpreted(config)
    write_h5(tmp_path / "x.h5", config, layers, interpreter.weights)
    with h5py.File(tmp_path / "x.h5", "a") as file:
        group = file["model_weights/vgg16"]
        names = [name.decode() for name in group.attrs["weight_names"]]
        for name in names:
            group.move(name, re.sub("/", "_1/", name, count=1))
        group.attrs["weight_names"] = [re.sub("/", "_1/", name, count=1).encode() for name in names]
    _assert_right(tmp_path / "x.h5", expected)


def test_weights_of_a_layer_that_is_not_there_are_refused(tmp_path: Path) -> None:
    layers = _in_two("Functional")
    config = spelled(layers, 2)
    interpreter, _ = _interpreted(config)
    write_h5(tmp_path / "x.h5", config, layers, interpreter.weights)
    with h5py.File(tmp_path / "x.h5", "a") as file:
        group = file["model_weights/vgg16"]
        group.move("conv3/kernel:0", "other/kernel:0")
        group.attrs["weight_names"] = [
            re.sub("conv3/k", "other/k", name.decode()).encode() for name in group.attrs["weight_names"]
        ]
    _refused(tmp_path / "x.h5", "no layer of that name")


@pytest.mark.parametrize(
    "options", [{"compression": "gzip"}, {"compression": "gzip", "shuffle": True, "fletcher32": True}]
)
def test_packed_datasets_are_read(options: dict[str, Any], tmp_path: Path) -> None:
    layers = vgg()
    config = spelled(layers, 2)
    interpreter, expected = _interpreted(config)
    write_h5(tmp_path / "x.h5", config, layers, interpreter.weights, **options)
    _assert_right(tmp_path / "x.h5", expected)


@pytest.mark.parametrize("backend", ["tensorflow", "theano"])
@pytest.mark.parametrize("channels", [(2, 4, 8, 16, 16), (3, 6, 12, 24, 24)])
def test_kernels_of_the_first_keras_are_read(backend: str, channels: tuple[int, ...], tmp_path: Path) -> None:
    """(out, in, row, column), turned where Theano made them; three filters of three inputs tell nothing."""
    layers = vgg(form="channels_first", channels=channels)
    config = spelled(layers, 1, "Sequential")
    interpreter, expected = _interpreted(config, backend)
    write_h5(tmp_path / "x.h5", config, layers, interpreter.weights, backend=backend)
    _assert_right(tmp_path / "x.h5", expected)


def test_kernels_without_a_description_are_turned_where_the_name_says_so(tmp_path: Path) -> None:
    layers = vgg(form="channels_first")
    for backend, name in (
        ("theano", "vgg_th_dim_ordering_th_kernels.h5"),
        ("tensorflow", "vgg_th_dim_ordering_tf_kernels.h5"),
    ):
        interpreter, expected = _interpreted(spelled(layers, 1, "Sequential"), backend)
        write_h5(tmp_path / name, None, layers, interpreter.weights, backend=backend)
        with h5py.File(tmp_path / name, "a") as file:
            del file.attrs["backend"]
        _assert_right(tmp_path / name, expected)
        (tmp_path / name).rename(tmp_path / "x.h5")
        _refused(tmp_path / "x.h5", "does not say whether they are turned")


def test_the_first_files_of_keras_count_their_layers(tmp_path: Path) -> None:
    layers = vgg(form="channels_first")
    interpreter, expected = _interpreted(spelled(layers, 1, "Sequential"), "theano")
    with h5py.File(tmp_path / "x_th_kernels.h5", "w") as file:
        file.attrs["nb_layers"] = len(layers)
        for place, entry in enumerate(layers):
            held = interpreter.weights.get((entry["config"]["name"],), [])
            group = file.create_group(f"layer_{place}")
            group.attrs["nb_params"] = len(held)
            for number, array in enumerate(held):
                group[f"param_{number}"] = array
    _assert_right(tmp_path / "x_th_kernels.h5", expected)


def test_what_a_file_does_to_pixels_is_its_input(tmp_path: Path) -> None:
    """torchvision's, spelled as two layers; the command line may say the same, and nothing else."""
    layers = vgg()
    layers.insert(1, layer("Rescaling", "scale", scale=1 / 255, offset=0.0))
    variance = [value**2 for value in (0.229, 0.224, 0.225)]
    layers.insert(2, layer("Normalization", "normal", axis=[-1], mean=[0.485, 0.456, 0.406], variance=variance))
    config = spelled(layers, 3)
    interpreter, _ = _interpreted(config)
    write_h5(tmp_path / "x.h5", config, layers, interpreter.weights)
    for input in (None, "torchvision", "RGB"):
        model = load_model(ModelSpec.parse(f"A@{tmp_path / 'x.h5'}"), LoadOptions(input=input, otherwise="caffe"), ())
        assert model.identity.input == INPUTS["torchvision"]
        assert not model.identity.architecture or not model.identity.architecture.ceil_pool
    for input, sentence in (("caffe", "--input caffe is BGR"), ("BGR", "--input BGR contradicts it")):
        with pytest.raises(WeightsError, match=sentence):
            load_model(ModelSpec.parse(f"A@{tmp_path / 'x.h5'}"), LoadOptions(input=input), ())


def test_a_net_with_another_head_is_told_as_one(tmp_path: Path) -> None:
    """Global pooling and two layers, which is how most people put VGG to another use."""
    layers = [entry for entry in vgg() if not entry["config"]["name"].startswith("drop")]
    layers[-4:-1] = [layer("GlobalAveragePooling2D", "gap", data_format="channels_last"), layers[-3]]
    config = spelled(layers, 2)
    interpreter, _ = _interpreted(config)
    write_h5(tmp_path / "x.h5", config, layers, interpreter.weights)
    _refused(tmp_path / "x.h5", "the 8 convolutions of A with another head: fc1 of 128 x 16 departs")


# ---------------------------------------------------------------- hostile


def _deep(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = '{"class_name": "Sequential", "config": ' + "[" * 30_000


def _deep_models(path: Path) -> None:
    text = '{"class_name": "Sequential", "config": {"name": "m", "layers": [' * 800 + "]}}" * 800
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = text


def _many(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "[" + "0," * 6_000_000 + "0]"


def _archive(path: Path, config: str, weights: bytes, **options: Any) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config, **options)
        archive.writestr("model.weights.h5", weights, **options)


def _zipped_nothing(path: Path) -> None:
    _archive(path, "{}", bytes(100_000_000))


def _zipped_config(path: Path) -> None:
    _archive(path, " " * 50_000_000, b"")


def _linked(path: Path) -> None:
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        file["layers"] = h5py.ExternalLink("/etc/passwd", "/")
    _archive(path, json.dumps(spelled(vgg(), 3)), held.getvalue())


def _circle(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"a"]
        file["a"] = file
        file["a"].attrs["weight_names"] = [b"a/a/a/a/a"]


def _no_text(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = np.zeros((50, 50))


def _itself(path: Path) -> None:
    config = spelled(vgg(), 2)
    config["config"]["layers"][3]["inbound_nodes"] = [[["pool1", 0, 0, {}]]]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)


def _within_itself(path: Path) -> None:
    """Ten ways from a model into itself, so 10 ** 10 in ten steps."""
    with h5py.File(path, "w") as file:
        model = file.create_group("layers")
        for number in range(10):
            model.create_group(f"model_{number}")["layers"] = model


def _many_layers(path: Path) -> None:
    layers = [{"class_name": "Dropout", "config": {"name": f"d{number}"}} for number in range(20_000)]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": layers}})


@pytest.mark.parametrize(
    "write",
    [
        _deep, _deep_models, _many, _zipped_nothing, _zipped_config, _linked, _circle, _no_text, _itself,
        _within_itself, _many_layers,
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_at_little_cost(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    tracemalloc.start()
    try:
        _refused(tmp_path / "x.h5", "x.h5")
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()

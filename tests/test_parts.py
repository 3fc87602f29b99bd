"""Parts of nets are known by their shapes, refused by what evaluates, and start a training."""

from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import torch
from conftest import CLASSES, Result
from torch import Tensor, nn
from writers import Layers, caffemodel, layers_of, write_mat

from vggbench.errors import UsageError, WeightsError
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CONFIGS, FC_SIZE, scaled
from vggbench.train.recipe import Recipe
from vggbench.train.start import begin, convolutions_alone
from vggbench.weights.files import read_tensors, write_tensors
from vggbench.weights.formats import read_weights
from vggbench.weights.parts import LayerShape, PartOfNetError, convolution_places, part_of

Weights = dict[str, Tensor]
Peaked = Callable[..., Weights]
D = CONFIGS["D"]


def _shapes(config: str, width: float, classes: int = 5) -> list[LayerShape]:
    with torch.device("meta"):
        state = VGG(CONFIGS[config], classes, width).state_dict()
    return [LayerShape(name, tuple(tensor.shape)) for name, tensor in state.items() if tensor.ndim > 1]


@pytest.mark.parametrize("width", [1.0, 1 / 16, 0.3])
@pytest.mark.parametrize("config", [name for name in CONFIGS if name != "A-LRN"])
def test_a_whole_net_is_no_part_and_its_convolutions_are(config: str, width: float) -> None:
    layers, batch_norm = _shapes(config, width), CONFIGS[config].batch_norm
    count = len(CONFIGS[config].convs)
    assert part_of(layers, batch_norm=batch_norm) is None
    part = part_of(layers[:count], batch_norm=batch_norm)
    assert part
    assert (part.config.name, part.departs) == (config, None)
    assert part.sentence == f"holds the {count} convolutions of {config} and no layer after them"
    assert part_of(layers[: count - 1], batch_norm=batch_norm) is None


@pytest.mark.parametrize("config", list(CONFIGS))
def test_the_places_are_the_networks(config: str) -> None:
    with torch.device("meta"):
        network = VGG(CONFIGS[config], 1, 1 / 64)
    places = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    assert convolution_places(CONFIGS[config]) == places


HIDDEN = scaled(FC_SIZE, 1 / 16)


@pytest.mark.parametrize(
    ("rest", "departs", "sentence"),
    [
        ([("fc1", (HIDDEN, 1568))], None, "and fc6, and no fc7 and fc8"),
        ([("fc1", (HIDDEN, 32, 7, 7)), ("fc2", (HIDDEN, HIDDEN, 1, 1))], None, "and fc6 and fc7, and no fc8"),
        ([("dense", (512, 1568))], "dense", "another head: dense of 512 x 1568 departs, where D has fc6 of 256 x 1568"),
        ([("dense", (10, 32))], "dense", "another head: dense of 10 x 32 departs, where D has fc6"),
        ([("fc1", (HIDDEN, 1568)), ("fc2", (10, HIDDEN))], "fc2", "fc2 of 10 x 256 departs, where D has fc7 of 256"),
        ([("31", (64, 32, 3, 3)), ("33", (64, 64, 1, 1))], "31", "31 of 64 x 32 x 3 x 3 departs"),
        (
            [("a", (HIDDEN, 1568)), ("b", (HIDDEN, HIDDEN)), ("c", (HIDDEN, HIDDEN)), ("d", (5, HIDDEN))], "c",
            "another head: c of 256 x 256 departs",
        ),
        ([("extra", (32, 32, 3, 3))], "extra", "another head: extra of 32 x 32 x 3 x 3 departs"),
    ],
)  # fmt: skip
def test_which_layer_departs_is_told(
    rest: list[tuple[str, tuple[int, ...]]], departs: str | None, sentence: str
) -> None:
    part = part_of([*_shapes("D", 1 / 16)[:13], *(LayerShape(*layer) for layer in rest)])
    assert part
    assert part.departs == next((LayerShape(*layer) for layer in rest if layer[0] == departs), None)
    assert part.sentence.startswith("holds the 13 convolutions of D ")
    assert sentence in part.sentence


def test_other_nets_are_no_parts() -> None:
    assert part_of([]) is None
    assert part_of([LayerShape("fc", (10, 784))]) is None
    assert part_of([LayerShape("conv1", (64, 3, 7, 7)), *_shapes("D", 1.0)[1:]]) is None
    wider = [*_shapes("D", 1.0)[:12], LayerShape("conv5_3", (500, 512, 3, 3))]
    assert part_of(wider) is None


# ---------------------------------------------------------------- from files


def _features(weights: Weights) -> Weights:
    return {name: tensor for name, tensor in weights.items() if name.startswith("features.")}


PARTS: dict[str, Callable[[Weights], Weights]] = {
    "features": _features,
    "features without their name": lambda w: {n.removeprefix("features."): t for n, t in _features(w).items()},
    "wrapped": lambda w: {f"model.encoder.{name}": tensor for name, tensor in _features(w).items()},
    "no fc8": lambda w: {name: tensor for name, tensor in w.items() if "classifier.6" not in name},
    "SSD": lambda w: (
        {n.removeprefix("features."): t for n, t in _features(w).items()}
        | {"31.weight": torch.ones(64, 32, 3, 3), "31.bias": torch.ones(64)}
    ),
    "another head": lambda w: _features(w) | {"head.weight": torch.ones(5, 32), "head.bias": torch.ones(5)},
}


@pytest.mark.parametrize("part", PARTS)
def test_the_convolutions_of_a_part_are_those_of_the_net(part: str, peaked: Peaked, tmp_path: Path) -> None:
    torch.save(PARTS[part](peaked("D")), tmp_path / "x.pth")
    with pytest.raises(PartOfNetError, match="holds the 13 convolutions of D") as caught:
        read_weights(tmp_path / "x.pth", D)
    expected = _features(peaked("D"))
    assert caught.value.convolutions.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in caught.value.convolutions.items())
    assert str(tmp_path / "x.pth") in str(caught.value)
    assert ("ONNX" in str(caught.value)) == (part in ("SSD", "another head"))


def test_eval_refuses_a_part_and_training_starts_from_it(
    peaked: Peaked, many_pictures: Path, vggbench: Callable[..., Result], tmp_path: Path
) -> None:
    path, output = tmp_path / "features.pth", tmp_path / "d.safetensors"
    torch.save(_features(peaked("D")), path)
    told = vggbench("eval", f"D@{path}", "--input", "caffe", "--data", many_pictures)
    assert told.code == 1
    assert f"{path} holds the 13 convolutions of D and no layer after them: expected a whole net" in told.err
    shared = ("train", "D", "--data", many_pictures, "--width", 1 / 16, "--epochs", 1, "--batch-size", 32)
    start = ("--from", f"D@{path}", "--train-layers", "fc", "--input", "caffe", "--workers", 0)
    told = vggbench(*shared, *start, "--output", output)
    assert told.code == 0, told.err
    assert "and no layer after them. Its convolutions start the training; --init draws the fc layers." in told.err
    trained = read_tensors(output)[0]
    assert all(torch.equal(trained[name], tensor) for name, tensor in _features(peaked("D")).items())
    told = vggbench(*shared, "--from", f"E@{path}", "--output", output)
    assert told.code == 1
    assert "holds the 13 convolutions of D" in told.err


def test_the_fc_layers_are_drawn_as_without_a_start(peaked: Peaked, tmp_path: Path) -> None:
    torch.save(_features(peaked("D")), tmp_path / "x.pth")
    with pytest.raises(PartOfNetError) as caught:
        read_weights(tmp_path / "x.pth", D)
    start = convolutions_alone(caught.value, "D@x.pth", "caffe", CLASSES)
    fresh, net = VGG(D, 4, 1 / 16), VGG(D, 4, 1 / 16)
    begin(fresh, Recipe(), None)
    taken = begin(net, Recipe(), start)
    assert set(taken) == set(_features(peaked("D")))
    weights = peaked("D")
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, weights[name] if name in taken else fresh.state_dict()[name])
    with pytest.raises(UsageError, match="expected --input torchvision"):
        convolutions_alone(caught.value, "D@x.pth", None, CLASSES)
    caught.value.convolutions["features.0.bias"][0] = torch.nan
    with pytest.raises(WeightsError, match=r"NaN or infinity in features\.0\.bias"):
        convolutions_alone(caught.value, "D@x.pth", "caffe", CLASSES)


def test_a_file_that_says_its_width_is_no_part_however_its_sizes_are_rounded(tmp_path: Path) -> None:
    """At this width the one that fc6's size gives would round the convolutions otherwise."""
    network = VGG(D, 4, 0.0224)
    write_tensors(tmp_path / "x.safetensors", network.state_dict(), {"config": "D", "width": 0.0224})
    assert len(read_weights(tmp_path / "x.safetensors", D).tensors) == 32
    assert part_of([LayerShape(n, tuple(t.shape)) for n, t in network.state_dict().items() if t.ndim > 1])


def _notop(path: Path, layers: Layers) -> None:
    """As Keras's `..._weights_tf_dim_ordering_tf_kernels_notop.h5`: groups by name, kernels (row, column, in, out)."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name, _, _ in layers]
        for name, weight, bias in layers:
            kernel = weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}_W_1:0".encode(), f"{name}_b_1:0".encode()]
            group[f"{name}_W_1:0"], group[f"{name}_b_1:0"] = kernel, bias


def _caffemodel(path: Path, layers: Layers) -> None:
    path.write_bytes(caffemodel(layers, old=False))


def _mat(path: Path, layers: Layers) -> None:
    write_mat(path, layers, older=False)


@pytest.mark.parametrize("write", [_notop, _caffemodel, _mat])
@pytest.mark.parametrize(("kept", "sentence"), [(13, "no layer after them"), (15, "fc6 and fc7, and no fc8")])
def test_parts_are_known_in_every_format(
    kept: int, sentence: str, write: Callable[[Path, Layers], None], peaked: Peaked, tmp_path: Path
) -> None:
    """Keras's notop file, and nets without their last layer; the convolutions come out as they are."""
    weights = peaked("D")
    write(tmp_path / "x", layers_of("D", weights)[:kept])
    with pytest.raises(PartOfNetError, match=f"holds the 13 convolutions of D and {sentence}") as caught:
        read_weights(tmp_path / "x", CONFIGS["D"])
    assert caught.value.convolutions.keys() == _features(weights).keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in caught.value.convolutions.items())

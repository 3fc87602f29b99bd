"""Files of every format, each written by the format's own writer, give that writer's logits; others, one sentence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor
from writers import Layers, caffemodel, field, layers_of, prototxt, write_keras, write_mat

from vggbench import INPUTS, VGG, LoadOptions, Model, ModelSpec, load_model
from vggbench.errors import WeightsError
from vggbench.inference.choice import start
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import initialise
from vggbench.paper.configs import CONFIGS
from vggbench.store.identity import Identity
from vggbench.weights import keras as keras_reader
from vggbench.weights.layers import Weighted

CAFFE, RGB = LoadOptions(input="caffe"), LoadOptions(input="matconvnet")
TORCHVISION = LoadOptions(input="torchvision")


def _load(config: str, path: Path, options: LoadOptions) -> Model:
    return load_model(ModelSpec.parse(f"{config}@{path}"), options, ())


def _logits(model: Model, images: Tensor) -> Tensor:
    """Logits of (N, 3, H, W) uint8 RGB images, through the input that the model says it needs."""
    scores = start("pytorch", model, torch.device("cpu"), "fp32")(images)
    return scores.mean((2, 3))


def _images(height: int = 224, width: int = 224) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randint(0, 255, (3, 3, 9, 9), generator=generator).float()
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255).to(torch.uint8)


def _assert_equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


def _peaked(logits: Tensor) -> bool:
    return bool(logits.softmax(1).max() > 3 / logits.shape[1])


# ---------------------------------------------------------------- Caffe, by OpenCV


def _opencv(tmp_path: Path, config: str, layers: Layers, images: Tensor, *, old: bool) -> Tensor:
    """Logits of OpenCV's own Caffe reader, on BGR pixels minus the mean, one image at a time."""
    import cv2

    (tmp_path / "x.prototxt").write_text(prototxt(config, layers, (images.shape[2], images.shape[3])))
    (tmp_path / "x.caffemodel").write_bytes(caffemodel(layers, old=old))
    net = cv2.dnn.readNetFromCaffe(str(tmp_path / "x.prototxt"), str(tmp_path / "x.caffemodel"))
    rows = []
    for image in images:
        pixels = image.permute(1, 2, 0).numpy()[:, :, ::-1].astype(np.float32)
        net.setInput(cv2.dnn.blobFromImage(pixels, mean=(103.939, 116.779, 123.68)))
        rows.append(torch.from_numpy(net.forward()).flatten())
    return torch.stack(rows)


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("config", ["A", "C", "D"])
def test_caffe_gives_opencvs_logits(
    config: str, old: bool, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    images, layers = _images(), layers_of(config, peaked(config))
    expected = _opencv(tmp_path, config, layers, images, old=old)
    model = _load(config, tmp_path / "x.caffemodel", CAFFE)
    _assert_equal(_logits(model, images), expected)
    assert _peaked(expected)
    # Each conversion shows: without it the logits are others.
    for wrong in (
        model.with_identity(input=replace(model.input, channels="RGB")),
        model.with_identity(input=replace(model.input, mean=(0.0, 0.0, 0.0))),
        model.with_identity(input=replace(model.input, mean=model.input.mean[::-1])),
    ):
        assert (_logits(wrong, images) - expected).abs().max() > 1e-2 * expected.abs().max()


def test_opencv_pools_with_ceil_as_caffe_does(peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> None:
    """112 x 112 pools to 4 x 4 when sizes are rounded up, and to 3 x 3 else."""
    import cv2

    layers = layers_of("A", peaked("A"))
    text = prototxt("A", layers, (112, 112))
    (tmp_path / "x.prototxt").write_text(text[: text.index('layer { name: "fc6"')])
    (tmp_path / "x.caffemodel").write_bytes(caffemodel(layers, old=True))
    net = cv2.dnn.readNetFromCaffe(str(tmp_path / "x.prototxt"), str(tmp_path / "x.caffemodel"))
    net.setInput(np.zeros((1, 3, 112, 112), dtype=np.float32))
    assert net.forward().shape[2:] == (4, 4)


def test_pooling_is_the_files_own(peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> None:
    """500 x 375 at Q=256 is 341 x 256: 10 positions with Oxford's rounding, 8 with torchvision's."""
    (tmp_path / "x.caffemodel").write_bytes(caffemodel(layers_of("D", peaked("D")), old=True))
    torch.save(peaked("D"), tmp_path / "x.pth")
    image = _images(256, 341)[:1]
    for name, options, positions in (("x.caffemodel", CAFFE, 10), ("x.pth", TORCHVISION, 8)):
        model = _load("D", tmp_path / name, options)
        scores = start("pytorch", model, torch.device("cpu"), "fp32")(image)
        assert scores.shape[2] * scores.shape[3] == positions


# ---------------------------------------------------------------- MatConvNet, by SciPy


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("config", ["B", "C", "E", "B-5x5"])
def test_matconvnet_gives_the_nets_logits(
    config: str, older: bool, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    weights = peaked(config)
    write_mat(tmp_path / "x.mat", layers_of(config, weights), older=older)
    net = VGG(CONFIGS[config], 4, 1 / 16).eval()
    net.load_state_dict(weights)
    images = _images()
    with torch.inference_mode():
        expected = net(INPUTS["matconvnet"].normalise(images))[:, :, 0, 0]
    _assert_equal(_logits(_load(config, tmp_path / "x.mat", RGB), images), expected)


# ---------------------------------------------------------------- Keras, by Keras

CHANNELS = (4, 8, 16, 32, 32)


@pytest.fixture(scope="module")
def by_keras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """D's layers in Keras, thirteen convolutions: conv2d_10 stands before conv2d_2 in the alphabet."""
    folder = tmp_path_factory.mktemp("keras")
    np.save(folder / "images.npy", _images().permute(0, 2, 3, 1).numpy())
    write_keras(folder, CONFIGS["D"].table, CHANNELS, 256, 4)
    return folder


@pytest.mark.parametrize("file", ["released.h5", "saved.h5", "new.weights.h5"])
def test_keras_gives_kerass_logits(file: str, by_keras: Path) -> None:
    expected = torch.from_numpy(np.load(by_keras / "logits.npy"))
    model = _load("D", by_keras / file, CAFFE)
    _assert_equal(_logits(model, _images()), expected)
    assert _peaked(expected)
    wrong = model.with_identity(input=replace(model.input, channels="RGB"))
    assert (_logits(wrong, _images()) - expected).abs().max() > 1e-2 * expected.abs().max()


def test_without_the_permutation_of_fc6_keras_gives_others(by_keras: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = torch.from_numpy(np.load(by_keras / "logits.npy"))
    monkeypatch.setattr(keras_reader, "channels_first", lambda weight, channels: weight.T)
    found = _logits(_load("D", by_keras / "released.h5", CAFFE), _images())
    assert (found - expected).abs().max() > 1e-2 * expected.abs().max()


def test_in_the_alphabets_order_kerass_layers_do_not_fit(by_keras: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_reader, "_as_numbered", lambda name: (name,))
    with pytest.raises(WeightsError, match="does not fit config D"):
        _load("D", by_keras / "new.weights.h5", CAFFE)


# ---------------------------------------------------------------- torchvision, timm and ONNX, by their own code


def _torchvisions(config: str, *, norm: bool = False) -> torch.nn.Module:
    """torchvision's own net, narrow, with peaked weights."""
    from torchvision.models import vgg

    torch.manual_seed(0)
    table: list[str | int] = [size if isinstance(size, str) else size // 16 for size in vgg.cfgs[config]]
    net: torch.nn.Module = vgg.VGG(vgg.make_layers(table, batch_norm=norm), num_classes=5)
    fc = [torch.nn.Linear(32 * 49, 256), torch.nn.Linear(256, 256), torch.nn.Linear(256, 5)]
    between = [torch.nn.ReLU(), torch.nn.Dropout()]
    net.classifier = torch.nn.Sequential(fc[0], *between, fc[1], *between, fc[2])
    weights: dict[str, Tensor] = net.eval().state_dict()
    for name, tensor in weights.items():
        is_norm = name.rpartition(".")[0] + ".running_var" in weights
        if name.startswith("classifier") and tensor.ndim == 2:
            torch.nn.init.kaiming_normal_(tensor)
        elif is_norm and name.endswith(("weight", "running_var")):
            torch.nn.init.uniform_(tensor, 0.5, 1.5)
        elif is_norm and name.endswith(("bias", "running_mean")):
            torch.nn.init.normal_(tensor, std=0.3)
    weights["classifier.6.weight"].mul_(5)
    return net


def _expected(net: torch.nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        expected: Tensor = net(INPUTS["torchvision"].normalise(images))
    assert _peaked(expected)
    return expected


@pytest.mark.thorough
@pytest.mark.parametrize("config", ["A", "B", "D", "E"])
def test_batch_normalised_nets_give_torchvisions_logits(config: str, tmp_path: Path) -> None:
    net = _torchvisions(config, norm=True)
    torch.save(net.state_dict(), tmp_path / "x.pth")
    model = _load(f"{config}-BN", tmp_path / "x.pth", TORCHVISION)
    _assert_equal(_logits(model, _images()), _expected(net, _images()))
    older = {name: tensor for name, tensor in net.state_dict().items() if "num_batches" not in name}
    torch.save(older, tmp_path / "older.pth")
    _assert_equal(
        _logits(_load(f"{config}-BN", tmp_path / "older.pth", TORCHVISION), _images()), _expected(net, _images())
    )
    with pytest.raises(WeightsError, match=rf"does not fit config {config}: .* It fits {config}-BN"):
        _load(config, tmp_path / "x.pth", TORCHVISION)


@pytest.mark.thorough
@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.parametrize("config", ["A", "D", "E-BN"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_onnx_of_torchvisions_code_gives_its_logits(config: str, dynamo: bool, tmp_path: Path) -> None:
    net = _torchvisions(config[0], norm=config.endswith("BN"))
    training = torch.onnx.TrainingMode.EVAL if dynamo else torch.onnx.TrainingMode.PRESERVE
    images = INPUTS["torchvision"].normalise(_images())
    torch.onnx.export(
        net, (images,), tmp_path / "x.onnx", dynamo=dynamo, optimize=False, verbose=False, do_constant_folding=dynamo,
        training=training,
    )  # fmt: skip
    _assert_equal(_logits(_load(config, tmp_path / "x.onnx", TORCHVISION), _images()), _expected(net, _images()))


# ---------------------------------------------------------------- once at full width


@pytest.fixture(scope="module")
def full() -> dict[str, Tensor]:
    """D at full width with a thousand classes, peaked."""
    torch.manual_seed(0)
    net = VGG(CONFIGS["D"])
    initialise(net, 0)
    weights: dict[str, Tensor] = net.eval().state_dict()
    for index, std in ((0, 0.01), (3, 0.02), (6, 0.1)):
        torch.nn.init.normal_(weights[f"classifier.{index}.weight"], std=std)
    return weights


def _ours(weights: dict[str, Tensor], input: str, images: Tensor) -> Tensor:
    net = VGG(CONFIGS["D"]).eval()
    net.load_state_dict(weights)
    with torch.inference_mode():
        expected: Tensor = net(INPUTS[input].normalise(images))[:, :, 0, 0]
    assert _peaked(expected)
    return expected


@pytest.mark.slow
@pytest.mark.parametrize("old", [True, False])
def test_caffe_at_full_width(old: bool, full: dict[str, Tensor], tmp_path: Path) -> None:
    images = _images()[:2]
    expected = _opencv(tmp_path, "D", layers_of("D", full), images, old=old)
    _assert_equal(_logits(_load("D", tmp_path / "x.caffemodel", CAFFE), images), expected)
    _assert_equal(_ours(full, "caffe", images), expected)


@pytest.mark.slow
def test_matconvnet_at_full_width(full: dict[str, Tensor], tmp_path: Path) -> None:
    write_mat(tmp_path / "x.mat", layers_of("D", full), older=False)
    images = _images()[:2]
    _assert_equal(_logits(_load("D", tmp_path / "x.mat", RGB), images), _ours(full, "matconvnet", images))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["released.h5", "saved.h5", "new.weights.h5"])
def test_kerass_own_vgg16_at_full_width(file: str, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", _images().permute(0, 2, 3, 1).numpy())
    write_keras(tmp_path, "VGG16", (), 4096, 1000)
    expected = torch.from_numpy(np.load(tmp_path / "logits.npy"))
    assert _peaked(expected)
    _assert_equal(_logits(_load("D", tmp_path / file, CAFFE), _images()), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_onnx_at_full_width(full: dict[str, Tensor], tmp_path: Path) -> None:
    from torchvision.models import vgg16

    net = vgg16().eval()
    net.load_state_dict(full)
    images = INPUTS["torchvision"].normalise(_images())
    torch.onnx.export(net, (images,), tmp_path / "x.onnx", dynamo=True, verbose=False)
    _assert_equal(_logits(_load("D", tmp_path / "x.onnx", TORCHVISION), _images()), _expected(net, _images()))


# ---------------------------------------------------------------- what is not a net of this config


def test_another_nets_layers_are_counted(peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> None:
    (tmp_path / "x.caffemodel").write_bytes(caffemodel(layers_of("E", peaked("E")), old=True))
    with pytest.raises(WeightsError, match=r"expected 16 layers with weights, found 19 without .* fits E"):
        _load("D", tmp_path / "x.caffemodel", CAFFE)
    with pytest.raises(WeightsError, match="expected 19 layers with weights, found 19 without batch"):
        _load("E-BN", tmp_path / "x.caffemodel", CAFFE)


def test_lrn_which_no_tensor_shows_must_fit(peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> None:
    """A file that lists the layers between tells A from A-LRN."""
    relu, lrn = (field(2, field(4, b"x") + bytes([5 << 3, kind])) for kind in (18, 15))
    weights = caffemodel(layers_of("A", peaked("A")), old=True)
    for between, config, other in ((relu, "A", "A-LRN"), (relu + lrn, "A-LRN", "A")):
        (tmp_path / "x").write_bytes(weights + between)
        assert _load(config, tmp_path / "x", CAFFE).identity.architecture
        with pytest.raises(WeightsError, match=rf"does not fit config {other}: expected a net with.* local response"):
            _load(other, tmp_path / "x", CAFFE)


@pytest.mark.parametrize("ceil", [True, False])
def test_an_onnx_graph_says_how_its_pooling_rounds(
    ceil: bool, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    """Whatever --input says: the rounding is the graph's own."""
    from vggbench.weights.export import export_onnx

    net = VGG(CONFIGS["D"], 4, 1 / 16, ceil_pool=ceil)
    net.load_state_dict(peaked("D"))
    network = Architecture(CONFIGS["D"], 4, 1 / 16, ceil)
    export_onnx(
        Model(Identity("D", INPUTS["caffe"], 4, None, "", architecture=network), net.eval()), tmp_path / "own.onnx"
    )
    graph = onnx.load(tmp_path / "own.onnx")
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "x.onnx")
    for options in (CAFFE, TORCHVISION):
        model = _load("D", tmp_path / "x.onnx", options)
        assert model.identity.architecture
        assert model.identity.architecture.ceil_pool == ceil


def test_readers_yield_layers_in_the_nets_order(peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> None:
    from vggbench.weights.caffe import read_caffe
    from vggbench.weights.matconvnet import read_matconvnet

    expected = layers_of("C", peaked("C"))
    (tmp_path / "x.caffemodel").write_bytes(caffemodel(expected, old=True))
    write_mat(tmp_path / "x.mat", expected, older=False)
    for net in (read_caffe(tmp_path / "x.caffemodel"), read_matconvnet(tmp_path / "x.mat")):
        layers = net.layers
        assert all(isinstance(layer, Weighted) for layer in layers)
        assert [layer.name for layer in layers] == [name for name, _, _ in expected]

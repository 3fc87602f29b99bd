"""The Caffe files that people have, byte-true: snapshots, stripped ones, other encodings, HDF5; other nets by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from caffe_net import Illegal, Net, blob, chunk, encoded, encoded_layer, scores_of, varint
from caffe_nets import BGR_MEAN, LOSS, changed, deploy, snapshot, with_layer
from judged import SQUARE, Verdict, judge, loaded
from torch import Tensor

from vggbench.errors import UsageError, WeightsError
from vggbench.paper.configs import CONFIGS
from vggbench.results.records import input_of
from vggbench.weights.files import file_hash
from vggbench.weights.formats import read_weights

RIGHT = Verdict("right", "")


def _bgr(images: Tensor) -> Tensor:
    return images.flip(1).float()


def _less_mean(images: Tensor) -> Tensor:
    return _bgr(images) - torch.tensor(BGR_MEAN).view(1, 3, 1, 1)


def _verdict(
    path: Path, net: Net, content: bytes | None = None, config: str = "A", asked: str | None = None
) -> Verdict:
    """`content`: what stands in the file, where it is not the net plainly written."""
    pixels = _less_mean if net["input"] else _bgr
    path.write_bytes(encoded(net) if content is None else content)
    asked = asked or ("caffe" if net["input"] else None)
    return judge(path, config, asked, lambda images: scores_of(net, pixels(images)), Illegal)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.caffemodel"


# ---------------------------------------------------------------- the interpreter is right


def _prototxt(net: Net) -> str:
    """The net's text, without its weights."""
    words = {"pool": ("MAX", "AVE", "STOCHASTIC"), "norm_region": ("ACROSS_CHANNELS", "WITHIN_CHANNEL")}
    lines = ['name: "VGG" input: "data" input_dim: 1 input_dim: 3 input_dim: 224 input_dim: 224']
    for layer in net["layers"]:
        said = {name: value for name, value in layer.items() if isinstance(value, dict)}
        settings = ""
        for parameter, fields in said.items():
            inner = " ".join(
                f"{name}: {words[name][value] if name in words else value if name != 'bias_term' else bool(value)}"
                for name, values in fields.items()
                for value in (values if isinstance(values, list) else [values])
            )
            settings += f" {parameter} {{ {inner} }}".replace("True", "true").replace("False", "false")
        joined = f'bottom: "{layer["bottom"][0]}" top: "{layer["top"][0]}"'
        lines.append(f'layer {{ name: "{layer["name"]}" type: "{layer["type"]}" {joined}{settings} }}')
    return "\n".join(lines)


_AVERAGED = {"kernel_size": 3, "stride": 1, "pad": 1, "pool": 1}
_SETTINGS: list[dict[str, Any]] = [
    {},
    {"pool2": {"pooling_param": {"pool": 1}}},
    {"pool2": {"pooling_param": {"pool": 1, "kernel_size": 3}}, "pool3": {"pooling_param": {"kernel_size": 3}}},
    {"pool4": {"pooling_param": {"kernel_size": 4, "stride": 4}}, "pool5": {"pooling_param": _AVERAGED}},
    {"pool4": {"pooling_param": {"kernel_size": 4, "stride": 4}}, "pool5": {"pooling_param": {**_AVERAGED, "pool": 0}}},
    {"conv4_1": {"convolution_param": {"dilation": 2, "pad": 2}}, "relu_fc6": {"relu_param": {"negative_slope": 0.3}}},
    {"conv3_1": {"convolution_param": {"stride": 2}}, "pool3": {"pooling_param": {"kernel_size": 1, "stride": 1}}},
    {"conv4_1": {"convolution_param": {"stride_h": 2, "stride_w": 1, "pad": None, "pad_h": 1, "pad_w": 1}},
     "pool4": {"pooling_param": {"stride": None, "stride_h": 1, "stride_w": 2, "kernel_size": None, "kernel_h": 1,
                                 "kernel_w": 2}}},
    {"norm1": {"lrn_param": {"local_size": 3, "alpha": 0.01, "beta": 0.5, "k": 1.0}}},
    {"norm1": {"lrn_param": {"norm_region": 1, "k": 1.0, "alpha": 0.001}}},
]  # fmt: skip
"""OpenCV knows no k of LRN but 1."""


@pytest.mark.parametrize("settings", _SETTINGS)
def test_opencv_agrees_with_the_interpreter(settings: dict[str, Any], path: Path) -> None:
    import cv2

    net = deploy("A-LRN" if "norm1" in settings else "A")
    for name, said in settings.items():
        net = changed(net, name, **said)
    net = {**net, "layers": net["layers"][:-1]}
    path.write_bytes(encoded(net))
    path.with_suffix(".prototxt").write_text(_prototxt(net))
    runner = cv2.dnn.readNetFromCaffe(str(path.with_suffix(".prototxt")), str(path))
    pixels = _less_mean(SQUARE)
    runner.setInput(pixels.numpy())
    expected = scores_of(net, pixels)
    torch.testing.assert_close(
        torch.from_numpy(runner.forward()), expected, atol=1e-5 * float(expected.abs().max()), rtol=0
    )


# ---------------------------------------------------------------- other encodings of the same


@pytest.mark.parametrize("old", [True, False], ids=["layers", "layer"])
@pytest.mark.parametrize(
    "how",
    [{"form": "diff"}, {"form": "double"}, {"form": "both"}, {"form": "loose"}, {"form": "old"}, {"turned": True}],
)
def test_every_legal_encoding_is_read(how: dict[str, Any], old: bool, path: Path) -> None:
    net = snapshot(old=old)
    assert _verdict(path, net, encoded(net, **how)) == RIGHT


@pytest.mark.parametrize("old", [True, False], ids=["layers", "layer"])
def test_fields_that_change_nothing_are_passed_over(old: bool, path: Path) -> None:
    net = snapshot(old=old)
    net = changed(net, "conv1_1", unknown=b"\x08\x01", power_param={"scale": 9.0})
    net = changed(net, "data", include={"phase": 0})
    state = chunk(6, varint(8) + varint(1)) + varint(5 << 3) + varint(1)  # state, force_backward
    assert _verdict(path, net, encoded(net) + state + chunk(77, b"a fork's")) == RIGHT


def test_a_net_without_a_name_is_recognised(path: Path) -> None:
    """By its first layer, or by its first input."""
    for net in (deploy(), deploy(old=True), snapshot(), snapshot(old=True)):
        plain = encoded(net)
        assert plain.startswith(chunk(1, b"VGG"))
        assert _verdict(path, net, plain[len(chunk(1, b"VGG")) :]) == RIGHT


def test_a_layer_may_stand_for_the_input(path: Path) -> None:
    """The layer is of the type Input, as in recent deploy.prototxt files."""
    net = deploy()
    images = {"type": "Input", "name": "data", "bottom": [], "top": ["data"]}
    assert _verdict(path, net, encoded({**net, "input": [], "layers": [images, *net["layers"]]})) == RIGHT


def test_a_blob_must_hold_what_its_shape_says(path: Path) -> None:
    net = deploy()
    layers = net["layers"]
    for held in (chunk(7, chunk(1, varint(5))), blob(np.zeros(9), "new"), chunk(12, b"\0" * 10)):
        last = encoded_layer({**layers[-2], "blobs": [layers[-2]["blobs"][0]]}, old=False) + chunk(7, held)
        before = encoded({**net, "layers": layers[:-2]})
        found = _verdict(path, net, before + chunk(100, last))
        assert found.kind == "refused"
        assert "'fc8'" in found.says or "classifier.6.bias" in found.says, found


# ---------------------------------------------------------------- what a solver saves


def _with_accuracy(net: Net) -> Net:
    """Scores and labels go to a loss and to an accuracy, each through the Split that Caffe puts between."""
    scores, labels = (
        {"type": "Split", "name": f"{name}_split", "bottom": [name], "top": [f"{name}_split_0", f"{name}_split_1"]}
        for name in ("fc8", "label")
    )
    loss = {**LOSS, "bottom": ["fc8_split_0", "label_split_0"]}
    accuracy = {"type": "Accuracy", "name": "top-1", "bottom": ["fc8_split_1", "label_split_1"], "top": ["top-1"]}
    data, *rest = net["layers"]
    return {**net, "layers": [data, labels, *rest[:-1], scores, loss, accuracy]}


@pytest.mark.parametrize("old", [True, False], ids=["layers", "layer"])
def test_loss_accuracy_split_and_silence_are_of_no_effect(old: bool, path: Path) -> None:
    net = snapshot(old=old)
    assert _verdict(path, net, encoded(_with_accuracy(net))) == RIGHT
    silent = {"type": "Silence", "name": "silence", "bottom": ["label"]}
    assert _verdict(path, net, encoded({**net, "layers": [*net["layers"][:-1], silent]})) == RIGHT
    split = {"type": "Split", "name": "split", "top": ["a", "b"]}
    below = changed(with_layer(net, "pool5", split), "fc6", bottom=["b"])
    assert _verdict(path, below) == RIGHT


@pytest.mark.parametrize("old", [True, False], ids=["layers", "layer"])
def test_data_of_both_phases_must_agree(old: bool, path: Path) -> None:
    net = changed(snapshot(old=old), "data", include={"phase": 0})
    data = {**net["layers"][0], "include": {"phase": 1}, "transform_param": {"mean_value": list(BGR_MEAN)}}
    assert _verdict(path, net, encoded({**net, "layers": [data, *net["layers"]]})) == RIGHT
    for other in ({"mean_value": [1.0, 2.0, 3.0]}, {}):
        both = {**net, "layers": [{**data, "transform_param": other}, *net["layers"]]}
        found = _verdict(path, both)
        assert found.kind == "refused"
        assert "Keep one data layer" in found.says
    labels = {"type": "Data", "name": "labels", "bottom": [], "top": ["other"], "transform_param": {"scale": 0.5}}
    assert _verdict(path, net, encoded({**net, "layers": [labels, *net["layers"]]})) == RIGHT


def test_batch_normalisation_is_another_config(path: Path) -> None:
    net = snapshot("D", norm=True)
    assert _verdict(path, net, config="D-BN") == RIGHT
    assert "fits D-BN" in _verdict(path, net).says
    assert "fits D-BN" in _verdict(path, net, config="D").says
    assert "fits C and D." in _verdict(path, deploy("D"), config="D-BN").says
    stripped = [{name: value for name, value in layer.items() if name != "scale_param"} for layer in net["layers"]]
    assert _verdict(path, net, encoded({**net, "layers": stripped}), "D-BN") == RIGHT


def test_batch_normalisation_without_its_scale_is_read(path: Path) -> None:
    net = snapshot(norm=True)
    assert (
        _verdict(path, {**net, "layers": [one for one in net["layers"] if one["type"] != "Scale"]}, config="A-BN")
        == RIGHT
    )
    still = changed(net, "conv3_1_bn", blobs=[np.zeros(8, "f4"), np.zeros(8, "f4"), np.zeros(1, "f4")])
    assert _verdict(path, still, config="A-BN") == RIGHT  # a factor of nought stands for no statistics


# ---------------------------------------------------------------- the input


def test_the_files_own_input_is_taken(path: Path) -> None:
    path.write_bytes(encoded(snapshot()))
    for asked in (None, "caffe", "BGR"):
        model = loaded(path, "A", asked)
        assert str(model.identity.input) == "BGR 0-255 minus mean"
        assert model.identity.architecture is not None
        assert model.identity.architecture.ceil_pool


@pytest.mark.parametrize("asked", ["torchvision", "matconvnet", "RGB"])
def test_an_input_that_contradicts_is_refused_with_both_sides(asked: str, path: Path) -> None:
    path.write_bytes(encoded(snapshot()))
    with pytest.raises(WeightsError, match=rf"says that its .*BGR.*--input {asked}"):
        loaded(path, "A", asked)


def test_a_data_layer_without_means_takes_plain_pixels(path: Path) -> None:
    net = changed(snapshot(), "data", transform_param=None)
    assert _verdict(path, net) == RIGHT
    with pytest.raises(WeightsError, match=r"mean 0, 0, 0.*--input caffe"):
        loaded(path, "A", "caffe")


def test_order_of_channels_may_be_stated_beside_the_files_means(path: Path) -> None:
    net = changed(snapshot(), "data", type="MemoryData", top=["data"], data_param=None)
    assert _verdict(path, net, asked="BGR") == RIGHT
    path.write_bytes(encoded(net))
    with pytest.raises(UsageError, match="--input RGB or --input BGR"):
        loaded(path, "A", None)


def test_layers_by_order_are_said_under_tables(path: Path) -> None:
    """The file is stripped to its weights alone."""
    net = deploy()
    bare = [
        {"name": one["name"], "type": one["type"], "blobs": one["blobs"]} for one in net["layers"] if "blobs" in one
    ]
    assert _verdict(path, net, encoded({"name": "VGG", "old": False, "layers": bare})) == RIGHT
    assert "layers by order of tensors" in input_of(loaded(path, "A", "caffe").identity)
    assert _verdict(path, net) == RIGHT
    assert "layers by order of tensors" not in input_of(loaded(path, "A", "caffe").identity)


def test_a_net_half_stripped_is_refused(path: Path) -> None:
    net = deploy()
    for name in ("conv1_1", "conv5_1", "fc8"):
        assert _verdict(path, changed({**net, "input": []}, name, top=[], bottom=[])).kind == "refused"


# ---------------------------------------------------------------- other files


def _hdf5(path: Path, net: Net, names: dict[str, str]) -> Path:
    """As `net.save_hdf5` writes it: a group for each layer, those without weights empty; no order but that of names."""
    path = path.with_suffix(".caffemodel.h5")
    with h5py.File(path, "w") as file:
        for layer in net["layers"]:
            group = file.create_group(f"data/{names.get(layer['name'], layer['name'])}")
            for number, values in enumerate(layer.get("blobs", ())):
                group[str(number)] = values
    return path


@pytest.mark.parametrize("fcn", [True, False])
def test_caffes_hdf5_is_read_by_its_names(fcn: bool, path: Path) -> None:
    net = deploy("D", fcn=fcn)
    found = _hdf5(path, net, {"fc8": "fc8_flickr"})
    assert judge(found, "D", "caffe", lambda images: scores_of(net, _less_mean(images)), Illegal) == RIGHT
    assert not loaded(found, "D", "caffe").identity.is_described


@pytest.mark.parametrize(
    "names",
    [
        {"conv5_1": "conv5_c", "conv5_2": "conv5_b", "conv5_3": "conv5_a"},
        {"conv5_2": "conw5_2"},
        {"conv5_1": "conv5_2_old"},
    ],
)
def test_names_that_tell_no_order_are_refused(names: dict[str, str], path: Path) -> None:
    """All three hold the same shapes: taken as sorted, the posteriors would be others."""
    with pytest.raises(WeightsError, match=r"no order of layers but that of their names.*\.caffemodel"):
        loaded(_hdf5(path, deploy("D"), names), "D", "caffe")


def _v0(net: Net) -> bytes:
    """Caffe's first generation: a layer inside each layer's connections."""
    layer = chunk(1, b"conv1") + chunk(2, b"conv") + chunk(50, blob(np.zeros((1, 1)), "old"))
    return chunk(1, b"VGG") + chunk(2, chunk(1, layer) + chunk(2, b"data") + chunk(3, b"conv1"))


def _python_between(net: Net) -> bytes:
    layer = {"type": "Python", "name": "rois", "bottom": ["pool5"], "top": ["rois"]}
    return encoded(changed(with_layer(net, "pool5", layer), "fc6", bottom=["rois"]))


def _two_images(net: Net) -> bytes:
    """A second source between, which a later layer takes."""
    layer = {"type": "Input", "name": "second", "bottom": [], "top": ["second"]}
    return encoded(changed(with_layer(net, "conv1_1", layer), "conv2_1", bottom=["second"]))


def _ssd(net: Net) -> bytes:
    """Convolutions go on from pool5, and conv4_2 is normalised aside."""
    aside = {"type": "Normalize", "name": "conv4_norm", "bottom": ["conv4_2"], "top": ["conv4_norm"]}
    return encoded(with_layer(net, "relu_conv4_2", aside))


def _mask(net: Net) -> bytes:
    """Pooling that yields where its maxima were, which the next layer takes."""
    return encoded(changed(changed(net, "pool1", top=["pool1", "mask"]), "conv2_1", bottom=["mask"]))


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (_v0, "upgrade_net_proto_binary"),
        (_python_between, r"Python .*\(rois\)"),
        (_two_images, "'conv2_1'"),
        (_ssd, "'pool4' .*conv4_2.* from conv4_norm"),
        (_mask, "'conv2_1'"),
        (
            lambda net: encoded(changed(net, "conv5_1", convolution_param={"dilation": 2, "pad": 2})),
            "conv5_1 has padding 2",
        ),
        (lambda net: encoded(with_layer(net, "pool5", {"type": "Flatten", "name": "f"})), None),
        (lambda net: encoded(with_layer(net, "conv1_1", {"type": "Flatten", "name": "f"})), "conv|flat"),
        (lambda net: encoded(with_layer(net, "fc8", {"type": "Power", "name": "power"})), "power"),
        (lambda net: encoded(net) + encoded({**deploy(old=True), "input": []}), "two generations"),
        (lambda net: encoded({**net, "layers": net["layers"][:-1]})[:-9], "not a complete Caffe model"),
    ],
)
def test_other_nets_are_refused_by_name(write: Callable[[Net], bytes], says: str | None, path: Path) -> None:
    path.write_bytes(write(deploy()))
    if says is None:
        assert loaded(path, "A", "caffe").identity.architecture
        return
    with pytest.raises(WeightsError, match=says):
        loaded(path, "A", "caffe")


def test_a_file_whose_word_turns_its_weights_is_known_by_them(path: Path) -> None:
    """Older versions read the weight as it lies: what they stored is of another net, and must not be found."""
    for settings, is_files in (({"transpose": 0}, True), ({"transpose": 1}, False)):
        path.write_bytes(encoded(changed(deploy(), "fc7", inner_product_param=settings)))
        assert (read_weights(path, CONFIGS["A"]).sha256 == file_hash(path)) == is_files

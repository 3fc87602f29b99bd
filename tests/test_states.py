"""Checkpoints, names and folders as people's scripts write them: the same tensors come out, or one sentence."""

import argparse
import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conftest import Result
from safetensors.torch import save_file
from torch import Tensor, nn

from vggbench.errors import WeightsError
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CONFIGS, Layer
from vggbench.store.runs import Run
from vggbench.weights.formats import format_name, read_weights

Weights = dict[str, Tensor]
Peaked = Callable[..., Weights]
D = CONFIGS["D"]
FC = {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8"}


def _stems(weights: Weights) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] for name in weights))


def _renamed(weights: Weights, names: dict[str, str]) -> Weights:
    return OrderedDict((f"{names.get(s, s)}.{k}", t) for n, t in weights.items() for s, _, k in [n.rpartition(".")])


def _prefixed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: OrderedDict((prefix + name, tensor) for name, tensor in weights.items())


def _parallel_features(weights: Weights) -> Weights:
    return OrderedDict((name.replace("features.", "features.module."), tensor) for name, tensor in weights.items())


def _dropout_first(weights: Weights) -> Weights:
    return _renamed(weights, {"classifier.0": "classifier.1", "classifier.3": "classifier.4"})


def _timm(weights: Weights) -> Weights:
    names = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    return _renamed(_convolutional(weights, ("classifier.0", "classifier.3")), names)


def _convolutional(weights: Weights, stems: tuple[str, ...] = tuple(FC)) -> Weights:
    changed = dict(weights)
    for stem in stems:
        weight, side = weights[f"{stem}.weight"], 7 if stem == "classifier.0" else 1
        changed[f"{stem}.weight"] = weight.view(len(weight), -1, side, side)
    return changed


def _caffe(weights: Weights, config: str = "D") -> Weights:
    names = [layer.name for layer in CONFIGS[config].convs] + list(FC.values())
    return _renamed(weights, dict(zip(_stems(weights), names, strict=True)))


def _without_lrn(config: str) -> list[Layer]:
    return [layer for layer in CONFIGS[config].layers if layer.kind != "lrn"]


def _by_block(weights: Weights, config: str = "D") -> Weights:
    blocks = [str(i) for i, layer in enumerate(_without_lrn(config)) if layer.kind == "conv"]
    stems = [stem for stem in _stems(weights) if f"{stem}.running_mean" not in weights and "features" in stem]
    names = {stem: f"features.{block}.conv" for stem, block in zip(stems, blocks, strict=True)}
    norms = [stem for stem in _stems(weights) if f"{stem}.running_mean" in weights]
    names |= {stem: f"features.{block}.bn" for stem, block in zip(norms, blocks, strict=False)}
    return _prefixed("backbone.")(_renamed(weights, names))


NAMES: dict[str, Callable[[Weights], Weights]] = {
    "pytorch/examples": _parallel_features,
    "module.": _prefixed("module."),
    "module._orig_mod.": _prefixed("module._orig_mod."),
    "_orig_mod.module.": _prefixed("_orig_mod.module."),
    "model.": _prefixed("model."),
    "backbone.": _prefixed("backbone."),
    "net.": _prefixed("net."),
    "model.net.encoder.vgg.module.": _prefixed("model.net.encoder.vgg.module."),
    "a class of one's own": _prefixed("perception.trunk."),
    "a wrapper within": lambda weights: _parallel_features(_prefixed("model.")(weights)),
    "old torchvision": _dropout_first,
    "timm": _timm,
    "fc as convolutions": _convolutional,
    "fc6 and fc7 as convolutions": lambda weights: _convolutional(weights, ("classifier.0", "classifier.3")),
    "mmpretrain": _by_block,
    "Caffe": _caffe,
    "Caffe, in features and classifier": lambda weights: OrderedDict(
        (("classifier." if name.startswith("fc") else "features.") + name, tensor)
        for name, tensor in _caffe(weights).items()
    ),
}


def _require_same(path: Path, weights: Weights, config: str = "D", **options: Any) -> tuple[str, ...]:
    found = read_weights(path, CONFIGS[config], **options)
    expected = {name: tensor for name, tensor in weights.items() if not name.endswith("num_batches_tracked")}
    assert expected.keys() <= found.tensors.keys()
    for name, tensor in expected.items():
        assert torch.equal(found.tensors[name], tensor), name
    return found.said


@pytest.mark.parametrize("names", NAMES)
def test_every_scheme_of_names_gives_the_same_tensors(names: str, peaked: Peaked, tmp_path: Path) -> None:
    weights = peaked("D")
    torch.save({"state_dict": NAMES[names](weights), "epoch": 90}, tmp_path / "x.pth.tar")
    assert _require_same(tmp_path / "x.pth.tar", weights) == ()
    save_file({name: tensor.clone() for name, tensor in NAMES[names](weights).items()}, tmp_path / "x.safetensors")
    _require_same(tmp_path / "x.safetensors", weights)


@pytest.mark.parametrize("config", list(CONFIGS))
@pytest.mark.parametrize("names", [_by_block, _caffe])
def test_names_are_counted_as_each_config_has_its_layers(
    names: Callable[[Weights, str], Weights], config: str, peaked: Peaked, tmp_path: Path
) -> None:
    if CONFIGS[config].batch_norm and names is _caffe:
        return  # Caffe's names have none
    weights = peaked(config)
    torch.save(names(weights, config), tmp_path / "x.pth")
    _require_same(tmp_path / "x.pth", weights, config)


def test_names_of_another_config_are_told(peaked: Peaked, tmp_path: Path) -> None:
    torch.save(_caffe(peaked("E"), "E"), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"not fit config D: its layers are named as those of E. Ask for E@"):
        read_weights(tmp_path / "x.pth", D)


def test_norms_need_no_biases_before_them(peaked: Peaked, tmp_path: Path) -> None:
    weights = peaked("A-BN")
    for layer in range(0, 20):
        bias = weights.get(f"features.{layer}.bias")
        if bias is not None and f"features.{layer}.running_mean" not in weights:
            bias.zero_()
    without = {
        name: tensor for name, tensor in weights.items()
        if not name.endswith("bias") or "classifier" in name or name.replace("bias", "running_mean") in weights
    }  # fmt: skip
    torch.save(without, tmp_path / "x.pth")
    assert len(without) < len(weights)
    said = _require_same(tmp_path / "x.pth", {n: t for n, t in weights.items() if n in without or not t.any()}, "A-BN")
    assert said == ("no biases before batch normalisation, so zeros",)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w | {"net.features.0.weight": w["features.0.weight"]}, "either can be features.0.weight"),
        (lambda w: w | {"classifier.1.bias": w["classifier.0.bias"]}, "either can be classifier.0.bias"),
        (lambda w: w | {"features.0.weight": "text"}, "holds 'features.0.weight' as str"),
        (lambda w: w | {"more": {"state_dict": dict(w)}}, "holds more tensors under 'more'"),
    ],
)
def test_what_is_ambiguous_is_refused_by_name(
    change: Callable[[dict[str, Any]], dict[str, Any]], sentence: str, peaked: Peaked, tmp_path: Path
) -> None:
    torch.save(change(dict(peaked("D"))), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=sentence):
        read_weights(tmp_path / "x.pth", D)


# ---------------------------------------------------------------- checkpoints


def _beside(weights: Weights) -> dict[str, Any]:
    """What torchvision's and timm's scripts save beside a network."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.ones(3))], 0.1, momentum=0.9)
    optimiser.param_groups[0]["params"][0].grad = torch.ones(3)
    optimiser.step()
    return {
        "optimizer": optimiser.state_dict(), "args": argparse.Namespace(lr=0.1, path=Path("x")), "epoch": 89,
        "best_acc1": torch.tensor(71.6), "lr_scheduler": {"last_epoch": 3}, "dtype": torch.float16,
        "device": torch.device("cpu"), "loss": np.float32(0.5), "classes": {"a", "b"}, "f": len,
    }  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("holder", ["state_dict", "model_state_dict", "model", "net", "", "checkpoint.model"])
def test_a_network_is_found_beside_other_objects(holder: str, zipped: bool, peaked: Peaked, tmp_path: Path) -> None:
    content: dict[str, Any] = dict(peaked("A"))
    for name in reversed(holder.split(".")) if holder else ():
        content = {name: content}
    torch.save(content | _beside(peaked("A")), tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    assert _require_same(tmp_path / "x.pth", peaked("A"), "A") == ()


def _with_average(weights: Weights, average: Weights, style: str) -> dict[str, Any]:
    if style == "torchvision":
        return {"model": weights, "model_ema": {"n_averaged": torch.tensor(9), **_prefixed("module.")(average)}}
    if style == "mmengine":
        return {"state_dict": average, "ema_state_dict": {"steps": torch.tensor(9), **weights}, "message_hub": {}}
    return {"state_dict": weights, "state_dict_ema": average}


@pytest.mark.parametrize("style", ["torchvision", "timm", "mmengine"])
def test_which_of_two_networks_is_taken_is_asked_for_and_said(style: str, peaked: Peaked, tmp_path: Path) -> None:
    weights, average = peaked("A"), peaked("A", seed=1)
    torch.save(_with_average(weights, average, style) | _beside(weights), tmp_path / "x.pth")
    said = _require_same(tmp_path / "x.pth", weights, "A")
    assert len(said) == 1
    assert said[0].endswith("; --ema takes the other")
    (of_average,) = _require_same(tmp_path / "x.pth", average, "A", ema=True)
    assert "--ema" not in of_average
    digests = {read_weights(tmp_path / "x.pth", CONFIGS["A"], ema=ema).sha256 for ema in (False, True)}
    assert len(digests) == 2, "stored posteriors of one would be found for the other"


def test_averaged_weights_alone_are_taken_and_none_are_refused(peaked: Peaked, tmp_path: Path) -> None:
    torch.save({"model_ema": peaked("A"), "epoch": 3}, tmp_path / "x.pth")
    assert "the only ones there" in _require_same(tmp_path / "x.pth", peaked("A"), "A")[0]
    _require_same(tmp_path / "x.pth", peaked("A"), "A", ema=True)
    torch.save({"model": peaked("A"), "epoch": 3}, tmp_path / "y.pth")
    save_file(peaked("A"), tmp_path / "y.safetensors")
    for name in ("y.pth", "y.safetensors"):
        with pytest.raises(WeightsError, match=r"holds no averaged weights \(--ema\)"):
            read_weights(tmp_path / name, CONFIGS["A"], ema=True)


def test_two_networks_of_equal_right_are_refused(peaked: Peaked, tmp_path: Path) -> None:
    torch.save({"net": peaked("A"), "model": peaked("A", seed=1)}, tmp_path / "x.pth")
    with pytest.raises(
        WeightsError, match=r"several networks, 'model' and 'net': expected one. Save it alone, by torch"
    ):
        read_weights(tmp_path / "x.pth", CONFIGS["A"])
    weights = peaked("A")
    torch.save({"net": weights, "model": weights}, tmp_path / "x.pth")
    _require_same(tmp_path / "x.pth", weights, "A")


def test_eval_says_what_it_takes(
    peaked: Peaked, pictures: Path, vggbench: Callable[..., Result], tmp_path: Path
) -> None:
    torch.save({"state_dict": peaked("A"), "state_dict_ema": peaked("A", seed=1)}, tmp_path / "x.pth")
    shared = ("eval", f"A@{tmp_path / 'x.pth'}", "--input", "caffe", "--center", "--data", pictures, "--workers", 0)
    plain, average = vggbench(*shared), vggbench(*shared, "--ema")
    assert "A@x.pth: state_dict of the file, not state_dict_ema; --ema takes the other." in plain.err
    assert "A@x.pth: state_dict_ema of the file, not state_dict." in average.err
    assert (plain.code, average.code) == (0, 0)
    assert "stored already" not in average.err


# ---------------------------------------------------------------- networks that were pickled whole


def _whole(weights: Weights) -> nn.Module:
    net = VGG(D, 4, 1 / 16)
    net.load_state_dict(weights)
    net.add_module("avgpool", nn.AdaptiveAvgPool2d((7, 7)))
    return net


@pytest.mark.parametrize("held", ["alone", "in a dict", "in DataParallel", "features in DataParallel"])
def test_a_pickled_network_is_read_by_the_tree_of_its_modules(held: str, peaked: Peaked, tmp_path: Path) -> None:
    net: Any = _whole(peaked("D"))
    if held == "features in DataParallel":
        net.features = nn.DataParallel(net.features)
    content = {"in a dict": {"model": net, "epoch": 3}, "in DataParallel": nn.DataParallel(net)}.get(held, net)
    torch.save(content, tmp_path / "x.pth")
    assert read_weights(tmp_path / "x.pth", D).ceil_pool is False
    _require_same(tmp_path / "x.pth", peaked("D"))


def _changed(index: int, module: nn.Module) -> Callable[[Any], None]:
    return lambda net: net.features.__setitem__(index, module)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_changed(4, nn.AvgPool2d(2, 2)), "features.4 is a torch.nn.modules.pooling.AvgPool2d: expected a VGG's own"),
        (_changed(4, nn.MaxPool2d(3, 2)), "features.4 is a MaxPool2d with kernel_size .*: expected 2"),
        (_changed(1, nn.GELU()), "GELU"),
        (_changed(1, nn.LeakyReLU()), "LeakyReLU"),
        (_changed(0, nn.Conv2d(3, 4, 3, padding=1, stride=2)), "features.0 is a Conv2d with stride"),
        (_changed(0, nn.Conv2d(3, 4, 3, padding=0)), "features.0 is a Conv2d with padding"),
        (_changed(0, nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")), "Conv2d with padding_mode"),
        (_changed(0, nn.Conv2d(3, 4, 3, padding=2, dilation=2)), "Conv2d with dilation"),
        (_changed(4, nn.MaxPool2d(2, 2, ceil_mode=True)), "rounds some pooled sizes up and others down"),
        (_changed(1, nn.Identity()), "expected ReLU at features.1, found Identity"),
        (lambda net: net.features.append(nn.MaxPool2d(2, 2)), "expected nothing at features.31, found MaxPool2d"),
        (lambda net: net.register_buffer("mean", torch.ones(3), persistent=False), "in which it keeps a tensor 'mean'"),
        (lambda net: setattr(net, "std", torch.ones(3)), "in which it keeps a tensor 'std'"),
        (lambda net: net.classifier.__setitem__(1, nn.Identity()), "Linear Linear ReLU Linear in its classifier"),
    ],
)
def test_a_pickled_network_that_computes_something_else_is_refused(
    change: Callable[[Any], None], sentence: str, peaked: Peaked, tmp_path: Path
) -> None:
    net = _whole(peaked("D"))
    change(net)
    torch.save(net, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=sentence):
        read_weights(tmp_path / "x.pth", D)


def test_a_pickled_network_says_how_it_rounds(peaked: Peaked, tmp_path: Path) -> None:
    net = _whole(peaked("D"))
    for module in net.modules():
        if isinstance(module, nn.MaxPool2d):
            module.ceil_mode = True
    torch.save(net, tmp_path / "x.pth")
    assert read_weights(tmp_path / "x.pth", D).ceil_pool is True


# ---------------------------------------------------------------- NumPy


def _tensorflow(weights: Weights) -> dict[str, Any]:
    """Kernels as row, column, input, output; fc6's inputs as TensorFlow flattens (row, column, channel) maps."""
    arrays = {}
    for name, tensor in _caffe(weights).items():
        layer, _, kind = name.rpartition(".")
        array = tensor.numpy()
        if layer == "fc6" and kind == "weight":
            array = array.reshape(len(array), -1, 7, 7).transpose(2, 3, 1, 0).reshape(-1, len(array))
        elif array.ndim > 1:
            array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
        arrays[f"{layer}_{'W' if kind == 'weight' else 'b'}"] = array
    return arrays


def _chainer(weights: Weights) -> dict[str, Any]:
    return {
        name.replace(".weight", "/W").replace(".bias", "/b"): tensor.numpy() for name, tensor in _caffe(weights).items()
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("style", [_tensorflow, _chainer])
def test_npz_of_tensorflow_and_chainer(
    style: Callable[[Weights], dict[str, Any]], save: Callable[..., None], peaked: Peaked, tmp_path: Path
) -> None:
    save(tmp_path / "vgg16_weights.npz", **style(peaked("D")))
    said = _require_same(tmp_path / "vgg16_weights.npz", peaked("D"))
    assert bool(said) == (style is _tensorflow)
    assert format_name(tmp_path / "vgg16_weights.npz") == "NumPy"


def test_an_npz_whose_fc6_may_be_in_either_order_is_refused(peaked: Peaked, tmp_path: Path) -> None:
    """The transpose of PyTorch's matrix beside kernels in TensorFlow's order: inputs of one order or the other."""
    arrays = _tensorflow(peaked("D"))
    arrays["fc6_W"] = _caffe(peaked("D"))["fc6.weight"].numpy().T
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(WeightsError, match=r"does not say whether fc6's inputs .* If it is TensorFlow's: numpy\.savez"):
        read_weights(tmp_path / "x.npz", D)


def test_an_npz_is_inflated_up_to_its_shapes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "x.npz", conv1_1_W=np.zeros((3, 3, 3, 4), np.float32))
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        header = archive.read("conv1_1_W.npy")
    with zipfile.ZipFile(tmp_path / "y.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conv1_1_W.npy", header + bytes(50_000_000))
    with pytest.raises(WeightsError, match="of another size than its shape's"):
        read_weights(tmp_path / "y.npz", D)
    np.savez_compressed(tmp_path / "z.npz", x=np.zeros(0), y=np.array([{}], dtype=object))
    with pytest.raises(WeightsError, match=r"'y\.npy' as object: expected plain numbers; objects are never unpickled"):
        read_weights(tmp_path / "z.npz", D)
    monkeypatch.setattr("vggbench.weights.npz.MAX_VALUES", 100)
    np.savez_compressed(tmp_path / "big.npz", a=np.zeros(60), b=np.zeros(60))
    with pytest.raises(WeightsError, match="claims 120 values: expected at most 100"):
        read_weights(tmp_path / "big.npz", D)


def test_a_file_of_zeros_is_no_trained_net(peaked: Peaked, vggbench: Callable[..., Result], tmp_path: Path) -> None:
    torch.save({name: torch.zeros_like(tensor) for name, tensor in peaked("A").items()}, tmp_path / "x.pth")
    told = vggbench("weights", f"A@{tmp_path / 'x.pth'}", "--input", "caffe")
    assert (told.code, "holds nothing but zeros: expected trained weights" in told.err) == (1, True)


# ---------------------------------------------------------------- folders of Hugging Face


def _folder(path: Path, weights: Weights, **changes: Any) -> Path:
    path.mkdir(exist_ok=True)
    save_file(_timm(weights), path / "model.safetensors")
    config = {
        "architecture": "vgg16", "num_classes": 4, "pretrained_cfg": {
            "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.3], "input_size": [3, 224, 224], "crop_pct": 0.875,
        }, "label_names": ["ant", "bee", "cat", "dog"],
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps(config | changes))
    return path


def test_a_folder_says_what_its_net_expects(peaked: Peaked, vggbench: Callable[..., Result], tmp_path: Path) -> None:
    told = vggbench("weights", f"D@{_folder(tmp_path / 'hf', peaked('D'))}")
    assert told.code == 0, told.err
    assert "mean 0.5, 0.4, 0.3, std 0.2, 0.2, 0.3" in told.out
    assert "Hugging Face" in told.out


def test_a_file_of_a_folder_is_described_by_it_too(peaked: Peaked, tmp_path: Path) -> None:
    """As it is named where a folder has the weights twice."""
    folder = _folder(tmp_path / "hf", peaked("D"))
    torch.save(peaked("D"), folder / "pytorch_model.bin")
    for name in ("model.safetensors", "pytorch_model.bin"):
        assert read_weights(folder / name, D).description["input"]["mean"] == (0.5, 0.4, 0.3)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "vgg19"}, "says that it is config E: expected D"),
        ({"architecture": "resnet50"}, "says that its net is 'resnet50': expected one of timm's"),
        ({"num_classes": 7}, "says 7 classes and names 4, and the last layer has 4: expected equal"),
        ({"label_names": ["a", "b"]}, "says 4 classes and names 2, and the last layer has 4"),
        ({"pretrained_cfg": {"mean": [0.5], "std": [1, 1, 1]}}, "describes a net in a way that cannot be read"),
        ({"pretrained_cfg": {"mean": [0, 0, 0], "std": [1, 1, 0]}}, "describes a net in a way that cannot be read"),
        ({"pretrained_cfg": {"mean": [0.5] * 3, "std": [1] * 3, "input_size": [1, 224, 224]}}, "three channels"),
        ({"model_args": {"act_layer": "gelu"}}, "has act_layer of its own"),
        ({"global_pool": "max"}, "has global_pool 'max' of its own"),
    ],
)
def test_a_folder_whose_description_is_another_nets_is_refused(
    changes: dict[str, Any], sentence: str, peaked: Peaked, vggbench: Callable[..., Result], tmp_path: Path
) -> None:
    told = vggbench("weights", f"D@{_folder(tmp_path / 'hf', peaked('D'), **changes)}", "--input", "torchvision")
    assert told.code == 1
    assert sentence in told.err


def _shards(folder: Path, weights: Weights, count: int = 3) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    names, places = list(weights), dict[str, str]()
    for shard in range(count):
        own = {name: weights[name] for name in names[shard::count]}
        file = f"model-{shard + 1:05d}-of-{count:05d}.safetensors"
        save_file(own, folder / file)
        places |= dict.fromkeys(own, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return places


def test_shards_are_read_as_one_file(peaked: Peaked, tmp_path: Path) -> None:
    _shards(tmp_path / "hf", peaked("D"))
    _require_same(tmp_path / "hf", peaked("D"))
    _require_same(tmp_path / "hf" / "model.safetensors.index.json", peaked("D"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder, places: places.pop("features.0.weight"), "also holds 'features.0.weight'"),
        (lambda folder, places: places.update(x=places["features.0.bias"]), "lacks 'x'"),
        (lambda folder, places: (folder / places["features.0.bias"]).unlink(), "no readable weights file"),
        (
            lambda folder, places: places.update(x="../x.safetensors"),
            "names '../x.safetensors': expected .safetensors files",
        ),
        (lambda folder, places: places.update(x="/etc/passwd"), "names '/etc/passwd'"),
        (lambda folder, places: places.update(x=3), "has no weight_map"),
        (lambda folder, places: places.clear(), "has no weight_map"),
    ],
)
def test_shards_hold_every_tensor_exactly_once_and_lie_in_their_folder(
    change: Callable[[Path, dict[str, Any]], Any], sentence: str, peaked: Peaked, tmp_path: Path
) -> None:
    folder = tmp_path / "hf"
    places = _shards(folder, peaked("D"))
    change(folder, places)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    with pytest.raises(WeightsError, match=sentence):
        read_weights(folder, D)


def test_of_a_folder_with_weights_twice_the_safetensors_are_taken_and_said(peaked: Peaked, tmp_path: Path) -> None:
    _folder(tmp_path / "hf", peaked("D"))
    torch.save(peaked("D", seed=1), tmp_path / "hf" / "pytorch_model.bin")
    found = read_weights(tmp_path / "hf", D)
    assert found.said == ("model.safetensors of the folder, not pytorch_model.bin",)
    assert all(torch.equal(tensor, peaked("D")[name]) for name, tensor in found.tensors.items())
    (tmp_path / "hf" / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(
        WeightsError, match=r"holds model.safetensors.index.json and model.safetensors: expected weights once"
    ):
        read_weights(tmp_path / "hf", D)


def test_what_was_taken_stands_under_the_table_and_in_the_store(
    peaked: Peaked, vggbench: Callable[..., Result], pictures: Path, tmp_path: Path
) -> None:
    """Each of the two networks in one file has runs of its own, and a killed one resumes with its own weights."""
    path = tmp_path / "both.pth"
    torch.save({"state_dict": peaked("A"), "state_dict_ema": peaked("A", seed=1)}, path)
    asked = ("eval", f"A@{path}", "--input", "torchvision", "--data", pictures, "--center")
    for words, taken in (
        ((), "state_dict of the file, not state_dict_ema"),
        (("--ema",), "state_dict_ema of the file"),
    ):
        told = vggbench(*asked, *words)
        assert told.code == 0, told.err
        assert f"A@both.pth: {taken}" in told.out
    runs = sorted((tmp_path / "runs").iterdir())
    assert len(runs) == 2
    (averaged,) = [run for run in runs if json.loads((run / "run.json").read_text())["about"]["averaged"]]
    before = _posteriors(averaged)
    for block in (averaged / "posteriors").iterdir():
        block.unlink()
    finished = vggbench("runs", averaged.name, "--finish")
    assert finished.code == 0, finished.err
    assert _posteriors(averaged) == before
    assert Run.read(averaged).identity.said[0].startswith("state_dict_ema of the file")


def _posteriors(run: Path) -> list[Any]:
    (block,) = (run / "posteriors").glob("*.parquet")
    found: list[Any] = pq.read_table(block).column("posterior").to_pylist()
    return found

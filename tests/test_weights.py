"""Files become networks, or one sentence; nothing is executed, guessed or skipped."""

import json
import pickle
import resource
import signal
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from children import Child
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from vggbench import INPUTS, VGG, LoadOptions, Model, ModelSpec, TrainScale, VggbenchError, load_model, save_model
from vggbench.errors import UsageError, WeightsError
from vggbench.nets.cost import Architecture
from vggbench.paper.configs import CONFIGS
from vggbench.store.identity import Identity
from vggbench.weights.files import read_tensors, tensors_hash, write_tensors
from vggbench.weights.folders import description_of
from vggbench.weights.formats import read_weights

TORCHVISION = LoadOptions(input="torchvision")


def test_the_hash_of_tensors_tells_names_types_shapes_and_each_value_apart() -> None:
    given = {"a": torch.arange(12.0), "b": torch.zeros(3)}
    others: list[dict[str, Tensor]] = [
        given | {"a": given["a"] + (torch.arange(12) == 11) * 1e-6},
        given | {"a": given["a"].view(3, 4)},
        given | {"b": torch.zeros(3, dtype=torch.int32)},
        {"a": given["a"], "c": given["b"]},
    ]
    hashes = [tensors_hash(tensors) for tensors in (given, *others)]
    assert len(set(hashes)) == len(hashes)
    assert tensors_hash(dict(reversed(given.items()))) == hashes[0]


def test_a_full_disk_gets_a_sentence(tmp_path: Path, forked: Callable[..., Child]) -> None:
    path = tmp_path / "x.safetensors"

    def write() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with pytest.raises(WeightsError, match=f"{path} cannot be written"):
            write_tensors(path, {"a": torch.zeros(1000)}, {})

    child = forked(write)
    assert child.wait() == 0, child.err
    assert not path.exists()


def _load(config: str, path: Path, options: LoadOptions = TORCHVISION) -> Model:
    return load_model(ModelSpec.parse(f"{config}@{path}"), options, ())


def test_specs() -> None:
    assert ModelSpec.parse("vgg16@some/where/x.pth").name == "D@x.pth"
    assert ModelSpec.parse("a-lrn@random").name == "A-LRN@random"
    assert ModelSpec.parse("D").source is None
    with pytest.raises(UsageError, match="no source"):
        ModelSpec.parse("D@")
    with pytest.raises(UsageError, match="Unknown config 'F'"):
        ModelSpec.parse("F@x")


def _require_equal_and_peaked(path: Path, net: torch.nn.Module, images: Tensor) -> None:
    with torch.inference_mode():
        found, expected = _load("A", path).module(images)[:, :, 0, 0], net(images)
    assert expected.softmax(1).max() > 0.6
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


@pytest.mark.thorough
def test_logits_equal_torchvisions_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torchvision.models.vgg11(num_classes=5).eval()
    net.classifier[6].weight.data *= 30
    torch.save(net.state_dict(), tmp_path / "x.pth")
    _require_equal_and_peaked(tmp_path / "x.pth", net, torch.randn(2, 3, 224, 224))


@pytest.mark.thorough
def test_logits_equal_timms_own(tmp_path: Path) -> None:
    """A file that timm itself writes, with its own names."""
    torch.manual_seed(0)
    net = timm.create_model("vgg11", num_classes=5).eval()
    net.head.fc.weight.data *= 100
    timm.models.save_for_hf(net, tmp_path, safe_serialization=True)
    _require_equal_and_peaked(tmp_path / "model.safetensors", net, torch.randn(1, 3, 224, 224))
    told = description_of(tmp_path, {})
    assert (told["config"], told["input"]) == ("A", INPUTS["torchvision"].as_dict())


@pytest.mark.parametrize("wrapper", ["plain", "module.", "_orig_mod.", "module._orig_mod.", "state_dict", "model"])
def test_wrapped_state_dicts(wrapper: str, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> None:
    weights = peaked("B")
    content: object = weights
    if wrapper.endswith("."):
        content = {wrapper + name: tensor for name, tensor in weights.items()}
    elif wrapper != "plain":
        content = {wrapper: weights, "epoch": 3}
    torch.save(content, tmp_path / "x.pth")
    model = _load("B", tmp_path / "x.pth")
    assert isinstance(model.module, VGG)
    assert all(torch.equal(t, weights[n]) for n, t in model.module.state_dict().items())


@pytest.mark.parametrize("config", list(CONFIGS))
@pytest.mark.parametrize("half", [False, True])
def test_our_own_files_describe_themselves(
    config: str, half: bool, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    net = VGG(CONFIGS[config], 4, 1 / 16, ceil_pool=True)
    net.load_state_dict(peaked(config))
    names = ("a", "b", "c", "d")
    saved = Model(
        Identity(
            "x",
            INPUTS["caffe"],
            4,
            names,
            "",
            TrainScale(256, 512),
            Architecture(CONFIGS[config], 4, 1 / 16, True),
        ),
        net,
    )
    save_model(saved, tmp_path / "x.safetensors", recipe={"seed": 1}, half=half)
    found = _load(config, tmp_path / "x.safetensors", LoadOptions())
    same = replace(found.identity, weights_hash="", name="x", source=None, spec=None)
    assert same == saved.identity
    assert isinstance(found.module, VGG)
    assert found.module.ceil_pool
    for name, tensor in found.module.state_dict().items():
        torch.testing.assert_close(tensor, net.state_dict()[name], atol=1e-3 if half else 0, rtol=1e-3 if half else 0)


def test_input_must_be_stated(peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> None:
    torch.save(peaked("A"), tmp_path / "x.pth")
    with pytest.raises(UsageError, match=r"--input torchvision .* --input caffe .* --input matconvnet .* or any other"):
        _load("A", tmp_path / "x.pth", LoadOptions())
    caffe = _load("A", tmp_path / "x.pth", LoadOptions(input="caffe", train_scale=TrainScale(256, 256)))
    assert caffe.identity.architecture
    assert caffe.identity.architecture.ceil_pool
    assert (caffe.identity.input, caffe.identity.train_scale) == (INPUTS["caffe"], TrainScale(256, 256))


def test_a_thousand_classes_without_names_are_ilsvrcs(peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> None:
    torch.save(peaked("A", 1000), tmp_path / "x.pth")
    names = _load("A", tmp_path / "x.pth").identity.class_names
    assert names
    assert names[0] == "n01440764"
    torch.save(peaked("A", 4), tmp_path / "y.pth")
    assert _load("A", tmp_path / "y.pth").identity.class_names is None


class _Harm:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self._path,))


@pytest.mark.parametrize("form", ["torch", "legacy", "pickle"])
def test_a_pickle_that_would_execute_does_not(form: str, tmp_path: Path) -> None:
    harmed = tmp_path / "harmed"
    path = tmp_path / "x.pth"
    if form == "pickle":
        path.write_bytes(pickle.dumps(_Harm(harmed)))
    else:
        torch.save({"features.0.weight": _Harm(harmed)}, path, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(WeightsError, match="never executed"):
        _load("A", path)
    assert not harmed.exists()
    pickle.loads(pickle.dumps(_Harm(harmed)))
    assert harmed.exists(), "the pickle must be able to do harm, or this test shows nothing"


def _faulty(weights: dict[str, Tensor], fault: str) -> dict[str, Tensor]:
    changed = dict(weights)
    if fault == "missing":
        del changed["features.8.weight"]
    elif fault == "extra":
        changed["features.99.weight"] = torch.zeros(1)
    elif fault == "shape":
        changed["features.3.weight"] = changed["features.3.weight"][:, :1]
    elif fault == "integer":
        changed["classifier.3.bias"] = changed["classifier.3.bias"].int()
    elif fault == "nan":
        changed["features.6.bias"] = torch.full_like(changed["features.6.bias"], float("nan"))
    return changed


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("missing", "expected 22 tensors, found 21, without features.8.weight"),
        ("extra", "expected 22 tensors, found 23, with features.99.weight"),
        ("shape", r"expected features.3.weight of shape \(8, 4, 3, 3\), found \(8, 1, 3, 3\)"),
        ("integer", "in floating point, found torch.int32"),
        ("nan", "NaN or infinity in features.6.bias"),
    ],
)
def test_every_tensor_is_compared(
    fault: str, sentence: str, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    torch.save(_faulty(peaked("A"), fault), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=sentence):
        _load("A", tmp_path / "x.pth")


def test_another_nets_file_is_named(peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> None:
    torch.save(peaked("B"), tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"does not fit config D.* It fits B"):
        _load("D", tmp_path / "x.pth")


def test_a_tensor_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    bomb = torch.zeros(1).expand(200_000, 100_000)
    torch.save({"features.0.weight": bomb}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="larger than itself"):
        _load("A", tmp_path / "x.pth")


def test_a_zip_that_inflates_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    with pytest.raises(WeightsError, match="would inflate beyond its size"):
        _load("A", tmp_path / "x.pth")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 no zip", b"\x80\x02 no pickle", b"\x01" * 64])
def test_other_bytes_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(WeightsError):
        _load("A", tmp_path / "x")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no readable weights file .*x.pth"):
        _load("A", tmp_path / "x.pth")


@pytest.mark.parametrize(
    "change", [{"config": "D"}, {"config": "Z"}, {"input": {}}, {"classes": ["a"]}, {"width": None}, {"train_scale": 7}]
)
def test_a_description_that_lies_is_refused(
    change: dict[str, object], peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    good = {
        "config": "A", "width": 1 / 16, "classes": list("abcd"), "train_scale": "256", "ceil_pool": False,
        "input": INPUTS["caffe"].as_dict(),
    }  # fmt: skip
    for content, refused in ((good, False), (good | change, True)):
        save_file(peaked("A"), tmp_path / "x.safetensors", metadata={"vggbench": json.dumps(content)})
        if refused:
            with pytest.raises(WeightsError):
                _load("A", tmp_path / "x.safetensors")
        else:
            _load("A", tmp_path / "x.safetensors")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(tail=st.binary(max_size=300), head=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"st"]))
def test_random_bytes_are_one_sentence(tail: bytes, head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(struct.pack("<Q", len(tail)) + b"{" + tail if head == b"st" else head + tail)
    with pytest.raises(VggbenchError):
        read_tensors(path)
    with pytest.raises(VggbenchError):
        read_weights(path, CONFIGS["A"])


def test_random_nets_are_seeded_and_take_the_datas_classes() -> None:
    first, second = (
        load_model(ModelSpec.parse("B@random"), LoadOptions(width=1 / 16), ("cat", "dog")) for _ in range(2)
    )
    assert first.identity.weights_hash == second.identity.weights_hash
    assert first.identity.class_names == ("cat", "dog")
    ilsvrc = load_model(ModelSpec.parse("B@random"), LoadOptions(width=1 / 16), ("n01440764",))
    assert ilsvrc.identity.classes == 1000


def test_a_plain_callable_needs_an_identity() -> None:
    with pytest.raises(UsageError, match="identity="):
        Model.wrap("f", lambda images: images, INPUTS["caffe"], ["a"])
    assert Model.wrap("f", lambda images: images, INPUTS["caffe"], ["a"], identity="v1").identity.weights_hash == "v1"

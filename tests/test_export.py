"""Exported files, read back by torchvision, by plain ONNX Runtime and by ourselves."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import Result
from torch import Tensor

from vggbench import INPUTS, VGG, LoadOptions, Model, ModelSpec, load_model
from vggbench.errors import NumericsError
from vggbench.nets.cost import Architecture
from vggbench.paper.configs import CONFIGS
from vggbench.paper.protocols import TrainScale
from vggbench.store.identity import Identity
from vggbench.weights.export import EXPORTERS


def _model(config: str, weights: dict[str, Tensor], *, ceil: bool = True, classes: int = 4) -> Model:
    net = VGG(CONFIGS[config], classes, 1 / 16, ceil_pool=ceil)
    net.load_state_dict(weights)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.state_dict()["running_var"], 0.5, 1.5)
    network = Architecture(CONFIGS[config], classes, 1 / 16, ceil)
    net.eval().requires_grad_(False)
    return Model(
        Identity(
            config,
            INPUTS["caffe"],
            classes,
            tuple("abcd"),
            "0",
            TrainScale(256, 512),
            network,
            trained_ids="seen",
            validation_ids="chosen",
        ),
        net,
    )


@pytest.mark.parametrize("to", ["safetensors", "onnx"])
@pytest.mark.parametrize("config", ["A-LRN", "C", "D", "E-BN"])
def test_what_is_exported_comes_back_the_same(
    config: str, to: str, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    model, (ending, write) = _model(config, peaked(config)), EXPORTERS[to]
    write(model, tmp_path / f"x{ending}")
    found = load_model(ModelSpec.parse(f"{config}@{tmp_path / f'x{ending}'}"), LoadOptions(), ())
    for fact in ("input", "train_scale", "class_names", "architecture"):
        assert getattr(found.identity, fact) == getattr(model.identity, fact)
    assert (found.identity.trained_ids, found.identity.validation_ids) == ("seen", "chosen")
    assert isinstance(found.module, VGG)
    assert isinstance(model.module, VGG)
    ours = model.module.state_dict()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in found.module.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == [f"x{ending}"]


@pytest.mark.parametrize(("config", "ceil"), [("D", True), ("D", False), ("B-5x5", False)])
def test_plain_onnx_runtime_gives_scores_and_their_mean(
    config: str, ceil: bool, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    model = _model(config, peaked(config), ceil=ceil)
    said = EXPORTERS["onnx"][1](model, tmp_path / "x.onnx")
    assert said.startswith("onnx:x.onnx reads it again, by --center unless another protocol is given. ")
    assert said.endswith("It expects BGR 0-255 minus mean, mean 103.939, 116.779, 123.68, std 1, 1, 1.")
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx", providers=["CPUExecutionProvider"])
    for batch, height, width in ((1, 224, 224), (3, 224, 224), (1, 256, 341), (3, 256, 341), (2, 300, 224)):
        images = torch.randn(batch, 3, height, width) * 50
        scores, logits = session.run(["scores", "logits"], {"images": images.numpy()})
        expected = model.module(images)
        assert scores.shape == expected.shape
        np.testing.assert_allclose(scores, expected, atol=1e-4 * float(expected.abs().max()))
        np.testing.assert_allclose(logits, expected.mean((2, 3)), atol=1e-4 * float(expected.abs().max()))


def test_a_file_that_differs_is_not_kept(
    peaked: Callable[..., dict[str, Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vggbench.weights.export._TOLERANCE", 0.0)
    with pytest.raises(NumericsError, match="differ from PyTorch's"):
        EXPORTERS["onnx"][1](_model("A", peaked("A")), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.thorough
@pytest.mark.parametrize(("config", "theirs"), [("A", "vgg11"), ("D-BN", "vgg16_bn")])
def test_torchvision_loads_it_and_takes_rgb(config: str, theirs: str, tmp_path: Path) -> None:
    import torchvision

    torch.manual_seed(0)
    net = VGG(CONFIGS[config], 4).eval().requires_grad_(False)
    model = Model(Identity(config, INPUTS["caffe"], 4, None, "", architecture=Architecture(CONFIGS[config], 4)), net)
    said = EXPORTERS["torchvision"][1](model, tmp_path / "x.pth")
    assert "RGB 0-255 minus mean, mean 123.68, 116.779, 103.939" in said
    own = torchvision.models.get_model(theirs, num_classes=4).eval()
    own.load_state_dict(torch.load(tmp_path / "x.pth", weights_only=True))
    images = torch.randint(0, 255, (1, 3, 224, 224), dtype=torch.uint8)
    with torch.inference_mode():
        found = own(INPUTS["matconvnet"].normalise(images))
        expected = net(INPUTS["caffe"].normalise(images))[:, :, 0, 0]
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("export", "D@sample", "--to", "caffe"), 2, "--to caffe: expected one of safetensors, torchvision, onnx"),
        (("export", "C@sample", "--to", "torchvision", "--output", "{tmp}/c.pth"), 2, "torchvision has no C"),
        (("export", "D@random", "--to", "onnx", "--output", "{tmp}/d.onnx"), 2, "D@random is no file"),
        (("export", "D", "--to", "onnx", "--output", "{tmp}/d.onnx"), 2, "D names no weights: pass D@FILE"),
        (("export", "D@sample", "--to", "onnx", "--output", "{tmp}/d.pth"), 2, "expected a file that ends in .onnx"),
        (("weights", "A@oxford"), 2, "oxford has released no A: expected one of torchvision, timm; or a file"),
        (("weights", "C@oxford"), 2, "oxford has released no C: nobody is known to have"),
        (("weights", "C"), 2, "C has no released weights anywhere: train it"),
        (("weights", "D@{tmp}/no"), 1, "There is no readable weights file"),
        (("weights", "D@sample", "--input", "x"), 2, "--input x: expected one of torchvision, caffe, matconvnet"),
    ],
)
def test_what_cannot_be_shown_or_exported(
    arguments: tuple[str, ...], code: int, sentence: str, vggbench: Callable[..., Result], tmp_path: Path
) -> None:
    result = vggbench(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert (result.code, result.out) == (code, "")
    assert sentence in result.err


def test_the_commands_say_what_was_written_and_found(vggbench: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "d.safetensors"
    written = vggbench("export", "D@sample", "--to", "safetensors", "--output", file)
    assert written.code == 0
    assert written.out.startswith(f"{file}: D@sample, 2.1 MB. It describes itself.")
    shown = vggbench("weights", f"D@{file}").out
    for part in ("safetensors", "features.0.weight", "S=256-512", "Checked: 32 tensors", "Not a released file."):
        assert part in shown
    again = vggbench("export", f"D@{file}", "--to", "safetensors", "--output", file)
    assert (again.code, "is the file that is read" in again.err) == (2, True)


def test_the_released_files_are_listed(vggbench: Callable[..., Result]) -> None:
    listed = vggbench("weights").out
    for part in ("D@oxford", "E-BN@torchvision", "vgg16-397923af.pth", "28.408/9.618", "B-5x5: none are released"):
        assert part in listed

"""Stored posteriors against plain loops over torchvision's operations; and what that comparison notices."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from naive import RIGHT, Fault, posterior
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from vggbench import INPUTS, Job, LoadOptions, Model, ModelSpec, Protocol, load_model, open_data, posteriors
from vggbench.evaluation.jobs import Settings
from vggbench.evaluation.loop import evaluate
from vggbench.paper.configs import CONFIGS

PROTOCOLS = ("center", "tencrop", "dense", "multicrop", "multicrop8")
SAMPLE = Path(__file__).parents[2] / "shared" / "ilsvrc-sample"
ONE_PROCESS = Settings(device="cpu", workers=0)


def _saved(weights: dict[str, Tensor], folder: Path, config: str, input: str = "torchvision") -> Model:
    path = folder / f"{config}.pth"
    torch.save(weights, path)
    return load_model(ModelSpec.parse(f"{config}@{path}"), LoadOptions(input=input), ())


def _stored(model: Model, data: Path, protocol: str, scale: int, store: Path) -> np.ndarray:
    (run,) = evaluate(open_data(data), [Job(model, Protocol.parse(protocol), scale)], store, ONE_PROCESS)
    return posteriors(run)


def _expected(
    config: str, weights: dict[str, Tensor], data: Path, protocol: str, scale: int, *, caffe: bool = False,
    fault: Fault = RIGHT,
) -> np.ndarray:  # fmt: skip
    with torch.inference_mode():
        return np.stack(
            [
                posterior(config, weights, image.path, protocol, scale, ceil=caffe, caffe=caffe, fault=fault).numpy()
                for image in open_data(data).images
            ]
        )


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(name, marks=() if name in ("A-LRN", "D") else pytest.mark.thorough)
        for name, config in CONFIGS.items()
        if not config.batch_norm
    ],
)
def test_every_net_equals_the_naive_loop(
    config: str, peaked: Callable[..., dict[str, Tensor]], pictures: Path, tmp_path: Path
) -> None:
    weights = peaked(config, width=1 / 32)
    model = _saved(weights, tmp_path, config)
    for protocol in PROTOCOLS:
        found = _stored(model, pictures, protocol, 256, tmp_path / "runs")
        expected = _expected(config, weights, pictures, protocol, 256)
        assert expected.std(axis=0).max() > 0.05, "posteriors must discriminate"
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_caffe_input_and_ceil_pooling_equal_the_naive_loop(
    peaked: Callable[..., dict[str, Tensor]], pictures: Path, tmp_path: Path
) -> None:
    weights = peaked("D")
    weights["features.0.weight"] /= 60  # pixels are 60 times larger here
    model = _saved(weights, tmp_path, "D", "caffe")
    found = _stored(model, pictures, "dense", 288, tmp_path / "runs")
    expected = _expected("D", weights, pictures, "dense", 288, caffe=True)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    floor = _expected("D", weights, pictures, "dense", 288)
    assert np.abs(found - floor).max() > 1e-3


@pytest.fixture(scope="module")
def of_b(
    peaked: Callable[..., dict[str, Tensor]], pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[np.ndarray, np.ndarray]]:
    """What is stored of B at Q=320 by a protocol, and what the naive loop gives, computed once."""
    folder, weights = tmp_path_factory.mktemp("b"), peaked("B", width=1 / 32)
    model = _saved(weights, folder, "B")

    @functools.cache
    def both(protocol: str) -> tuple[np.ndarray, np.ndarray]:
        found = _stored(model, pictures, protocol, 320, folder / "runs")
        return found, _expected("B", weights, pictures, protocol, 320)

    return both


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("fault", "protocol"),
    [
        (Fault(drop_crop=True), "multicrop"),
        (Fault(shift_grid=True), "multicrop"),
        (Fault(shift_grid=True), "multicrop8"),
        (Fault(no_antialias=True), "multicrop"),
        (Fault(no_antialias=True), "dense"),
        (Fault(no_mirror=True), "multicrop"),
        (Fault(no_mirror=True), "dense"),
        (Fault(swap_channels=True), "multicrop"),
        (Fault(swap_channels=True), "dense"),
        (Fault(softmax_first=True), "dense"),
    ],
    ids=str,
)
def test_the_comparison_notices_a_fault(
    fault: Fault,
    protocol: str,
    peaked: Callable[..., dict[str, Tensor]],
    pictures: Path,
    of_b: Callable[[str], tuple[np.ndarray, np.ndarray]],
) -> None:
    found, expected = of_b(protocol)
    faulty = _expected("B", peaked("B", width=1 / 32), pictures, protocol, 320, fault=fault)
    assert np.abs(found - faulty).max() > 1e-4
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("config", "builder"), [("A", "vgg11"), ("B", "vgg13"), ("D", "vgg16"), ("E", "vgg19")])
def test_state_dicts_travel_to_torchvision(config: str, builder: str) -> None:
    with torch.device("meta"):
        theirs = getattr(torchvision.models, builder)().state_dict()
        from vggbench import VGG

        ours = VGG(CONFIGS[config]).state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: t.shape for n, t in theirs.items()}


def test_any_callable_gets_the_papers_protocols(pictures: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torchvision.models.squeezenet1_1(num_classes=4)
    model = Model.wrap("squeezenet", net, INPUTS["torchvision"], ("apple", "boat", "fish", "house"))
    found = _stored(model, pictures, "dense", 256, tmp_path)
    steps = v2.Compose([v2.Resize(256), v2.ToDtype(torch.float32, scale=True)])
    normalise = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    for row, image in zip(found, open_data(pictures).images, strict=True):
        view = normalise(steps(v2.functional.pil_to_tensor(Image.open(image.path).convert("RGB"))))
        with torch.inference_mode():
            expected = torch.stack([net(view[None])[0].softmax(0), net(view.flip(2)[None])[0].softmax(0)]).mean(0)
        np.testing.assert_allclose(row, expected.numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def full_width() -> dict[str, Tensor]:
    torch.manual_seed(0)
    net = torchvision.models.vgg16()
    return {name: tensor * (1.3 if name.endswith("weight") else 1) for name, tensor in net.state_dict().items()}


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLE.exists(), reason="needs the real JPEGs of ../shared/ilsvrc-sample")
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("scale", [256, 384])
def test_full_width_on_real_jpegs(protocol: str, scale: int, full_width: dict[str, Tensor], tmp_path: Path) -> None:
    model = _saved(full_width, tmp_path, "D")
    data = open_data(SAMPLE).subset(8)
    (run,) = evaluate(data, [Job(model, Protocol.parse(protocol), scale)], tmp_path / "runs", ONE_PROCESS)
    with torch.inference_mode():
        expected = np.stack([posterior("D", full_width, i.path, protocol, scale).numpy() for i in data.images])
    assert expected.max() > 0.05, "posteriors must peak"
    np.testing.assert_allclose(posteriors(run), expected, atol=1e-5, rtol=0)

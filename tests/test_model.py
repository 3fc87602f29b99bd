"""The network: any size, two ways to apply the fc layers, Krizhevsky's LRN, ceil pooling."""

from collections.abc import Callable

import pytest
import torch
from naive import krizhevsky, score_map
from torch import Tensor

from vggbench.images.preprocessing import INPUTS
from vggbench.inference.choice import start
from vggbench.inference.choices import BackendName
from vggbench.nets.vgg import VGG, CrossChannelNorm, windows
from vggbench.paper.configs import CONFIGS
from vggbench.store.identity import Identity
from vggbench.weights.load import Model

NAMES: tuple[BackendName, ...] = ("pytorch", "onnxruntime")


def _net(weights: dict[str, Tensor], config: str, *, ceil: bool = False) -> VGG:
    net = VGG(CONFIGS[config], 4, 1 / 16, ceil_pool=ceil)
    net.load_state_dict(weights)
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("height", "width"), [(224, 224), (256, 341), (300, 224)])
@pytest.mark.parametrize("config", [name for name, config in CONFIGS.items() if not config.batch_norm])
def test_model_and_backends_equal_the_naive_score_map(
    config: str, height: int, width: int, ceil: bool, peaked: Callable[..., dict[str, Tensor]]
) -> None:
    weights = peaked(config)
    net = _net(weights, config, ceil=ceil)
    images = torch.randint(0, 255, (2, 3, height, width), dtype=torch.uint8)
    pixels = INPUTS["torchvision"].normalise(images)
    expected = score_map(config, weights, pixels, ceil=ceil)
    model = Model(Identity("x", INPUTS["torchvision"], 4, None, ""), net)
    bound = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(net(pixels), expected, atol=bound, rtol=0)
    for name in NAMES:
        backend = start(name, model, torch.device("cpu"), "fp32")
        torch.testing.assert_close(backend(images), expected, atol=bound, rtol=0)


def test_lrn_is_krizhevskys() -> None:
    maps = torch.randn(2, 9, 5, 4) * 100
    torch.testing.assert_close(CrossChannelNorm()(maps), krizhevsky(maps))
    wrong = torch.nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2)(maps)
    assert (wrong - krizhevsky(maps)).abs().max() > 1


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("size", [300, 5000])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lrn_squares_in_float32_whatever_the_precision(dtype: torch.dtype, size: float, mixed: bool) -> None:
    maps = (torch.rand(2, 9, 5, 4) * size).to(dtype).requires_grad_()
    wide = maps.detach().double().requires_grad_()
    with torch.autocast("cpu", dtype, enabled=mixed):
        found = CrossChannelNorm()(maps)
    expected = krizhevsky(wide)
    assert found.dtype == dtype
    assert CrossChannelNorm()(wide).dtype == torch.float64
    (given,), (due,) = (torch.autograd.grad(out.sum(), maps) for out, maps in ((found, maps), (expected, wide)))
    rounding = torch.finfo(dtype).eps / 2 * 1.01
    for narrow, exact in ((found, expected), (given, due)):
        least = float(exact.detach().abs().max()) * 1e-3 * rounding + 2**-25  # half of float16's smallest number
        torch.testing.assert_close(narrow.double(), exact, rtol=rounding, atol=least)


def test_a_and_a_lrn_share_keys_and_differ_in_output(peaked: Callable[..., dict[str, Tensor]]) -> None:
    weights, image = peaked("A"), torch.randn(1, 3, 224, 224)
    assert VGG(CONFIGS["A-LRN"]).state_dict().keys() == VGG(CONFIGS["A"]).state_dict().keys()
    assert not torch.allclose(_net(weights, "A")(image), _net(weights, "A-LRN")(image))


def test_windows_are_what_fc6_sees() -> None:
    maps = torch.randn(2, 3, 8, 9)
    rows = windows(maps)  # (2 * 2 * 3, 3 * 49)
    assert torch.equal(rows[2 * 3 + 3 + 2], maps[1, :, 1:8, 2:9].flatten())


@pytest.mark.parametrize("name", NAMES)
def test_posteriors_do_not_depend_on_the_batch(name: BackendName, peaked: Callable[..., dict[str, Tensor]]) -> None:
    net = _net(peaked("D"), "D")
    backend = start(name, Model(Identity("x", INPUTS["torchvision"], 4, None, ""), net), torch.device("cpu"), "fp32")
    images = torch.randint(0, 255, (9, 3, 224, 224), dtype=torch.uint8)
    together = backend(images)
    for size in (1, 2, 5):
        apart = torch.cat([backend(part) for part in torch.split(images, size)])
        torch.testing.assert_close(apart, together, atol=1e-5 * float(together.abs().max()), rtol=0)


def test_conv_padding_and_width() -> None:
    net = VGG(CONFIGS["C"], 10, 0.5)
    assert net.features[14].kernel_size == (1, 1)
    assert net.features[0].out_channels == 32
    assert net.classifier[6].out_features == 10

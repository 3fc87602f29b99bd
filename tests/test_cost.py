"""The closed form against golden figures, PyTorch's own shapes, and a receptive field walked backwards.

Golden figures: arithmetic from the definitions, cross-checked with torchvision's `_ops` (7.609, 11.308,
15.47, 19.632) and with Table 2. A-LRN costs what A costs: LRN has neither weights nor counted operations.
"""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import vgg

from vggbench.nets.cost import Architecture, Cost, cost, image_macs, layers, mean_macs
from vggbench.paper.configs import CONFIGS
from vggbench.paper.protocols import Protocol, rescaled_size

# fmt: off
GOLDEN = {
    #        conv params   fc params     all params    conv MACs       all MACs        with bias additions
    "A":     ( 9_220_480, 123_642_856, 132_863_336,  7_485_456_384,  7_609_090_048,  7_616_525_288),
    "A-LRN": ( 9_220_480, 123_642_856, 132_863_336,  7_485_456_384,  7_609_090_048,  7_616_525_288),
    "B":     ( 9_404_992, 123_642_856, 133_047_848, 11_184_832_512, 11_308_466_176, 11_320_718_312),
    "C":     ( 9_996_096, 123_642_856, 133_638_952, 11_647_254_528, 11_770_888_192, 11_784_444_904),
    "D":     (14_714_688, 123_642_856, 138_357_544, 15_346_630_656, 15_470_264_320, 15_483_821_032),
    "E":     (20_024_384, 123_642_856, 143_667_240, 19_508_428_800, 19_632_062_464, 19_646_923_752),
    "B-5x5": (10_860_672, 123_642_856, 134_503_528,  9_232_384_000,  9_356_017_664,  9_362_148_328),
}
CONV_GMACS = {
    #       256     384     512
    "A": ( 9.777, 21.998,  39.108),
    "B": (14.609, 32.870,  58.435),
    "C": (15.213, 34.229,  60.851),
    "D": (20.045, 45.100,  80.178),
    "E": (25.480, 57.331, 101.922),
    "B-5x5": (12.059, 27.132, 48.234),
}
# Positions of the score map of a 500 x 375 image: Q, floor, ceil (Caffe).
POSITIONS = [(224, 3, 4), (256, 8, 10), (288, 18, 18), (352, 40, 45), (384, 60, 60), (416, 77, 84), (512, 150, 160)]
# Side of the score map of a square image, by either rounding.
SQUARE = [(224, 1), (256, 2), (288, 3), (352, 5), (384, 6), (416, 7), (512, 10)]
# convnet-burden's pool5 of Oxford's D and E, rounded up as Caffe does.
CAFFE_POOL5 = [(224, 7), (336, 11), (448, 14), (560, 18), (672, 21)]
RECEPTIVE_FIELDS = {
    "A": {"conv1_1": 3, "pool1": 4, "conv2_1": 8, "pool2": 10, "conv3_1": 18, "conv3_2": 26, "pool3": 30,
          "pool4": 70, "conv5_2": 134, "pool5": 150, "fc6": 342, "fc8": 342},
    "D": {"conv1_1": 3, "conv1_2": 5, "pool1": 6, "conv2_1": 10, "conv2_2": 14, "pool2": 16, "conv3_1": 24,
          "conv3_2": 32, "conv3_3": 40, "pool3": 44, "conv4_1": 60, "conv4_2": 76, "conv4_3": 92, "pool4": 100,
          "conv5_1": 132, "conv5_2": 164, "conv5_3": 196, "pool5": 212, "fc6": 404, "fc7": 404, "fc8": 404},
    "E": {"pool1": 6, "pool2": 16, "pool3": 52, "pool4": 124, "conv5_4": 252, "pool5": 268, "fc6": 460},
}
# fmt: on

# torchvision has no C and no B-5x5: a second number is the side of their 1x1 and 5x5 layers.
SHALLOW_CHANNELS = [(64, 5), "M", (128, 5), "M", (256, 5), "M", (512, 5), "M", (512, 5), "M"]
C_CHANNELS = [64, 64, "M", 128, 128, "M", 256, 256, (256, 1), "M", 512, 512, (512, 1), "M", 512, 512, (512, 1), "M"]
SMALL_PARTS = st.sampled_from([1 / 16, 1 / 8, 0.5, 1.0])


def net(name: str, ceil_pool: bool = False) -> Architecture:
    return Architecture(CONFIGS[name], ceil_pool=ceil_pool)


def naive(network: Architecture, height: int, width: int) -> Cost:
    """Build the net from another's list, run it on meta tensors, and count at each layer what PyTorch shapes it to."""
    counted = {"conv_parameters": 0, "fc_parameters": 0, "macs": 0, "activations": 0, "positions": 0}

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        is_fc = module in fc_layers
        counted["activations"] += 0 if is_fc else output.numel()
        counted["fc_parameters" if is_fc else "conv_parameters"] += module.weight.numel() + len(module.weight)
        counted["macs"] += output.numel() * module.weight[0].numel()
        counted["positions"] = output.shape[2] * output.shape[3]

    def part(channels: int) -> int:
        return round(channels * network.width)

    name = network.config.name.removesuffix("-LRN")
    tokens = C_CHANNELS if name == "C" else SHALLOW_CHANNELS if name == "B-5x5" else vgg.cfgs[name]
    with torch.device("meta"):
        modules: list[nn.Module] = []
        channels = 3
        for token in tokens:
            if token == "M":
                modules.append(nn.MaxPool2d(2, 2, ceil_mode=network.ceil_pool))
                continue
            outputs, kernel = token if isinstance(token, tuple) else (token, 3)
            modules.append(nn.Conv2d(channels, part(outputs), kernel, padding="same"))
            channels = part(outputs)
        hidden = part(4096)
        fc_layers = [
            nn.Conv2d(channels, hidden, 7),
            nn.Conv2d(hidden, hidden, 1),
            nn.Conv2d(hidden, network.classes, 1),
        ]
        whole = nn.Sequential(*modules, *fc_layers)
        for module in whole:
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        whole(torch.empty(1, 3, height, width))
    return Cost(**counted)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("A-BN", 132_868_840), ("B-BN", 133_053_736), ("D-BN", 138_365_992), ("E-BN", 143_678_248)],
)
def test_batch_normalisation_adds_two_parameters_a_channel(name: str, parameters: int) -> None:
    """As torchvision's metadata have them, whose MACs are those of the nets without."""
    assert cost(net(name)).parameters == parameters
    assert cost(net(name)).macs == cost(net(name.removesuffix("-BN"))).macs


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_parameters_and_macs(name: str) -> None:
    conv_parameters, fc_parameters, parameters, conv_macs, macs, with_bias = GOLDEN[name]
    found = cost(net(name))
    assert (found.conv_parameters, found.fc_parameters) == (conv_parameters, fc_parameters)
    assert (found.parameters, found.macs) == (parameters, macs)
    assert sum(row.macs for row in layers(net(name)) if row.kind == "conv") == conv_macs
    assert found.macs + found.activations + 4096 + 4096 + 1000 == with_bias  # one addition for each output
    assert found.positions == 1


@pytest.mark.parametrize(("name", "gmacs"), CONV_GMACS.items())
def test_convolution_gmacs_of_square_images(name: str, gmacs: tuple[float, float, float]) -> None:
    for scale, expected in zip((256, 384, 512), gmacs, strict=True):
        found = sum(row.macs for row in layers(net(name), scale, scale) if row.kind == "conv")
        assert round(found / 1e9, 3) == expected


@pytest.mark.parametrize(
    ("name", "millions"),
    [("A", 7.43), ("A-LRN", 7.43), ("B", 12.24), ("C", 13.55), ("D", 13.55), ("E", 14.85)],
)
def test_activations_are_outputs_of_convolutions(name: str, millions: float) -> None:
    assert round(cost(net(name)).activations / 1e6, 2) == millions


def test_activations_of_d_are_timms() -> None:
    assert cost(net("D")).activations == 13_547_520


def test_mib_are_those_of_torchvisions_files() -> None:
    assert [round(cost(net(name)).mib, 1) for name in "ABDE"] == [506.8, 507.5, 527.8, 548.0]


@pytest.mark.parametrize(("scale", "floor", "ceil"), POSITIONS)
def test_positions_of_the_score_map_by_rounding(scale: int, floor: int, ceil: int) -> None:
    size = rescaled_size(375, 500, scale)
    assert [cost(net("D", ceil_pool), *size).positions for ceil_pool in (False, True)] == [floor, ceil]
    assert cost(net("D", True), *reversed(size)).positions == ceil


@pytest.mark.parametrize(("scale", "side"), SQUARE)
def test_rounding_does_not_matter_at_the_papers_square_sizes(scale: int, side: int) -> None:
    for ceil_pool in (False, True):
        last = layers(net("D", ceil_pool), scale, scale)[-1]
        assert (last.name, last.height, last.width) == ("fc8", side, side)


@pytest.mark.parametrize(("scale", "side"), CAFFE_POOL5)
def test_pool5_by_caffes_rounding(scale: int, side: int) -> None:
    for name in ("D", "E"):
        pooled = next(row for row in layers(net(name, True), scale, scale) if row.name == "pool5")
        assert (pooled.height, pooled.width) == (side, side)


@pytest.mark.parametrize("name", RECEPTIVE_FIELDS)
def test_receptive_fields(name: str) -> None:
    found = {row.name: row.receptive_field for row in layers(net(name))}
    assert {layer: found[layer] for layer in RECEPTIVE_FIELDS[name]} == RECEPTIVE_FIELDS[name]


def test_one_5x5_layer_sees_what_two_3x3_layers_see() -> None:
    """The paper's section 2.3, and 25 weights for 18."""
    b, shallow = ({row.name: row for row in layers(net(name))} for name in ("B", "B-5x5"))
    ends = [*(f"pool{stage}" for stage in range(1, 6)), "fc6", "fc7", "fc8"]
    assert [b[end].receptive_field for end in ends] == [shallow[end].receptive_field for end in ends]
    weights = [row.parameters - row.channels for row in (shallow["conv5_1"], b["conv5_1"], b["conv5_2"])]
    assert Fraction(weights[0], weights[1] + weights[2]) == Fraction(25, 18)


@pytest.mark.parametrize("name", GOLDEN)
def test_receptive_fields_walked_backwards_from_one_output(name: str) -> None:
    kernels = [(2, 2) if row.kind == "pool" else (row.kernel, 1) for row in CONFIGS[name].layers if row.kind != "lrn"]
    for depth, row in enumerate([row for row in layers(net(name)) if row.kind not in ("lrn", "fc")], 1):
        extent = 1
        for kernel, stride in reversed(kernels[:depth]):
            extent = (extent - 1) * stride + kernel
        assert row.receptive_field == extent, row.name


def test_three_3x3_layers_see_7x7_with_27_weights_for_49() -> None:
    """The paper's section 2.3."""
    rows = {row.name: row for row in layers(net("D"))}
    assert (rows["conv3_3"].receptive_field - rows["pool2"].receptive_field) / rows["pool2"].stride + 1 == 7
    weights = rows["conv5_1"].parameters + rows["conv5_2"].parameters + rows["conv5_3"].parameters - 3 * 512
    assert Fraction(weights, 49 * 512 * 512) == Fraction(27, 49)


def test_strides_are_powers_of_two_and_32_at_the_score_map() -> None:
    strides = {row.name: row.stride for row in layers(net("E"))}
    assert [strides[f"pool{stage}"] for stage in range(1, 6)] == [2, 4, 8, 16, 32]
    assert (strides["conv1_1"], strides["conv5_4"], strides["fc8"]) == (1, 16, 32)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize(("height", "width"), [(224, 224), (256, 341), (512, 683)])
@pytest.mark.parametrize("ceil_pool", [False, True])
def test_closed_form_equals_a_naive_count(name: str, height: int, width: int, ceil_pool: bool) -> None:
    assert cost(net(name, ceil_pool), height, width) == naive(net(name, ceil_pool), height, width)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(sorted(GOLDEN)),
    st.integers(224, 700),
    st.integers(224, 700),
    st.integers(1, 2000),
    SMALL_PARTS,
    st.booleans(),
)
def test_closed_form_equals_a_naive_count_at_any_size(
    name: str, height: int, width: int, classes: int, part: float, ceil_pool: bool
) -> None:
    network = Architecture(CONFIGS[name], classes, part, ceil_pool)
    assert cost(network, height, width) == naive(network, height, width)


@pytest.mark.parametrize("name", GOLDEN)
def test_sums_are_those_of_the_layers(name: str) -> None:
    rows, whole = layers(net(name), 256, 384), cost(net(name), 256, 384)
    assert sum(row.parameters for row in rows) == whole.parameters
    assert sum(row.macs for row in rows) == whole.macs
    assert sum(row.activations for row in rows) == whole.activations
    assert [row.name for row in rows][-3:] == ["fc6", "fc7", "fc8"]


def test_macs_per_image_count_all_views_plainly() -> None:
    """TABLES.md: multicrop of D is 773.5 GMACs at one Q and 2320.5 at three, of whatever size the image is."""
    crop = 15_470_264_320
    for name, views in (("center", 1), ("tencrop", 10), ("multicrop", 50)):
        assert image_macs(net("D"), Protocol.parse(name), 384, 375, 500) == views * crop
    assert image_macs(net("D"), Protocol("multicrop", 8), 256, 500, 333) == 50 * crop
    assert f"{50 * crop / 1e9:.1f} {150 * crop / 1e9:.1f}" == "773.5 2320.5"


def test_macs_per_image_of_dense_follow_the_rescaled_image_and_its_mirror() -> None:
    whole = naive(net("D"), 256, 341).macs
    assert image_macs(net("D"), Protocol("dense"), 256, 375, 500) == 2 * whole
    assert image_macs(net("D"), Protocol("dense"), 256, 500, 375) == 2 * whole
    assert image_macs(net("D"), Protocol("dense"), 224, 600, 600) == 2 * 15_470_264_320


def test_mean_macs_over_images_of_different_sizes() -> None:
    sizes = [(375, 500), (500, 375), (224, 224)]
    expected = Fraction(2 * (2 * naive(net("A"), 256, 341).macs + naive(net("A"), 256, 256).macs), 3)
    assert mean_macs(net("A"), Protocol("dense"), 256, sizes) == pytest.approx(float(expected), rel=1e-15)
    assert mean_macs(net("A"), Protocol("dense"), 256, iter(sizes)) == mean_macs(
        net("A"), Protocol("dense"), 256, sizes
    )

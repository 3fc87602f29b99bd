"""The six nets against Table 1 of the paper, written out here as its columns read, and against torchvision's lists."""

import pytest
from torchvision.models.vgg import cfgs

from vggbench.errors import UsageError
from vggbench.paper.configs import CONFIGS, FC_SIZE, PAPER, STAGE_CHANNELS, Config, config_named, scaled

# Output channels, M for max-pooling, x1 for a 1x1 convolution; the paper's section 2.1, Table 1.
TABLE_1 = {
    "A": "64 M 128 M 256 256 M 512 512 M 512 512 M",
    "A-LRN": "64 LRN M 128 M 256 256 M 512 512 M 512 512 M",
    "B": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    "C": "64 64 M 128 128 M 256 256 256x1 M 512 512 512x1 M 512 512 512x1 M",
    "D": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "E": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}
WEIGHT_LAYERS = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}

# Oxford's names, as its released Caffe models have them.
D_NAMES = (
    "conv1_1 conv1_2 pool1 conv2_1 conv2_2 pool2 conv3_1 conv3_2 conv3_3 pool3 "
    "conv4_1 conv4_2 conv4_3 pool4 conv5_1 conv5_2 conv5_3 pool5"
)
E_NAMES = (
    "conv1_1 conv1_2 pool1 conv2_1 conv2_2 pool2 conv3_1 conv3_2 conv3_3 conv3_4 pool3 "
    "conv4_1 conv4_2 conv4_3 conv4_4 pool4 conv5_1 conv5_2 conv5_3 conv5_4 pool5"
)
NAMES = {
    "A": "conv1_1 pool1 conv2_1 pool2 conv3_1 conv3_2 pool3 conv4_1 conv4_2 pool4 conv5_1 conv5_2 pool5",
    "A-LRN": "conv1_1 lrn1 pool1 conv2_1 pool2 conv3_1 conv3_2 pool3 conv4_1 conv4_2 pool4 conv5_1 conv5_2 pool5",
    "B": "conv1_1 conv1_2 pool1 conv2_1 conv2_2 pool2 conv3_1 conv3_2 pool3 conv4_1 conv4_2 pool4 "
    "conv5_1 conv5_2 pool5",
    "C": D_NAMES,
    "D": D_NAMES,
    "E": E_NAMES,
}
KNOWN_AS = {"A": "VGG-11", "A-LRN": None, "B": "VGG-13", "C": None, "D": "VGG-16", "E": "VGG-19"}


def as_table_1(config: Config) -> str:
    """The layers of `config`, written as Table 1 above."""
    tokens = []
    for layer in config.layers:
        kernel = "" if layer.kernel == 3 else f"x{layer.kernel}"
        tokens.append({"pool": "M", "lrn": "LRN", "conv": f"{layer.channels}{kernel}"}[layer.kind])
    return " ".join(tokens)


def test_the_six_configs_in_the_order_of_the_paper() -> None:
    assert list(PAPER) == ["A", "A-LRN", "B", "C", "D", "E"]
    assert all(config.name == name for name, config in PAPER.items())


@pytest.mark.parametrize("name", PAPER)
def test_layers_are_table_1(name: str) -> None:
    config = CONFIGS[name]
    assert as_table_1(config) == TABLE_1[name]
    assert len(config.convs) + 3 == WEIGHT_LAYERS[name]
    assert config.known_as == KNOWN_AS[name]


@pytest.mark.parametrize("name", ["A-BN", "B-BN", "D-BN", "E-BN"])
def test_nets_with_batch_normalisation_are_otherwise_the_papers(name: str) -> None:
    config, paper = CONFIGS[name], CONFIGS[name.removesuffix("-BN")]
    assert (config.layers, config.known_as) == (paper.layers, f"{paper.known_as}-BN")
    assert (config.batch_norm, paper.batch_norm) == (True, False)


def test_b_5x5_is_b_with_one_5x5_layer_for_each_pair_of_3x3_layers() -> None:
    b, shallow = CONFIGS["B"], CONFIGS["B-5x5"]
    pairs, pools = b.convs, [layer for layer in b.layers if layer.kind == "pool"]
    assert [layer.channels for layer in shallow.convs] == [layer.channels for layer in pairs[1::2]]
    assert {layer.kernel for layer in shallow.convs} == {5}
    names = "conv1_1 pool1 conv2_1 pool2 conv3_1 pool3 conv4_1 pool4 conv5_1 pool5"
    assert " ".join(layer.name for layer in shallow.layers) == names
    assert [layer for layer in shallow.layers if layer.kind == "pool"] == pools
    assert (shallow.known_as, shallow.batch_norm, "B-5x5" in PAPER) == (None, False, False)


@pytest.mark.parametrize("name", PAPER)
def test_layers_have_oxfords_names(name: str) -> None:
    assert " ".join(layer.name for layer in CONFIGS[name].layers) == NAMES[name]


@pytest.mark.parametrize("name", ["A", "B", "D", "E"])
def test_channels_are_torchvisions(name: str) -> None:
    ours = [layer.channels if layer.kind == "conv" else "M" for layer in CONFIGS[name].layers]
    assert ours == cfgs[name]


def test_only_c_has_1x1_convolutions() -> None:
    small = {name: [layer.name for layer in config.convs if layer.kernel == 1] for name, config in PAPER.items()}
    assert small == {"A": [], "A-LRN": [], "B": [], "C": ["conv3_3", "conv4_3", "conv5_3"], "D": [], "E": []}


def test_channels_double_up_to_512_and_fc_layers_have_4096() -> None:
    assert STAGE_CHANNELS == (64, 128, 256, 512, 512)
    assert FC_SIZE == 4096


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A", "A"), ("a", "A"), ("vgg11", "A"), ("VGG11", "A"), ("VGG-11", "A"), ("vgg_11", "A"),
        ("A-LRN", "A-LRN"), ("a-lrn", "A-LRN"), ("alrn", "A-LRN"), ("A_LRN", "A-LRN"),
        ("b-5x5", "B-5x5"), ("B5x5", "B-5x5"),
        ("b", "B"), ("vgg13", "B"), ("c", "C"), ("d", "D"), ("vgg16", "D"), ("Vgg-16", "D"),
        ("e", "E"), ("vgg19", "E"), ("d-bn", "D-BN"), ("vgg16_bn", "D-BN"), ("VGG-19-BN", "E-BN"), ("vgg11bn", "A-BN"),
    ],
)  # fmt: skip
def test_aliases(text: str, name: str) -> None:
    assert config_named(text) is CONFIGS[name]


@pytest.mark.parametrize(("text", "hint"), [("vgg116", "D"), ("vgg111", "A"), ("A-LNR", "A-LRN"), ("vgg-191", "E")])
def test_an_unknown_config_is_answered_with_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        config_named(text)
    sentence = str(caught.value)
    assert repr(text) in sentence
    assert "expected one of A, A-LRN, B, C, D, E, B-5x5 or vgg11, vgg13, vgg16, vgg19" in sentence
    assert sentence.endswith(f" Did you mean {hint}?")


@pytest.mark.parametrize("text", ["", "resnet50", "vgg16@oxford", "F"])
def test_what_is_like_no_config_gets_no_hint(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected one of A, A-LRN.* vgg16_bn and so on\)\.$"):
        config_named(text)


def test_scaled_channels() -> None:
    assert [scaled(channels, 1.0) for channels in STAGE_CHANNELS] == list(STAGE_CHANNELS)
    assert [scaled(channels, 1 / 16) for channels in STAGE_CHANNELS] == [4, 8, 16, 32, 32]
    assert scaled(64, 1 / 1024) == 1

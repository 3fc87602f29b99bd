"""What a `.mat` of MatConvNet says of its net and its input is believed or refused, field by field.

As `test_described_caffe.py`: one word of a description is changed, and the scores are those of an interpreter of the
changed description, or the file is refused by a sentence that names the word.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from caffe_net import Illegal
from judged import CLOSE, SQUARE, Verdict, judge, loaded
from matconvnet_net import NAMES, RGB_MEAN, TYPES, Net, scores_of, simplenn, write
from torch import Tensor

from vggbench.errors import UsageError, WeightsError

NO_EFFECT, RIGHT = "no effect", "right"
"""Read, with the scores of the unchanged net; read, with the other scores that the changed description has."""


class Row(NamedTuple):
    """A layer or a struct of `meta`, what its fields say instead (None: nothing), and what is expected."""

    of: str
    fields: dict[str, Any]
    expected: str


def _rows(of: str, table: dict[str, list[dict[str, Any]]]) -> list[Row]:
    return [Row(of, fields, expected) for expected, tried in table.items() for fields in tried]


FACE_MEAN = (129.1863, 104.7624, 93.594)
TABLE = [
    *_rows("conv3_2", {
        NO_EFFECT: [
            {"pad": 1.0}, {"stride": None}, {"stride": 1.0}, {"dilate": None}, {"dilate": 1.0}, {"opts": None},
            {"opts": ("CudnnWorkspaceLimit", 1e9)}, {"opts": ("NoCudnn",)}, {"precious": 1.0}, {"learningRate": None},
            {"weightDecay": [1.0, 0.0]}, {"size": [3.0, 3.0, 8.0, 8.0]}, {"rememberOutput": 1.0}, {"name": "other"},
            {"filtersLearningRate": 1.0, "biasesWeightDecay": 0.0}, {"momentum": (0.0, 0.0)},
        ],
        "padding": [
            {"pad": 0.0}, {"pad": 2.0}, {"pad": None}, {"pad": [1.0, 1.0, 1.0, 0.0]}, {"pad": [0.0, 1.0, 1.0, 1.0]},
            {"pad": [1.0, 1.0]}, {"pad": [2.0, 2.0, 1.0, 1.0]}, {"pad": [1.0, 1.0, 2.0, 2.0]}, {"pad": 0.5},
        ],
        "stride": [{"stride": 2.0}, {"stride": [1.0, 2.0]}, {"stride": [2.0, 1.0]}, {"stride": [1.0, 1.0, 1.0]}],
        "dilation": [{"dilate": 2.0}, {"dilate": [1.0, 2.0]}, {"dilate": [2.0, 2.0]}],
        "opts": [{"opts": ("Pad", 2.0)}, {"opts": (2.0,)}],
        "hasBias": [{"hasBias": 0.0}],
    }),
    *_rows("pool3", {
        NO_EFFECT: [
            {"method": None}, {"pool": 2.0}, {"stride": 2.0}, {"pad": 0.0}, {"pad": None}, {"opts": ()},
            {"opts": ("cudnn",)},
        ],
        "method": [{"method": "avg"}, {"method": "sum"}],
        "kernel": [{"pool": 3.0}, {"pool": [2.0, 3.0]}, {"pool": 1.0}, {"pool": None}],
        "stride": [{"stride": 1.0}, {"stride": [2.0, 1.0]}, {"stride": None}, {"stride": 3.0}],
        "padding": [
            {"pad": 1.0}, {"pad": [0.0, 0.0, 0.0, 1.0]}, {"pad": [0.0, 1.0, 0.0, 0.0]}, {"pad": [1.0, 0.0, 1.0, 0.0]},
            {"pad": [0.0, 0.0, 1.0, 1.0]}, {"pad": [1.0, 1.0, 0.0, 0.0]}, {"pad": [1.0, 0.0]},
        ],
        "rounds": [{"pad": [0.0, 1.0, 0.0, 1.0]}],
        "dilate": [{"dilate": 1.0}],
    }),
    *_rows("relu_conv3_2", {
        NO_EFFECT: [{"leak": None}, {"leak": []}, {"weights": ()}, {"precious": 0.0}],
        "negative slope": [{"leak": 0.1}, {"leak": 1.0}],
        "opts": [{"opts": ("leak", 0.1)}],
    }),
    *_rows("drop_fc6", {NO_EFFECT: [{"rate": 0.9}, {"rate": None}], "frozen": [{"frozen": 1.0}]}),
    *_rows("prob", {
        NO_EFFECT: [{"type": "softmaxloss"}, {"class": [1.0, 2.0]}, {"type": "loss"},
                    {"type": "loss", "loss": "softmaxlog"}],
        "loss": [{"type": "loss", "loss": loss} for loss in ("log", "hinge", "logistic", "topkerror")],
        "temperature": [{"temperature": 2.0}],
    }),
]  # fmt: skip
LRN_TABLE = _rows("norm1", {
    NO_EFFECT: [{"type": "lrn"}],
    "size": [{"param": [3.0, 2.0, 1e-4, 0.75]}, {"param": [4.0, 2.0, 1e-4, 0.75]}],
    "alpha": [{"param": [5.0, 2.0, 5e-4, 0.75]}, {"param": [5.0, 2.0, 2e-5, 0.75]}],
    "beta": [{"param": [5.0, 2.0, 1e-4, 0.5]}],
    "k ": [{"param": [5.0, 1.0, 1e-4, 0.75]}],
    "param": [{"param": None}, {"param": [5.0, 2.0, 1e-4]}],
})  # fmt: skip
NORM_TABLE = _rows("bn_conv3_2", {
    NO_EFFECT: [{"epsilon": 1e-5}, {"epsilon": 0.1}, {"learningRate": [2.0, 1.0, 0.05]}],
    "momentum_": [{"momentum_": 1.0}],
})  # fmt: skip
META_TABLE = [
    *_rows("normalization", {
        NO_EFFECT: [
            {"averageImage": list(RGB_MEAN)}, {"averageImage": np.array([RGB_MEAN], "f4").T}, {"keepAspect": 0.0},
            {"averageImage": np.full((224, 224, 3), RGB_MEAN, "f4")}, {"border": None}, {"interpolation": "bicubic"},
            {"cropSize": 1.0}, {"imageSize": [256.0, 256.0, 3.0]}, {"imageSize": [224.0, 224.0]}, {"imageSize": None},
            {"rgbVariance": np.eye(3)}, {"transformation": "f25"}, {"numAugments": 3.0}, {"jitterLocation": 1.0},
        ],
        RIGHT: [
            {"averageImage": list(FACE_MEAN)}, {"averageImage": np.array(FACE_MEAN, "f4").reshape(1, 1, 3)},
            {"averageImage": list(RGB_MEAN[::-1])}, {"averageImage": []}, {"averageImage": 120.0},
            {"averageImage": np.full((224, 224, 3), FACE_MEAN, "f4")}, {"averageImage": [0.0, 0.0, 0.0]},
        ],
        "averageImage": [
            {"averageImage": np.linspace(0, 255, 224 * 224 * 3, dtype="f4").reshape(224, 224, 3)},
            {"averageImage": [1.0, 2.0]}, {"averageImage": np.zeros((224, 224), "f4")},
            {"averageImage": [1.0, float("nan"), 2.0]},
        ],
        "--input": [{"averageImage": None}],
        "imageSize": [{"imageSize": [224.0, 224.0, 1.0]}],
        "std": [{"std": [58.0, 57.0, 57.0]}],
        "scale": [{"scale": 0.017}],
    }),
    *_rows("classes", {
        NO_EFFECT: [{"description": None}, {"name": None}, {"name": NAMES[::-1]}],
        "classes": [
            {"name": NAMES[:4]}, {"name": "tench"}, {"name": (1.0,) * 5}, {"name": ("a", *NAMES[:3], "a")},
        ],
    }),
]  # fmt: skip


def changed(net: Net, of: str, **fields: Any) -> Net:
    """A net with other words in one layer or struct of `meta`; None takes one away."""
    if of in net["meta"]:
        return {**net, "meta": {**net["meta"], of: _changed(net["meta"][of], fields)}}
    layers = [_changed(layer, fields) if layer["name"] == of else layer for layer in net["layers"]]
    return {**net, "layers": layers}


def _changed(struct: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (struct | fields).items() if value is not None}


def _verdict(
    folder: Path, net: Net, config: str = "A", asked: str | None = None, written: Net | None = None
) -> Verdict:
    """`written`: the file, where it wraps the net otherwise."""
    mean = RGB_MEAN if asked else None

    def run(images: Tensor) -> Tensor:
        return scores_of(net, images.float(), mean=mean)

    write(folder / "x.mat", net if written is None else written)
    return judge(folder / "x.mat", config, asked, run, Illegal)


def _assert_as_expected(folder: Path, net: Net, row: Row, config: str) -> None:
    other = changed(net, row.of, **row.fields)
    found = _verdict(folder, other, config)
    if row.expected not in (NO_EFFECT, RIGHT):
        assert (found.kind, row.expected in found.says) == ("refused", True), found
        return
    assert found.kind == "right", found
    before, after = (scores_of(one, SQUARE.float(), mean=None) for one in (net, other))
    difference = float((before - after).abs().max() / before.abs().max())
    assert difference > CLOSE if row.expected == RIGHT else difference < 1e-6, difference


def _id(row: Any) -> str:
    return f"{row.of} {list(row.fields)} {row.expected}" if isinstance(row, Row) else str(row)


@pytest.mark.parametrize("row", [*TABLE, *META_TABLE], ids=_id)
def test_every_field(row: Row, tmp_path: Path) -> None:
    _assert_as_expected(tmp_path, simplenn(), row, "A")


@pytest.mark.parametrize("row", LRN_TABLE, ids=_id)
def test_every_field_of_local_response_normalisation(row: Row, tmp_path: Path) -> None:
    _assert_as_expected(tmp_path, simplenn("A-LRN"), row, "A-LRN")


@pytest.mark.parametrize("row", NORM_TABLE, ids=_id)
def test_every_field_of_batch_normalisation(row: Row, tmp_path: Path) -> None:
    _assert_as_expected(tmp_path, simplenn(norm=True), row, "A-BN")


# ---------------------------------------------------------------- every layer, changed in every way


def _fields(net: Net) -> Iterator[Net]:
    """Every change of the tables above in the first and the last layer of its type, and in `meta`."""
    kinds = {"conv3_2": "conv", "pool3": "pool", "relu_conv3_2": "relu", "drop_fc6": "dropout", "prob": "softmax"}
    for row in TABLE:
        places = [layer["name"] for layer in net["layers"] if layer["type"] == kinds[row.of]]
        for name in dict.fromkeys((places[0], places[-1])):
            yield changed(net, name, **row.fields)
    yield from (changed(net, row.of, **row.fields) for row in META_TABLE)


def _types(net: Net) -> Iterator[Net]:
    """One layer of each type as each other type."""
    for layer in {layer["type"]: layer for layer in net["layers"]}.values():
        yield from (changed(net, layer["name"], type=kind) for kind in TYPES if kind != layer["type"])


def _structure(net: Net) -> Iterator[Net]:
    """Every layer left out, doubled, and exchanged with the next."""
    layers = net["layers"]
    for place in range(len(layers)):
        yield {**net, "layers": layers[:place] + layers[place + 1 :]}
        yield {**net, "layers": [*layers[: place + 1], *layers[place:]]}
        yield {**net, "layers": layers[:place] + layers[place : place + 2][::-1] + layers[place + 2 :]}


def _other(net: Net, other: Net) -> list[str]:
    return [str(one) for one in other["layers"] if not any(one is same for same in net["layers"])]


@pytest.mark.thorough
@pytest.mark.parametrize("way", [_fields, _types, _structure])
def test_no_change_gives_another_number(way: Any, tmp_path: Path) -> None:
    net, counted = simplenn(), Counter[str]()
    for other in way(net):
        found = _verdict(tmp_path, other)
        counted[found.kind] += 1
        assert found.kind != "wrong", (found.says, _other(net, other))
    assert counted["right"] >= 2
    assert counted["refused"] > 50


# ---------------------------------------------------------------- files as several releases write them


def _older(net: Net) -> Net:
    """filters and biases, and what is `meta` beside the layers."""
    layers = []
    for layer in net["layers"]:
        held = dict(zip(("filters", "biases"), layer.get("weights", ()), strict=False))
        layers.append({name: value for name, value in (layer | held).items() if name != "weights"})
    return {"layers": layers, **net["meta"]}


def _snapshot(net: Net) -> Net:
    """As cnn_train writes net-epoch-20.mat."""
    return {"net": net, "state": {"momentum": ()}, "stats": {"train": [0.0]}}


@pytest.mark.parametrize("wrapped", [_older, _snapshot, lambda net: _snapshot(_older(net))])
@pytest.mark.parametrize("mean", [RGB_MEAN, FACE_MEAN])
def test_each_releases_wrapping(wrapped: Any, mean: tuple[float, ...], tmp_path: Path) -> None:
    net = changed(simplenn(), "normalization", averageImage=np.array(mean, "f4").reshape(1, 1, 3))
    found = _verdict(tmp_path, net, written=wrapped(net))
    assert found.kind == "right", found
    assert loaded(tmp_path / "x.mat", "A", None).identity.class_names == NAMES


def test_two_words_for_one_thing_must_agree(tmp_path: Path) -> None:
    net = simplenn()
    for what, other in (("normalization", {"averageImage": list(FACE_MEAN)}), ("classes", {"name": NAMES[::-1]})):
        both = {**net, what: net["meta"][what]}
        assert _verdict(tmp_path, net, written=both).kind == "right"
        found = _verdict(tmp_path, net, written={**both, what: {**net["meta"][what], **other}})
        assert found.kind == "refused"
        assert f"says {what} twice" in found.says


@pytest.mark.parametrize("pad", [[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
def test_padding_of_all_poolings_decides_floor_or_ceil(pad: list[float], tmp_path: Path) -> None:
    net = simplenn()
    for name in [layer["name"] for layer in net["layers"] if layer["type"] == "pool"]:
        net = changed(net, name, pad=pad)
    for asked in (None, "matconvnet"):
        assert _verdict(tmp_path, net, asked=asked) == Verdict("right", "")
        model = loaded(tmp_path / "x.mat", "A", asked)
        assert model.identity.architecture is not None
        assert model.identity.architecture.ceil_pool == (pad[1] == 1)


@pytest.mark.parametrize("asked", ["caffe", "torchvision", "BGR"])
def test_an_input_that_contradicts_is_refused_with_both_sides(asked: str, tmp_path: Path) -> None:
    write(tmp_path / "x.mat", simplenn())
    with pytest.raises(WeightsError, match=rf"says that its .*RGB.*--input {asked}"):
        loaded(tmp_path / "x.mat", "A", asked)
    assert loaded(tmp_path / "x.mat", "A", "RGB").identity.is_described


def test_a_file_without_meta_takes_the_stated_input(tmp_path: Path) -> None:
    bare = {"layers": simplenn()["layers"]}
    assert _verdict(tmp_path, {**bare, "meta": {}}, asked="matconvnet", written=bare).kind == "right"
    with pytest.raises(UsageError, match="--input"):
        loaded(tmp_path / "x.mat", "A", None)


def test_a_bias_may_be_empty(tmp_path: Path) -> None:
    """`conv` without biases, as before batch normalisation."""
    net = simplenn(norm=True)
    filters = next(layer for layer in net["layers"] if layer["name"] == "conv3_2")["weights"][0]
    assert _verdict(tmp_path, changed(net, "conv3_2", weights=(filters, np.zeros((0, 0)))), "A-BN").kind == "right"
    with pytest.raises(WeightsError, match=r"fits A-BN"):
        loaded(tmp_path / "x.mat", "A", None)


@pytest.mark.parametrize(
    ("weights", "says"), [(1, "weights in layer 'bn_conv3_2'"), (2, "weights in layer 'bn_conv3_2'")]
)
def test_batch_normalisation_without_its_moments_is_refused(weights: int, says: str, tmp_path: Path) -> None:
    net = simplenn(norm=True)
    held = next(layer for layer in net["layers"] if layer["name"] == "bn_conv3_2")["weights"]
    turned = held[:2] if weights == 1 else (*held[:2], held[2].T)
    found = _verdict(tmp_path, changed(net, "bn_conv3_2", weights=turned), "A-BN")
    assert found.kind == "refused"
    assert says in found.says


def test_other_files_of_matlab_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    write(path, {"net": {"vars": (), "params": (), "layers": ()}})
    with pytest.raises(WeightsError, match="DagNN"):
        loaded(path, "A", "matconvnet")
    write(path, {"images": [1.0]})
    with pytest.raises(WeightsError, match="holds images: expected `layers`"):
        loaded(path, "A", "matconvnet")
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(WeightsError, match=r"version 7\.3.*-v7"):
        loaded(path, "A", "matconvnet")

"""Files that are broken or mean harm get one sentence, within bounded time and memory, and nothing is executed."""

import math
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import fuzz
import h5py
import numpy as np
import onnx
import pytest
import torch
from children import Child
from torch import Tensor
from writers import caffemodel, field, layers_of, write_mat

from vggbench import LoadOptions, ModelSpec, load_model
from vggbench.errors import WeightsError
from vggbench.paper.configs import CONFIGS
from vggbench.weights import matconvnet
from vggbench.weights.formats import read_weights

CORPUS = Path(__file__).parent / "corpus"
SEEDS = sorted(path.name for path in CORPUS.iterdir())
D = CONFIGS["D"]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_seed_is_a_whole_file(seed: str) -> None:
    assert len(read_weights(CORPUS / seed, D).tensors) == 32


@pytest.mark.parametrize("seed", SEEDS)
def test_a_truncated_file_is_one_sentence(seed: str, tmp_path: Path) -> None:
    content = (CORPUS / seed).read_bytes()
    for share in (0.2, 0.5, 0.9, 0.999):
        (tmp_path / "x").write_bytes(content[: int(share * len(content))])
        with pytest.raises(WeightsError) as caught:
            read_weights(tmp_path / "x", D)
        assert str(tmp_path / "x") in str(caught.value)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", SEEDS)
def test_broken_files_are_read_or_refused(seed: str, forked: Callable[..., Child]) -> None:
    _fuzz(seed, 100, forked)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_broken_files_by_the_thousand(seed: str, forked: Callable[..., Child]) -> None:
    _fuzz(seed, 10_000, forked)


def _fuzz(seed: str, count: int, forked: Callable[..., Child]) -> None:
    """In a process of its own, with bounds on time and memory, which survives no crash."""
    child = forked(lambda: fuzz.main(CORPUS / seed, count))
    assert child.wait(3600) == 0, child.err
    assert child.out.startswith(f"{count} files")


@pytest.mark.parametrize("start", [b"\x0a", b"\x12", b"\xa2\x06", b"\x08"])
def test_random_bytes_are_refused(start: bytes, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        (tmp_path / "x").write_bytes(start + draw.bytes(2000))
        with pytest.raises(WeightsError):
            read_weights(tmp_path / "x", D)


def _h5(path: Path, **options: object) -> h5py.File:
    """A Keras file whose one dataset the test writes."""
    file = h5py.File(path, "w")
    file.attrs["layer_names"] = [b"conv"]
    group = file.create_group("conv")
    group.attrs["weight_names"] = [b"conv/kernel", b"conv/bias"]
    group.create_dataset("conv/bias", data=np.zeros(4, np.float32))
    if options:
        group.create_dataset("conv/kernel", **options)
    return file


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"shape": (3, 3, 10**6, 10**6), "dtype": "f4", "chunks": (3, 3, 64, 64)}, "in 2 datasets: expected a VGG's"),
        ({"shape": (3, 3, 3000, 3000), "dtype": "f4", "chunks": (3, 3, 64, 64)}, "larger than itself"),
        ({"data": np.zeros((3, 3, 64, 64), np.float32), "compression": "lzf"}, "in another form than plain"),
        (
            {"shape": (3, 3, 3000, 3000), "dtype": "f4", "chunks": (3, 3, 64, 64), "compression": "gzip"},
            "larger than it",
        ),
        ({"data": np.zeros((3, 3, 3, 4), np.int32)}, "in another form than plain floating point"),
        ({"shape": (3, 3, 3, 4), "dtype": "f4", "external": [("/etc/passwd", 0, 432)]}, "in another form"),
    ],
)
def test_what_no_keras_writes_is_refused_before_it_is_read(
    options: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    _h5(tmp_path / "x.h5", **options).close()
    tracemalloc.start()
    with pytest.raises(WeightsError, match=sentence):
        read_weights(tmp_path / "x.h5", D)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("soft", [False, True])
def test_a_link_into_another_file_is_refused(soft: bool, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["kernel"] = np.zeros((3, 3, 3, 4), np.float32)
    with _h5(tmp_path / "x.h5") as file:
        outside = h5py.ExternalLink(str(tmp_path / "other.h5"), "kernel" if not soft else "/")
        file["out" if soft else "conv/conv/kernel"] = outside
        if soft:
            file["conv/conv/kernel"] = h5py.SoftLink("/out/kernel")
    with pytest.raises(WeightsError, match="links to another place"):
        read_weights(tmp_path / "x.h5", D)


def test_the_same_values_under_many_names_are_refused(tmp_path: Path) -> None:
    with _h5(tmp_path / "x.h5", data=np.zeros((3, 3, 3, 4), np.float32)) as file:
        file.attrs["layer_names"] = [b"conv"] * 1000
    with pytest.raises(WeightsError, match="in 2000 datasets: expected a VGG's, each once"):
        read_weights(tmp_path / "x.h5", D)


def test_a_mat_of_the_other_byte_order_is_refused(tmp_path: Path) -> None:
    content = bytearray((CORPUS / "D.mat").read_bytes())
    content[126:128] = b"MI"
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(WeightsError, match=r"not a little-endian \.mat"):
        read_weights(tmp_path / "x.mat", D)


@pytest.mark.parametrize("kind", ["caffemodel", "mat", "onnx"])
@pytest.mark.parametrize("fault", ["nan", "shape"])
def test_every_format_is_compared_tensor_by_tensor(
    fault: str, kind: str, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    layers, path = layers_of("D", peaked("D")), tmp_path / f"x.{kind}"
    name, weight, bias = layers[2]
    changed = weight.copy() if fault == "nan" else weight[:, :1].copy()
    changed.flat[0] = np.nan
    layers[2] = (name, changed, bias)
    if kind == "caffemodel":
        path.write_bytes(caffemodel(layers, old=True))
    elif kind == "mat":
        write_mat(path, layers, older=False)
    else:
        model = onnx.load(CORPUS / "D.onnx")
        tensor = model.graph.initializer[2]
        wrong = np.full(tensor.dims if fault == "nan" else (1, 2, 3, 3), np.nan, np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(wrong, tensor.name))
        onnx.save(model, path)
    sentences = {"nan": "NaN or infinity in features", "shape": r"not fit config D: expected features\.\S+ of shape"}
    with pytest.raises(WeightsError, match=sentences[fault]):
        load_model(ModelSpec.parse(f"D@{path}"), LoadOptions(input="caffe"), ())


@pytest.mark.parametrize("side", [2**40, 10**7])
def test_sizes_that_no_net_has_are_refused(side: int, tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(side, 0, 3, 3), "classifier.6.weight": torch.zeros(4, 4)},
               tmp_path / "x.pth")  # fmt: skip
    with pytest.raises(WeightsError, match=rf"has {side} channels after the first convolution .* expected up to 256"):
        load_model(ModelSpec.parse(f"D@{tmp_path / 'x.pth'}"), LoadOptions(input="caffe"), ())


def test_a_blob_of_a_million_axes_is_refused_at_once(tmp_path: Path) -> None:
    dims = bytes([1]) * 1_000_000
    blob = field(7, field(1, dims)) + field(5, bytes(4))
    layer = field(1, b"x") + field(2, b"InnerProduct") + 2 * field(7, blob)
    (tmp_path / "x").write_bytes(field(100, layer))
    with pytest.raises(WeightsError, match="a tensor x of 1,000,000 axes"):
        read_weights(tmp_path / "x", D)


def test_a_mat_that_inflates_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matconvnet, "_LARGEST", 8_000_000)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    bomb = zlib.compress(bytes(100_000_000))
    (tmp_path / "x.mat").write_bytes(header + (15).to_bytes(4, "little") + len(bomb).to_bytes(4, "little") + bomb)
    tracemalloc.start()
    with pytest.raises(WeightsError, match="would inflate beyond 8,000,000 bytes"):
        read_weights(tmp_path / "x.mat", D)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_other_layers_with_weights_are_refused(
    peaked: Callable[..., dict[str, Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = layers_of("D", peaked("D"))
    (tmp_path / "x.caffemodel").write_bytes(
        caffemodel(layers, old=False).replace(b"\x12\x0bConvolution", b"\x12\x0bConvulution", 1)
    )
    with pytest.raises(WeightsError, match="weights in layer 'conv1_1' \\(Convulution, 2 blobs\\)"):
        read_weights(tmp_path / "x.caffemodel", D)
    monkeypatch.setattr("writers.CONV", "bnorm")
    write_mat(tmp_path / "x.mat", layers, older=False)
    with pytest.raises(WeightsError, match="weights in layer 'conv1_1' of type 'bnorm'"):
        read_weights(tmp_path / "x.mat", D)


def _averaged(graph: onnx.GraphProto) -> None:
    node = next(node for node in graph.node if node.op_type == "Relu")
    node.CopyFrom(onnx.helper.make_node("AveragePool", node.input, node.output, kernel_shape=[3, 3], pads=[1, 1, 1, 1]))


def _pooled_up(graph: onnx.GraphProto) -> None:
    node = [node for node in graph.node if node.op_type == "MaxPool"][-1]
    attribute = next(attribute for attribute in node.attribute if attribute.name == "ceil_mode")
    attribute.i = 1 - attribute.i


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda graph: graph.node.insert(0, onnx.helper.make_node("Sub", ["images", "m"], ["i"])), "the operator Sub"),
        (
            lambda graph: graph.node.insert(0, onnx.helper.make_node("Transpose", ["images"], ["i"])),
            "operator Transpose",
        ),
        (lambda graph: _attribute(graph, "Conv", "strides", [2, 2]), r"Conv with strides \[2, 2\]"),
        (lambda graph: _attribute(graph, "Conv", "pads", [0, 0, 0, 0]), r"by \[0, 0, 0, 0\]: expected \[1, 1, 1, 1\]"),
        (lambda graph: _attribute(graph, "MaxPool", "kernel_shape", [3, 3]), r"MaxPool with kernel_shape \[3, 3\]"),
        (lambda graph: _attribute(graph, "MaxPool", "pads", [0, 0, 1, 1]), r"MaxPool with pads \[0, 0, 1, 1\]"),
        (lambda graph: _replaced(graph, "Relu", "Dropout"), "found 35, with conv relu pool at place 2"),
        (lambda graph: _replaced(graph, "MaxPool", "Relu"), "does not fit config D: expected 36 layers, with pool"),
        (_pooled_up, "rounds some pooled sizes up and others down"),
        (
            lambda graph: graph.node.insert(0, onnx.helper.make_node("Gather", ["images", "i"], ["x"], axis=1)),
            "the operator Gather",
        ),
        (
            lambda graph: graph.node.insert(3, onnx.helper.make_node("Identity", [], ["x"])),
            "is not a complete ONNX model",
        ),
        (lambda graph: _replaced(graph, "Relu", "Softmax"), "goes on with Conv after an average or softmax"),
        (lambda graph: _replaced(graph, "Relu", "GlobalAveragePool"), "goes on with Conv after an average or softmax"),
        (_averaged, r"AveragePool with kernel_shape \[3, 3\]"),
        (lambda graph: graph.initializer.pop(0), "computes the weights of Conv"),
        (lambda graph: graph.initializer[0].dims.append(10**9), "expected at most 300,000,000 values"),
    ],
)
def test_a_graph_that_means_something_else_is_refused(
    change: Callable[[onnx.GraphProto], object], sentence: str, tmp_path: Path
) -> None:
    model = onnx.load(CORPUS / "D.onnx")
    change(model.graph)
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(WeightsError, match=sentence):
        read_weights(tmp_path / "x.onnx", D)


def _replaced(graph: onnx.GraphProto, operator: str, other: str) -> None:
    node = next(node for node in graph.node if node.op_type == operator)
    node.op_type = other
    del node.attribute[:]


def _attribute(graph: onnx.GraphProto, operator: str, name: str, value: list[int]) -> None:
    node = next(node for node in graph.node if node.op_type == operator)
    attribute = next(attribute for attribute in node.attribute if attribute.name == name)
    del attribute.ints[:]
    attribute.ints.extend(value)


@pytest.mark.parametrize("place", ["../secret", "/etc/hostname"])
def test_external_data_outside_the_folder_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(1000))
    (tmp_path / "in").mkdir()
    model = onnx.load(CORPUS / "D.onnx")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    tensor.external_data.add(key="length", value=str(4 * math.prod(tensor.dims)))
    (tmp_path / "in" / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="is not a complete ONNX model"):
        read_weights(tmp_path / "in" / "x.onnx", D)


def test_a_bias_that_is_left_out_is_zero(tmp_path: Path) -> None:
    model = onnx.load(CORPUS / "D.onnx")
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    del first.input[2:]
    onnx.save(model, tmp_path / "x.onnx")
    tensors = read_weights(tmp_path / "x.onnx", D).tensors
    assert tensors["features.0.bias"].tolist() == [0] * len(tensors["features.0.weight"])


def test_external_data_beside_the_graph_is_read(tmp_path: Path) -> None:
    onnx.save(
        onnx.load(CORPUS / "D.onnx"), tmp_path / "x.onnx", save_as_external_data=True, location="x.data",
        size_threshold=0,
    )  # fmt: skip
    inside, beside = (read_weights(path, D) for path in (CORPUS / "D.onnx", tmp_path / "x.onnx"))
    assert all(torch.equal(tensor, beside.tensors[name]) for name, tensor in inside.tensors.items())
    assert inside.sha256 == beside.sha256
    data = bytearray((tmp_path / "x.data").read_bytes())
    data[0] ^= 1
    (tmp_path / "x.data").write_bytes(data)
    assert read_weights(tmp_path / "x.onnx", D).sha256 != inside.sha256

"""ONNX graphs that run as they are: equal to PyTorch, and files that claim what is not so."""

import hashlib
import random
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torchvision
from onnx import ModelProto, TensorProto, helper, numpy_helper
from small_nets import CLASSES, SIDE, images, scores, small, write_onnx
from torch import Tensor, nn

from vggbench.errors import UsageError, VggbenchError, WeightsError
from vggbench.nets import onnxruntime_session
from vggbench.weights.classifiers import onnx_file, onnx_guards
from vggbench.weights.classifiers.onnx_file import read_onnx
from vggbench.weights.files import file_hash


@pytest.fixture(scope="module")
def open_sized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_onnx(small(), tmp_path_factory.mktemp("onnx") / "small.onnx")


def graph_file(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str | None] = ("N", 3, "H", "W"),
    weights: dict[str, Any] | None = None,
    kind: int = TensorProto.FLOAT,
    outputs: Sequence[str] = ("scores",),
) -> Path:
    """A model of these nodes, from `pixels` on."""
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("pixels", kind, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def averaged(*after: onnx.NodeProto, axes: tuple[int, int] = (2, 3), to: str = "scores") -> list[onnx.NodeProto]:
    """The means of all colours as scores, or what follows on them."""
    return [helper.make_node("ReduceMean", ["pixels"], [to], axes=axes, keepdims=0), *after]


def changed(source: Path, change: Callable[[ModelProto], object]) -> Path:
    model = onnx.load(source)
    change(model)
    path = source.with_name("changed.onnx")
    onnx.save(model, path)
    return path


# What is read runs as PyTorch runs it


@pytest.mark.thorough
@pytest.mark.parametrize("dynamo", [False, True])
def test_scores_are_pytorchs(dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=7).eval()
    path = tmp_path / "net.onnx"
    sizes: dict[str, Any] = {"dynamic_shapes": ({0: "N"},)} if dynamo else {"dynamic_axes": {"pixels": {0: "N"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (images(2, 64),), path, dynamo=dynamo, input_names=["pixels"], verbose=False, **sizes
        )  # fmt: skip
    found = read_onnx(path)
    assert torch.allclose(scores(found.module, images(3, 64)), scores(net, images(3, 64)), atol=1e-5)
    assert (found.size, found.batch, found.classes, found.macs, found.said) == ((64, 64), None, 7, None, ())
    assert not found.is_quantised
    outside = tmp_path / "net.onnx.data"
    both = path.read_bytes() + (outside.read_bytes() if outside.exists() else b"")
    assert found.sha256 == hashlib.sha256(both).hexdigest()


def test_sizes_that_the_file_leaves_open(open_sized: Path) -> None:
    found = read_onnx(open_sized, SIDE)
    assert (found.size, found.batch, found.said, found.sha256) == (None, None, (), file_hash(open_sized))
    for count, side in ((1, 24), (5, 30), (2, 33)):
        assert torch.allclose(
            scores(found.module, images(count, side)), scores(small(), images(count, side)), atol=1e-5
        )


def test_parameters_are_weights_and_biases(open_sized: Path) -> None:
    """The exporter has folded normalisation into the first convolution."""
    assert read_onnx(open_sized, SIDE).parameters == 8 * 3 * 9 + 8 + 8 * 8 * 9 + CLASSES * 8 + CLASSES


@pytest.mark.parametrize("batch", [1, 4])
def test_a_batch_that_the_file_fixes(batch: int, tmp_path: Path) -> None:
    found = read_onnx(write_onnx(small(), tmp_path / "net.onnx", batch=batch, side=SIDE))
    assert (found.size, found.batch) == ((SIDE, SIDE), batch)
    assert (found.said != ()) == (batch > 1)
    assert torch.allclose(scores(found.module, images(10)), scores(small(), images(10)), atol=1e-5)


def test_another_size_than_the_file_fixes(tmp_path: Path) -> None:
    found = read_onnx(write_onnx(small(), tmp_path / "net.onnx", side=SIDE))
    with pytest.raises(WeightsError, match="takes images of 24 x 24: expected those, found 32 x 32"):
        found.module(images(1, 32))


def test_channels_last(tmp_path: Path) -> None:
    path = graph_file(tmp_path / "net.onnx", averaged(axes=(1, 2)), ("N", "H", "W", 3))
    found = read_onnx(path, SIDE)
    assert found.said == ("its images have channels last (NHWC)",)
    assert torch.allclose(scores(found.module, images(3)), images(3).mean((2, 3)), atol=1e-6)


def test_shapes_of_scores(tmp_path: Path) -> None:
    def made(node: str, shape: Sequence[int | str | None], **options: Any) -> tuple[Tensor, tuple[str, ...]]:
        nodes = [helper.make_node(node, ["pixels"], ["scores"], **options)]
        found = read_onnx(graph_file(tmp_path / "net.onnx", nodes, shape), SIDE)
        assert found.classes == 3
        return scores(found.module, images(2)), found.said

    means = images(2).mean((2, 3))
    assert torch.allclose(made("GlobalAveragePool", ("N", 3, "H", "W"))[0], means, atol=1e-6)  # (N, K, 1, 1)
    assert torch.allclose(made("ReduceMean", ("N", "H", "W", 3), axes=[1, 2])[0], means, atol=1e-6)  # (N, 1, 1, K)
    assert torch.equal(made("Identity", ("N", 3, "H", "W"))[0], images(2))  # (N, K, h, w)
    found, said = made("Identity", ("N", "H", "W", 3))  # (N, h, w, K)
    assert torch.equal(found, images(2))
    assert "its maps of scores are read with channels last, as its images are" in said


def test_probabilities_become_their_logarithms(tmp_path: Path) -> None:
    found = read_onnx(write_onnx(small(nn.Softmax(1)), tmp_path / "net.onnx"), SIDE)
    assert found.said == ("its outputs are probabilities: their logarithms are taken as scores",)
    assert torch.allclose(scores(found.module, images(4)), scores(small(), images(4)).log_softmax(1), atol=1e-4)
    assert read_onnx(write_onnx(small(nn.LogSoftmax(1)), tmp_path / "net.onnx"), SIDE).said == ()
    assert "do not sum to 1" in read_onnx(write_onnx(small(nn.Sigmoid()), tmp_path / "net.onnx"), SIDE).said[0]


def test_logarithms_of_probabilities_are_right_for_dense_evaluation(tmp_path: Path) -> None:
    """The softmax of the mean over positions is the same as of the scores'."""
    net = nn.Sequential(nn.Conv2d(3, CLASSES, 5, 4)).eval()
    found = read_onnx(write_onnx(nn.Sequential(net, nn.Softmax(1)).eval(), tmp_path / "net.onnx"), SIDE)
    given = images(3, 33) * 3
    assert torch.allclose(
        scores(found.module, given).mean((2, 3)).softmax(1), scores(net, given).mean((2, 3)).softmax(1), atol=1e-5
    )


class Calibration:
    """Images, as the quantiser reads them."""

    def __init__(self) -> None:
        self._left = iter(torch.split(images(16), 4))

    def get_next(self) -> dict[str, Any] | None:
        part = next(self._left, None)
        return None if part is None else {"pixels": part.numpy()}


def quantised(source: Path, path: Path, form: str) -> Path:
    from onnxruntime import quantization as q

    if form == "dynamic":
        q.quantize_dynamic(source, path)
        return path
    kind = q.QuantFormat.QDQ if form == "qdq" else q.QuantFormat.QOperator
    q.quantize_static(source, path, Calibration(), quant_format=kind)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["qdq", "qoperator", "dynamic"])
@pytest.mark.parametrize("ending", [None, "softmax"])
def test_quantised_graphs(form: str, ending: str | None, tmp_path: Path) -> None:
    source = write_onnx(small(nn.Softmax(1) if ending else None), tmp_path / "net.onnx")
    path = quantised(source, tmp_path / "quantised.onnx", form)
    found = read_onnx(path, SIDE)
    assert found.is_quantised
    assert found.parameters == read_onnx(source, SIDE).parameters
    expected, given = scores(small(), images(8)).softmax(1), scores(found.module, images(8))
    assert torch.allclose(given.softmax(1), expected, atol=0.1)
    assert any("are probabilities" in sentence for sentence in found.said) == bool(ending)
    assert any("one by one" in sentence for sentence in found.said) == (form == "dynamic")
    alone = torch.cat([scores(found.module, images(8)[place : place + 1]) for place in range(8)])
    assert torch.allclose(given, alone, atol=1e-5)


def test_dynamic_quantisation_depends_on_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by running it, too, where its operators' names do not tell."""
    path = quantised(write_onnx(small(), tmp_path / "net.onnx"), tmp_path / "quantised.onnx", "dynamic")
    monkeypatch.setattr(onnx_file, "_DYNAMIC", ("Nothing",))
    assert "images go one by one" in read_onnx(path, SIDE).said[0]
    fixed = quantised(write_onnx(small(), tmp_path / "four.onnx", batch=4, side=SIDE), tmp_path / "q4.onnx", "dynamic")
    with pytest.raises(WeightsError, match="depends on the others in its batch"):
        read_onnx(fixed)


def test_half_precision(tmp_path: Path) -> None:
    path = graph_file(tmp_path / "net.onnx", averaged(), kind=TensorProto.FLOAT16)
    found = scores(read_onnx(path, SIDE).module, images(2))
    assert found.dtype == torch.float32
    assert torch.allclose(found, images(2).mean((2, 3)), atol=1e-2)


def test_weights_are_in_memory_once(open_sized: Path) -> None:
    """The graph that was looked at is let go, and threads that changed make one session, not two."""
    module = read_onnx(open_sized, SIDE).module
    (runner,) = [part for part in module.modules() if isinstance(part, onnx_file.OnnxRunner)]
    first = runner._opened
    assert first is not None
    scores(module, images(1))
    assert runner._opened is first
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        scores(module, images(1))
    finally:
        torch.set_num_threads(threads)
    assert runner._opened is not None
    assert runner._opened[1] == threads + 1


def test_a_copy_opens_a_session_of_its_own(open_sized: Path) -> None:
    from copy import deepcopy

    module = read_onnx(open_sized, SIDE).module
    assert torch.equal(scores(deepcopy(module), images(2)), scores(module, images(2)))


def test_onnxruntime_for_another_cuda_is_said(open_sized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(onnxruntime, "cuda_version", "12.8", raising=False)
    with pytest.raises(UsageError, match=r"onnx:net.onnx: .* or --device cpu"):
        onnxruntime_session.open_session(
            open_sized, torch.device("cuda"), asked="onnx:net.onnx", otherwise="--device cpu"
        )


def test_memory_that_does_not_suffice(open_sized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = read_onnx(open_sized, SIDE).module

    def fail(*_: Any) -> None:
        raise RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 9")

    monkeypatch.setattr(onnx_file.OnnxRunner, "_session", fail)
    with pytest.raises(torch.OutOfMemoryError):
        module(images(1))


# What is not a classifier in use is refused


@pytest.mark.parametrize(
    ("shape", "kind", "said"),
    [
        (("N", 3, "H", 3), TensorProto.FLOAT, "expected images of floating point, their three colours"),
        (("N", "C", "H", "W"), TensorProto.FLOAT, "takes 'pixels' of any x any x any x any"),
        (("N", 1, 28, 28), TensorProto.FLOAT, "takes 'pixels' of any x 1 x 28 x 28"),
        (("N", 3, 224), TensorProto.FLOAT, "their three colours"),
        (("N", 3, 24, "W"), TensorProto.FLOAT, "expected both sides fixed, or neither"),
        (("N", 3, "H", "W"), TensorProto.UINT8, "rescales them by itself"),
        (("N", 3, "H", "W"), TensorProto.INT64, "expected images of floating point"),
    ],
)
def test_what_is_no_image(shape: Sequence[int | str], kind: int, said: str, tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["pixels"], ["scores"])]
    with pytest.raises(WeightsError, match=said):
        read_onnx(graph_file(tmp_path / "net.onnx", nodes, shape, kind=kind), SIDE)


def test_outputs_that_could_be_scores(tmp_path: Path) -> None:
    other = helper.make_node("Neg", ["scores"], ["others"])
    path = graph_file(tmp_path / "net.onnx", averaged(other), outputs=("scores", "others"))
    with pytest.raises(WeightsError, match=r"yields scores \(1, 3\), others \(1, 3\): expected one output of scores"):
        read_onnx(path, SIDE)
    top = helper.make_node("ReduceMax", ["scores"], ["others"], axes=[1])
    path = graph_file(tmp_path / "net.onnx", averaged(top), outputs=("others", "scores"))
    assert torch.allclose(scores(read_onnx(path, SIDE).module, images(2)), images(2).mean((2, 3)), atol=1e-6)


def test_two_inputs(tmp_path: Path) -> None:
    def add(model: ModelProto) -> None:
        model.graph.input.append(helper.make_tensor_value_info("others", TensorProto.FLOAT, ["N", 3]))

    with pytest.raises(WeightsError, match=r"takes 2 inputs \(pixels, others\)"):
        read_onnx(changed(graph_file(tmp_path / "net.onnx", averaged()), add))


def test_an_input_that_is_a_weight_is_none(tmp_path: Path) -> None:
    def add(model: ModelProto) -> None:
        model.graph.input.append(helper.make_tensor_value_info("by", TensorProto.FLOAT, [3]))

    nodes = averaged(helper.make_node("Mul", ["means", "by"], ["scores"]), to="means")
    path = changed(graph_file(tmp_path / "net.onnx", nodes, weights={"by": np.array([1, 2, 3], "f4")}), add)
    found = read_onnx(path, SIDE)
    assert found.parameters == 3
    assert torch.allclose(scores(found.module, images(2)), images(2).mean((2, 3)) * torch.tensor([1, 2, 3]), atol=1e-5)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (helper.make_node("RandomNormalLike", ["means"], ["scores"]), r"as for training \(RandomNormalLike\)"),
        (helper.make_node("Nothing", ["means"], ["scores"]), "cannot be opened by ONNX Runtime"),
        (helper.make_node("Sure", ["means"], ["scores"], domain="custom"), "expected a graph of operators that it has"),
        (helper.make_node("EPContext", ["means"], ["scores"], domain="com.microsoft"), "has no bound"),
        (helper.make_node("ReduceSum", ["means"], ["scores"], keepdims=0), "expected one output of scores"),
        (helper.make_node("Unsqueeze", ["means", "axis"], ["scores"]), "expected one output of scores"),
    ],
)
def test_graphs_that_are_refused(node: onnx.NodeProto, said: str, tmp_path: Path) -> None:
    path = graph_file(tmp_path / "net.onnx", averaged(node, to="means"), weights={"axis": np.array([0])})
    with pytest.raises(WeightsError, match=said) as refused:
        read_onnx(path, SIDE)
    assert "\n" not in str(refused.value)


def test_scores_of_another_batch(tmp_path: Path) -> None:
    """An exporter that wrote the batch of its example into a reshape."""
    flat = helper.make_node("Reshape", ["means", "shape"], ["scores"])
    path = graph_file(tmp_path / "net.onnx", averaged(flat, to="means"), weights={"shape": np.array([1, -1])})
    with pytest.raises(WeightsError, match=r"yields \(1, 12\) for 4 images: expected scores of each"):
        read_onnx(path, SIDE)


def test_training_as_onnx_has_it(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("BatchNormalization", ["pixels", *"1001"], ["maps", "m", "v"], training_mode=1),
        helper.make_node("ReduceMean", ["maps"], ["scores"], axes=[2, 3], keepdims=0),
    ]  # fmt: skip
    weights = {"1": np.ones(3, "f4"), "0": np.zeros(3, "f4")}
    with pytest.raises(WeightsError, match=r"as for training \(BatchNormalization\)"):
        read_onnx(graph_file(tmp_path / "net.onnx", nodes, weights=weights), SIDE)


def test_dropout_in_training(tmp_path: Path) -> None:
    def made(in_training: bool) -> Path:
        node = helper.make_node("Dropout", ["means", "ratio", "training"], ["scores"])
        weights = {"ratio": np.float32(0.5), "training": np.bool_(in_training)}
        return graph_file(tmp_path / "net.onnx", averaged(node, to="means"), weights=weights)

    assert read_onnx(made(False), SIDE).classes == 3
    with pytest.raises(WeightsError, match=r"as for training \(Dropout\)"):
        read_onnx(made(True), SIDE)


def test_what_is_random_in_a_way_that_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_guards, "_RANDOM", set())
    noise = [
        helper.make_node("RandomNormalLike", ["means"], ["noise"]),
        helper.make_node("Add", ["means", "noise"], ["scores"]),
    ]
    with pytest.raises(WeightsError, match="yields other scores each time that it runs"):
        read_onnx(graph_file(tmp_path / "net.onnx", averaged(*noise, to="means")), SIDE)


def test_a_size_at_which_it_does_not_run(tmp_path: Path) -> None:
    """The graph does not say so itself."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, CLASSES)).eval()
    path = write_onnx(net, tmp_path / "net.onnx")
    assert read_onnx(path, SIDE).classes == CLASSES
    with pytest.raises(WeightsError, match=r"does not run on images of shape \(1, 3, 224, 224\)") as refused:
        read_onnx(path)
    assert "\n" not in str(refused.value)


# Files that claim what is not so


def outside(source: Path, **entries: str) -> Path:
    """The model, one of whose weights is said to be in another file."""

    def change(model: ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 2)
        (source.parent / "weights.bin").write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in ({"location": "weights.bin"} | entries).items():
            tensor.external_data.add(key=key, value=value)

    return changed(source, change)


def test_weights_beside_it(tmp_path: Path) -> None:
    path = outside(write_onnx(small(), tmp_path / "net.onnx"))
    found = read_onnx(path, SIDE)
    assert torch.allclose(scores(found.module, images(2)), scores(small(), images(2)), atol=1e-5)
    before = found.sha256
    data = bytearray((tmp_path / "weights.bin").read_bytes())
    data[3] ^= 1
    (tmp_path / "weights.bin").write_bytes(data)
    assert read_onnx(path, SIDE).sha256 != before


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"location": "/etc/passwd"}, "expected a file in its own folder"),
        ({"location": "../weights.bin"}, "expected a file in its own folder"),
        ({"location": "link.bin"}, "expected a file in its own folder"),
        ({"location": ""}, "expected a file in its own folder"),
        ({"location": "."}, "which is not there"),
        ({"location": "nothing.bin"}, "which is not there"),
        ({"offset": "4"}, "expected it whole"),
        ({"offset": "-4"}, "expected it whole"),
        ({"length": "9999"}, "expected it whole"),
        ({"length": "many"}, "is not a complete ONNX model"),
        ({"code": "x"}, "expected a file in its own folder"),
    ],
)
def test_weights_elsewhere(entries: dict[str, str], said: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(10_000))
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(WeightsError, match=said):
        read_onnx(outside(write_onnx(small(), folder / "net.onnx"), **entries), SIDE)


def test_a_file_outside_would_be_read_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard is what refuses it first: without, ONNX Runtime is asked, which need not."""
    path = outside(write_onnx(small(), tmp_path / "net.onnx"), location="../weights.bin")
    monkeypatch.setattr(onnx_guards, "_require_inside", lambda *_: tmp_path / "weights.bin")
    with pytest.raises(WeightsError, match="cannot be opened by ONNX Runtime"):
        read_onnx(path, SIDE)


def claim(**fields: Any) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 2)
        for name, value in fields.items():
            if name == "dims":
                tensor.dims[:] = value
            else:
                setattr(tensor, name, value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        claim(dims=[2**20, 2**20]), claim(dims=[-5, -8]), claim(raw_data=b"1234"), claim(data_type=11),
        claim(data_type=99), claim(dims=[1] * 40),
    ],
)  # fmt: skip
def test_a_tensor_that_is_not_there(change: Callable[[ModelProto], None], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"claims a tensor 'fc.weight' of shape"):
        read_onnx(changed(write_onnx(small(), tmp_path / "net.onnx"), change), SIDE)


def test_loops_and_depths(tmp_path: Path) -> None:
    inner = helper.make_graph([helper.make_node("Loop", [], ["x"])], "inner", [], [])
    for _ in range(3):
        inner = helper.make_graph([helper.make_node("If", ["c"], ["x"], then_branch=inner)], "inner", [], [])
    node = helper.make_node("If", ["means"], ["scores"], then_branch=inner, else_branch=inner)
    with pytest.raises(WeightsError, match="has the operator Loop, which has no bound"):
        read_onnx(graph_file(tmp_path / "net.onnx", averaged(node, to="means")), SIDE)
    for _ in range(9):
        inner = helper.make_graph([helper.make_node("If", ["c"], ["x"], then_branch=inner)], "inner", [], [])
    inner.node[0].op_type = "Loop2"
    node = helper.make_node("If", ["means"], ["scores"], then_branch=inner)
    path = graph_file(tmp_path / "net.onnx", averaged(node, to="means"))
    with pytest.raises(WeightsError, match="nests too deep"):
        read_onnx(path, SIDE)


@pytest.mark.parametrize("content", [b"", b"these are no weights\n" * 9, b"PK\x03\x04" + bytes(100), bytes(1000)])
def test_what_is_no_graph(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="is not a complete ONNX model") as refused:
        read_onnx(path)
    assert "\n" not in str(refused.value)


def test_other_files_named_onnx(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    torch.save(small().state_dict(), path)
    with pytest.raises(WeightsError, match="is not a complete ONNX model"):
        read_onnx(path)
    with pytest.raises(WeightsError, match="There is no readable weights file"):
        read_onnx(tmp_path / "none.onnx")
    with pytest.raises(WeightsError, match="There is no readable weights file"):
        read_onnx(tmp_path)


def test_files_that_are_cut_short_or_changed(open_sized: Path, tmp_path: Path) -> None:
    """There is no check sum in it: it is refused, or it is another network, which its hash tells."""
    content, draw, path = open_sized.read_bytes(), random.Random(0), tmp_path / "net.onnx"
    damaged = [content[: len(content) * part // 50] for part in range(50)]
    for _ in range(200):
        flipped = bytearray(content)
        flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        damaged.append(bytes(flipped))
    ran = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            found = read_onnx(path, SIDE)
            assert len(scores(found.module, images(2))) == 2
        except VggbenchError as error:
            said = str(error)
        else:
            said, ran = "", ran + 1
            assert found.sha256 != file_hash(open_sized)
        assert "\n" not in said
    assert 0 < ran < 200

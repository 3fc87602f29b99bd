"""Backends: which one is taken, that both give the same, and that one that does not is refused."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Result
from torch import Tensor, nn
from torch._dynamo.utils import counters

from vggbench import INPUTS, VGG, Job, Model, Protocol, Settings, open_data, posteriors
from vggbench.errors import NumericsError, UsageError
from vggbench.evaluation.loop import evaluate
from vggbench.inference.backend import TOLERANCES, Backend
from vggbench.inference.choice import choose
from vggbench.inference.choice import start as start_backend
from vggbench.inference.choices import Asked, BackendName, Precision
from vggbench.inference.devices import views_that_fit
from vggbench.inference.onnxruntime_layers import OnnxRuntimeLayers, found_shape
from vggbench.inference.pytorch_layers import PairPool, channels_last, compiled, quickest_on_cpu
from vggbench.nets.cost import Architecture
from vggbench.nets.onnx_graph import leaves
from vggbench.paper.configs import CONFIGS
from vggbench.store.identity import Identity

CPU = torch.device("cpu")
NAMES = ("apple", "boat", "fish", "house")
QUICK = Settings(device="cpu", workers=0)


def _model(config: str, weights: dict[str, Tensor], *, ceil: bool = False) -> Model:
    net = VGG(CONFIGS[config], 4, 1 / 16, ceil_pool=ceil)
    net.load_state_dict(weights)
    network = Architecture(CONFIGS[config], 4, 1 / 16, ceil)
    return Model(
        Identity("D@x", INPUTS["caffe"], 4, NAMES, config, architecture=network), net.eval().requires_grad_(False)
    )


def _named(width: float) -> Model:
    """A net that says it is so wide."""
    net = VGG(CONFIGS["A"], 4, 1 / 64)
    return Model(
        Identity("A@x", INPUTS["caffe"], 4, NAMES, "x", architecture=Architecture(CONFIGS["A"], 4, width)), net
    )


@pytest.mark.parametrize(
    ("asked", "width", "protocol", "device", "precision", "expected"),
    [
        ("auto", 1.0, "dense", "cpu", "fp32", "onnxruntime"),
        ("auto", 0.5, "multicrop", "cpu", "fp32", "onnxruntime"),
        ("auto", 1.0, "multicrop8", "cpu", "fp32", "pytorch"),
        ("auto", 0.0625, "dense", "cpu", "fp32", "pytorch"),
        ("auto", 1.0, "dense", "cuda", "fp32", "pytorch"),
        ("auto", 1.0, "dense", "cpu", "bf16", "pytorch"),
        ("pytorch", 1.0, "dense", "cpu", "fp32", "pytorch"),
        ("onnxruntime", 0.0625, "multicrop8", "cuda:1", "fp32", "onnxruntime"),
    ],
)
def test_what_is_taken(
    asked: Asked, width: float, protocol: str, device: str, precision: Precision, expected: str
) -> None:
    assert choose(asked, _named(width), Protocol.parse(protocol), torch.device(device), precision) == expected


@pytest.mark.parametrize(
    ("asked", "device", "precision", "protocol", "compiled", "says"),
    [
        ("onnxruntime", "cpu", "bf16", "center", False, "fp32 alone, and --precision is bf16. Expected fp32"),
        ("onnxruntime", "mps", "fp32", "center", False, "CPU and CUDA, and the device is mps"),
        ("onnxruntime", "cpu", "fp32", "center", True, "--compile is PyTorch's, and --backend onnxruntime"),
        ("auto", "cpu", "fp32", "dense", True, "--compile with dense: .* Expected center, tencrop or multicrop"),
        ("pytorch", "cpu", "fp32", "multicrop8", True, "--compile with multicrop8"),
    ],
)
def test_what_is_refused(
    asked: Asked, device: str, precision: Precision, protocol: str, compiled: bool, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        choose(asked, _named(1), Protocol.parse(protocol), torch.device(device), precision, compiled=compiled)


def test_other_networks_run_in_pytorch() -> None:
    model = Model.wrap("mean", lambda images: images.mean((2, 3)), INPUTS["torchvision"], NAMES[:3], identity="x")
    assert choose("auto", model, Protocol("dense"), CPU, "fp32") == "pytorch"
    with pytest.raises(UsageError, match="mean is not a VGG"):
        choose("onnxruntime", model, Protocol("dense"), CPU, "fp32")


@pytest.mark.parametrize(("free", "views"), [(0, 1), (200 * 2**20, 1), (16 * 2**30, 128), (100 * 2**30, 256)])
def test_the_batch_follows_the_memory_of_a_gpu(free: int, views: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (free, 2 * free))
    assert views_that_fit(torch.device("cuda")) == views


def test_it_works_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggbench.inference.choice.find_spec", lambda name: None)
    assert choose("auto", _named(1), Protocol("dense"), CPU, "fp32") == "pytorch"
    with pytest.raises(UsageError, match=r"is not installed\. Expected it: pip install onnxruntime"):
        choose("onnxruntime", _named(1), Protocol("dense"), CPU, "fp32")


@pytest.mark.thorough
def test_it_is_not_imported_where_it_is_not_used(few_drawn: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['onnxruntime'] = sys.modules['onnx'] = None\n"
        "import vggbench.sample.pictures as sample; sample.SPLITS = dict.fromkeys(sample.SPLITS, 1)\n"
        f"sys.argv = ['vggbench', 'eval', 'A@sample', '--data', 'sample', '--center', '--runs', {str(tmp_path)!r}]\n"
        "from vggbench.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "PyTorch on cpu" in done.stdout


@pytest.mark.thorough
@pytest.mark.parametrize(("config", "ceil"), [("D", True), ("A-LRN", False), ("D-BN", False), ("C", True)])
def test_every_protocol_gives_the_same(
    config: str, ceil: bool, pictures: Path, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    model = _model(config, peaked(config), ceil=ceil)
    protocols = ["center", "tencrop", "dense", "multicrop", "multicrop8"] if config == "D" else ["dense", "multicrop8"]
    jobs = [Job(model, Protocol.parse(name), 256) for name in protocols]
    data = open_data(pictures)
    own = evaluate(data, jobs, tmp_path, replace(QUICK, backend="pytorch"))
    other = evaluate(data, jobs, tmp_path, replace(QUICK, backend="onnxruntime"))
    for one, two in zip(own, other, strict=True):
        assert (one.signature["backend"], two.signature["backend"]) == ("pytorch", "onnxruntime")
        assert one.folder != two.folder
        assert [entry["backend"] for entry in two.provenance] == ["ONNX Runtime"]
        assert posteriors(one).max() > 0.4
        np.testing.assert_allclose(posteriors(one), posteriors(two), atol=2e-5)


@pytest.mark.parametrize("protocol", ["center", "dense", "multicrop8"])
def test_scores_that_differ_are_refused(
    protocol: str,
    pictures: Path,
    peaked: Callable[..., dict[str, Tensor]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = OnnxRuntimeLayers.__call__
    monkeypatch.setattr(OnnxRuntimeLayers, "__call__", lambda self, given: right(self, given) * 1.001)
    job = Job(_model("A", peaked("A")), Protocol.parse(protocol), 256)
    with pytest.raises(NumericsError, match=r"ONNX Runtime's scores for D@x differ from PyTorch's by"):
        evaluate(open_data(pictures), [job], tmp_path, replace(QUICK, backend="onnxruntime"))
    assert not list(tmp_path.rglob("*.parquet"))


def test_each_run_is_checked(
    pictures: Path, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model's later runs as well, and those that are complete are left alone."""
    right = OnnxRuntimeLayers.__call__
    job = Job(_model("A", peaked("A")), Protocol("center"), 256)
    ours = replace(QUICK, backend="onnxruntime")
    evaluate(open_data(pictures), [job], tmp_path, ours)

    def wrong_where_large(self: OnnxRuntimeLayers, given: Tensor) -> Tensor:
        return right(self, given) * (3 if given.ndim == 4 and given.shape[-1] > 224 else 1)

    monkeypatch.setattr(OnnxRuntimeLayers, "__call__", wrong_where_large)
    evaluate(open_data(pictures), [job], tmp_path, ours)
    for protocols in (["center", "dense"], ["tencrop", "dense"]):
        jobs = [Job(job.model, Protocol.parse(name), 256) for name in protocols]
        with pytest.raises(NumericsError, match="differ from PyTorch's by"):
            evaluate(open_data(pictures), jobs, tmp_path, ours)
    assert not list(tmp_path.glob("*dense*/posteriors/*.parquet"))


def test_only_runs_that_lack_something_start_a_backend(
    pictures: Path, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Job(_model(config, peaked(config)), Protocol("center"), 256) for config in ("A", "B"))
    evaluate(open_data(pictures), [first], tmp_path, QUICK)
    started = []

    def start(name: BackendName, model: Model, *rest: Any) -> Backend:
        started.append(model)
        return start_backend(name, model, *rest)

    monkeypatch.setattr("vggbench.evaluation.loop.start", start)
    evaluate(open_data(pictures), [first, second], tmp_path, QUICK)
    assert started == [second.model]


def test_a_broken_package_is_no_traceback_and_no_silent_pytorch(
    vggbench: Callable[..., Result], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise OSError('libcudart.so.13: cannot open')")
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("vggbench.inference.choice._LEAST_WIDTH", 0)
    common = ("eval", "A@random", "--width", 1 / 64, "--data", pictures, "--center", "--scales", 256)
    for command in (common, (*common, "--backend", "onnxruntime")):
        done = vggbench(*command)
        assert (done.code, done.out) == (2, "")
        assert "installed and cannot be imported (libcudart.so.13: cannot open)" in done.err
    assert vggbench(*common, "--backend", "pytorch").code == 0


def test_nan_is_called_nan(pictures: Path, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> None:
    weights = peaked("A")
    weights["classifier.6.weight"][1] = torch.nan
    with pytest.raises(NumericsError, match="gives NaN"):
        evaluate(
            open_data(pictures), [Job(_model("A", weights), Protocol("center"), 256)], tmp_path,
            replace(QUICK, backend="onnxruntime"),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("message", "kind"),
    [("Failed to allocate memory for requested buffer of size 99", torch.OutOfMemoryError), ("bad node", ValueError)],
)
def test_no_memory_is_told_from_other_errors(
    message: str, kind: type[Exception], peaked: Callable[..., dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = _model("A", peaked("A")).module
    assert isinstance(network, VGG)
    layers = OnnxRuntimeLayers(network.features, CPU)

    class Fails:
        def __getattr__(self, name: str) -> Any:
            return getattr(session, name)

        def run_with_iobinding(self, binding: object) -> None:
            raise ValueError(message)

    session = layers._session
    monkeypatch.setattr(layers, "_session", Fails())
    with pytest.raises(kind, match=message):
        layers(torch.zeros(1, 3, 224, 224))


@pytest.mark.parametrize("ceil", [True, False])
@pytest.mark.parametrize("config", CONFIGS)
def test_shapes_are_known_beforehand(config: str, ceil: bool) -> None:
    net = VGG(CONFIGS[config], 4, 1 / 64, ceil_pool=ceil).eval()
    shapes: list[tuple[nn.Sequential, tuple[int, ...]]] = [(net.features, (2, 3, 251, 341)), (net.classifier, (5, 392))]
    for layers, shape in shapes:
        assert found_shape(list(leaves(layers)), torch.Size(shape)) == layers(torch.zeros(shape)).shape


def test_the_command_line_names_the_backend(vggbench: Callable[..., Result], few_drawn: Path) -> None:
    common = ("eval", "A@sample", "--data", "sample", "--center", "--backend", "onnxruntime")
    assert '"backend": "onnxruntime"' in vggbench(*common, "--format", "json").out
    done = vggbench(*common, "-v")
    assert "ONNX Runtime on cpu" in done.out
    assert "A@sample center Q=256: ONNX Runtime 1." in done.err
    assert vggbench("eval", "A@sample", "--data", "sample", "--backend", "tensorrt").code == 2


@pytest.mark.slow
def test_compiled_gives_the_same(pictures: Path, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> None:
    job = Job(_model("A", peaked("A")), Protocol("tencrop"), 256)
    (plain,) = evaluate(open_data(pictures), [job], tmp_path, replace(QUICK, backend="pytorch"))
    (compiled,) = evaluate(open_data(pictures), [job], tmp_path, replace(QUICK, compile=True))
    assert compiled.signature["backend"] == "pytorch+compile"
    np.testing.assert_allclose(posteriors(plain), posteriors(compiled), atol=2e-5)


@pytest.mark.slow
def test_compiled_in_low_precision_is_no_error(
    pictures: Path, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    """It rounds elsewhere than plain PyTorch does, by more than float32's tolerance."""
    job = Job(_model("A", peaked("A")), Protocol("center"), 256)
    (found,) = evaluate(open_data(pictures), [job], tmp_path, replace(QUICK, compile=True, precision="bf16"))
    assert len(found.images) == 4


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_each_precision_has_its_tolerance(
    precision: Precision, pictures: Path, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """By which the scores of other layers, here compiled ones, may differ from plain PyTorch's, and no more."""
    factor, job = 1.0, Job(_model("A", peaked("A")), Protocol("center"), 256)

    def elsewhere(layers: nn.Sequential) -> Callable[[Tensor], Tensor]:
        return lambda given: layers(given) * (factor if isinstance(layers[0], nn.Linear) else 1)

    monkeypatch.setattr("vggbench.inference.choice.compiled", elsewhere)
    settings = replace(QUICK, compile=True, precision=precision)
    factor = 1 + TOLERANCES[precision] / 2
    evaluate(open_data(pictures), [job], tmp_path / "within", settings)
    factor = 1 + TOLERANCES[precision] * 2
    with pytest.raises(NumericsError, match=r"PyTorch compiled's scores for .* differ from PyTorch's by"):
        evaluate(open_data(pictures), [job], tmp_path / "beyond", settings)


@pytest.mark.slow
def test_every_size_is_compiled() -> None:
    """Beyond eight PyTorch goes on uncompiled by default, in silence."""
    run = compiled(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
    counters.clear()
    for rows in range(2, 14):
        run(torch.zeros(rows, 8))
    assert counters["stats"]["unique_graphs"] == 12


@pytest.mark.slow
def test_no_compiler_is_no_traceback(
    vggbench: Callable[..., Result], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/nonexistent/g++",))
    common = ("eval", "A@random", "--width", 1 / 32, "--data", pictures, "--center", "--scales", 256, "--compile")
    done = vggbench(*common)
    assert (done.code, done.out) == (2, "")
    assert "--compile: PyTorch cannot compile here" in done.err


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("channels", [1, 4, 64])
@pytest.mark.parametrize("size", [(14, 14), (15, 14), (14, 15), (15, 17)])
def test_pooling_by_pairs_is_pooling(size: tuple[int, int], channels: int, ceil: bool) -> None:
    pool, maps = nn.MaxPool2d(2, 2, ceil_mode=ceil), torch.randn(3, channels, *size)
    maps[0, 0, 3, 3] = torch.nan
    for layout in (torch.contiguous_format, torch.channels_last):
        found = PairPool(pool)(maps.contiguous(memory_format=layout))
        np.testing.assert_array_equal(found, pool(maps))


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("config", CONFIGS)
def test_another_order_of_layers_gives_the_same_bits(config: str, ceil: bool) -> None:
    net = VGG(CONFIGS[config], 4, 1 / 32, ceil_pool=ceil).eval()
    images = torch.randn(2, 3, 239, 325)
    with torch.inference_mode():
        assert torch.equal(quickest_on_cpu(net.features)(images), channels_last(net.features)(images))
        assert torch.equal(quickest_on_cpu(net.classifier)(torch.ones(3, 784)), net.classifier(torch.ones(3, 784)))


def test_the_layers_that_run_are_the_networks_own() -> None:
    """An ONNX graph has no layer that PyTorch's has not, dropout and nesting aside."""
    net = VGG(CONFIGS["A-LRN"], 4, 1 / 64).eval()
    assert [type(layer) for layer in leaves(net.classifier)].count(nn.Dropout) == 0
    assert len(list(leaves(net.features))) == len(net.features) + 1
    assert start_backend("onnxruntime", _named(1), CPU, "fp32").name == "ONNX Runtime"

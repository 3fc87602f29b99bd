"""What only a CUDA device shows (`pytest -m gpu`): the same posteriors as on the CPU, shared crops, precisions."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vggbench import INPUTS, VGG, Job, Model, Protocol, Settings, open_data, posteriors
from vggbench.evaluation.loop import evaluate
from vggbench.inference.choices import Precision
from vggbench.inference.devices import views_that_fit
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import initialise
from vggbench.paper.configs import CONFIGS
from vggbench.store.identity import Identity

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def _model() -> Model:
    net = VGG(CONFIGS["D"], 4, 0.25).eval()
    initialise(net, 0)
    with torch.no_grad():
        for layer in net.classifier:
            if isinstance(layer, torch.nn.Linear):
                layer.weight *= 4
    names = ("apple", "boat", "fish", "house")
    return Model(
        Identity("D@x", INPUTS["torchvision"], 4, names, "x", architecture=Architecture(CONFIGS["D"], 4, 0.25)), net
    )


@pytest.mark.parametrize("protocol", ["center", "dense", "multicrop", "multicrop8"])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("tf32", 2e-2), ("bf16", 0.2), ("fp16", 5e-2)])
def test_cuda_equals_the_cpu(
    precision: Precision, tolerance: float, protocol: str, pictures: Path, tmp_path: Path
) -> None:
    job = Job(_model(), Protocol.parse(protocol), 256)
    found = []
    for device in ("cpu", "cuda"):
        settings = Settings(device=device, precision=precision if device == "cuda" else "fp32", workers=0)
        (run,) = evaluate(open_data(pictures), [job], tmp_path / device, settings)
        found.append(posteriors(run))
    np.testing.assert_allclose(found[0], found[1], atol=tolerance)


@pytest.mark.parametrize("backend", ["onnxruntime", "pytorch+compile"])
def test_other_backends_equal_pytorch_on_the_cpu(backend: str, pictures: Path, tmp_path: Path) -> None:
    job = Job(_model(), Protocol("center"), 256)
    kind = {"compile": True} if backend == "pytorch+compile" else {"backend": backend}
    (expected,) = evaluate(open_data(pictures), [job], tmp_path / "cpu", Settings(device="cpu", workers=0))
    settings = Settings(device="cuda", workers=0, **kind)
    (found,) = evaluate(open_data(pictures), [job], tmp_path / "cuda", settings)
    assert found.signature["backend"] == backend
    np.testing.assert_allclose(posteriors(expected), posteriors(found), atol=1e-4)


def test_the_batch_size_follows_free_memory() -> None:
    device = torch.device("cuda")
    free = torch.cuda.mem_get_info(device)[0]
    views = views_that_fit(device)
    assert 1 <= views <= 256
    assert views == 256 or views * 64 * 2**20 <= free

"""What only a CUDA device shows (`pytest -m gpu`): the same posteriors as on the CPU, shared crops, precisions."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vggbench import INPUTS, VGG, Job, Model, Protocol, Settings, evaluate, open_data, posteriors
from vggbench.backends import Precision
from vggbench.configs import CONFIGS
from vggbench.cost import Network
from vggbench.model import initialise

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
    return Model("D@x", net, INPUTS["torchvision"], 4, names, "x", net=Network(CONFIGS["D"], 4, 0.25))


@pytest.mark.parametrize("protocol", ["center", "dense", "multicrop", "multicrop8"])
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("tf32", 2e-2), ("bf16", 0.2), ("fp16", 5e-2)])
def test_cuda_equals_the_cpu(
    precision: Precision, tolerance: float, protocol: str, pictures: Path, tmp_path: Path
) -> None:
    job = Job(_model(), Protocol.parse(protocol), 256)
    found = []
    for device, own in (("cpu", "fp32"), ("cuda", precision)):
        settings = Settings(device=device, precision=own, workers=0)  # type: ignore[arg-type]
        (run,) = evaluate(open_data(pictures), [job], tmp_path / device, settings)
        found.append(posteriors(run))
    np.testing.assert_allclose(found[0], found[1], atol=tolerance)

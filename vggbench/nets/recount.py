"""A recount of parameters and MACs by fvcore, which traces the network itself."""

import logging
import warnings

import torch

from vggbench.errors import NumericsError
from vggbench.nets.cost import Architecture, cost
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CROP


def recount(net: Architecture, height: int = CROP, width: int = CROP) -> tuple[int, int]:
    """Parameters and MACs of `net` on one view, as fvcore counts them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # fvcore and torch.jit both announce their future
        warnings.simplefilter("ignore", DeprecationWarning)
        from fvcore.nn import FlopCountAnalysis

        with torch.device("meta"):
            network = VGG(net.config, net.classes, net.width, ceil_pool=net.ceil_pool)
        network = network.to_empty(device="cpu").eval()
        logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
        analysis = FlopCountAnalysis(network, torch.empty(1, 3, height, width))
        by_operator = analysis.unsupported_ops_warnings(False).by_operator()
    macs = int(by_operator["conv"] + by_operator["linear"])
    return sum(parameter.numel() for parameter in network.parameters()), macs


def check(net: Architecture, height: int = CROP, width: int = CROP) -> None:
    """Raise NumericsError unless the closed form and fvcore agree to the last unit."""
    ours = cost(net, height, width)
    parameters, macs = recount(net, height, width)
    if (ours.parameters, ours.macs) != (parameters, macs):
        raise NumericsError(
            f"{net.config.name} at {height} x {width}: fvcore counts {parameters} parameters and {macs} MACs, "
            f"the closed form {ours.parameters} and {ours.macs}. Please report this."
        )

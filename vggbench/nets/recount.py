"""A count of parameters and MACs by fvcore, which traces the network itself: of any network, and to check our own."""

import contextlib
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn

from vggbench.errors import NumericsError
from vggbench.nets.cost import Architecture, cost
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CROP

_PRODUCTS = ("conv", "linear", "matmul", "einsum", "attention")
"""What fvcore calls the operators whose multiplications are counted, as by the paper's readers; "attention" is ours."""
# fmt: off
_WITHOUT_PRODUCTS = frozenset((
    "abs", "add", "add_", "add_scalar", "alias", "avg_pool2d", "adaptive_max_pool2d", "argmax", "bernoulli",
    "bitwise_not", "cat", "clamp", "clamp_", "clone", "ceil", "clamp_max", "clamp_min", "constant_pad_nd",
    "contiguous", "copy_", "cos", "cumsum", "div", "div_", "dropout", "dropout_", "elu", "eq", "erf", "exp", "expand",
    "expand_as", "eye", "feature_dropout", "fill_", "flatten", "floor", "floor_divide", "flip", "ge", "gelu", "gt",
    "hardsigmoid", "hardsigmoid_", "hardswish", "hardswish_", "hardtanh", "hardtanh_", "im2col", "index",
    "index_select", "instance_norm", "l1_norm", "leaky_relu", "leaky_relu_", "linspace", "log", "log_softmax",
    "logical_not", "lt", "masked_fill", "max", "max_pool2d", "maximum", "mean", "meshgrid", "minimum", "mish", "mul",
    "mul_", "ne", "neg", "new_zeros", "norm", "normal_", "ones", "ones_like", "pad", "permute", "pixel_shuffle",
    "pixel_unshuffle", "pow", "prelu", "reciprocal", "relu", "relu_", "relu6", "remainder", "repeat", "reshape",
    "reshape_as", "roll", "round", "rsqrt", "rsub", "scalar_tensor", "scatter", "select", "selu", "sigmoid",
    "sigmoid_", "sign", "silu", "silu_", "sin", "slice", "softmax", "softplus", "split", "sqrt", "square", "squeeze",
    "stack", "std", "sub", "sub_", "sum", "swapaxes", "tanh", "tile", "to", "topk", "transpose", "tril", "triu",
    "true_divide", "type_as", "unbind", "unflatten", "unfold", "unsqueeze", "var", "var_mean", "view", "where",
    "zeros", "zeros_like", "adaptive_avg_pool2d", "batch_norm", "group_norm", "layer_norm", "native_layer_norm",
    "upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "linalg_vector_norm",
))
# fmt: on
"""Operators that multiply nothing by weights, or value by value alone: they count for none here, as ReLU does."""


@dataclass(frozen=True)
class Counted:
    """Counts for one view. MACs: convolutions and matrix products; `uncounted`: operators without a rule, sorted."""

    parameters: int
    macs: int
    uncounted: tuple[str, ...] = ()


def count(network: nn.Module, height: int = CROP, width: int = CROP) -> Counted:
    """Parameters, each once, and MACs of a network on one view, as fvcore counts them.

    Attention is counted by a rule of our own, which fvcore lacks: queries by keys, and weights by values.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore and torch.jit announce their future, and tracing what it froze
        from fvcore.nn import FlopCountAnalysis

        for name in ("fvcore.nn.jit_analysis", "fvcore.nn.jit_handles"):
            logging.getLogger(name).setLevel(logging.ERROR)
        analysis = FlopCountAnalysis(network, torch.zeros(1, 3, height, width))
        analysis.set_op_handle("aten::scaled_dot_product_attention", _attention)
        with _plain_attention():
            by_operator = analysis.unsupported_ops_warnings(False).by_operator()
            unknown = analysis.unsupported_ops()
    macs = sum(int(number) for name, number in by_operator.items() if name in _PRODUCTS)
    names = {name.partition("::")[2] or name for name in unknown}
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Counted(parameters, macs, tuple(sorted(names - _WITHOUT_PRODUCTS)))


def recount(net: Architecture, height: int = CROP, width: int = CROP) -> tuple[int, int]:
    """Parameters and MACs of `net` on one view, as fvcore counts them."""
    with torch.device("meta"):
        network = VGG(net.config, net.classes, net.width, ceil_pool=net.ceil_pool)
    found = count(network.to_empty(device="cpu").eval(), height, width)
    return found.parameters, found.macs


def check(net: Architecture, height: int = CROP, width: int = CROP) -> None:
    """Raise NumericsError unless the closed form and fvcore agree to the last unit."""
    ours = cost(net, height, width)
    parameters, macs = recount(net, height, width)
    if (ours.parameters, ours.macs) != (parameters, macs):
        raise NumericsError(
            f"{net.config.name} at {height} x {width}: fvcore counts {parameters} parameters and {macs} MACs, "
            f"the closed form {ours.parameters} and {ours.macs}. Please report this."
        )


def _attention(inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
    """MACs for queries (..., L, E), keys (..., S, E), values (..., S, V): L S E + L S V, for each head and image."""
    queries, keys, values = (value.type().sizes() for value in inputs[:3])
    return Counter({"attention": prod(queries[:-1]) * keys[-2] * (queries[-1] + values[-1])})


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Without PyTorch's fused path of `nn.MultiheadAttention`: one operator, in which nothing can be counted."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)

"""The operators of an exported program that are run, each looked up by its own rule and never by a path of names."""

import functools
import math
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from vggbench.errors import WeightsError

_TARGET = re.compile(r"torch\.ops\.(aten|prims|quantized_decomposed)\.([a-zA-Z]\w*|_\w+)\.(\w+)")
_PRIVATE = {
    "_softmax", "_log_softmax", "_safe_softmax", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit",
    "_to_copy", "_unsafe_view", "_adaptive_avg_pool2d", "_convolution", "_assert_scalar", "_unsafe_index",
    "_weight_norm", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_fused_rms_norm",
    "_scaled_dot_product_flash_attention_for_cpu", "_native_multi_head_attention", "_transformer_encoder_layer_fwd",
    "_conj", "_embedding_bag", "_pad_enum", "_pad_circular", "_euclidean_dist", "_cdist_forward", "_fft_r2c",
    "_fft_c2r", "_fft_c2c", "_assert_tensor_metadata",
}  # fmt: skip
"""Those of ATen's own operators that exported networks have; the others may trust their arguments."""
_REFUSED = {
    "from_file", "save", "set_", "resize_", "resize_as_", "as_strided_", "record_stream", "set_data", "share_memory_",
    "empty", "empty_like", "empty_strided", "empty_permuted", "empty_quantized", "new_empty", "new_empty_strided",
    "rename_", "requires_grad_", "retain_grad", "backward", "warn",
}  # fmt: skip
"""What reaches files or other memory, or has values that nobody set."""
_TEXTS = {
    "gelu", "gelu_", "pad", "div", "div_", "divide", "einsum", "meshgrid", "searchsorted", "scatter", "scatter_",
    "scatter_reduce", "index_reduce", "linalg_norm", "linalg_matrix_norm", "conv1d", "conv2d", "conv3d", "fft_fft2",
    "fft_ifft2", "fft_rfft2", "fft_irfft2", "fft_fft", "fft_ifft", "fft_rfft", "fft_irfft", "_assert_scalar",
}  # fmt: skip
"""Operators one of whose arguments is a text that chooses between ways to compute."""
_TRAINING = ("training", "train")
_MOST, _MOST_POWER = 2**63, 64
"""Beyond all sizes."""


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def found(*numbers: Any) -> Any:
        for number in numbers:
            if not all(isinstance(part, int | float) for part in (number if isinstance(number, list) else [number])):
                raise TypeError(f"arithmetic on sizes with a {type(number).__name__}")
        result = function(*numbers)
        if isinstance(result, int) and abs(result) >= _MOST:
            raise OverflowError("a size beyond all bounds")
        return result

    return found


def _power(base: int | float, exponent: int | float) -> Any:
    if abs(exponent) > _MOST_POWER:
        raise OverflowError("a size beyond all bounds")
    return base**exponent


_SIZES = {
    "_operator.pow": _bounded(_power),
    "torch.sym_sum": _bounded(sum),
    "torch._sym_sqrt": _bounded(math.sqrt),
}
_SIZES |= {
    f"{module}.{name}": _bounded(getattr(library, name))
    for module, library, names in (
        ("_operator", operator, "add sub mul neg pos abs floordiv truediv mod and_ or_ not_ eq ne lt le gt ge"),
        ("torch", torch, "sym_float sym_int sym_ite sym_max sym_min sym_not"),
        ("math", math, "trunc ceil floor"),
    )
    for name in names.split()
}
"""Arithmetic on sizes, by the names that programs have for it."""
NO_OPERATORS = ("torch.ops.aten._assert_tensor_metadata.default", "torch.ops.aten.sym_constrain_range.default",
                "torch.ops.aten.sym_constrain_range_for_size.default")  # fmt: skip
"""Notes of the exporter on types and sizes that it met; autocast changes the types."""


def arithmetic(target: str) -> Callable[..., Any] | None:
    """A function of sizes, within bounds; None where the target is an operator on tensors."""
    return _SIZES.get(target)


def operator_of(target: str, path: Path) -> Any:
    """The overload of PyTorch's that a target names. Raises WeightsError for all that is not to be run."""
    match = _TARGET.fullmatch(target)
    space, name, overload = match.groups() if match else ("", "", "")
    if space == "quantized_decomposed":
        _register_quantised()
    packet = getattr(getattr(torch.ops, space), name, None) if space and _is_named(name) else None
    found = getattr(packet, overload, None) if isinstance(packet, torch._ops.OpOverloadPacket) else None
    if not isinstance(found, torch._ops.OpOverload) or not _is_harmless(found, name):
        raise WeightsError(
            f"{path} calls {target[:80]!r}: expected operators of PyTorch's that compute on tensors, of "
            "torch.ops.aten, prims or quantized_decomposed. Export the network with those alone."
        )
    return found


def require_in_use(operator: Any, given: Mapping[str, Any], path: Path) -> None:
    """Refuse an operator as it is in training: random, or with the statistics of the batch. Raises WeightsError."""
    schema = operator._schema
    name, arguments = schema.name.partition("::")[2], {argument.name for argument in schema.arguments}
    switches = [key for key in _TRAINING if key in arguments]
    trains = any(given.get(key, False) is not False for key in switches) and schema.overload_name != "no_stats"
    drops = given.get("dropout_p", 0.0) != 0
    is_random = torch.Tag.nondeterministic_seeded in operator.tags and not (switches or "dropout_p" in arguments)
    if trains or drops or is_random:
        raise WeightsError(
            f"{path} was exported as for training ({name}), so that its scores are random or depend on the batch: "
            "expected a network in evaluation mode. Call net.eval() and export it again."
        )


def _is_named(name: str) -> bool:
    return name not in _REFUSED and (not name.startswith("_") or name in _PRIVATE)


def _is_harmless(operator: Any, name: str) -> bool:
    """Whether it is the dispatcher's own, writes to nothing but its first argument, and takes no name of a file."""
    schema = operator._schema
    written = [place for place, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write]
    has_text = any("str" in str(argument.type) for argument in schema.arguments)
    return (
        torch._C._dispatch_has_kernel(".".join(filter(None, (schema.name, schema.overload_name))))
        and (not written or (written == [0] and name.endswith("_")))
        and (not has_text or name in _TEXTS)
    )


def _register_quantised() -> None:
    """Import what defines the operators that quantised programs have."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch.ao.quantization.fx._decomposed  # noqa: F401

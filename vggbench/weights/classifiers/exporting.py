"""A network of torchvision or timm as a file for other tools: its tensors by the library's names, or ONNX."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vggbench.errors import NumericsError, UsageError, first_line
from vggbench.files import written_whole
from vggbench.weights.classifiers.sizes import obstacle
from vggbench.weights.files import METADATA_KEY, REFUSAL, write_tensors
from vggbench.weights.load import Model

_OPSET = 17
_TOLERANCE = 1e-4
"""Between ONNX Runtime's scores and PyTorch's, in units of the largest."""
_MORE = 51
"""Pixels by which an image that is not of the network's own size is checked to be larger."""


def export_tensors(model: Model, path: Path) -> str:
    """Write the state dict, as safetensors or, by another ending, as PyTorch does. Raises WeightsError."""
    network = _network(model)
    if path.suffix == ".safetensors":
        write_tensors(path, network.state_dict(), describe(model), REFUSAL)
    else:
        with written_whole(path, REFUSAL) as partial:
            torch.save({name: tensor.cpu() for name, tensor in network.state_dict().items()}, partial)
    return f"{model.identity.kind}@{path.name} reads it again. It expects {model.input.in_full()}."


def export_program(model: Model, path: Path) -> str:
    """Write ONNX: images (N, 3, H, W), normalised -> scores (N, K); of any size where the network takes any.

    Raises UsageError for a network that PyTorch cannot export, NumericsError where ONNX Runtime's scores are others.
    """
    import onnx

    network, side = _network(model), model.identity.side
    with written_whole(path, REFUSAL) as partial:
        is_free = _may_be_free(model, network) and _written(model, network, partial, free=True)
        if not is_free and not _written(model, network, partial, free=False):
            raise NumericsError(
                f"ONNX Runtime's scores of {model.identity.name} differ from PyTorch's: expected rounding alone. "
                "Nothing is written; please report this."
            )
        content = onnx.load(partial)
        content.producer_name = "vggbench"
        content.metadata_props.add(key=METADATA_KEY, value=json.dumps(describe(model), sort_keys=True))
        onnx.save(content, partial)
    sizes = "images of any size" if is_free else f"images of {side} x {side} alone"
    return f"It takes {sizes}. onnx:{path.name} reads it again. It expects {model.input.in_full()}."


def describe(model: Model) -> dict[str, Any]:
    """What such a file says of itself, for JSON."""
    own = model.identity
    return {
        "network": own.kind,
        "classes": list(own.class_names) if own.class_names else None,
        "input": model.input.as_dict(),
        "side": own.side,
        "exported_from": f"{own.name}:{own.weights_hash}",
    }


def _may_be_free(model: Model, network: nn.Module) -> bool:
    """Whether a graph for any size is worth a try: of poolings to a fixed size there is none but to 1 x 1."""
    pooled = [module.output_size for module in network.modules() if isinstance(module, nn.AdaptiveAvgPool2d)]
    if any(size not in (1, (1, 1)) for size in pooled):
        return False
    return obstacle(network, model.identity.side, model.identity.classes) is None


def _written(model: Model, network: nn.Module, path: Path, *, free: bool) -> bool:
    """Whether it was exported, for images of any size where `free`, and gives PyTorch's scores."""
    side = model.identity.side
    sizes = {2: "H", 3: "W"} if free else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, on what it freezes, and on the exporter to come
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            torch.onnx.export(
                network, (torch.zeros(1, 3, side, side),), path, dynamo=False, opset_version=_OPSET,
                input_names=["images"], output_names=["scores"],
                dynamic_axes={"images": {0: "N"} | sizes, "scores": {0: "N"}},
            )  # fmt: skip
        return all(_is_equal(network, path, *shape) for shape in _shapes(side, free=free))
    except Exception as error:  # whatever an exporter meets
        if free:
            return False
        raise UsageError(
            f"{model.identity.name} cannot be exported to ONNX ({first_line(error)}): expected a network that PyTorch "
            "exports. --to safetensors writes its weights."
        ) from error


def _shapes(side: int, *, free: bool) -> list[tuple[int, int, int]]:
    return [(1, side, side), (3, side, side + _MORE if free else side)]


def _is_equal(network: nn.Module, path: Path, batch: int, height: int, width: int) -> bool:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a size that it cannot take is no error here
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    images = torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))
    (found,) = session.run(None, {"images": images.numpy()})
    with torch.inference_mode():
        ours: Tensor = network(images)
    apart = torch.from_numpy(found) - ours
    return bool(apart.abs().max() <= _TOLERANCE * ours.abs().max())


def _network(model: Model) -> nn.Module:
    assert isinstance(model.module, nn.Module)
    return model.module

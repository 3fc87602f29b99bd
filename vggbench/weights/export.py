"""A model as a file for other tools: our safetensors, torchvision's state dict, or ONNX, checked before it is kept."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vggbench.errors import NumericsError, UsageError, did_you_mean
from vggbench.files import written_whole
from vggbench.nets.onnx_graph import onnx_graph, with_weights
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CROP, FC6_KERNEL
from vggbench.weights.classifiers.exporting import export_program, export_tensors
from vggbench.weights.files import METADATA_KEY, REFUSAL
from vggbench.weights.load import Model, describe, save_model
from vggbench.weights.spec import LIBRARIES, ModelSpec, OtherSpec, parse_model

_TOLERANCE = 1e-4
"""Between ONNX Runtime's outputs and PyTorch's, in units of the largest."""
_CHECKED = ((1, CROP, CROP), (3, 256, 341))
"""Batch, height and width of the images that an ONNX file is checked on."""


def export_safetensors(model: Model, path: Path) -> str:
    """Write our own format, which says what the net expects. Raises WeightsError."""
    if model.identity.kind:
        return export_tensors(model, path)
    save_model(model, path, recipe=_recipe(model))
    return "It describes itself."


def export_torchvision(model: Model, path: Path) -> str:
    """Write a state dict that torchvision's net of the same layers loads; its input is RGB. Raises UsageError."""
    if str(model.identity.kind).startswith("torchvision:"):
        return export_tensors(model, path)
    network = _network(model)
    if network.config.known_as is None:
        raise UsageError(
            f"torchvision has no {network.config.name}: expected A, B, D or E; or --to safetensors or onnx."
        )
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
    if model.input.channels == "BGR":
        tensors["features.0.weight"] = tensors["features.0.weight"].flip(1)
    with written_whole(path, REFUSAL) as partial:
        torch.save(tensors, partial)
    pooling = "; its pooling rounds up (ceil_mode=True), which torchvision's net does not" if network.ceil_pool else ""
    return f"It expects {model.input.in_rgb().in_full()}{pooling}."


def export_onnx(model: Model, path: Path) -> str:
    """Write images (N, 3, H, W), normalised -> scores (N, K, h, w) and logits (N, K), their mean over positions.

    N, H and W are free, H and W from 224 up. Raises NumericsError where ONNX Runtime's outputs differ from PyTorch's.
    """
    import onnx

    if model.identity.kind:
        return export_program(model, path)
    network = _network(model)
    graph = onnx_graph(
        _all_convolutions(network),
        ("images", ("N", 3, "H", "W")),
        ("scores", ("N", network.classes, "h", "w")),
        mean="logits",
    )
    content = with_weights(graph)
    content.producer_name = "vggbench"
    content.metadata_props.add(key=METADATA_KEY, value=json.dumps(describe(model, _recipe(model)), sort_keys=True))
    with written_whole(path, REFUSAL) as partial:
        onnx.save(content, partial)
        _require_equal(network, partial)
    return (
        f"onnx:{path.name} reads it again, by --center unless another protocol is given. It expects "
        f"{model.input.in_full()}."
    )


EXPORTERS: dict[str, tuple[str, Callable[[Model, Path], str]]] = {
    "safetensors": (".safetensors", export_safetensors),
    "torchvision": (".pth", export_torchvision),
    "onnx": (".onnx", export_onnx),
}
"""What `vggbench export --to` takes: the file's ending, and what writes it and says what it expects."""


def export_path(text: str, to: str, output: Path | None = None) -> Path:
    """Where a MODEL goes in the format `to`: `output`, or a name made of its own. Raises UsageError."""
    if to not in EXPORTERS:
        raise UsageError(f"--to {to}: expected one of {', '.join(EXPORTERS)}.{did_you_mean(to, EXPORTERS)}")
    ending, spec = EXPORTERS[to][0], parse_model(text)
    if isinstance(spec, OtherSpec) and spec.kind not in LIBRARIES:
        raise UsageError(f"{spec.name} is a program in a file already: expected a model of weights to export.")
    name = spec.config.name if isinstance(spec, ModelSpec) else f"{spec.kind}-{spec.network}"
    path = output or Path("-".join([name, *([Path(spec.source).stem] if spec.source else [])]) + ending)
    if path.suffix != ending or not path.absolute().parent.is_dir():
        raise UsageError(f"--output {path}: expected a file that ends in {ending}, in a folder that exists.")
    return path


def exported(model: Model, to: str, path: Path) -> str:
    """Write a model in the format `to`; returns what the file expects. Raises UsageError, as `EXPORTERS` do."""
    if model.path and path.exists() and path.samefile(model.path):
        raise UsageError(f"--output {path} is the file that is read: expected another.")
    return EXPORTERS[to][1](model, path)


def _all_convolutions(network: VGG) -> nn.Sequential:
    """The net with its fc layers as the convolutions that dense evaluation takes them for."""
    linear = [layer for layer in network.classifier if isinstance(layer, nn.Linear)]
    fc6, fc7, fc8 = (_as_convolution(fc, side) for fc, side in zip(linear, (FC6_KERNEL, 1, 1), strict=True))
    return nn.Sequential(network.features, fc6, nn.ReLU(), fc7, nn.ReLU(), fc8)


def _as_convolution(layer: nn.Linear, side: int) -> nn.Conv2d:
    with torch.device("meta"):
        convolution = nn.Conv2d(layer.in_features // side**2, layer.out_features, side)
    weight = layer.weight.detach().view(layer.out_features, -1, side, side)
    convolution.load_state_dict({"weight": weight, "bias": layer.bias.detach()}, assign=True)
    return convolution.requires_grad_(False)


def _require_equal(network: VGG, path: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in _CHECKED:
        images = torch.randn(batch, 3, height, width, generator=generator)
        with torch.inference_mode():
            scores = network(images)
        expected = (scores, scores.mean((2, 3)))
        for name, found, ours in zip(("scores", "logits"), session.run(None, {"images": images.numpy()}), expected,
                                     strict=True):  # fmt: skip
            apart = float(np.abs(found - ours.numpy()).max()) if found.shape == tuple(ours.shape) else float("inf")
            if not apart <= _TOLERANCE * float(ours.abs().max()):
                raise NumericsError(
                    f"ONNX Runtime's {name} differ from PyTorch's by {apart:g} on {batch} images of {height} x {width}:"
                    " expected rounding alone. Nothing is written; please report this."
                )


def _network(model: Model) -> VGG:
    if not isinstance(model.module, VGG):
        raise UsageError(f"{model.identity.name} is not a VGG: expected one of the project's nets.")
    return model.module


def _recipe(model: Model) -> dict[str, str | None]:
    """Where it comes from, and which images it has seen, so that tables of these still say so."""
    return {
        "exported_from": f"{model.identity.name}:{model.identity.weights_hash}",
        "trained_ids": model.identity.trained_ids,
        "validation_ids": model.identity.validation_ids,
    }

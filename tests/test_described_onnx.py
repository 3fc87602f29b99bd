"""What an ONNX graph says of its net is believed or refused: every attribute and node changed, against ONNX Runtime."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto
from onnx_graphs import STYLES, Style, built, changes, has_halves
from torch import Tensor

from vggbench import INPUTS, LoadOptions, Model, ModelSpec, load_model
from vggbench.backends import start
from vggbench.errors import UsageError, WeightsError

CLOSE, CLOSE_IN_HALF = 1e-4, 2e-2
"""Of the largest value; half precision is the reading computer's business, and float32 is closer to the truth."""
onnxruntime.set_default_logger_severity(4)


def _pictures(height: int = 224, width: int = 224) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randint(0, 255, (2, 3, 9, 9), generator=generator).float()
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255).to(torch.uint8)


def outcome(model: ModelProto, style: Style, path: Path) -> str:
    """right, refused with the sentence, `wrong` and by how much, or that ONNX Runtime does not run it."""
    onnx.save(model, path)
    try:
        net = load_model(
            ModelSpec.parse(f"{style.table}@{path}"), LoadOptions(input="RGB" if style.rescale else "torchvision"), ()
        )
    except (WeightsError, UsageError) as error:
        return f"refused: {error}"
    sizes = ((224, 224), (255, 329)) if style.fc == "conv" else ((224, 224),)
    return max(_compared(model, net, style, _pictures(*size), path) for size in sizes)


def _compared(model: ModelProto, net: Model, style: Style, pictures: Tensor, path: Path) -> str:
    try:
        found = _by_runtime(path, style, pictures)
    except Exception as error:
        return f"not run: {error}"
    scores = start("pytorch", net, torch.device("cpu"), "fp32")(pictures)
    ours = [scores.numpy(), scores.mean((2, 3)).numpy()]
    if any(node.op_type == "Softmax" for node in model.graph.node):
        ours.append(scores.mean((2, 3)).softmax(1).numpy())
    worst = min(_difference(one, two) for one in ours for two in found)
    return "right" if worst < (CLOSE_IN_HALF if has_halves(model) else CLOSE) else f"wrong by {worst:.1e}"


def _by_runtime(path: Path, style: Style, pictures: Tensor) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = pictures.float() if style.rescale else INPUTS["torchvision"].normalise(pictures)
    given = given.permute(0, 2, 3, 1).contiguous() if style.last else given
    return session.run(None, {"images": given.numpy()})


def _difference(one: Any, two: Any) -> float:
    one, two = np.squeeze(one), np.squeeze(two)
    if one.shape != two.shape or not np.isfinite(two).all():
        return float("inf")
    return float(np.abs(one - two).max() / max(np.abs(two).max(), 1e-9))


@pytest.mark.parametrize("name", STYLES)
def test_every_style_is_read(name: str, tmp_path: Path) -> None:
    assert outcome(built(STYLES[name]), STYLES[name], tmp_path / "x.onnx") == "right"


def tried(name: str, path: Path, *, every: bool) -> dict[str, str]:
    """The outcome of each change."""
    model, found = built(STYLES[name]), {}
    for number, (what, change) in enumerate(changes(model, every=every)):
        changed = ModelProto.FromString(model.SerializeToString())
        try:
            change(changed)
        except IndexError:
            continue
        found[f"{number} {what}"] = outcome(changed, STYLES[name], path)
    return found


@pytest.mark.parametrize("name", STYLES)
def test_no_change_gives_another_number(name: str, tmp_path: Path) -> None:
    found = tried(name, tmp_path / "x.onnx", every=False)
    assert not {what: said for what, said in found.items() if said.startswith("wrong")}
    counts = Counter(said.partition(" ")[0].rstrip(":") for said in found.values())
    assert counts["right"] > 5
    assert counts["refused"] > 50

"""What an ONNX graph says of its net is believed or refused: every attribute and node changed, against ONNX Runtime."""

import itertools
import re
from collections import Counter
from collections.abc import Callable
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
from vggbench.errors import UsageError, WeightsError
from vggbench.inference.choice import start

CLOSE, CLOSE_IN_HALF = 1e-4, 2e-2
"""The largest differences that are right, in units of the largest value.

Half precision is left to the computer that reads the graph, and float32 is closer to the truth.
"""
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
    return list(session.run(None, {"images": given.numpy()}))


def _difference(one: Any, two: Any) -> float:
    one, two = np.squeeze(one), np.squeeze(two)
    if one.shape != two.shape or not np.isfinite(two).all():
        return float("inf")
    return float(np.abs(one - two).max() / max(np.abs(two).max(), 1e-9))


@pytest.mark.parametrize("name", STYLES)
def test_every_style_is_read(name: str, tmp_path: Path) -> None:
    assert outcome(built(STYLES[name]), STYLES[name], tmp_path / "x.onnx") == "right"


def _tried(name: str, path: Path, *, every: bool, step: int = 1) -> Counter[str]:
    """How many changes came out how; none may give another number."""
    model, counts = built(STYLES[name]), Counter[str]()
    for what, change in itertools.islice(changes(model, every=every), None, None, step):
        changed = ModelProto.FromString(model.SerializeToString())
        try:
            change(changed)
        except IndexError:
            continue  # the last operator has no next one
        said = outcome(changed, STYLES[name], path)
        assert not said.startswith("wrong"), (what, said)
        counts[said.partition(" ")[0]] += 1
    return counts


@pytest.mark.parametrize("name", STYLES)
def test_no_change_gives_another_number(name: str, tmp_path: Path) -> None:
    """Every thirteenth change of one operator of a kind; two seconds for each style."""
    counts = _tried(name, tmp_path / "x.onnx", every=False, step=13)
    assert counts["right"] > 1
    assert counts["refused:"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", STYLES)
def test_no_change_of_any_operator_gives_another_number(name: str, tmp_path: Path) -> None:
    counts = _tried(name, tmp_path / "x.onnx", every=True)
    assert counts["right"] > 50
    assert counts["refused:"] > 200


def _softmax_then_bias(model: ModelProto) -> None:
    one, two = next(place for place, node in enumerate(model.graph.node) if node.op_type == "Softmax"), -2
    nodes = model.graph.node
    nodes[two].input[0], nodes[one].input[0] = nodes[one].output[0], nodes[two].input[0]
    nodes[two].output[0], nodes[one].output[0] = "scores", nodes[one].output[0]
    nodes[two].input[0] = nodes[one].output[0]
    last = nodes.pop(len(nodes) - 2)
    nodes.append(last)
    model.graph.output[0].name = "scores"


def _wide_fc6(model: ModelProto) -> None:
    """fc6 padded by three at each side, as its kernel of seven allows: 7 x 7 positions, which are averaged."""
    node = [node for node in model.graph.node if node.op_type == "Conv"][-3]
    next(attribute for attribute in node.attribute if attribute.name == "pads").ints[:] = [3] * 4


def _bias_by_image(model: ModelProto) -> None:
    """Gemm's bias may differ from image to image instead of from output to output."""
    tensor = model.graph.initializer[-1]
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.arange(2, dtype=np.float32).reshape(2, 1), tensor.name))


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("tf2onnx", _softmax_then_bias, "goes on with Add after an average or softmax"),
        ("convolutional", _wide_fc6, r"by \[3, 3, 3, 3\]: expected \[0, 0, 0, 0\]"),
        ("torch", _bias_by_image, r"Gemm with a bias of shape \(2, 1\)"),
    ],
)
def test_what_was_read_wrongly_is_refused(
    name: str, change: Callable[[ModelProto], None], sentence: str, tmp_path: Path
) -> None:
    model = built(STYLES[name])
    change(model)
    onnx.save(model, tmp_path / "x.onnx")
    assert _by_runtime(tmp_path / "x.onnx", STYLES[name], _pictures())
    assert re.search(sentence, outcome(model, STYLES[name], tmp_path / "x.onnx"))


def test_the_order_of_channels_comes_from_the_command_line(vggbench: Callable[..., Any], tmp_path: Path) -> None:
    """A graph says how it rescales, and not whether it takes RGB or BGR."""
    path = tmp_path / "x.onnx"
    onnx.save(built(STYLES["torch-reshape"]), path)
    written = ("--to", "safetensors", "--output", tmp_path / "x.safetensors")
    assert "expected --input RGB or --input BGR" in vggbench("export", f"A@{path}", *written).err
    assert "contradict" in vggbench("export", f"A@{path}", *written, "--input", "caffe").err.replace(
        "is BGR", "contradict"
    )
    for order in ("RGB", "BGR"):
        done = vggbench("export", f"A@{path}", *written, "--input", order)
        assert done.code == 0, done.err
        model = load_model(ModelSpec.parse(f"A@{tmp_path / 'x.safetensors'}"), LoadOptions(), ())
        assert model.input.channels == order
        np.testing.assert_allclose(model.input.mean, (123, 117, 104), rtol=1e-6)
        np.testing.assert_allclose(model.input.std, (58, 57, 57.5), rtol=1e-6)

"""Programs that torch.export.save wrote, run by an interpreter of their graph on the device of their input."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vggbench.errors import VggbenchError, WeightsError, first_line
from vggbench.weights.classifiers.outputs import PROBED, Graph, probe_images, recognise
from vggbench.weights.classifiers.program import Classifier, Program, Taken
from vggbench.weights.classifiers.pt2_archive import DTYPES, Contents, Stored, read_archive
from vggbench.weights.classifiers.pt2_graph import Reader, Ref, Steps
from vggbench.weights.classifiers.pt2_sizes import Open, Sizes
from vggbench.weights.files import magic_of
from vggbench.weights.layers import whole

_COLOURS = 3
_FLOATING = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class _Given(NamedTuple):
    """The inputs of a graph in its order, names of tensors or constants, and which of them are the images."""

    names: list[Any]
    images: int


def read_pt2(path: Path, size: int = PROBED) -> Program:
    """The network that torch.export.save wrote, which is probed at `size` x `size` where it fixes no size.

    Raises WeightsError for a file that is not a complete archive of one, is no classifier of images, or is not harmless
    to run.
    """
    magic_of(path)
    with whole(path, "PT2 archive", "what torch.export.save writes"):
        contents = read_archive(path)
        module, reader = contents.program["graph_module"], Reader(path)
        steps = reader.graph(module["graph"])
        given = _given(module["signature"]["input_specs"], contents, path)
        taken, dtype = _taken(module["graph"], steps.inputs[given.images], contents.program, path)
        runner = Pt2Runner(steps, given, contents.tensors, dtype, writes=reader.writes)
        _require_pure(module["signature"]["output_specs"], path)
    graph = Graph([value.name for value in steps.outputs if isinstance(value, Ref)])
    classifier, classes, said = recognise(runner, graph, taken, size)
    if runner.is_changed():
        raise WeightsError(
            f"{path} writes to its own weights as it runs: expected a network in evaluation mode. Call net.eval() and "
            "export it again."
        )
    return Program(
        module=classifier,
        size=taken.size,
        batch=taken.batch,
        classes=classes,
        parameters=_parameters(contents.tensors.values()),
        macs=_macs(classifier, taken, size),
        sha256=contents.sha256,
        said=said,
        is_quantised=any(".quantized_decomposed." in name for name in reader.operators),
    )


class Pt2Runner(nn.Module):
    """All tensors that a program yields, with its weights on the device of the last input."""

    def __init__(
        self, steps: Steps, given: _Given, tensors: dict[str, Stored], dtype: torch.dtype, *, writes: bool
    ) -> None:
        super().__init__()
        self._steps, self._dtype, self._writes, self._images = steps, dtype, writes, given.images
        self._inputs: list[Any] = []
        places: dict[Any, str] = {}
        for place, name in enumerate(given.names):
            if not isinstance(name, str) or place == given.images:
                self._inputs.append(None)
                continue
            stored = tensors[name]
            if stored.place not in places:
                places[stored.place] = f"tensor_{len(places)}"
                self.register_buffer(places[stored.place], stored.tensor)
            self._inputs.append(places[stored.place])
        self._constants = [None if isinstance(name, str) else name[0] for name in given.names]
        self._versions = [buffer._version for buffer in self.buffers()]

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> outputs on the same device."""
        if any(buffer.device != pixels.device for buffer in self.buffers()):
            self.to(pixels.device)
        own = dict(self.named_buffers())
        given: list[Any] = [
            constant if name is None else own[name].detach()  # its shape, too, is safe from what writes to it
            for name, constant in zip(self._inputs, self._constants, strict=True)
        ]
        images = pixels.to(self._dtype)
        given[self._images] = images.clone() if self._writes and images is pixels else images
        return [value for value in self._steps(given, pixels.device) if isinstance(value, Tensor)]

    def is_changed(self) -> bool:
        """Whether a node has written to a weight, since it was read and as long as it has not moved."""
        return [buffer._version for buffer in self.buffers()] != self._versions


def _given(specs: Sequence[dict[str, Any]], contents: Contents, path: Path) -> _Given:
    """The inputs; images are one of them."""
    names: list[Any] = []
    images = []
    for place, spec in enumerate(specs):
        ((kind, entry),) = spec.items()
        name = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
        if kind in name:
            if entry[name[kind]] not in contents.tensors:
                raise ValueError(f"it lacks {str(entry[name[kind]])[:50]!r}")
            names.append(entry[name[kind]])
        elif kind == "constant_input":
            names.append((None if "as_none" in entry["value"] else next(iter(entry["value"].values())),))
        else:
            images += [place] if kind == "user_input" and "as_tensor" in entry["arg"] else [-1]
            names.append("")
    if len(images) != 1 or images[0] < 0:
        raise WeightsError(f"{path} takes {len(images)} inputs, or one that is not a tensor: expected images alone.")
    return _Given(names, images[0])


def _taken(graph: dict[str, Any], name: str, program: dict[str, Any], path: Path) -> tuple[Taken, torch.dtype]:
    """What images it takes, (N, 3, H, W), and in which type."""
    meta = graph["tensor_values"][name]
    try:
        sizes = Sizes.read(meta["sizes"], program["range_constraints"], program.get("guards_code", []))
    except (ValueError, SyntaxError) as error:
        raise WeightsError(
            f"{path} states the sizes of its images in a way that cannot be read ({first_line(error)}): "
            f"expected arithmetic "
            "on them. Export it for images of one size."
        ) from error
    dtype = DTYPES.get(meta["dtype"])
    if len(sizes.axes) != 4 or sizes.axes[1] != _COLOURS or dtype not in _FLOATING:
        shown = " x ".join("any" if isinstance(side, Open) else str(side)[:20] for side in sizes.axes[:8])
        raise WeightsError(
            f"{path} takes {name[:50]!r} of {shown} and type {str(dtype).removeprefix('torch.')}: expected images of "
            "floating point, (N, 3, height, width). Export it for those."
        )
    batch, _, high, wide = sizes.axes
    if isinstance(high, int) != isinstance(wide, int):
        raise WeightsError(f"{path} fixes one side of its images alone: expected both, or neither. Export it again.")
    return Taken(
        path,
        size=(high, wide) if isinstance(high, int) and isinstance(wide, int) else None,
        batch=batch if isinstance(batch, int) else None,
        most=batch.most if isinstance(batch, Open) else None,
        complaint=sizes.complaint,
    ), dtype


def _require_pure(specs: Sequence[dict[str, Any]], path: Path) -> None:
    """Refuse a program that yields what its weights or inputs become."""
    others = {kind for spec in specs for kind in spec} - {"user_output"}
    if others:
        raise WeightsError(
            f"{path} changes what it holds as it runs ({', '.join(sorted(others))[:80]}): expected a network "
            "in evaluation mode. Call net.eval() and export it again."
        )


def _parameters(stored: Any) -> int:
    """Numbers in parameters, and in the matrices of whole numbers that quantised programs have for them."""
    kept = {part.place: part.tensor for part in stored if part.is_parameter or _is_quantised(part.tensor)}
    return sum(tensor.numel() for tensor in kept.values())


def _is_quantised(tensor: Tensor) -> bool:
    return tensor.dtype in (torch.int8, torch.uint8) and tensor.ndim > 1


def _macs(classifier: Classifier, taken: Taken, size: int) -> int | None:
    """Multiplications with an addition for one image, of convolutions and products of matrices."""
    from torch.utils.flop_counter import FlopCounterMode

    images = probe_images(taken.size or (size, size))[:1]
    attention = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}  # which it does not know
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=attention) as counter:
        try:
            classifier(images)
        except VggbenchError:
            return None  # an operator that cannot be counted; it ran without counting
    return int(counter.get_total_flops()) // 2 // (taken.batch or 1) or None


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """Operations of both products, of shapes (N, heads, tokens, width)."""
    return 2 * query[0] * query[1] * query[2] * key[2] * (query[3] + value[3])

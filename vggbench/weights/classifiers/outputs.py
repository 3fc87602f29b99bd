"""Which output of a program holds the scores, and whether they are scores: found by running it on a few images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vggbench.errors import WeightsError
from vggbench.weights.classifiers.program import Classifier, Reading, Taken, outputs_of

PROBED = 224
"""The side of the images for the probe where the file fixes none."""
_SPREADS = (0.25, 1.0, 4.0, 16.0)
"""Deviations of the noise: a network's probabilities are flat on one of them and peaked on another."""
_SUM, _HALF_SUM = 1e-3, 1e-2
"""How far a sum of probabilities is from 1, in float32 and in float16."""
_APART = 1e-3
"""How far an image's outputs may lie apart in two batches, in units of the largest; float16 has ten times as much."""


def probe_images(size: tuple[int, int]) -> Tensor:
    """A few images of noise (4, 3, H, W), the same at each call."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(_SPREADS), 3, *size, generator=generator)
    return noise * torch.tensor(_SPREADS)[:, None, None, None]


@dataclass(frozen=True)
class Graph:
    """What is known of a program before it runs."""

    outputs: Sequence[str]
    """Names of the outputs."""
    channels_last: bool = False
    """Whether its images have their channels last."""
    ends_in_softmax: bool = False
    """Sums of probabilities are then 1 less exactly where they are quantised."""
    depends_on_batch: bool = False


def recognise(
    runner: nn.Module, graph: Graph, taken: Taken, size: int = PROBED
) -> tuple[Classifier, int, tuple[str, ...]]:
    """The program with its outputs read as scores, its number of classes, and what was found.

    It is run on images of the size that it takes, or else of `size` x `size`. Raises WeightsError where no output, or
    more than one, can be scores, or where it does not run.
    """
    images = probe_images(taken.size or (size, size))
    with torch.inference_mode(mode=False), torch.no_grad():
        outputs = outputs_of(runner, images[:1], taken)
        place = _place(outputs, graph.outputs, taken)
        reading = Reading(place, _is_last(outputs[place], graph))
        classifier = Classifier(runner, taken, reading)
        first, scores, again = classifier.read(outputs, 1), classifier(images), classifier(images[:1])
    is_half = outputs[place].dtype == torch.float16
    alone = taken.batch != 1 and (graph.depends_on_batch or not _same(first, scores[:1], is_half))
    if not _same(first, again, is_half):
        raise WeightsError(
            f"{taken.path} yields other scores each time that it runs: expected a network in evaluation mode, "
            f"which draws "
            "nothing at random. Call net.eval() and export it again."
        )
    if alone and taken.batch:
        raise WeightsError(
            f"{taken.path} fixes batches of {taken.batch}, and what an image yields depends on the others in its "
            "batch: expected scores of each image alone. Export it for a batch of 1."
        )
    probabilities, sentences = _kind(scores, is_half, graph)
    sentences += _said(reading, outputs[place], taken, alone)
    reading = replace(reading, probabilities=probabilities, alone=alone)
    return Classifier(runner, taken, reading), scores.shape[1], tuple(sentences)


def _place(outputs: Sequence[Tensor], names: Sequence[str], taken: Taken) -> int:
    """The place of the one output that can be scores of classes."""
    able = [
        place
        for place, found in enumerate(outputs)
        if found.is_floating_point() and found.ndim in (2, 4) and max(found.shape[1:], default=0) > 1
    ]
    if len(able) == 2 and (map_ := _map_of(outputs, *able)) is not None:
        return map_
    if len(able) != 1:
        listed = ", ".join(
            f"{name[:50]} {tuple(found.shape)}" for name, found in list(zip(names, outputs, strict=True))[:8]
        )
        raise WeightsError(
            f"{taken.path} yields {listed or 'nothing'}: expected one output of scores, of shape (images, classes) or "
            "(images, classes, height, width). Export it with that one alone."
        )
    return able[0]


def _map_of(outputs: Sequence[Tensor], one: int, other: int) -> int | None:
    """The place of the score map where the other output is its mean over positions, as `vggbench export` has it."""
    for map_, mean in ((one, other), (other, one)):
        if outputs[map_].ndim == 4 and outputs[mean].ndim == 2:
            found = outputs[map_].float().mean((2, 3))
            return (
                map_
                if found.shape == outputs[mean].shape and _same(found, outputs[mean].float(), is_half=False)
                else None
            )
    return None


def _is_last(found: Tensor, graph: Graph) -> bool:
    """Whether classes are the last axis: where the others are single, or as the images lie."""
    if found.ndim != 4 or found.shape[2:] == (1, 1):
        return False
    return found.shape[1:3] == (1, 1) or graph.channels_last


def _same(one: Tensor, other: Tensor, is_half: bool) -> bool:
    bound = _APART * (10 if is_half else 1) * float(one.abs().nan_to_num(0, 0, 0).max())
    return torch.allclose(one, other, rtol=0, atol=bound, equal_nan=True)


def _kind(scores: Tensor, is_half: bool, graph: Graph) -> tuple[bool, list[str]]:
    """Whether outputs (N, K) or (N, K, h, w) are probabilities, and what is to be said of them."""
    if not bool(scores.isfinite().all()) or bool((scores < 0).any()):
        return False, []  # scores; or logarithms of probabilities, which are scores as they are
    within = 0 < float(scores.max()) <= 1 + _HALF_SUM
    apart = float((scores.sum(1) - 1).abs().max())
    if within and (apart <= (_HALF_SUM if is_half else _SUM) or graph.ends_in_softmax):
        return True, ["its outputs are probabilities: their logarithms are taken as scores"]
    if within:
        return False, ["its outputs lie between 0 and 1 and do not sum to 1: they are taken as scores, as they are"]
    return False, []


def _said(reading: Reading, found: Tensor, taken: Taken, alone: bool) -> list[str]:
    said = []
    if reading.channels_last and found.shape[1:3] != (1, 1):
        said.append("its maps of scores are read with channels last, as its images are")
    if taken.batch and taken.batch > 1:
        said.append(f"batches of {taken.batch}, as its file fixes them: the last is padded, and the padding discarded")
    if alone:
        said.append("what an image yields depends on its batch, as dynamic quantisation makes it: images go one by one")
    return said

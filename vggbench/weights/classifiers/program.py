"""A network that is a program in a file, run in the batches that it takes: images -> scores of one kind and shape."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vggbench.errors import VggbenchError, WeightsError, first_line
from vggbench.nets.memory import is_out_of_memory

SMALLEST = torch.finfo(torch.float32).tiny
"""The least probability whose logarithm is taken: the smallest normal number."""


@dataclass(frozen=True)
class Program:
    """What a file computes, ready to run, and what is known of it."""

    module: nn.Module
    """(N, 3, H, W) float32 as the network expects it -> scores (N, K) or (N, K, h, w) float32, on its input's device.

    It raises WeightsError for a size at which the program does not run, and torch.OutOfMemoryError.
    """
    size: tuple[int, int] | None
    """(height, width) that the file fixes; None where it takes several."""
    batch: int | None
    """The batch that the file fixes; `module` takes any."""
    classes: int
    parameters: int
    """Numbers in the weights, shared ones once; no statistics of batch normalisation, no scales of quantisation."""
    macs: int | None
    """For one image of `size` or of the size probed; None where it is not known."""
    sha256: str
    """SHA-256 of the file's bytes, followed by those of its external files in the order of their names."""
    said: tuple[str, ...]
    """What was found and taken by convention: sentences without a full stop."""
    is_quantised: bool


@dataclass(frozen=True)
class Taken:
    """What a program takes, as its file says."""

    path: Path
    size: tuple[int, int] | None = None
    batch: int | None = None
    most: int | None = None
    """Images of a batch at most."""
    complaint: Callable[[tuple[int, ...]], str | None] = lambda _: None
    """What is expected of a batch (N, 3, H, W), where this one is not taken."""


@dataclass(frozen=True)
class Reading:
    """How one of the outputs is read as scores, as `outputs.recognise` found."""

    place: int = 0
    """Its place among the outputs."""
    channels_last: bool = False
    probabilities: bool = False
    alone: bool = False
    """Whether images must go through one by one, since their scores depend on the batch."""


class Classifier(nn.Module):
    """A program whose outputs are read as scores; `runner` maps (N, 3, H, W) float32 to a list of outputs."""

    def __init__(self, runner: nn.Module, taken: Taken, reading: Reading) -> None:
        super().__init__()
        self.runner, self._taken, self._reading = runner, taken, reading

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> scores (N, K) or (N, K, h, w) float32.

        Probabilities become their logarithms, which is right for every protocol here. log p = s - log sum exp(s) for
        the scores s that the softmax had: what is subtracted is one number for all classes of a position. So the
        softmax of one position is p again; and a mean over positions subtracts one number, too, the mean of
        those, so that the softmax of the mean is that of the mean of the scores themselves.
        """
        together = 1 if self._reading.alone else self._taken.batch or self._taken.most or max(1, len(pixels))
        scores = torch.cat([self._scores(part) for part in torch.split(pixels, together)])
        return scores.clamp(min=SMALLEST).log() if self._reading.probabilities else scores

    def _scores(self, pixels: Tensor) -> Tensor:
        """Scores of one batch; where the file fixes a larger one, zeros fill it up and their scores are cut off."""
        return self.read(outputs_of(self.runner, pixels, self._taken), len(pixels))

    def read(self, outputs: list[Tensor], images: int) -> Tensor:
        """From what a batch yielded, the scores of its first `images`: (N, K) or (N, K, h, w) float32."""
        found, rows = outputs[self._reading.place], max(images, self._taken.batch or 0)
        if found.ndim not in (2, 4) or len(found) != rows:
            raise WeightsError(
                f"{self._taken.path} yields {tuple(found.shape)} for {rows} images: expected scores of each. Export it "
                "for any batch, or for a batch of 1."
            )
        found = found[:images].float()
        if found.ndim == 4 and self._reading.channels_last:
            found = found.permute(0, 3, 1, 2)
        return found.flatten(1) if found.shape[2:] == (1, 1) else found


def outputs_of(runner: nn.Module, pixels: Tensor, taken: Taken) -> list[Tensor]:
    """All outputs of one batch of a size that the program takes, with the rows that fill it up.

    Raises WeightsError where it does not run, or where rows are not images, and torch.OutOfMemoryError.
    """
    if taken.size and tuple(pixels.shape[2:]) != taken.size:
        raise WeightsError(
            f"{taken.path} takes images of {taken.size[0]} x {taken.size[1]}: expected those, found "
            f"{pixels.shape[2]} x {pixels.shape[3]}. Evaluate crops of its size."
        )
    missing = (taken.batch or 0) - len(pixels)
    given = nn.functional.pad(pixels, (0, 0, 0, 0, 0, 0, 0, missing)) if missing > 0 else pixels
    if expected := taken.complaint(tuple(given.shape)):
        raise WeightsError(
            f"{taken.path} was exported for {expected}: expected images of such, found {tuple(given.shape)}. Export it "
            "for these, too, or evaluate crops of another size."
        )
    with _telling(taken.path, given):
        found: list[Tensor] = runner(given)
    return found


@contextlib.contextmanager
def _telling(path: Path, given: Tensor) -> Iterator[None]:
    try:
        yield
    except VggbenchError:
        raise
    except Exception as error:  # PyTorch's operators raise many kinds, and ONNX Runtime its own
        if is_out_of_memory(error):
            raise torch.OutOfMemoryError(f"{path}: {error}") from error
        raise WeightsError(
            f"{path} does not run on images of shape {tuple(given.shape)} ({reason(error)}): expected a network that "
            "takes them. Export it for images of this size, or for any."
        ) from error


def reason(error: BaseException) -> str:
    """What a library's error says, without where ONNX Runtime says it."""
    text = str(error).partition("failed:")[2] if "[ONNXRuntimeError]" in str(error) else str(error)
    return first_line(Exception(text.strip() or str(error) or type(error).__name__))

"""One step of gradient descent: forward, backward, update; over parts of a batch and over processes."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vggbench.errors import NumericsError, UsageError, VggbenchError
from vggbench.evaluation.jobs import Settings
from vggbench.evaluation.processes import World
from vggbench.images.preprocessing import Input
from vggbench.inference.choices import require_least
from vggbench.inference.devices import AUTOCAST, allow_tf32
from vggbench.train.checkpoint import State
from vggbench.train.crops import Batch
from vggbench.train.recipe import Recipe


@dataclass(frozen=True)
class Running:
    """How a training is run; this changes what it gives by rounding, and by which activations dropout takes."""

    settings: Settings = field(default_factory=Settings)
    accumulate: int = 1
    """Parts that each process splits its share of a batch into, one after the other, to save memory."""
    compile: bool = False
    checkpoint_minutes: float = 5.0
    """Between checkpoints inside an epoch; there is one at the end of each."""
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        """Raise UsageError for what this device cannot do."""
        precision, device = self.settings.precision, self.settings.torch_device
        if precision in ("tf32", "fp16") and device.type != "cuda":
            raise UsageError(f"--precision {precision} trains on CUDA only, and the device is {device}: expected fp32.")
        require_least("--checkpoint-minutes", self.checkpoint_minutes, 0)
        require_least("--accumulate", self.accumulate, 1)


class Stepper:
    """The network as it is trained here, and how a batch changes it."""

    def __init__(self, state: State, input: Input, recipe: Recipe, running: Running) -> None:
        self._state, self._input, self._recipe, self._running = state, input, recipe, running
        self._device = running.settings.torch_device
        torch.backends.cudnn.deterministic = True  # a training that carries on ends in the same bits
        allow_tf32(running.settings.precision == "tf32")
        self._distributed = running.world.wrapped(state.network)
        self._forward: Callable[[Tensor], Tensor] = self._distributed
        if running.compile:
            self._forward = cast(Callable[[Tensor], Tensor], torch.compile(self._distributed))

    def step(self, batch: Batch, rate: float) -> float:
        """Take one step; returns the mean loss of the whole batch. Raises NumericsError."""
        state, world = self._state, self._running.world
        torch.manual_seed(self._seed())
        state.network.train()
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        state.optimiser.zero_grad(set_to_none=True)
        # Gradients are averaged over the processes: weighed by the images of all, they become the batch's mean.
        weight = world.size / batch.whole if batch.own else 0.0
        own, parts = 0.0, list(batch.parts(self._running.accumulate))
        for number, part in enumerate(parts, 1):
            with self._quiet() if number < len(parts) else contextlib.nullcontext():
                own += self._backward(part, weight)
        mean = world.total(own)[0] / world.size
        if not np.isfinite(mean):
            raise NumericsError(self._broken(mean, rate))
        state.scaler.step(state.optimiser)
        state.scaler.update()
        state.add(mean, batch.whole)
        return mean

    def _backward(self, part: Batch, weight: float) -> float:
        """Add the gradients of the summed loss times `weight`; returns that product. Raises VggbenchError."""
        try:
            loss = self._loss(part) * weight
            scaled: Tensor = self._state.scaler.scale(loss)
            scaled.backward()  # type: ignore[no-untyped-call]
            return loss.item()
        except torch.OutOfMemoryError as error:
            raise VggbenchError(
                f"{len(part.labels)} images at once do not fit in the memory of {self._device}: expected fewer. Pass "
                f"--accumulate {2 * self._running.accumulate}, or --precision bf16; the same command carries on."
            ) from error

    def _loss(self, part: Batch) -> Tensor:
        """Cross entropy, summed over the part's images."""
        pixels = self._input.normalise(part.pixels(self._device)).contiguous(memory_format=torch.channels_last)
        precision = self._running.settings.precision
        with torch.autocast(self._device.type, AUTOCAST.get(precision), enabled=precision in AUTOCAST):
            scores = self._forward(pixels)[:, :, 0, 0]
        return F.cross_entropy(scores.float(), part.labels.to(self._device, non_blocking=True), reduction="sum")

    def _seed(self) -> int:
        """What dropout draws depends on the seed, the step and the process, so that a training carries on exactly."""
        rank = self._running.world.rank
        numbers = (self._recipe.seed, len(self._state.log), self._state.steps, *([rank] if rank else []))
        return int(np.random.SeedSequence(numbers).generate_state(1)[0])

    def _quiet(self) -> Any:
        """Gradients stay in this process: the processes exchange them once a batch, with its last part."""
        if isinstance(self._distributed, nn.parallel.DistributedDataParallel):
            return self._distributed.no_sync()
        return contextlib.nullcontext()

    def _broken(self, loss: float, rate: float) -> str:
        literal = " The paper prints this variance, and it cannot be trained." * (self._recipe.init == "paper-literal")
        return (
            f"The loss is {loss} after {self._state.images:,} images of epoch {len(self._state.log) + 1}, at rate "
            f"{rate:g} from --init {self._recipe.init}: expected a finite one.{literal} Lower --rate, or start "
            "otherwise (--init, --from, --normalise std)."
        )

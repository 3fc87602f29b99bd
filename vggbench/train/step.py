"""One step of gradient descent: forward, backward, update; over parts of a batch and over processes."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vggbench.errors import NumericsError, UsageError, VggbenchError
from vggbench.evaluation.jobs import Settings
from vggbench.evaluation.processes import World
from vggbench.images.preprocessing import Input
from vggbench.inference.choices import require_least
from vggbench.inference.devices import AUTOCAST, allow_tf32
from vggbench.nets.memory import is_out_of_memory, make_room
from vggbench.train.checkpoint import State
from vggbench.train.crops import Batch
from vggbench.train.exchange import Exchange
from vggbench.train.frozen import Halves
from vggbench.train.recipe import Recipe, TrainWatch
from vggbench.train.trend import Trend

_FITS, _TOO_LARGE, _HOPELESS = range(3)
"""What a process finds of its share of a batch: the last where single images do not fit."""


@dataclass(frozen=True)
class Running:
    """How a training is run; this changes what it gives by rounding, and by which activations dropout takes."""

    settings: Settings = field(default_factory=Settings)
    accumulate: int = 1
    """Parts that each process splits its share of a batch into, one after the other, to save memory; more of them
    where memory runs out."""
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


class _Taken(NamedTuple):
    """A step whose loss nobody has looked at."""

    images: int
    after: int
    """Images of the epoch before it."""
    rate: float
    loss: Tensor
    fetched: torch.cuda.Event | None
    """When the loss has come from CUDA; None where it lies on the device."""

    def mean(self) -> float:
        """Over the images of all processes, once CUDA has computed it; MPS computes all that it has first."""
        if self.fetched:
            self.fetched.synchronize()
        return self.loss.item()


class Stepper:
    """The network as it is trained here, and how a batch changes it; `watch` hears of each step."""

    def __init__(
        self, state: State, input: Input, recipe: Recipe, running: Running, watch: TrainWatch | None = None
    ) -> None:
        self._state, self._input, self._recipe, self._running = state, input, recipe, running
        self._watch, self._taken = watch or TrainWatch(), deque[_Taken]()
        self._device = running.settings.torch_device
        self._statistics = input.statistics(self._device)
        torch.backends.cudnn.deterministic = True  # a training that resumes ends in the same bits
        allow_tf32(running.settings.precision == "tf32")
        self._halves = Halves.of(state.network, recipe.train_layers)
        self._forward: Callable[[Tensor], Tensor] = self._halves.trained if self._halves else state.network
        if running.compile:
            self._forward = cast(Callable[[Tensor], Tensor], torch.compile(self._forward))
        self._trend = Trend(state.network.classes)
        self._exchange = Exchange(state.network, running.world, self._device)

    @property
    def accumulate(self) -> int:
        """Parts of each share of a batch: as asked for, or more where memory ran out."""
        return max(self._running.accumulate, self._state.accumulate)

    def step(self, batch: Batch, rate: float) -> None:
        """Take one step, without waiting for the device; `hear` of its loss later. Raises VggbenchError.

        In fp16 alone the scaler waits, since it leaves out a step whose gradients overflow.
        """
        state = self._state
        if self._halves:
            self._halves.train()
        else:
            state.network.train()
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        loss = self._gradients(batch)
        fetched = None
        if loss.is_cuda:
            loss, fetched = loss.to("cpu", non_blocking=True), torch.cuda.Event()  # type: ignore[no-untyped-call]
            fetched.record()
        self._update()
        self._taken.append(_Taken(batch.whole, state.images, rate, loss, fetched))
        state.taken(batch.whole)

    def hear(self, but: int = 0) -> None:
        """Let the state and the watch hear of the losses of all steps `but` the last. Raises NumericsError."""
        while len(self._taken) > but:
            taken = self._taken[0]
            mean = taken.mean()
            if not np.isfinite(mean):
                raise NumericsError(self._broken(mean, taken))
            self._taken.popleft()
            self._state.heard(mean, taken.images)
            self._watch.step(taken.images, mean)
            if self._trend.grows(mean):
                self._watch.grows(self._trend.now, self._trend.lowest, taken.rate)

    def _update(self) -> None:
        """Change the weights, by whose first change the momentum comes to be. Raises VggbenchError."""
        try:
            self._state.scaler.step(self._state.optimiser)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise no_room(self._device) from error
        self._state.scaler.update()

    def _gradients(self, batch: Batch) -> Tensor:
        """Compute those of the batch's mean loss over all processes; returns that loss, on the device.

        Where memory runs out in any process, all take the same step again in twice as many parts, and the later ones
        too. What is kept: the images, their crops, their weights in the mean, and what is summed; sums are rounded in
        another order, and dropout, whose random state is set again, draws part by part, so other activations than it
        would for the whole. Raises VggbenchError where single images do not fit.
        """
        while True:
            loss, found = self._attempt(batch)
            worst = self._exchange.worst(found)
            if worst == _FITS:
                assert loss is not None
                self._exchange.total(loss)
                return loss
            if worst == _HOPELESS:
                raise no_room(self._device if found == _HOPELESS else "another process's device")
            images = -(-len(batch.labels) // self.accumulate)
            self._state.accumulate = 2 * self.accumulate
            self._watch.divided(images, self.accumulate)

    def _attempt(self, batch: Batch) -> tuple[Tensor | None, int]:
        """Compute this process's gradients; returns its part of the mean loss, in float64 where the device has it."""
        torch.manual_seed(self._seed())
        self._state.optimiser.zero_grad(set_to_none=True)
        weight = 1 / batch.whole if batch.own else 0.0
        wide = torch.float32 if self._device.type == "mps" else torch.float64
        try:
            return reduce(add, [self._backward(part, weight).to(wide) for part in batch.parts(self.accumulate)]), _FITS
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._state.optimiser.zero_grad(set_to_none=True)
            make_room(error, self._device)
            return None, _TOO_LARGE if self.accumulate < len(batch.labels) else _HOPELESS

    def _backward(self, part: Batch, weight: float) -> Tensor:
        """Add the gradients of the summed loss times `weight`; returns that product."""
        loss = self._loss(part) * weight
        scaled: Tensor = self._state.scaler.scale(loss)
        scaled.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _loss(self, part: Batch) -> Tensor:
        """Cross entropy, summed over the part's images."""
        precision = self._running.settings.precision
        with torch.autocast(self._device.type, AUTOCAST.get(precision), enabled=precision in AUTOCAST):
            scores = self._forward(self._shown(part)).flatten(1)
        return F.cross_entropy(scores.float(), part.labels.to(self._device, non_blocking=True), reduction="sum")

    def _shown(self, part: Batch) -> Tensor:
        """What the first trained layer takes."""
        if part.is_computed:
            return part.crops.to(self._device, non_blocking=True)
        pixels = self._input.normalise(part.pixels(self._device), self._statistics)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        return self._halves.computed(pixels) if self._halves else pixels

    def _seed(self) -> int:
        """What dropout draws depends on the seed, the step and the process, so that a training resumes bit for bit."""
        rank = self._running.world.rank
        numbers = (self._recipe.seed, len(self._state.log), self._state.steps, *([rank] if rank else []))
        return int(np.random.SeedSequence(numbers).generate_state(1)[0])

    def _broken(self, loss: float, taken: _Taken) -> str:
        literal = " The paper prints this variance, and it cannot be trained." * (self._recipe.init == "paper-literal")
        return (
            f"The loss is {loss} after {taken.after:,} images of epoch {len(self._state.log) + 1}, at rate "
            f"{taken.rate:g} from --init {self._recipe.init}: expected a finite one.{literal} Lower --rate, or start "
            "otherwise (--init, --from, --normalise std)."
        )


def no_room(where: object) -> VggbenchError:
    """That single images do not fit there."""
    return VggbenchError(
        f"Single images do not fit in the memory of {where}: expected room for one, for all gradients and for their "
        "momentum. End what else uses the memory, and the same command resumes; or pass --precision bf16."
    )

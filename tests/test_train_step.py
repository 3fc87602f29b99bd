"""A step of a training: in more parts where memory runs out, by all processes alike, and without a wait."""

import json
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.distributed as dist
from children import Child
from conftest import Result
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from vggbench import INPUTS, VGG, Settings, open_data
from vggbench.errors import NumericsError, VggbenchError
from vggbench.evaluation.processes import World
from vggbench.paper.configs import CONFIGS
from vggbench.train.checkpoint import Checkpoint, State
from vggbench.train.crops import Batch
from vggbench.train.exchange import Exchange
from vggbench.train.loop import train
from vggbench.train.recipe import Recipe, TrainWatch
from vggbench.train.start import begin
from vggbench.train.step import Running, Stepper
from vggbench.weights.files import tensors_hash

RECIPE = Recipe(batch_size=12, rate=0.01, dropout=0.3)
ALONE = Running(Settings(device="cpu", workers=0))
FULL = torch.OutOfMemoryError("CUDA out of memory.")


class _Told(TrainWatch):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.losses, self.images = list[float](), list[int]()
        self.divisions = list[tuple[int, int]]()

    def step(self, images: int, loss: float) -> None:
        self.images.append(images)
        self.losses.append(loss)

    def divided(self, images: int, parts: int) -> None:
        self.divisions.append((images, parts))


def _stepper(running: Running = ALONE, watch: TrainWatch | None = None) -> tuple[Stepper, State]:
    network = VGG(CONFIGS["A-LRN"], 4, 1 / 64)
    begin(network, RECIPE, None)
    network.to(device=running.settings.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = State.begin(network, RECIPE)
    return Stepper(state, INPUTS["torchvision"], RECIPE, running, watch), state


def _batch(images: int, number: int, rank: int = 0, processes: int = 1) -> Batch:
    """This process's share of so many images."""
    generator = torch.Generator().manual_seed(number)
    crops = torch.randint(0, 256, (images, 3, 224, 224), dtype=torch.uint8, generator=generator)
    shifts, labels = torch.randn(images, 3, generator=generator) / 50, torch.arange(images) % 4
    share = slice(rank, None, processes)
    return Batch(crops[share], shifts[share], labels[share], whole=images)


def _taken(running: Running = ALONE, steps: int = 3) -> tuple[str, _Told]:
    """The weights after a few steps, and what was told."""
    watch, world = _Told(), running.world
    stepper, state = _stepper(running, watch)
    for number in range(steps):
        stepper.step(_batch(12, number, world.rank, world.size), RECIPE.rate)
    stepper.hear()
    return tensors_hash(state.network.state_dict()), watch


def _room_for(images: int, monkeypatch: pytest.MonkeyPatch, error: Exception = FULL, after: int = 0) -> None:
    """Let memory suffice for so many images at once, and for any of the first `after` parts."""
    real, parts = Stepper._loss, 0

    def loss(self: Stepper, part: Batch) -> Tensor:
        nonlocal parts
        parts += 1
        if len(part.labels) > images and parts > after:
            raise error
        return real(self, part)

    monkeypatch.setattr(Stepper, "_loss", loss)


# ---------------------------------------------------------------- memory that runs out


@pytest.mark.parametrize("error", [FULL, MemoryError(), RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")])
def test_a_step_that_does_not_fit_is_taken_again_in_more_parts(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, whole = _taken(replace(ALONE, accumulate=4))
    _room_for(3, monkeypatch, error)
    found, told = _taken()
    assert found == expected, "with the same draws of dropout, and no gradient of what failed"
    assert told.losses == whole.losses
    assert told.divisions == [(12, 2), (6, 4)], "each once, and kept for later steps"


def test_memory_that_runs_out_in_the_middle_of_a_step_leaves_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stepper, state = _stepper(replace(ALONE, accumulate=2))
    stepper.step(_batch(12, 0), RECIPE.rate)
    state.accumulate = 4
    stepper.step(_batch(12, 1), RECIPE.rate)
    _room_for(3, monkeypatch, after=3)  # two parts of the first step, and one of the second
    left = list[bool]()
    zeroed = torch.optim.SGD.zero_grad

    def zero(self: torch.optim.SGD, set_to_none: bool) -> None:
        zeroed(self, set_to_none)
        left.append(any(parameter.grad is not None for group in self.param_groups for parameter in group["params"]))

    monkeypatch.setattr(torch.optim.SGD, "zero_grad", zero)
    monkeypatch.setattr("vggbench.train.step.make_room", lambda error, device: left.append(True))
    found, told = _taken(replace(ALONE, accumulate=2), 2)
    assert found == tensors_hash(state.network.state_dict())
    assert told.divisions == [(6, 4)]
    assert left == [False, False, False, True, False], "gradients go before room is made"


def test_other_errors_stop_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    _room_for(3, monkeypatch, RuntimeError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        _taken()


def test_momentum_that_does_not_fit_gets_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, *_: object) -> None:
        raise FULL

    monkeypatch.setattr("torch.optim.SGD.step", full)
    with pytest.raises(VggbenchError, match=r"Single images do not fit in the memory of cpu: .* their momentum"):
        _taken()


def test_a_training_that_carries_on_keeps_its_parts(
    many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, recipe = open_data(many_pictures).subset(40), replace(RECIPE, epochs=1, batch_size=10)

    def trained(running: Running, watch: TrainWatch | None = None, runs: Path | None = None) -> tuple[str, Any]:
        found = train(CONFIGS["A"], data, data.subset(4), recipe, width=1 / 64, runs=runs, running=running, watch=watch)
        return found.model.identity.weights_hash, found.record["accumulate"]

    class Stops(_Told):
        def step(self, images: int, loss: float) -> None:
            super().step(images, loss)
            if len(self.losses) == 3:
                raise InterruptedError

    expected = trained(replace(ALONE, accumulate=4))
    with monkeypatch.context() as patch:
        _room_for(3, patch)
        with pytest.raises(InterruptedError):
            trained(replace(ALONE, checkpoint_minutes=0), Stops(), tmp_path)
    told = _Told()
    assert trained(ALONE, told, tmp_path) == expected == (expected[0], 4)
    assert (len(told.losses), told.divisions) == (2, [])


def test_the_terminal_is_told_of_each_division(
    many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vggbench: Callable[..., Result]
) -> None:
    _room_for(15, monkeypatch)
    common = ("train", "A", "--data", many_pictures, "--width", 1 / 64, "--epochs", 1, "--statistics", "ilsvrc")
    done = vggbench(*common, "--output", tmp_path / "a.safetensors")
    assert done.code == 0, done.err
    notes = [line for line in done.err.splitlines() if "memory" in line]
    assert [note.partition(" at once")[0] for note in notes] == [
        f"Note: there is not enough memory for {images} images" for images in (62, 31, 16)
    ]
    assert notes[-1].endswith("From here on gradients are added up over 8 parts, as with --accumulate 8.")


def test_a_checkpoint_of_before_has_as_many_parts_as_are_asked_for() -> None:
    (_, before), (stepper, state) = _stepper(), _stepper(replace(ALONE, accumulate=2))
    counts = before.counts()
    del counts["accumulate"]
    state.restore(before.tensors(), counts)
    assert stepper.accumulate == 2
    with pytest.raises(ValueError, match="counts what cannot be"):
        state.restore(before.tensors(), counts | {"accumulate": 0})


# ---------------------------------------------------------------- several processes


def _together(folder: Path, do: Callable[[World], object]) -> list[Any]:
    """What two processes, connected by gloo, find: each its own, as JSON; none may wait forever."""

    def run(rank: int) -> None:
        where = f"file://{folder / 'meet'}"
        dist.init_process_group("gloo", init_method=where, rank=rank, world_size=2)
        (folder / f"{rank}.json").write_text(json.dumps(do(World(rank, 2))))
        dist.destroy_process_group()

    children = [Child(_made(folder / f"of {rank}"), partial(run, rank)) for rank in (0, 1)]
    try:
        assert [child.wait(60) for child in children] == [0, 0], [child.err for child in children]
    finally:
        for child in children:
            child.end()
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@pytest.mark.thorough
@pytest.mark.parametrize(("after", "parts"), [(0, [4, 4, 4]), (1, [1, 4, 4]), (3, [2, 4, 4])])
def test_processes_divide_together_where_one_runs_out(after: int, parts: list[int], tmp_path: Path) -> None:
    """Each process takes six images in so many parts in three steps; after three parts it is in the middle of one."""

    def full(world: World) -> object:
        with pytest.MonkeyPatch.context() as patch:
            if world.rank == 1:
                _room_for(2, patch, after=after)
            found, told = _taken(replace(ALONE, world=world, accumulate=min(2, parts[0])))
        return found, told.losses, told.divisions[-1]

    def expected(world: World) -> object:
        watch = _Told()
        stepper, state = _stepper(replace(ALONE, world=world), watch)
        for number, count in enumerate(parts):
            state.accumulate = count
            stepper.step(_batch(12, number, world.rank, 2), RECIPE.rate)
        stepper.hear()
        return tensors_hash(state.network.state_dict()), watch.losses, (3, 4)

    found = _together(tmp_path / "full", full)
    assert found == _together(tmp_path / "expected", expected)
    assert found[0] == found[1], "the same weights, told alike"


def test_processes_end_together_where_one_has_no_room_for_an_image(tmp_path: Path) -> None:
    def hopeless(world: World) -> object:
        with pytest.MonkeyPatch.context() as patch:
            if world.rank == 1:
                _room_for(0, patch)
            with pytest.raises(VggbenchError) as told:
                _taken(replace(ALONE, world=world))
        return str(told.value)

    first, second = _together(tmp_path, hopeless)
    assert first.startswith("Single images do not fit in the memory of another process's device: expected room")
    assert second.startswith("Single images do not fit in the memory of cpu: expected room")


def test_two_processes_take_the_step_of_one(tmp_path: Path) -> None:
    def step(world: World) -> list[float]:
        stepper, state = _stepper(replace(ALONE, world=world))
        last = cast(torch.nn.Linear, state.network.classifier[6]).bias
        if world.rank:
            last.data += 1  # as from another file
        Exchange(state.network, world, torch.device("cpu"))  # takes the first process's weights
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.nn.Dropout, "forward", lambda self, maps: maps)
            stepper.step(_batch(7, 0, world.rank, world.size), RECIPE.rate)
        return [stepper._taken[0].mean(), *last.tolist()]

    first, second = _together(tmp_path, step)
    assert first == second
    assert first == pytest.approx(step(World()), abs=1e-6)


def test_on_cuda_each_gradient_is_sent_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """By fakes: what is enqueued, on which stream, in which order."""
    queued, current = list[str](), ["computing"]

    class Event:
        count = 0

        def __init__(self) -> None:
            self.name, Event.count = f"event {Event.count}", Event.count + 1

        def record(self) -> None:
            queued.append(f"{current[0]}: {self.name}")

    class Stream:
        def __init__(self, name: object) -> None:
            self.name = "sending" if isinstance(name, torch.device) else str(name)

        def wait_event(self, event: Event) -> None:
            queued.append(f"{self.name} waits for {event.name}")

        def wait_stream(self, other: "Stream") -> None:
            queued.append(f"{self.name} waits for {other.name}")

        def __enter__(self) -> None:
            current[0] = self.name

        def __exit__(self, *_: object) -> None:
            current[0] = "computing"

    monkeypatch.setattr("torch.cuda.Event", Event)
    monkeypatch.setattr("torch.cuda.Stream", Stream)
    monkeypatch.setattr("torch.cuda.stream", lambda stream: stream)
    monkeypatch.setattr("torch.cuda.current_stream", lambda device: Stream("computing"))
    monkeypatch.setattr(dist, "get_backend", lambda: "gloo")
    monkeypatch.setattr(dist, "broadcast", lambda tensor, source: None)
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: queued.append(f"{current[0]}: sum of {tensor.numel()}"))
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1, bias=False))
    exchange = Exchange(network, World(0, 2), torch.device("cuda"))
    network(torch.ones(1, 2)).sum().backward()
    assert sorted(queued) == [f"computing: event {number}" for number in range(3)]
    queued.clear()
    exchange.total(torch.zeros(()))
    assert queued == [
        "sending waits for event 0", "sending: sum of 3",
        "sending waits for event 1", "sending: sum of 3",
        "sending waits for event 2", "sending: sum of 6",
        "sending waits for computing", "sending: sum of 1",
        "computing waits for sending",
    ]  # fmt: skip


# ---------------------------------------------------------------- without a wait


class _Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down every operation; a copy to the host or the device with how it is done."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names, self.copies = list[str](), list[tuple[str, str, bool]]()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        self.names.append(str(function))
        if "_to_copy" in str(function) and args[0].device != found.device:
            self.copies.append((args[0].device.type, found.device.type, (kwargs or {}).get("non_blocking", False)))
        return found


def test_nothing_in_a_step_asks_the_device_for_a_number() -> None:
    stepper, _ = _stepper(replace(ALONE, accumulate=2))
    with _Calls() as calls:
        for number in range(2):
            stepper.step(_batch(4, number), RECIPE.rate)
    assert any("convolution" in name for name in calls.names)
    assert not [name for name in calls.names if "local_scalar" in name or "nonzero" in name or "equal" in name]
    with _Calls() as calls:
        stepper.hear()
    assert sum("local_scalar" in name for name in calls.names) == 2, "the mode sees it where it is"


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Tensors that have a device and no values, so that asking for one raises; the events that were recorded."""
    events = list[str]()

    class Event:
        def record(self) -> None:
            events.append("recorded")

    def to(network: VGG, **_: object) -> None:
        for module in network.modules():
            for name, parameter in module._parameters.items():
                parameters.append(torch.nn.Parameter(cast(Tensor, parameter).detach().to("cuda")))
                module._parameters[name] = parameters[-1]

    def backward(scaled: Tensor) -> None:  # the engine would ask for a real device
        for parameter in parameters:
            parameter.grad = torch.empty_like(parameter)

    parameters = list[torch.nn.Parameter]()
    monkeypatch.setattr("torch.cuda.Event", Event)
    monkeypatch.setattr(VGG, "to", to)
    monkeypatch.setattr(Tensor, "backward", backward)
    monkeypatch.setattr(Settings, "torch_device", torch.device("cuda"))
    with FakeTensorMode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*CUDA is not available")  # so says autocast
        yield events


def test_on_cuda_pixels_go_up_and_the_loss_comes_down_without_a_wait(fake_cuda: list[str]) -> None:
    running = Running(Settings(device="cuda"), accumulate=2)
    stepper, _ = _stepper(running)
    batches = [_batch(4, number) for number in range(2)]
    with _Calls() as calls:
        for batch in batches:
            stepper.step(batch, RECIPE.rate)
    up, down = ("cpu", "cuda", True), ("cuda", "cpu", True)
    assert calls.copies == 2 * [*6 * [up], down], "shifts, crops and labels of two parts; one loss"
    assert fake_cuda == 2 * ["recorded"]


def test_losses_are_heard_once_in_order_and_one_step_late() -> None:
    watch = _Told()
    stepper, state = _stepper(watch=watch)
    heard = list[int]()
    for number, images in enumerate((4, 2, 4)):
        stepper.step(_batch(images, number), RECIPE.rate)
        stepper.hear(but=1)
        heard.append(len(watch.losses))
    assert (heard, state.steps, state.images, state.unheard) == ([0, 1, 2], 3, 10, 1)
    with pytest.raises(AssertionError, match="a loss that may be NaN"):
        Checkpoint(None, True, {}).save(state)
    stepper.hear()
    assert watch.images == [4, 2, 4]
    assert len(set(watch.losses)) == 3
    assert state.loss == watch.losses[0] * 4 + watch.losses[1] * 2 + watch.losses[2] * 4


@pytest.mark.parametrize(("minutes", "kept"), [(0, 1), (5, 0)])
def test_a_loss_that_is_not_finite_is_in_no_checkpoint(
    minutes: float, kept: int, many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the second and last step's: a checkpoint would be due after it, or at the end of the epoch."""
    real, factors = Stepper._loss, iter((1, math.nan))
    monkeypatch.setattr(Stepper, "_loss", lambda self, part: real(self, part) * next(factors))
    data, recipe = open_data(many_pictures).subset(20), replace(RECIPE, epochs=1, batch_size=10)
    running, watch = replace(ALONE, checkpoint_minutes=minutes), _Told()
    with pytest.raises(NumericsError, match=r"The loss is nan after 10 images of epoch 1, at rate 0\.01 from"):
        train(CONFIGS["A"], data, data.subset(4), recipe, width=1 / 64, runs=tmp_path, running=running, watch=watch)
    assert watch.images == [10]
    assert len(list(tmp_path.glob("*/checkpoint.safetensors"))) == kept

"""The engine: what crosses to a device and back, by a device that has no values; and that it is never idle, by a clock.

No GPU is needed: where PyTorch's fake tensors lie, each copy and each wait is seen as it would be on CUDA.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CLASSES
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from vggbench import INPUTS, Job, Model, Protocol, Settings, open_data
from vggbench.data import DataSet
from vggbench.evaluation import loop
from vggbench.evaluation.jobs import Watch
from vggbench.evaluation.loop import evaluate
from vggbench.evaluation.writer import Writer
from vggbench.images.packs import Images, Loaded, Pack, Request
from vggbench.images.preprocessing import Wanted
from vggbench.inference import backend
from vggbench.inference.choice import start
from vggbench.inference.choices import Precision
from vggbench.inference.transfer import CudaTransfer, Fetch, Transfer
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CONFIGS, CROP
from vggbench.paper.protocols import rescaled_size
from vggbench.store.identity import Identity
from vggbench.store.recording import Recording

CUDA = torch.device("cuda")


def sized(data: DataSet, sizes: Sequence[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, each: float = 0) -> DataSet:
    """So many images, which read as black ones of these sizes, each in so many seconds."""

    def one(self: Images, request: Request) -> Loaded:
        height, width = sizes[request.position]
        shapes = {want: _shape(want, height, width) for want in request.wanted}
        flat = torch.zeros(sum(3 * height * width for height, width in shapes.values()), dtype=torch.uint8)
        if each:
            time.sleep(each)
        return Loaded(request.position, height, width, shapes, pixels=flat)

    monkeypatch.setattr(Images, "one", one)
    (first, *_) = data.images
    images = tuple(replace(first, id=f"image{number}") for number in range(len(sizes)))
    return replace(data, images=images, total=len(images))


def _shape(wanted: Wanted, height: int, width: int) -> tuple[int, int]:
    return (wanted.crop, wanted.crop) if wanted.crop else rescaled_size(height, width, wanted.scale)


# ---------------------------------------------------------------- what crosses, on a device without values


@dataclass
class Seen:
    """What the engine asked of the device, in this order; copies in bytes."""

    parameters: list[Tensor] = field(default_factory=list)
    up: list[int] = field(default_factory=list)
    back: list[tuple[tuple[int, ...], torch.dtype]] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    blocking: list[str] = field(default_factory=list)
    casts: list[tuple[int, ...]] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    begun: bool = False

    def waited(self, what: str) -> None:
        self.waits.append(f"{what} in {threading.current_thread().name}")


class Copies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down each copy between host and device, and each cast of a weight."""

    def __init__(self, seen: Seen, stream: Callable[[], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen, self._stream = seen, stream

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        name = str(function)
        if not self._seen.begun:
            return found
        if "copy" in name and isinstance(found, Tensor) and args:
            source, target = (args[1], args[0]) if "copy_." in name and "_to_copy" not in name else (args[0], found)
            waits = not ((kwargs or {}).get("non_blocking") or (len(args) > 2 and args[2]))
            if source.device != target.device:
                if waits:
                    self._seen.blocking.append(f"{name} {source.device} to {target.device}")
                if target.device.type == "cuda":
                    self._seen.up.append(source.numel() * source.element_size())
                    self._seen.streams.append(self._stream())
                else:
                    self._seen.back.append((tuple(source.shape), source.dtype))
            elif any(source is parameter or source._base is parameter for parameter in self._seen.parameters):
                self._seen.casts.append(tuple(source.shape))
        return found


class Stream:
    """In place of a CUDA stream."""

    def __init__(self, seen: Seen, name: str) -> None:
        self._seen, self.name = seen, name

    def wait_stream(self, other: "Stream") -> None:
        """On the device, no wait of the host."""
        self._seen.orders.append(f"{self.name} after {other.name}")

    def synchronize(self) -> None:
        self._seen.waited(self.name)


class Event:
    """In place of a CUDA event."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def record(self, stream: Stream) -> None:
        assert stream.name == "computing"

    def synchronize(self) -> None:
        self._seen.waited("event")


class Counting(CudaTransfer):
    """The real transfer, but that what comes back has values."""

    def back(self, found: Tensor) -> Fetch:
        rows, classes = found.shape
        fetch = super().back(found)

        def fetched() -> Any:
            with contextlib.suppress(AttributeError, RuntimeError, TypeError):  # it waits, and has no values
                fetch()
            return np.full((rows, classes), 1 / classes, dtype=np.float32)

        return fetched


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """A device `cuda:0` whose tensors have no values: asking for one raises."""
    seen, current = Seen(), ["computing"]
    computing = Stream(seen, "computing")

    @contextlib.contextmanager
    def on(stream: Stream) -> Iterator[None]:
        current.append(stream.name)
        yield
        current.pop()

    monkeypatch.setattr("torch.cuda.Stream", lambda device: Stream(seen, "copies"))
    monkeypatch.setattr("torch.cuda.stream", on)
    monkeypatch.setattr("torch.cuda.current_stream", lambda device=None: computing)
    monkeypatch.setattr("torch.cuda.Event", lambda: Event(seen))
    monkeypatch.setattr("torch.cuda.synchronize", lambda device=None: seen.waited("the device"))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device=None: "A fake GPU")
    monkeypatch.setattr(Tensor, "is_pinned", _is_pinned)
    monkeypatch.setattr(Tensor, "record_stream", lambda self, stream: None)
    monkeypatch.setattr(loop, "transfer_to", Counting)
    monkeypatch.setattr(backend, "quickest", lambda stages, image, views: 2)  # it waits, with the first image alone
    monkeypatch.setattr("vggbench.inference.devices.views_that_fit", lambda device: 64)
    monkeypatch.setattr(Settings, "torch_device", CUDA)
    monkeypatch.setattr("torch.empty", partial(_empty, torch.empty))
    monkeypatch.setattr("torch.tensor", partial(_tensor, torch.tensor, seen))
    monkeypatch.setattr(torch.nn.Module, "to", moved)
    with FakeTensorMode(allow_non_fake_inputs=True), Copies(seen, lambda: current[-1]):
        yield seen


def _is_pinned(pixels: Tensor) -> bool:
    assert pixels.device.type == "cpu", "what lies on the device is not brought there"
    return True


def _empty(empty: Callable[..., Tensor], *given: Any, pin_memory: bool = False, **named: Any) -> Tensor:
    return empty(*given, **named)


def _tensor(tensor: Callable[..., Tensor], seen: Seen, *given: Any, **named: Any) -> Tensor:
    if seen.begun and named.get("device"):
        seen.blocking.append("torch.tensor")  # which no mode is told of
    return tensor(*given, **named)


def moved(network: torch.nn.Module, *given: Any, **named: Any) -> torch.nn.Module:
    """As `Module.to`, which cannot put a tensor without values in the place of another."""
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                layout = {} if parameter.ndim < 4 else named
                some = {key: value for key, value in named.items() if key != "memory_format"}
                changed = parameter.detach().to(*given, **(layout or some))
                module._parameters[name] = torch.nn.Parameter(changed, requires_grad=False)
    return network


class Begun(Watch):
    """Counts from the moment on at which the networks are ready."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def begin(self) -> None:
        self._seen.begun = True


def _net(config: str) -> Model:
    module = VGG(CONFIGS[config], 4, 1 / 64).eval().requires_grad_(False)
    architecture = Architecture(CONFIGS[config], 4, 1 / 64)
    return Model(Identity(f"{config}@x", INPUTS["caffe"], 4, CLASSES, "x", architecture=architecture), module)


def _read(images: Images, order: Sequence[Sequence[Request]], workers: int, *, pinned: bool) -> Iterator[Pack]:
    """In place of PyTorch's loader, which asks for the value of a tensor first."""
    assert pinned
    yield from (images[requests] for requests in order)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # to copy weights before they are cast
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("protocol", ["center", "tencrop", "dense", "multicrop", "multicrop8"])
def test_pixels_go_up_once_and_posteriors_come_back_once_a_block(
    protocol: str, precision: Precision, pictures: Path, tmp_path: Path, cuda: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two blocks, of images of five sizes, most at two Qs: no other copy, no weight is cast, nothing waited for."""
    sizes = [
        [(300, 400), (400, 300), (256, 256), (333, 500), (240, 320)][number % 5]
        for number in range(3 if protocol == "multicrop8" else 11)
    ]
    block = 2 if protocol == "multicrop8" else 8
    data = sized(open_data(pictures), sizes, monkeypatch)
    monkeypatch.setattr("vggbench.evaluation.turns.from_workers", _read)
    monkeypatch.setattr(Settings, "block_for", lambda self, images: block)
    model = _net("A-LRN")

    def noting(*given: Any) -> backend.Backend:
        found: backend.Backend = start(*given)
        assert found.network is not None
        cuda.parameters.extend(found.network.parameters())
        return found

    monkeypatch.setattr(loop, "start", noting)
    scales = (256,) if protocol in ("center", "multicrop8") else (256, 288)
    jobs = [Job(model, Protocol.parse(protocol), scale) for scale in scales]
    evaluate(data, jobs, tmp_path, Settings(workers=0, precision=precision), Begun(cuda))
    assert {parameter.device.type for parameter in cuda.parameters} == {"cuda"}
    wanted = [(CROP, CROP)] if protocol == "center" else []
    each = [3 * h * w for size in sizes for h, w in wanted or [rescaled_size(*size, scale) for scale in scales]]
    assert sum(cuda.up) == sum(each), "each rescaled image once, as uint8"
    assert len(cuda.up) < len(sizes), "several together"
    assert set(cuda.streams) == {"copies"}
    assert cuda.orders.count("computing after copies") == len(cuda.up)
    assert cuda.back == [((rows, 4), torch.float32) for rows in (block, len(sizes) - block) for _ in scales]
    assert cuda.blocking == []
    assert cuda.casts == []
    assert cuda.waits == 2 * len(scales) * ["event in writer"]


# ---------------------------------------------------------------- never idle, by a clock

COMPUTING, ASKING, READING, WRITING = 0.1, 0.03, 0.08, 0.06
"""Seconds for a block: of the device, of the main process, of one of two that read, of the writer."""
BLOCKS, OF_BLOCK = 9, 32


class Clocked(Transfer):
    """To a device that computes one block after the other, and can tell how long it was idle between them."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self._device = ThreadPoolExecutor(1)
        self._spans: list[tuple[float, float]] = []

    def back(self, found: Tensor) -> Fetch:
        done = self._device.submit(self._compute)
        fetch = super().back(found)
        return lambda: (done.result(), fetch())[1]

    @property
    def idle(self) -> float:
        """Share of the time from the first block's begin to the last one's end."""
        busy = sum(end - begin for begin, end in self._spans)
        return 1 - busy / (self._spans[-1][1] - self._spans[0][0])

    def _compute(self) -> None:
        begin = time.perf_counter()
        time.sleep(COMPUTING)
        self._spans.append((begin, time.perf_counter()))


class Waiting(Clocked):
    """Waits for each block before anything else goes on."""

    def back(self, found: Tensor) -> Fetch:
        posteriors = super().back(found)()
        return lambda: posteriors


def _asked(images: Tensor) -> Tensor:
    time.sleep(ASKING)
    return torch.zeros(len(images), len(CLASSES))


@pytest.mark.parametrize("without", ["nothing", "reading ahead", "computing meanwhile", "writing meanwhile"])
def test_the_device_is_never_idle(
    without: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing takes longer than its computing; it is, as soon as one of these waits for another."""
    sizes = [(CROP, CROP)] * (BLOCKS * OF_BLOCK)
    data = sized(open_data(pictures), sizes, monkeypatch, each=READING / OF_BLOCK)
    write = Recording.write

    def slowly(self: Recording, *given: Any) -> None:
        time.sleep(WRITING)
        write(self, *given)

    monkeypatch.setattr(Recording, "write", slowly)
    if without == "writing meanwhile":
        monkeypatch.setattr(Writer, "put", lambda self, task: self._stored.put(task.store(task.fetch(), 0.0)))
    settings = Settings(device="cpu", workers=0 if without == "reading ahead" else 2, batch_size=OF_BLOCK)
    model = Model.wrap("asked", _asked, INPUTS["torchvision"], CLASSES, identity="asked")

    def idle(attempt: int) -> float:
        device = Waiting() if without == "computing meanwhile" else Clocked()
        monkeypatch.setattr(loop, "transfer_to", lambda _: device)
        evaluate(data, [Job(model, Protocol("center"), CROP)], tmp_path / str(attempt), settings)
        return device.idle

    if without == "nothing":  # other work on the machine can only make it idle: one good attempt proves it
        assert any(idle(attempt) < 0.05 for attempt in range(5))
    else:
        assert idle(0) > 0.15

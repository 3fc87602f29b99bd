"""The benchmark of speed: forward passes by backend, batch, size and precision, and how fast images are read."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from vggbench.data import DataSet
from vggbench.errors import UnreadableImages
from vggbench.images.preprocessing import Rescale
from vggbench.images.reading import Images, Loaded, Request, from_workers
from vggbench.inference.backend import Backend
from vggbench.inference.choice import start
from vggbench.inference.choices import BackendName, Precision
from vggbench.inference.devices import AUTOCAST, allow_tf32, device_name
from vggbench.inference.scorer import is_out_of_memory
from vggbench.nets.cost import Architecture, cost
from vggbench.paper.configs import CROP
from vggbench.weights.load import Model

_PRODUCT_SIZE = 4096
_WARM_UP = 2
_CHUNK = 32
"""Images between two readings of the clock."""
_MOST_READ = 1_000_000


@dataclass(frozen=True)
class Setup:
    """One way to run a model: `batch` images of `size` x `size`."""

    backend: BackendName
    precision: Precision
    batch: int
    size: int = CROP


@dataclass(frozen=True)
class Effort:
    """How long to measure: until there are so many iterations and so many seconds."""

    iterations: int = 10
    seconds: float = 3.0


@dataclass(frozen=True)
class Timings:
    """What was measured of one model in one setup; `seconds` of each iteration, none where memory did not suffice."""

    network: str
    architecture: Architecture | None
    classes: int
    setup: Setup
    seconds: tuple[float, ...]
    product_rate: float
    """MACs a second of a product of two 4096 x 4096 matrices in this precision, by the faster of PyTorch and NumPy."""
    peak_bytes: int | None
    device: str
    version: str
    threads: int

    @property
    def quantiles(self) -> tuple[float, float, float]:
        """Seconds that 10%, half and 90% of the iterations took at most."""
        low, median, high = np.quantile(self.seconds, (0.1, 0.5, 0.9))
        return float(low), float(median), float(high)

    @property
    def images_per_second(self) -> float:
        """At the median."""
        return self.setup.batch / self.quantiles[1]

    @property
    def macs_per_second(self) -> float | None:
        """At the median; None for a network that is not a VGG."""
        size = self.setup.size
        return self.images_per_second * cost(self.architecture, size, size).macs if self.architecture else None


@dataclass(frozen=True)
class Reading:
    """How fast `workers` processes read, decode and rescale; `rates` in images a second, chunk by chunk."""

    data: DataSet
    scales: tuple[int, ...]
    workers: int
    images: int
    seconds: float
    rates: tuple[float, ...]


def measure(model: Model, setup: Setup, device: torch.device, effort: Effort | None = None) -> Timings:
    """Time forward passes, from uint8 images on the device to their score maps there."""
    effort = effort or Effort()
    backend = start(setup.backend, model, device, setup.precision)
    generator = torch.Generator().manual_seed(0)
    shape = (setup.batch, 3, setup.size, setup.size)
    before = _product_rate(device, setup.precision)
    try:
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(device)
        backend(images, check=True)
        _reset_peak(device)
        seconds = _timed(lambda: backend(images), device, effort)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        seconds = ()
    peak = _peak_bytes(backend, device)
    rate = (before + _product_rate(device, setup.precision)) / 2
    return Timings(
        model.name, model.architecture, model.classes, setup, seconds, rate, peak, device_name(device),
        f"{backend.name} {backend.version}", torch.get_num_threads(),
    )  # fmt: skip


def read(data: DataSet, scales: Sequence[int], workers: int, seconds: float) -> Reading:
    """Time the reading of images as an evaluation reads them, over and over until `seconds` have passed.

    Raises UnreadableImages.
    """
    once = [Request.plain(position, scales) for position in range(len(data))]
    stream = from_workers(Images(data.images, Rescale()), once * (1 + _MOST_READ // len(data)), workers)
    for loaded in islice(stream, _CHUNK):  # workers start
        _require_readable(data, loaded)
    started, rates, images = time.perf_counter(), list[float](), 0
    while (elapsed := time.perf_counter() - started) < seconds or not rates:
        chunk = time.perf_counter()
        some = list(islice(stream, _CHUNK))
        if len(some) < _CHUNK:
            break
        for loaded in some:
            _require_readable(data, loaded)
        rates.append(_CHUNK / (time.perf_counter() - chunk))
        images += _CHUNK
    return Reading(data, tuple(scales), workers, images, elapsed, tuple(rates))


def _require_readable(data: DataSet, loaded: Loaded) -> None:
    if loaded.problem:
        raise UnreadableImages(f"{data.images[loaded.position]} {loaded.problem}: expected an image.")


def _timed(
    work: Callable[[], object], device: torch.device, effort: Effort, *, warm_up: int = _WARM_UP
) -> tuple[float, ...]:
    for _ in range(warm_up):
        work()
    _wait_for(device)
    found: list[float] = []
    while len(found) < effort.iterations or sum(found) < effort.seconds:
        started = time.perf_counter()
        work()
        _wait_for(device)
        found.append(time.perf_counter() - started)
    return tuple(found)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _product_rate(device: torch.device, precision: Precision) -> float:
    """MACs a second of a product of large square matrices, the faster library's."""
    allow_tf32(precision == "tf32")
    dtype = AUTOCAST.get(precision, torch.float32)
    matrix = torch.randn(_PRODUCT_SIZE, _PRODUCT_SIZE).to(device, dtype)
    products: list[Callable[[], object]] = [lambda: matrix @ matrix]
    if device.type == "cpu" and dtype == torch.float32:
        array = matrix.numpy()
        products.append(lambda: array @ array)
    once, warm_up = Effort(iterations=1, seconds=0), 0 if device.type == "cpu" else _WARM_UP  # a second each on a CPU
    return _PRODUCT_SIZE**3 / min(_timed(product, device, once, warm_up=warm_up)[0] for product in products)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # man proc: resets VmHWM


def _peak_bytes(backend: Backend, device: torch.device) -> int | None:
    """Of the whole process on a CPU (Linux), of PyTorch's allocator on CUDA; None where nothing tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) if "PyTorch" in backend.name else None
    status = Path("/proc/self/status")
    lines: Iterator[str] = iter(status.read_text().splitlines() if device.type == "cpu" and status.exists() else ())
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)

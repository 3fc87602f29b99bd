"""The benchmark of speed: forward passes by backend, batch, size and precision, and how fast images are read."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, product
from pathlib import Path
from statistics import median
from typing import get_args

import numpy as np
import torch

from vggbench.data import DataSet
from vggbench.errors import UnreadableImages, UsageError, VggbenchError, first_line
from vggbench.evaluation.listening import Listener
from vggbench.images.packs import Images, Loaded, Request, in_packs
from vggbench.images.preprocessing import Rescale
from vggbench.images.reading import from_workers
from vggbench.images.threads import cores
from vggbench.inference.backend import Backend
from vggbench.inference.choice import choose, start
from vggbench.inference.choices import BackendName, Precision, require_choice, require_least, require_width
from vggbench.inference.devices import AUTOCAST, allow_tf32, device_name, fallen_back, pick_device
from vggbench.inference.timing import seconds_each, wait_for
from vggbench.nets.cost import Architecture, cost
from vggbench.nets.memory import is_out_of_memory, make_room
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol
from vggbench.store.identity import Identity
from vggbench.weights.load import LoadOptions, Model
from vggbench.weights.loading import load_any, require_model, without_weights
from vggbench.weights.spec import RANDOM, AnySpec, OtherSpec, parse_model

_PRODUCT_SIZE, _FEW_ROWS = 4096, 256
_WARM_UP = 2
_CHUNK = 32
"""Images between two readings of the clock."""
_PACK = 8
"""Images that a process hands over together."""
_MOST_READ = 1_000_000
_MOST_IMAGES = 65_536


@dataclass(frozen=True)
class Setup:
    """One way to run a model: `batch` images of `size` x `size`."""

    backend: BackendName
    precision: Precision
    batch: int
    size: int = CROP
    """0: what the model takes as a crop."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: until so many iterations are done and so many seconds have passed."""

    iterations: int = 10
    seconds: float = 3.0


@dataclass(frozen=True)
class Timings:
    """What was measured of one model in one setup; `seconds` of each iteration, none if there was not enough memory."""

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
    macs: int | None = None
    """MACs for one image, where they are known for a network that is not a VGG."""

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
        """At the median; None where the MACs of an image are not known."""
        size, net = self.setup.size, self.architecture
        macs = cost(net, size, size).macs if net else self.macs
        return None if macs is None else self.images_per_second * macs

    @property
    def share(self) -> float | None:
        """The share of the rate of matrix products that it reaches; None as `macs_per_second`."""
        rate = self.macs_per_second
        return None if rate is None else rate / self.product_rate


@dataclass(frozen=True)
class Reading:
    """How fast `workers` processes read, decode and rescale; `rates` in images a second, chunk by chunk."""

    data: DataSet
    scales: tuple[int, ...]
    workers: int
    images: int
    seconds: float
    rates: tuple[float, ...]

    @property
    def images_per_second(self) -> float:
        """Over all chunks."""
        return self.images / self.seconds

    @property
    def quantiles(self) -> tuple[float, float]:
        """The 10% and 90% quantiles of images per second, over the chunks."""
        low, high = np.quantile(self.rates, (0.1, 0.9))
        return float(low), float(high)


def product_rates(rows: Sequence[Timings]) -> dict[Precision, float]:
    """MACs a second of matrix products beside these rows, the median of each precision."""
    found: dict[Precision, list[float]] = {}
    for row in rows:
        found.setdefault(row.setup.precision, []).append(row.product_rate)
    return {precision: median(rates) for precision, rates in found.items()}


def setups_of(
    backends: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    batches: Sequence[int] | None = None,
    sizes: Sequence[int] = (0,),
) -> list[Setup]:
    """Every combination, each once; by default both backends, fp32, one image and 32. Raises UsageError."""
    backends = backends or [name for name in get_args(BackendName) if "compile" not in name]
    kinds, batches = kinds or ["fp32"], batches or [1, 32]
    for name in backends:
        require_choice("--backend", name, get_args(BackendName))
    for name in kinds:
        require_choice("--precision", name, get_args(Precision))
    if not 1 <= min(batches) <= max(batches) <= _MOST_IMAGES:
        found = " ".join(map(str, batches))
        raise UsageError(f"--batch-size {found}: expected 1 to {_MOST_IMAGES:,} images each.")
    return [Setup(*each) for each in dict.fromkeys(product(backends, kinds, batches, sizes))]  # type: ignore[arg-type]


def benchmark(
    texts: Sequence[str],
    setups: Sequence[Setup],
    effort: Effort | None = None,
    *,
    device: str = "auto",
    width: float = 1.0,
    listener: Listener | None = None,
) -> Iterator[Timings]:
    """Time MODELs, loaded one after the other, in every setup that exists here; names alone have random weights.

    Raises UsageError for what cannot be, and at the end what refused the last setup if none could be measured.
    """
    effort, listener = effort or Effort(), listener or Listener()
    require_width(width)
    require_least("--seconds", effort.seconds, 0)
    require_least("--iterations", effort.iterations, 1)
    on = pick_device(device)
    if fallen := fallen_back(device, on):
        listener.note(fallen)
    specs = list(dict.fromkeys(parse_model(text) for text in texts))
    for spec in specs:
        require_model(spec)
    measured, refused = 0, None
    for spec in specs:
        model = _loaded(spec, width, listener)
        own = [replace(setup, size=setup.size or model.identity.side) for setup in setups]
        able = _able(model, own, on, listener if spec is specs[0] else Listener())
        for setup in able:
            listener.say(
                f"{model.identity.name}: {setup.backend}, {setup.precision}, {setup.batch} x {setup.size} x "
                f"{setup.size} ({measured + 1} of {len(able) * len(specs)}), at least {effort.seconds:g} s."
            )
            try:
                yield measure(model, setup, on, effort)
                measured += 1
            except VggbenchError as error:  # as where a library for CUDA or a compiler lacks
                refused = error
                listener.say(f"Left out: {error}")
    if refused and not measured:
        raise refused


def _loaded(spec: AnySpec, width: float, listener: Listener) -> Model:
    """Random weights where none are named: they are as fast as any, and so is any input."""
    if isinstance(spec, OtherSpec):
        named: AnySpec = without_weights(spec)
    else:
        named = spec if spec.source else replace(spec, source=RANDOM)
    with listener.downloading() as watch:
        return load_any(named, LoadOptions(width=width, otherwise="torchvision"), (), watch)


def _able(model: Model, setups: Sequence[Setup], device: torch.device, listener: Listener) -> list[Setup]:
    """The setups that exist here; raises UsageError where none does."""
    able: list[Setup] = []
    refused: dict[tuple[BackendName, Precision], UsageError] = {}
    for setup in setups:
        try:
            _require_possible(model, setup, device)
        except UsageError as error:
            refused[setup.backend, setup.precision] = error
        else:
            able.append(setup)
    if not able:
        raise next(iter(refused.values()))
    for reason in refused.values():
        listener.say(f"Left out: {reason}")
    return able


def _require_possible(model: Model, setup: Setup, device: torch.device) -> None:
    if setup.precision == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32 exists on CUDA only, and the device is {device}: expected fp32 or bf16.")
    if setup.backend != "pytorch+compile":
        choose(setup.backend, model, Protocol("center"), device, setup.precision)


def measure(model: Model, setup: Setup, device: torch.device, effort: Effort | None = None) -> Timings:
    """Time forward passes, from uint8 images on the device to their score maps there."""
    effort = effort or Effort()
    backend = start(setup.backend, model, device, setup.precision)
    setup = replace(setup, size=setup.size or model.identity.side)
    generator = torch.Generator().manual_seed(0)
    shape = (setup.batch, 3, setup.size, setup.size)
    before = _product_rate(device, setup.precision)
    try:
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(device)
        backend(images, check=True)
        _reset_peak(device)
        seconds = _timed(lambda: backend(images), device, effort)
    except Exception as error:
        if not is_out_of_memory(error):
            if model.identity.kind and setup.size != model.identity.side:
                raise UsageError(
                    f"{model.identity.name} does not take images of {setup.size} x {setup.size} "
                    f"({first_line(error)}): expected {model.identity.side}."
                ) from error
            raise
        make_room(error, device)
        seconds = ()
    peak = _peak_bytes(backend, device)
    rate = (before + _product_rate(device, setup.precision)) / 2
    own = model.identity
    return Timings(
        own.name, own.architecture, own.classes, setup, seconds, rate, peak,
        device_name(device),
        f"{backend.name} {backend.version}", torch.get_num_threads(), _macs(own, setup.size),
    )  # fmt: skip


def _macs(model: Identity, size: int) -> int | None:
    """MACs for one image of this size, known for a network that is not a VGG at its own size alone."""
    return model.macs if size == model.side and not model.uncounted else None


def worker_counts(workers: int | None = None) -> list[int]:
    """The numbers of workers to time: the one asked for, or none, one, and one per core. Raises UsageError."""
    require_least("--workers", workers, 0)
    return list(dict.fromkeys([0, 1, cores()] if workers is None else [workers]))


def read(data: DataSet, scales: Sequence[int], workers: int, seconds: float) -> Reading:
    """Time the reading of images as an evaluation reads them, over and over until `seconds` have passed.

    Raises UnreadableImages.
    """
    once = [Request.plain(position, scales) for position in range(len(data))]
    packs = in_packs((once * (1 + _MOST_READ // len(data)))[:_MOST_READ], _PACK)
    read = from_workers(Images(data.images, Rescale()), packs, workers)
    stream = (loaded for pack in read for loaded in pack.unpacked())
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


def _timed(work: Callable[[], object], device: torch.device, effort: Effort) -> tuple[float, ...]:
    for _ in range(_WARM_UP):
        work()
    wait_for(device)
    found: list[float] = []
    while len(found) < effort.iterations or sum(found) < effort.seconds:
        started = time.perf_counter()
        work()
        wait_for(device)
        found.append(time.perf_counter() - started)
    return tuple(found)


def _product_rate(device: torch.device, precision: Precision) -> float:
    """MACs a second of a product of large square matrices, the faster library's."""
    allow_tf32(precision == "tf32")
    dtype = AUTOCAST.get(precision, torch.float32)
    matrix = torch.randn(_PRODUCT_SIZE, _PRODUCT_SIZE).to(device, dtype)
    products: list[Callable[[int], object]] = [lambda rows: matrix[:rows] @ matrix]
    if device.type == "cpu" and dtype == torch.float32:
        array = matrix.numpy()
        products.append(lambda rows: array[:rows] @ array)
    found = []
    for multiply in products:
        multiply(_FEW_ROWS)  # the whole one takes a second on a slow CPU
        found.append(seconds_each(partial(multiply, _PRODUCT_SIZE), device))
    return _PRODUCT_SIZE**3 / min(found)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # man proc: resets VmHWM


def _peak_bytes(backend: Backend, device: torch.device) -> int | None:
    """Peak memory of the process on a CPU (Linux), or of PyTorch's allocator on CUDA; None where nothing tells it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) if "PyTorch" in backend.name else None
    status = Path("/proc/self/status")
    lines: Iterator[str] = iter(status.read_text().splitlines() if device.type == "cpu" and status.exists() else ())
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)

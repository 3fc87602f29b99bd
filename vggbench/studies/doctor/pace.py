"""How fast this machine reads, hands over and computes, and so which of these limits an evaluation."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vggbench.data import DataSet
from vggbench.errors import counted
from vggbench.evaluation.jobs import Job, Settings, Watch
from vggbench.evaluation.loop import evaluate
from vggbench.images.preprocessing import INPUTS
from vggbench.inference.choices import BackendName, Precision
from vggbench.inference.devices import views_that_fit
from vggbench.nets.cost import Architecture, cost
from vggbench.paper.configs import CONFIGS, CROP
from vggbench.paper.protocols import MODERN_SCALE, Protocol
from vggbench.studies.doctor.finding import Check, Seen, fact
from vggbench.studies.speed import Effort, Reading, Setup, Timings, measure, read, worker_counts
from vggbench.weights.load import LoadOptions, Model, load_model
from vggbench.weights.spec import RANDOM, ModelSpec

PART = "Pace"
_CENTER = Protocol("center")
_SECONDS = 1.0
"""The least seconds of each measurement."""
_NARROW, _NARROW_BATCH = 0.25, 8
"""The width of the net that is timed on a CPU instead of one at full width."""


@dataclass
class Pace:
    """What was measured so far, in images a second by `center`, which takes least of the network."""

    data: DataSet
    device: torch.device
    readings: list[Reading] = field(default_factory=list)
    host: float | None = None
    """CPU milliseconds of the main process."""
    networks: list[Timings] = field(default_factory=list)

    def checks(self, many: DataSet, folder: Path, *, full: bool) -> Iterator[Check]:
        """Each measurement, and what follows of all."""
        for workers in worker_counts():
            yield Check(PART, f"Reading by {_processes(workers)}", partial(self._read, workers))
        yield Check(PART, "Main process", partial(self._host, many, folder))
        for setup in self._setups(full=full):
            width = 1.0 if full or self.device.type != "cpu" else _NARROW
            yield Check(
                PART, f"D, width {width:g}, {setup.precision}, {setup.backend}", partial(self._net, setup, width)
            )
        yield Check(PART, "Limit", self.limit)

    def _setups(self, *, full: bool) -> list[Setup]:
        """The default's and, on a device that has it, that of half as many bits."""
        precisions: list[Precision] = ["fp32"] if self.device.type == "cpu" else ["fp32", "bf16"]
        batch = _NARROW_BATCH if self.device.type == "cpu" else views_that_fit(self.device)
        return [Setup(self._backend(full), precision, batch) for precision in precisions]

    def _backend(self, full: bool) -> BackendName:
        job = Job(_random(1.0 if full else _NARROW), _CENTER, MODERN_SCALE)
        return Settings(str(self.device)).backend_for(job)

    def _read(self, workers: int) -> Seen:
        found = read(self.data, (MODERN_SCALE,), workers, _SECONDS)
        self.readings.append(found)
        return fact(f"{found.images_per_second:,.0f} images/s", images_per_second=found.images_per_second)

    def _host(self, many: DataSet, folder: Path) -> Seen:
        self.host = host_milliseconds(many, folder, str(self.device))
        return fact("unknown" if self.host is None else f"{self.host:.2f} ms per image", milliseconds=self.host)

    def _net(self, setup: Setup, width: float) -> Seen:
        found = measure(_random(width), setup, self.device, Effort(2, _SECONDS))
        if not found.seconds:
            return fact("not enough memory")
        self.networks.append(found)
        assert found.share is not None
        return fact(
            f"{found.images_per_second:,.1f} images/s, {found.share:.2f} of a matrix product",
            images_per_second=found.images_per_second, share_of_product=found.share,
            product_gmacs_per_second=found.product_rate / 1e9, batch_size=setup.batch,
        )  # fmt: skip

    def limit(self) -> Seen:
        """The slowest of the three in an evaluation of D at full width by `center`, and what makes it faster."""
        rates = self._rates()
        if len(rates) < 3:
            return fact("unknown: not everything could be measured")
        slowest = min(rates, key=lambda name: rates[name])
        told = ", ".join(f"{name} {_images(rate)}" for name, rate in rates.items())
        return Seen(
            f"{slowest}: {_images(rates[slowest])} images/s of D by center", verdict="",
            said=f"Images per second: {told}; {self._remedy(slowest)}.", details={"images_per_second": rates},
        )  # fmt: skip

    def _rates(self) -> dict[str, float]:
        found = {}
        if self.readings:
            found["reading"] = max(reading.images_per_second for reading in self.readings)
        if self.host:
            found["main process"] = 1000 / self.host
        default = next((row.macs_per_second for row in self.networks if row.setup.precision == "fp32"), None)
        if default:
            found["network"] = default / cost(Architecture(CONFIGS["D"], 1000), CROP, CROP).macs
        return found

    def _remedy(self, slowest: str) -> str:
        best = max(self.readings, key=lambda reading: reading.images_per_second).workers
        if slowest == "reading":
            return f"read by more processes (--workers; {best} were best here) or from a faster disk"
        if slowest == "main process":
            return "start several processes (torchrun --nproc-per-node 2 -m vggbench ...)"
        if self.device.type == "cpu":
            return "a GPU would be faster; multicrop is cheaper with --grid 8"
        low = next((row.images_per_second for row in self.networks if row.setup.precision == "bf16"), None)
        faster = f"--precision bf16 takes {low:,.0f} a second, and " if low else ""
        return f"{faster}several GPUs share the images (torchrun)"


class _Clock(Watch):
    """The CPU seconds of this process when each block was stored."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float]] = []

    def begin(self) -> None:
        """The first mark."""
        self.marks.append((0, time.process_time()))

    def block(self, job: Job, label_ranks: NDArray[np.int32]) -> None:
        """One more."""
        self.marks.append((len(label_ranks), time.process_time()))


def host_milliseconds(many: DataSet, folder: Path, device: str = "cpu") -> float | None:
    """CPU milliseconds that the main process spends on an image of `center`, with a network that costs nothing.

    Other processes read the images. On a CPU normalisation is included. The first block, with which things start,
    is left out where there are others; None where nothing was told of.
    """
    names = many.class_names

    def free(images: Tensor) -> Tensor:
        return images.new_zeros(len(images), len(names))

    model = Model.wrap("free", free, INPUTS["torchvision"], names, identity="costs nothing")
    clock = _Clock()
    evaluate(many, [Job(model, _CENTER, MODERN_SCALE)], folder / "host", Settings(device, workers=1), clock)
    start, *_, end = clock.marks[1 if len(clock.marks) > 2 else 0 :] or [(0, 0.0)]
    images = end[0] - start[0]
    return 1000 * (end[1] - start[1]) / images if images else None


def _random(width: float) -> Model:
    return load_model(ModelSpec(CONFIGS["D"], RANDOM), LoadOptions(width=width), ())


def _processes(workers: int) -> str:
    return counted(workers, "process") if workers else "the main process"


def _images(rate: float) -> str:
    return f"{rate:,.{0 if rate >= 100 else 1}f}"

"""Posteriors and training steps of this machine beside float32 on its CPU; twice, and with too little memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vggbench.data import DataSet
from vggbench.errors import UsageError
from vggbench.evaluation.jobs import Job, Settings, Watch
from vggbench.evaluation.loop import evaluate
from vggbench.inference.choices import Asked, BackendName, Precision
from vggbench.paper.configs import CONFIGS
from vggbench.paper.protocols import Protocol
from vggbench.store.posteriors import posteriors
from vggbench.studies.doctor.finding import Check, Seen, compared, judged
from vggbench.studies.doctor.subject import SCALE, Subject
from vggbench.train.loop import train
from vggbench.train.recipe import Recipe
from vggbench.train.step import Running
from vggbench.weights.load import Model

TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "tf32": 2e-2, "fp16": 2e-2, "bf16": 0.1}
"""The most that a posterior, or a loss, may differ: three to fifty times what a right machine showed."""
PROTOCOLS = tuple(Protocol.parse(name) for name in ("center", "tencrop", "dense", "multicrop", "multicrop8"))
_CENTER, _TENCROP, _DENSE = PROTOCOLS[:3]


@dataclass(frozen=True)
class Way:
    """How a network is run: precision, and what runs the layers."""

    precision: Precision
    backend: BackendName

    def __str__(self) -> str:
        return f"{self.precision}, {self.backend}"

    def settings(self, device: str) -> Settings:
        """Without processes that read: there are few images."""
        name: Asked = "onnxruntime" if self.backend == "onnxruntime" else "pytorch"
        return Settings(device, self.precision, name, compile=self.backend == "pytorch+compile", workers=0)

    def takes(self, protocol: Protocol) -> bool:
        """Whether it can evaluate by this protocol: compiling is for views of one size."""
        return self.backend != "pytorch+compile" or (protocol.name != "dense" and protocol.grid == 1)


@dataclass
class Bench:
    """A subject on a device, with a folder for stores; what was computed once is kept."""

    subject: Subject
    device: str
    folder: Path
    _stores: int = 0
    _kept: dict[tuple[Way, Protocol], NDArray[np.floating]] = field(default_factory=dict)

    def posteriors(self, way: Way, protocol: Protocol) -> NDArray[np.floating]:
        """Posteriors (N, K) of the subject's pictures, by an evaluation."""
        if (way, protocol) not in self._kept:
            self._kept[way, protocol] = self.evaluated(self.subject.fresh(), way.settings(self.device), protocol)
        return self._kept[way, protocol]

    def evaluated(self, model: Model, settings: Settings, protocol: Protocol) -> NDArray[np.floating]:
        """Posteriors (N, K) of the subject's pictures by any model, in a store of its own."""
        return evaluated(self.subject.data, Job(model, protocol, SCALE), self.new_store(), settings)

    def new_store(self) -> Path:
        """A folder that nobody has used."""
        self._stores += 1
        return self.folder / f"{self.subject.model.identity.name}-{self._stores}"


def evaluated(
    data: DataSet, job: Job, store: Path, settings: Settings, watch: Watch | None = None
) -> NDArray[np.floating]:
    """Posteriors (N, K) as anybody gets them."""
    (run,) = evaluate(data, [job], store, settings, watch)
    return posteriors(run)


def ways(device: torch.device, *, compiled: bool) -> list[Way]:
    """The backends that may exist on a device; compiled ones are slow to start."""
    precisions: list[Precision] = [name for name in get_args(Precision) if name != "tf32" or device.type == "cuda"]
    found = [Way(precision, "pytorch") for precision in precisions]
    if device.type in ("cpu", "cuda") and find_spec("onnxruntime"):
        found.append(Way("fp32", "onnxruntime"))
    return found + [Way(precision, "pytorch+compile") for precision in precisions if compiled]


def posterior_checks(bench: Bench, part: str, some: list[Way], protocols: tuple[Protocol, ...]) -> Iterator[Check]:
    """Each protocol by each way, beside the naive reference."""
    name = bench.subject.model.identity.name.partition("@")[0]
    for way in some:
        for protocol in filter(way.takes, protocols):
            yield Check(part, f"{name} {protocol}, {way}", partial(_like_reference, bench, way, protocol))


def repeat_checks(bench: Bench, part: str, some: list[Way]) -> Iterator[Check]:
    """The same images twice by each way."""
    for way in some:
        yield Check(part, f"twice, {way}", partial(_twice, bench, way))


def _like_reference(bench: Bench, way: Way, protocol: Protocol) -> Seen:
    expected = bench.subject.reference(protocol)
    return compared(bench.posteriors(way, protocol), expected, TOLERANCES[way.precision], bench.subject.images)


def _twice(bench: Bench, way: Way) -> Seen:
    protocol = _DENSE if way.takes(_DENSE) else _TENCROP
    first = bench.posteriors(way, protocol)
    again = bench.evaluated(bench.subject.fresh(), way.settings(bench.device), protocol)
    return compared(again, first, 0.0, bench.subject.images)


class Cramped(nn.Module):
    """A network on a device that has memory for one image alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.refused = network, 0

    def forward(self, images: Tensor) -> Tensor:
        """As the network, or torch.OutOfMemoryError."""
        if len(images) > 1:
            self.refused += 1
            raise torch.OutOfMemoryError(f"doctor: {len(images)} views at once")
        found: Tensor = self.network(images)
        return found


def halved(bench: Bench) -> Seen:
    """Batches that do not fit in memory are halved until they fit, and the posteriors are the same."""
    model = bench.subject.fresh()
    assert isinstance(model.module, nn.Module)
    cramped = Cramped(model.module)
    identity = replace(model.identity, architecture=None, weights_hash="cramped")  # run as it is, as any network
    found = bench.evaluated(Model(identity, cramped), Way("fp32", "pytorch").settings(bench.device), _TENCROP)
    seen = compared(found, bench.subject.reference(_TENCROP), TOLERANCES["fp32"], bench.subject.images)
    if not cramped.refused:
        return replace(seen, verdict="wrong", said="No batch had two views: expected larger ones, which are halved.")
    return replace(seen, found=f"halved {cramped.refused} times", details=seen.details | {"halved": cramped.refused})


def training_checks(bench: Bench, part: str) -> Iterator[Check]:
    """Two steps in each precision, beside float32 on the CPU."""
    for precision in filter(partial(_trains, bench), get_args(Precision)):
        yield Check(part, f"two steps, {precision}", partial(_trained, bench, precision))


def _trained(bench: Bench, precision: Precision) -> Seen:
    found = _losses(bench, Running(Settings(bench.device, precision, workers=0)))
    expected = _losses(bench, Running(Settings("cpu", workers=0)))
    difference = float(np.abs(np.subtract(found, expected)).max())
    bound = TOLERANCES[precision]
    said = f"The losses are {_told(found)}: expected {_told(expected)} as on the CPU, at most {bound:g} apart."
    return judged(f"losses {_told(found)}", difference, bound, said, losses=found, expected=expected)


def _losses(bench: Bench, running: Running) -> list[float]:
    """The losses of a net from its first weights on, one step per epoch: the second shows what the first changed."""
    data = bench.subject.data
    recipe = Recipe(batch_size=len(data), epochs=2, dropout=0.0, statistics="ilsvrc", rate=0.1)
    net = bench.subject.model.identity.architecture
    assert net
    return [epoch.loss for epoch in train(CONFIGS["A"], data, data, recipe, width=net.width, running=running).log]


def _told(losses: list[float]) -> str:
    return ", ".join(f"{loss:.4f}" for loss in losses)


def _trains(bench: Bench, precision: Precision) -> bool:
    try:
        Running(Settings(bench.device, precision))
    except UsageError:
        return False
    return True

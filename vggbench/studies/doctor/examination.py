"""All that is looked at, in order."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from vggbench.data import DataSet, open_data
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.listening import Listener
from vggbench.evaluation.plan import Plan, prepare
from vggbench.images.preprocessing import INPUTS
from vggbench.inference.devices import pick_device
from vggbench.paper.protocols import Protocol
from vggbench.store.recording import Store
from vggbench.studies.doctor.checks import (
    PROTOCOLS,
    Bench,
    halved,
    posterior_checks,
    repeat_checks,
    training_checks,
    ways,
)
from vggbench.studies.doctor.environment import environment
from vggbench.studies.doctor.finding import Check, Finding
from vggbench.studies.doctor.pace import Pace
from vggbench.studies.doctor.stores import resumed, shared
from vggbench.studies.doctor.subject import Subject, draw_few, draw_many, repeated, subject

_WIDTH = 1 / 16
_FEW, _FEWER = 5, 2
"""Pictures at small width, and at full."""
_MANY_ON_CPU, _MANY = 80, 640
"""Pictures that are several blocks."""
_PAPER_SCALES = (256, 384, 512)


@dataclass(frozen=True)
class Examination:
    """What to look at: a device, what `--data` names or else drawn pictures, where the store is, full width or not."""

    device: str = "auto"
    data: str | None = None
    store: Path = Path("runs")
    full: bool = False

    def findings(self, listener: Listener | None = None) -> Iterator[Finding]:
        """One after the other; raises UsageError for a device that is not there, and DataError."""
        listener, device = listener or Listener(), pick_device(self.device)
        own = open_data(self.data) if self.data else None
        with TemporaryDirectory(prefix="vggbench-doctor-") as name:
            listener.say(f"Looking at this machine, on {device}; nothing is written into {self.store}/.")
            checks = list(self._checks(device, own, Path(name)))
            for number, check in enumerate(checks, 1):
                listener.say(f"{check.part}: {check.name} ({number} of {len(checks)}).")
                yield check.run()

    def _checks(self, device: torch.device, own: DataSet | None, folder: Path) -> Iterator[Check]:
        few = draw_few(folder / "few", _FEW)
        many = draw_many(folder / "many", _MANY_ON_CPU if device.type == "cpu" else _MANY)
        net = subject("D", INPUTS["torchvision"], _WIDTH, few)
        bench = Bench(net, str(device), folder / "stores")
        yield from environment(device, self.store, _paper(net, device, folder))
        yield from self._posteriors(bench, device)
        yield Check("Memory", "batches too large are halved", partial(halved, bench))
        yield Check("Store", "interrupted and resumed", partial(resumed, bench, many))
        yield Check("Store", "two processes", partial(shared, bench, many))
        yield from training_checks(bench, "Training")
        pace = Pace(own or few, device)
        yield from pace.checks(repeated(own or few, len(many)), folder, full=self.full)

    def _posteriors(self, bench: Bench, device: torch.device) -> Iterator[Check]:
        few, some = bench.subject.data, ways(device, compiled=self.full)
        norm = Bench(subject("A-LRN", INPUTS["caffe"], _WIDTH, few), bench.device, bench.folder)
        yield from posterior_checks(bench, "Posteriors", some, PROTOCOLS)
        yield from posterior_checks(norm, "Posteriors", some, PROTOCOLS[:1])
        yield from repeat_checks(bench, "Same bits", some)
        if self.full:
            fewer = draw_few(bench.folder.parent / "fewer", _FEWER)
            wide = Bench(subject("D", INPUTS["torchvision"], 1.0, fewer), bench.device, bench.folder / "wide")
            quick = [way for way in some if device.type != "cpu" or way.precision == "fp32"]
            yield from posterior_checks(wide, "Full width", quick, PROTOCOLS)
            slow = [way for way in some if way not in quick]  # all views by fp16 take many minutes on a CPU
            yield from posterior_checks(wide, "Full width", slow, PROTOCOLS[:1])


def _paper(net: Subject, device: torch.device, folder: Path) -> Plan:
    """The paper's evaluation of D at three Qs, which is planned and not run."""
    jobs = [Job(net.model, Protocol(name), q) for name in ("dense", "multicrop") for q in _PAPER_SCALES]
    return prepare(net.data, jobs, Store(folder / "paper"), Settings(str(device), backend="pytorch"))

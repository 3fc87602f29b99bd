"""Which backend is quicker on this machine's CPU: measured once for each kind of work, and kept in the cache folder.

The kept answer makes the same question have the same answer on one installation, which names the run's folder.
"""

import json
import logging
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vggbench.cache import NotKeptError, answer, answers, answers_file
from vggbench.errors import counted
from vggbench.inference.choices import BackendName
from vggbench.inference.timing import in_turn, shortest
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol, View

if TYPE_CHECKING:
    from torch import Tensor

    from vggbench.inference.backend import Backend
    from vggbench.weights.load import Model

_FILE = "backends"
_LEAST_GAIN = 0.1
"""Share of PyTorch's time by which ONNX Runtime must be quicker, so that a tie is no matter of chance."""
_CROPS = 8
"""As many crops as go through the layers together on a CPU."""
_SHORT_SIDE, _LONG_SIDE = 256, 341
_TOPS, _LEFTS = (0, 32), (0, 56, 112)
"""Offsets of crops on the grid of 8 at Q=256: few rows and columns, as a wide net takes a second for ten crops."""


@dataclass(frozen=True)
class Kind:
    """What decides which backend is quicker."""

    config: str
    width: float
    views: str
    """`dense`, `crops`, or `crops on the grid of 8`."""
    cpu: str
    """Its name, and the instructions that PyTorch uses of it."""
    threads: int
    torch: str
    onnxruntime: str

    def __str__(self) -> str:
        return f"{self.config} at width {self.width:g}, {self.views}"


@dataclass(frozen=True)
class Answer:
    """The quicker backend for a kind of work, and the seconds that each took for the same views."""

    kind: Kind
    backend: BackendName
    seconds: dict[BackendName, float]

    @property
    def is_of_here(self) -> bool:
        """Whether it was measured on this machine, with its libraries and threads as they are now."""
        return self.kind == replace(self.kind, **_here())

    def __str__(self) -> str:
        """As a sentence."""
        each = {"PyTorch": self.seconds["pytorch"], "ONNX Runtime": self.seconds["onnxruntime"]}
        took = " and ".join(f"{name} {1e3 * seconds:.3g} ms" for name, seconds in each.items())
        return (
            f"{self.kind}: {self.backend}; for the same views {took} on {self.kind.cpu}, "
            f"{counted(self.kind.threads, 'thread')} (measured once, kept in {answers_file(_FILE)})."
        )


def quicker(model: "Model", protocol: Protocol) -> BackendName:
    """The quicker backend as it was measured on this machine, or is now; by the rule where nothing can be kept."""
    from vggbench.inference.choice import by_width

    kind = kind_of(model, protocol)
    try:
        found = answer(_FILE, _question(kind), lambda: _found_out(model, kind))
    except NotKeptError:  # measured again each time, a tie would be answered otherwise from day to day
        return by_width(model, protocol)
    return _read(found).backend


def quicker_as_kept(model: "Model", protocol: Protocol) -> BackendName:
    """The same, but nothing is measured: where there is no answer yet, by the rule."""
    from vggbench.inference.choice import by_width

    kept = kept_answer(model, protocol)
    return kept.backend if kept else by_width(model, protocol)


def kept_answer(model: "Model", protocol: Protocol) -> Answer | None:
    """What was measured on this machine for this kind of work."""
    found = answers(_FILE).get(_question(kind_of(model, protocol)))
    return _read(found) if found else None


def kept_answers() -> list[Answer]:
    """All that was measured on machines that share this cache folder, with these versions and others."""
    return [_read(record) for record in answers(_FILE).values()]


def measure(model: "Model", views: str) -> dict[BackendName, float]:
    """Seconds that each backend takes for the same few views on the CPU, warm, the shortest of runs in turn."""
    import torch

    from vggbench.images.heap import keep_freed_memory
    from vggbench.inference.choice import start
    from vggbench.weights.unfetched import filled

    cpu, model = torch.device("cpu"), filled(model)
    keep_freed_memory()  # as an evaluation does
    names: tuple[BackendName, ...] = ("pytorch", "onnxruntime")
    works = [(name, work) for name in names for work in _works(start(name, model, cpu, "fp32"), views)]
    runs = in_turn([work for _, work in works], cpu)
    found: dict[BackendName, float] = {}
    for (name, _), its in zip(works, runs, strict=True):
        found[name] = min(found.get(name, float("inf")), shortest(its))
    return found


def kind_of(model: "Model", protocol: Protocol) -> Kind:
    """The kind of work that a protocol gives a VGG here."""
    net = model.identity.architecture
    assert net
    views = "dense" if protocol.name == "dense" else "crops" if protocol.grid == 1 else "crops on the grid of 8"
    return Kind(net.config.name, net.width, views, **_here())


@cache
def cpu_name() -> str:
    """The processor as its maker names it, or its architecture."""
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        for line in listed.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or os.name


def _found_out(model: "Model", kind: Kind) -> dict[str, Any]:
    logging.getLogger("vggbench").info("Measuring which backend is quicker here for %s, once.", kind)
    seconds = measure(model, kind.views)
    is_quicker = seconds["onnxruntime"] < (1 - _LEAST_GAIN) * seconds["pytorch"]
    return {"kind": asdict(kind), "backend": "onnxruntime" if is_quicker else "pytorch", "seconds": seconds}


def _works(backend: "Backend", views: str) -> list[Callable[[], object]]:
    """The ways to compute a few views; the quickest counts."""
    import torch

    from vggbench.inference.shared_crops import CHOICES

    backend.load().checked_by = None
    if views == "crops":
        return [partial(backend, _noise(_CROPS, CROP, CROP))]
    if views == "dense":
        images = [_noise(1, _LONG_SIDE, _SHORT_SIDE), _noise(1, _SHORT_SIDE, _LONG_SIDE)]  # sizes vary in `dense`
        return [lambda: [backend(image) for image in images]]
    image = _noise(1, _TOPS[-1] + CROP, _LEFTS[-1] + CROP)
    grid = [View(CROP, CROP, top, left) for top in _TOPS for left in _LEFTS]
    crops = torch.cat([image[:, :, view.top : view.top + CROP, view.left : view.left + CROP] for view in grid])

    def share(stages: int) -> "Tensor":
        return backend.grid(backend.prepared(image), grid, stages)

    return [partial(share, shared) if shared else partial(backend, crops) for shared in CHOICES]


def _noise(count: int, height: int, width: int) -> "Tensor":
    """Images (N, 3, H, W)."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def _here() -> dict[str, Any]:
    """The fields of a `Kind` that describe this machine."""
    import torch

    cpu = f"{cpu_name()}, {torch.backends.cpu.get_cpu_capability()}"
    return {
        "cpu": cpu, "threads": torch.get_num_threads(), "torch": torch.__version__, "onnxruntime": _onnxruntime(),
    }  # fmt: skip


def _question(kind: Kind) -> str:
    return json.dumps(asdict(kind))


def _read(record: dict[str, Any]) -> Answer:
    return Answer(Kind(**record["kind"]), cast(BackendName, record["backend"]), record["seconds"])


def _onnxruntime() -> str:
    """Its version, without the second that its import takes."""
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"

"""What is to be evaluated and how: a model by a protocol at one Q, the settings of all jobs, and who watches."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from vggbench.errors import UsageError
from vggbench.images.preprocessing import Rescale, Wanted
from vggbench.inference.choices import Asked, BackendName, Precision
from vggbench.nets.cost import image_macs, numbers_of
from vggbench.paper.descriptors import Descriptor
from vggbench.paper.protocols import OWN, Protocol, modern_scale, rescaled_size
from vggbench.store.identity import Identity
from vggbench.store.runs import BLOCK, Run

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from vggbench.weights.load import Model

_MOST_IN_BLOCK = 256
"""Images of a block on an accelerator."""


@dataclass(frozen=True)
class Job:
    """One model, protocol and Q: what becomes a run."""

    model: "Model"
    protocol: Protocol
    scale: int
    rescale: Rescale | None = None
    """How this job rescales, if that differs from the settings."""
    descriptor: Descriptor | None = None
    """What is taken of the network in place of its posteriors; the model ends in that layer."""

    @property
    def identity(self) -> Identity:
        """The model's."""
        return self.model.identity

    @property
    def wanted(self) -> Wanted:
        """The pixels that it takes of an image."""
        return Wanted(self.scale, self.rescale, self.protocol.crop if self.protocol.is_central else None)

    @property
    def title(self) -> str:
        """For messages."""
        what = f"{self.descriptor} " if self.descriptor else ""
        return f"{self.identity.name} {what}{self.protocol} Q={self.scale}"

    @property
    def numbers(self) -> int:
        """What is stored of an image: its posteriors, or its descriptor."""
        if self.descriptor:
            assert self.identity.architecture
            return numbers_of(self.identity.architecture, self.descriptor)
        return self.identity.classes

    def work(self, height: int, width: int) -> float:
        """MACs of one image of this original size; pixels of its views where the network is not a VGG."""
        height, width = (1, 1) if self.rescale and self.rescale.square else (height, width)
        if self.identity.architecture:
            last = self.descriptor.layer if self.descriptor else None
            return image_macs(self.identity.architecture, self.protocol, self.scale, height, width, last)
        if self.counts_macs:
            return (self.identity.macs or 0) * self.protocol.view_count
        views = self.protocol.views(*rescaled_size(height, width, self.scale))
        return sum(view.height * view.width for view in views)

    @property
    def counts_macs(self) -> bool:
        """Whether `work` is in MACs: of any size of image a VGG's are known, of other networks those of a crop."""
        return bool(self.identity.architecture or (self.identity.macs and self.protocol.name != "dense"))

    def require_possible(self) -> None:
        """Raise UsageError for crops larger than the image at Q, and for whole images where it takes one size alone."""
        own, protocol = self.identity, self.protocol
        if protocol.name == "dense" and own.kind:
            self._require_any_size()
        elif protocol.name != "dense" and self.scale < protocol.crop:
            raise UsageError(
                f"{self.title}: it takes crops of {protocol.crop} x {protocol.crop}, which are larger. Expected Qs "
                f"from {protocol.crop} up; without --scales it is {modern_scale(protocol.crop)}."
            )

    def _require_any_size(self) -> None:
        from vggbench.weights.classifiers.sizes import obstacle

        found, side = obstacle(self.model.module, self.identity.side, self.identity.classes), self.identity.side
        if found:
            raise UsageError(
                f"{self.identity.name} {found}, and dense sees whole images of any size: expected --center, --tencrop "
                f"or --multicrop, whose crops are {side} x {side}."
            )


def own_job(model: "Model") -> Job:
    """The model as its publisher evaluates it. Raises UsageError where that cannot be done exactly, or is not known."""
    preset = model.identity.preset
    if preset is None:
        why = f"cannot be taken exactly: {model.no_preset}" if model.no_preset else "is not on record"
        raise UsageError(
            f"{model.identity.name}: how its publisher evaluates it {why}. Expected --center, --tencrop or --multicrop."
        )
    return Job(model, Protocol(OWN, crop=preset.crop), preset.scale, preset.rescale)


@dataclass(frozen=True)
class Settings:
    """How a network is run; `batch_size` counts 224 x 224 views, larger views fill a batch sooner."""

    device: str = "auto"
    precision: Precision = "fp32"
    backend: Asked = "auto"
    compile: bool = False
    batch_size: int | None = None
    workers: int | None = None
    rescale: Rescale = field(default_factory=Rescale)
    skip_unreadable: bool = False
    share: tuple[int, int] = (0, 1)
    """Process i of n that share a store: it computes the blocks b with b mod n = i."""
    beside: int = 1
    """Processes among which the cores of this machine are divided, besides those that torchrun started."""

    @classmethod
    def of_run(cls, run: Run, others: Self | None = None) -> Self:
        """Those that a stored run's figures depend on, as its signature has them; else as `others` say."""
        asked, _, compiled = str(run.signature["backend"]).partition("+")
        own: dict[str, Any] = {
            "precision": run.signature["precision"],
            "backend": asked,
            "rescale": run.rescale or Rescale(),
        }
        return replace(others or cls(), compile=bool(compiled), **own)

    @cached_property
    def torch_device(self) -> "torch.device":
        """The device; raises UsageError."""
        from vggbench.inference.devices import pick_device

        return pick_device(self.device)

    def backend_for(self, job: Job, *, measures: bool = True) -> BackendName:
        """What runs a job; raises UsageError where that is not possible as asked.

        `auto` is what was measured on this machine, or is now, where it `measures`; else a fixed rule. Processes that
        share a store go by the rule: all must answer alike, on whatever machine and with whatever they measured before.
        """
        from vggbench.inference import measured
        from vggbench.inference.choice import by_width, choose

        alone = self.share == (0, 1)
        measures = measures and job.descriptor is None  # what is kept is of whole nets
        quicker = by_width if not alone else measured.quicker if measures else measured.quicker_as_kept
        return choose(
            self.backend, job.model, job.protocol, self.torch_device, self.precision, compiled=self.compile,
            quicker=quicker,
        )  # fmt: skip

    @cached_property
    def views_per_batch(self) -> int:
        """The batch size, or what memory has room for."""
        from vggbench.inference.devices import views_that_fit

        return self.batch_size or views_that_fit(self.torch_device)

    def block_for(self, images: int) -> int:
        """Images that are computed and stored together, in a run of so many that begins here.

        Fewer than an accelerator likes best where several processes share them, so that each has some.
        """
        if self.torch_device.type == "cpu":
            return BLOCK
        each = images // self.share[1]
        return _MOST_IN_BLOCK if self.share[1] == 1 else max(BLOCK, min(_MOST_IN_BLOCK, 2 ** (each.bit_length() - 1)))

    @property
    def loader_workers(self) -> int:
        """Processes that decode and rescale."""
        from vggbench.images.threads import cores

        if self.workers is not None:
            return self.workers
        return min(max(1, cores() // self.beside), 2 if self.torch_device.type == "cpu" else 16)

    def workers_for(self, item: float, *, held: int, ahead: int) -> int:
        """`loader_workers`, or as many of them as have room for items of so many bytes: see `fitting_workers`.

        Raises UsageError where there is no room for those that were asked for.
        """
        from vggbench.images.reading import fitting_workers, no_room

        room = fitting_workers(item, held=held, ahead=ahead, beside=self.beside)
        if self.workers is not None and self.workers > room:
            raise UsageError(no_room(f"--workers {self.workers}", room))
        return int(min(self.loader_workers, room))


class Watch:
    """What an evaluation tells while it goes on; this one listens to nothing."""

    def begin(self) -> None:
        """The networks are ready; the images come next."""

    def turn(self, job: Job) -> None:
        """A block of `job` is computed next."""

    def advance(self, work: float) -> None:
        """`work` more of that job is done, in the unit of `Job.work`."""

    def block(self, job: Job, label_ranks: "NDArray[np.int32]") -> None:
        """A block of `job` was stored; `label_ranks` of all its images so far in this process."""

"""What can be asked of an evaluation, in plain words, and what the words mean."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

from vggbench.data import DataSet
from vggbench.errors import UsageError
from vggbench.evaluation.jobs import Job, Settings, own_job
from vggbench.evaluation.processes import own_device, processes_beside, under_torchrun
from vggbench.evaluation.shares import parse_share
from vggbench.images.choices import Filter
from vggbench.images.preprocessing import Rescale, require_input
from vggbench.inference.choices import Asked, Precision, require_choice, require_least, require_width
from vggbench.paper.descriptors import Descriptor
from vggbench.paper.protocols import ANY_SCALE, OWN, Protocol, TrainScale, modern_scale, resolve_scales
from vggbench.weights.load import LoadOptions, Model
from vggbench.weights.trunks import up_to

_USUAL = "dense"
"""The usual protocol of VGGs."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How networks are evaluated; each field takes the words of the option of that name."""

    protocols: str | Sequence[str | Protocol] = ()
    """`center`, `tencrop`, `dense`, `multicrop`, `own`, or values; none: each model's usual one."""
    scales: str | int | Sequence[str | int] = ()
    """Q: numbers, a sweep `224:512:32`, `single` or `multi`; none: by each model's S."""
    grid: int = 1
    """Pixels that multicrop's offsets are multiples of: 1 or 8."""
    input: str | None = None
    """What files that do not say it expect: torchvision, caffe, matconvnet, or RGB or BGR; or `RGB,1,0.5,0.5`."""
    size: int | None = None
    """Side of the crops that an ONNX or pt2 file takes which is of any size."""
    ema: bool = False
    """Whether averaged weights are taken from checkpoints that hold both."""
    train_scale: str | TrainScale | None = None
    """S of files that do not say it."""
    width: float = 1.0
    """The width of random nets; 1 is the paper's."""
    filter: str = "bilinear"
    antialias: bool = True
    skip_bad_images: bool = False
    """Whether unreadable images are left out, and counted, rather than raise."""
    device: str = "auto"
    precision: str = "fp32"
    backend: str = "auto"
    compile: bool = False
    batch_size: int | None = None
    """Views of 224 x 224 per forward pass."""
    workers: int | None = None
    """Processes that read images."""
    share: str | None = None
    """`2/8`: this is the second of eight processes that share the store."""

    @cached_property
    def load_options(self) -> LoadOptions:
        """What is stated about files; raises UsageError."""
        stated = TrainScale.parse(str(self.train_scale)) if self.train_scale else None
        return LoadOptions(stated, self.input, self.width, self.ema, size=self.size)

    @cached_property
    def chosen_protocols(self) -> list[Protocol]:
        """The protocols, each once, of a VGG; raises UsageError."""
        if self.grid not in (1, 8):
            raise UsageError(f"--grid {self.grid}: expected 1 or 8.")
        if self.grid != 1 and "multicrop" not in self.protocols:
            raise UsageError("--grid is for --multicrop, which was not asked for: add it, or leave --grid out.")
        names = {"multicrop": f"multicrop{'' if self.grid == 1 else self.grid}"}
        asked = [self.protocols] if isinstance(self.protocols, str) else self.protocols or [_USUAL]
        return list(
            dict.fromkeys(Protocol.parse(names.get(one, one)) if isinstance(one, str) else one for one in asked)
        )

    def protocols_of(self, model: Model) -> list[Protocol]:
        """The protocols asked for, or the usual one: its publisher's own, or `dense` for VGGs, else `center`."""
        own = model.identity
        if self.protocols or (own.kind is None and own.preset is None):
            found = self.chosen_protocols
        else:
            found = [Protocol(OWN if own.preset or model.no_preset else "center")]
        return [replace(protocol, crop=own.side) for protocol in found]

    def jobs_of(self, model: Model) -> list[Job]:
        """All that is asked of a model; raises UsageError for what it cannot do."""
        jobs: list[Job] = []
        protocols = self.protocols_of(model)
        for protocol in protocols:
            if protocol.name == OWN:
                self._require_all_own(model, alone=len(protocols) == 1)
                jobs.append(own_job(model))
            else:
                jobs += [Job(model, protocol, scale) for scale in self.scales_of(protocol, model.identity.train_scale)]
        for job in jobs:
            job.require_possible()
        return jobs

    def _require_all_own(self, model: Model, *, alone: bool) -> None:
        """Refuse what is asked of the rescaling where nothing heeds it."""
        changed = [("--scales", bool(self.scales)), ("--filter", self.filter != "bilinear"),
                   ("--no-antialias", not self.antialias)]  # fmt: skip
        option = next((name for name, is_changed in changed if is_changed), None)
        if option and alone:
            raise UsageError(
                f"{option} with {model.identity.name} by {OWN}, which rescales as its publisher does: expected it to "
                "be left out, or --center, --tencrop, --dense or --multicrop."
            )

    def scales_of(self, protocol: Protocol, train_scale: TrainScale | None) -> tuple[int, ...]:
        """The Qs of a protocol for a net of this S, none of `own`; raises UsageError."""
        if protocol.name == OWN:
            return ()
        if not self.scales and not protocol.combines:
            return (modern_scale(protocol.crop),)
        words = [self.scales] if isinstance(self.scales, str | int) else self.scales
        return resolve_scales([str(word) for word in words], train_scale, protocol.crop)

    def has_several_scales(self, protocol: Protocol) -> bool:
        """Whether a protocol is at several Qs, whatever S is; raises UsageError for words that can be no Qs."""
        return len(self.scales_of(protocol, ANY_SCALE)) > 1

    @cached_property
    def settings(self) -> Settings:
        """How networks are run; raises UsageError."""
        self._require_choices()
        same = {name: getattr(self, name) for name in ("precision", "backend", "compile", "batch_size", "workers")}
        share = parse_share(self.share) if self.share else (0, 1)
        if self.share and under_torchrun():
            raise UsageError(
                f"--share {self.share}: expected processes that are started one by one, and torchrun shares the images "
                "among those that it starts. Leave out one of the two."
            )
        rescale = Rescale(self.filter, self.antialias)  # type: ignore[arg-type] # checked above
        settings = Settings(
            **same, device=own_device(self.device, share), share=share, rescale=rescale,
            skip_unreadable=self.skip_bad_images,
        )  # fmt: skip
        device = settings.torch_device  # refuses one that is not there, before anything is loaded
        return replace(settings, beside=processes_beside(device, share))

    def _require_choices(self) -> None:
        require_choice("--filter", self.filter, get_args(Filter))
        require_choice("--precision", self.precision, get_args(Precision))
        require_choice("--backend", self.backend, get_args(Asked))
        require_input(self.input)
        require_least("--size", self.size, 1)
        require_least("--batch-size", self.batch_size, 1)
        require_least("--workers", self.workers, 0)
        require_width(self.width)


@dataclass(frozen=True, kw_only=True)
class Request(Manner):
    """An evaluation: which models, on which images, how, and where the posteriors are kept."""

    models: str | Model | Sequence[str | Model]
    """MODEL strings such as `D@oxford`, or models that are loaded already; one, or several."""
    data: str | Path | DataSet | None = None
    """A path, `sample`, or images that are open already; None is refused."""
    ground_truth: str | None = None
    """The labels, as `open_data` takes them."""
    limit: int | None = None
    """Every (total / limit)-th image only."""
    weights: str | None = None
    """The source of models that name none."""
    runs: Path = Path("runs")
    """The store."""
    keep_going: bool = False
    """Whether a model without weights becomes an entry without, rather than raise."""
    dry_run: bool = False
    """Whether to stop after the plan, with a forecast."""
    descriptor: Descriptor | None = None
    """What is taken of images in place of posteriors; the data may then lack labels, and a file its fc layers."""

    def jobs_of(self, model: Model) -> list[Job]:
        """All that is asked of a model: posteriors, or descriptors; raises UsageError for what it cannot do."""
        if self.descriptor is None:
            return super().jobs_of(model)
        end = up_to(model, self.descriptor)
        jobs = [
            Job(end, protocol, scale, descriptor=self.descriptor)
            for protocol in self.chosen_protocols
            for scale in self.scales_of(protocol, model.identity.train_scale)
        ]
        for job in jobs:
            job.require_possible()
        return jobs

    @property
    def each_model(self) -> Sequence[str | Model]:
        """The models as they were asked for."""
        return [self.models] if isinstance(self.models, str | Model) else self.models

"""What a training has come to, and the file from which it resumes bit for bit."""

import csv
import hashlib
import io
import json
import math
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from vggbench.data import DataSet
from vggbench.errors import StoreError, WeightsError
from vggbench.files import Refusal, digest, refusing, write_whole
from vggbench.inference.devices import AUTOCAST
from vggbench.nets.vgg import VGG
from vggbench.train.recipe import Epoch, Recipe
from vggbench.weights.files import REFUSAL, read_tensors, write_tensors
from vggbench.weights.load import Model

TRAINER = 2
"""Raised whenever our code changes what a training gives, so that no old checkpoint is resumed."""
_MIXED_LRN = 3
"""The trainer of A-LRN in bf16 and fp16, since its normalisation squares in float32."""
_SPARE = 10
"""How many times as long as a checkpoint took training goes on before an epoch's end brings the next."""


@dataclass
class State:
    """A training under way: everything that its next step depends on."""

    network: VGG
    optimiser: torch.optim.SGD
    scaler: torch.amp.GradScaler
    """Scales the loss in fp16; in other precisions it passes everything on."""
    log: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    """The weights of the epoch with the lowest validation error, the later of equals."""
    steps: int = 0
    """Steps of the epoch under way; the next four are about that epoch as well."""
    images: int = 0
    loss: float = 0.0
    """Summed over the images."""
    unheard: int = 0
    """Steps whose loss is not known yet; there is no checkpoint before it is."""
    seconds: float = 0.0
    accumulate: int = 1
    """Parts that a process's share of a batch is split into at least, since memory ran out with fewer."""
    _resumed: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(cls, network: VGG, recipe: Recipe, precision: str = "fp32") -> Self:
        """Before the first step."""
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        # In one pass over memory, which bounds the step where little else is computed; it rounds otherwise.
        fused = recipe.crops == "fixed" and trained[0].device.type == "cpu"
        optimiser = torch.optim.SGD(
            trained, recipe.rate, recipe.momentum, weight_decay=recipe.weight_decay, fused=fused or None
        )
        return cls(network, optimiser, torch.amp.GradScaler(trained[0].device.type, enabled=precision == "fp16"))

    def taken(self, images: int) -> None:
        """Count one step."""
        self.steps, self.images, self.unheard = self.steps + 1, self.images + images, self.unheard + 1

    def heard(self, loss: float, images: int) -> None:
        """Add the mean loss of the first step that had none."""
        self.loss, self.unheard = self.loss + loss * images, self.unheard - 1

    def lap(self) -> float:
        """Seconds of the epoch under way, over all sittings."""
        now = time.monotonic()
        self.seconds, self._resumed = self.seconds + now - self._resumed, now
        return self.seconds

    def end_epoch(self, rate: float, top1_error: float) -> Epoch:
        """Close the epoch, and keep its weights if none before was better."""
        epoch = Epoch(len(self.log) + 1, rate, self.loss / self.images, top1_error, round(self.lap(), 2))
        if all(top1_error <= before.top1_error for before in self.log):
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}
        self.log.append(epoch)
        self.steps, self.images, self.loss, self.seconds = 0, 0, 0.0, 0.0
        return epoch

    def tensors(self) -> dict[str, Tensor]:
        """Weights, momentum and best weights, by name."""
        momentum = {
            name: self.optimiser.state[parameter].get("momentum_buffer", torch.zeros_like(parameter))
            for name, parameter in self.network.named_parameters()
            if parameter.requires_grad
        }
        parts = {"network": self.network.state_dict(), "momentum": momentum, "best": self.best}
        return {f"{part}.{name}": tensor for part, named in parts.items() for name, tensor in named.items()}

    def restore(self, tensors: dict[str, Tensor], counts: dict[str, Any]) -> None:
        """Become what `tensors` and `counts` say; raises whatever a file that was not written here makes it raise."""
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "momentum": {}, "best": {}}
        for name, tensor in tensors.items():
            part, _, key = name.partition(".")
            parts[part][key] = tensor
        self.network.load_state_dict(parts["network"])
        for name, parameter in self.network.named_parameters():
            if not parameter.requires_grad:
                continue
            # The layout of the parameter, so that sums run in the same order.
            momentum = parts["momentum"][name]
            if momentum.shape != parameter.shape:
                raise ValueError(f"the momentum of {name} has another shape")
            buffer = torch.empty_like(parameter).copy_(momentum)
            self.optimiser.state[parameter]["momentum_buffer"] = buffer
        self.best = parts["best"]
        self.log = [Epoch(**epoch) for epoch in counts["log"]]
        if self.log:
            shapes = {name: tensor.shape for name, tensor in self.network.state_dict().items()}
            if {name: tensor.shape for name, tensor in self.best.items()} != shapes:
                raise ValueError("its best weights are of another network")
        self.steps, self.images = int(counts["steps"]), int(counts["images"])
        self.loss, self.seconds = float(counts["loss"]), float(counts["seconds"])
        self.accumulate = int(counts.get("accumulate", 1))  # which checkpoints of before lack
        figures = [figure for epoch in counts["log"] for figure in epoch.values()]
        if min(self.steps, self.images, self.accumulate - 1) < 0 or not all(
            map(math.isfinite, [*figures, self.loss, self.seconds])
        ):
            raise ValueError("it counts what cannot be")
        self.scaler.load_state_dict(counts["scaler"])

    def counts(self) -> dict[str, Any]:
        """All that is not a tensor."""
        self.lap()
        counted = {name: getattr(self, name) for name in ("steps", "images", "loss", "seconds", "accumulate")}
        return counted | {"log": [asdict(epoch) for epoch in self.log], "scaler": self.scaler.state_dict()}


def identity(
    draft: Model, train_data: DataSet, val_data: DataSet, recipe: Recipe, start: Model | None, precision: str
) -> dict[str, Any]:
    """Everything that decides what a training gives; `draft` is the net before its first step."""
    net, given = draft.identity.architecture, draft.identity.input
    assert given
    assert net is not None
    squares_wide = precision in AUTOCAST and any(layer.kind == "lrn" for layer in net.config.layers)
    return {
        "config": net.config.name,
        "width": net.width,
        "input": given.as_dict() | {"ceil_pool": net.ceil_pool},
        "classes": list(train_data.class_names),
        "train": [train_data.fingerprint, _labels_hash(train_data)],
        "val": [val_data.fingerprint, _labels_hash(val_data)],
        "from": start.identity.weights_hash if start else None,
        "recipe": recipe.as_dict(),
        "precision": precision,
        "trainer": _MIXED_LRN if squares_wide else TRAINER,
    }


class Checkpoint:
    """The folder of one training: `checkpoint.safetensors` and `log.csv`; without a folder nothing is kept."""

    def __init__(self, folder: Path | None, writes: bool, identity: dict[str, Any]) -> None:
        self.folder, self._writes, self._identity = folder, writes, identity
        self._saved, self._took = time.monotonic(), 0.0
        self.is_behind = False
        """Whether a save was put off, and none came since."""

    @classmethod
    def of(cls, runs: Path | None, writes: bool, identity: dict[str, Any]) -> Self:
        """The training with this identity in the store `runs`; one process of several `writes`."""
        folder = f"train-{identity['config']}-{digest(identity)[:8]}"
        return cls(runs / folder if runs else None, writes, json.loads(json.dumps(identity)))

    @property
    def path(self) -> Path | None:
        """The file, if there is to be one."""
        return self.folder / "checkpoint.safetensors" if self.folder else None

    def restore(self, state: State) -> None:
        """Resume from the file, if there is one; see that one can be written. Raises StoreError."""
        if self.path is None or self.folder is None:
            return
        if self._writes:
            self._prepare()
        if not self.path.exists():
            return
        try:
            tensors, description = read_tensors(self.path)
            if description["identity"] != self._identity:
                raise ValueError("it is of another training")
            state.restore(tensors, description["counts"])
        except (WeightsError, KeyError, TypeError, ValueError, RuntimeError, OverflowError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(
                f"{self.path} cannot be resumed ({reason}): expected the checkpoint of this training. "
                "Remove it to train from the beginning."
            ) from error

    def due(self, every: float) -> bool:
        """Whether a file is kept here, and the last was written `every` seconds ago or more."""
        return self.folder is not None and self._writes and time.monotonic() - self._saved >= every

    def save_unless_costly(self, state: State) -> None:
        """Write the file, unless the last took a tenth of the time since, as after short epochs of large layers."""
        self.is_behind = time.monotonic() - self._saved < _SPARE * self._took
        if not self.is_behind:
            self.save(state)

    def save(self, state: State) -> None:
        """Write the file, if one is kept here. Raises StoreError."""
        assert not state.unheard, "a loss that may be NaN"
        began, self.is_behind = time.monotonic(), False
        if self.folder is None or not self._writes:
            return
        assert self.path is not None
        description = {"identity": self._identity, "counts": state.counts()}
        write_tensors(self.path, state.tensors(), description, self._refusal)
        if not state.steps:
            write_whole(self.folder / "log.csv", _as_csv(state.log), self._refusal)
        self._saved = time.monotonic()
        self._took = self._saved - began

    def _prepare(self) -> None:
        assert self.folder is not None
        with refusing(self.folder, self._refusal):
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(".*"):  # left by a process that was killed while it, or safetensors, wrote
                leftover.unlink()

    @property
    def _refusal(self) -> Refusal:
        expected = "room and a folder that this user may write. Name another with --runs."
        return REFUSAL._replace(
            error=StoreError, expected=expected, what=f"No checkpoint can be written to {self.folder}"
        )


def _as_csv(log: list[Epoch]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [item.name for item in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(epoch) for epoch in log)
    return text.getvalue()


def _labels_hash(data: DataSet) -> str:
    return hashlib.sha256("\n".join(image.class_name for image in data.images).encode()).hexdigest()

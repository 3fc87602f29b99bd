"""What the main process costs per image while a device computes: `python benchmarks/host.py FOLDER`.

The network costs nothing and normalising is left out: the device is PyTorch's meta device, on which what is asked for
is only asked for, as on a GPU that is never waited for. All else is an evaluation as it is: two reading processes, one
OpenMP thread, views cut on the device, posteriors (random ones) stored by the writer. Printed are milliseconds of CPU
time of the main process, all its threads, per image, and beside them timm's loader on the same images in the same
run.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import timm.data
import torch
from timm.data.loader import PrefetchLoader
from torch import Tensor
from turns import random_model

from vggbench.data import DataSet, open_data
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.loop import evaluate
from vggbench.inference.backend import Backend
from vggbench.inference.transfer import Fetch, Transfer
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol
from vggbench.weights.load import Model

META, SMALL = torch.device("meta"), torch.zeros(1)
WORKERS, BATCH, ROUNDS = 2, 256, 5
MODES = {"center": (256,), "multicrop": (256, 384, 512), "dense": (256, 384, 512)}
TIMES = (1, 8)
"""Passes over the images: with the start of processes, and with it small beside them."""


class Nowhere(Transfer):
    """To the meta device; what comes back are random posteriors."""

    def up(self, pixels: Tensor) -> Tensor:
        """Its shape."""
        return torch.empty_like(pixels, device=META)

    def back(self, found: Tensor) -> Fetch:
        """Posteriors of that shape."""
        return lambda: np.full(found.shape, 1 / found.shape[1], dtype=np.float32)


@dataclass
class Free(Backend):
    """A network that costs nothing."""

    def prepared(self, images: Tensor) -> Tensor:
        """The images, not normalised."""
        return images.to(torch.float32)

    def score(self, pixels: Tensor, *, check: bool = False) -> Tensor:
        """Scores of the right shape."""
        height, width = ((side - CROP) // 32 + 1 for side in pixels.shape[2:])
        return torch.empty(len(pixels), self.model.identity.classes, height, width, device=META)

    def load(self) -> "Free":
        """Nothing to load."""
        return self


def stack(parts: list[Tensor], stack: Callable[..., Tensor] = torch.stack) -> Tensor:
    """The stack's shape alone, for the time of as many small tensors: the meta device's own stack is slow Python."""
    stack([SMALL] * len(parts))
    return torch.empty((len(parts), *parts[0].shape), device=META)


def free(name: str, model: Model, device: torch.device, precision: str) -> Free:
    """As `start`."""
    return Free("PyTorch", torch.__version__, model, META, "fp32", lambda layers: layers, pixelwise=True)


def many(data: DataSet, times: int) -> DataSet:
    """The images so many times, each time with other ids."""
    images = tuple(replace(image, id=f"{turn}-{image.id}") for turn in range(times) for image in data.images)
    return replace(data, images=images, total=len(images))


def ours(data: DataSet, model: Model, protocol: str) -> None:
    """One evaluation."""
    settings = Settings(device="cpu", backend="pytorch", workers=WORKERS, batch_size=BATCH)
    vars(settings)["torch_device"] = META
    jobs = [Job(model, Protocol(protocol), scale) for scale in MODES[protocol]]  # type: ignore[arg-type]
    store = tempfile.mkdtemp()
    with (
        patch("vggbench.evaluation.loop.start", free),
        patch("vggbench.evaluation.loop.transfer_to", lambda device: Nowhere(META)),
        patch("torch.stack", stack),
    ):
        evaluate(data, jobs, store, settings)
    shutil.rmtree(store)


def timms(data: DataSet, folder: Path, times: int) -> None:
    """timm's loader: batches of 32 uint8 crops, before they are normalised."""
    images = torch.utils.data.ConcatDataset([timm.data.create_dataset("", root=str(folder))] * times)
    images.transform = None  # type: ignore[attr-defined]
    for part in images.datasets:
        part.transform = timm.data.create_transform((3, CROP, CROP), crop_pct=CROP / 256, use_prefetcher=True)
    loader = timm.data.create_loader(
        images, (3, CROP, CROP), 32, num_workers=WORKERS, use_prefetcher=True, persistent_workers=False,
        device=torch.device("cpu"), crop_pct=CROP / 256,
    )  # fmt: skip
    assert isinstance(loader, PrefetchLoader)
    seen = sum(len(batch) for batch, _ in loader.loader)
    assert seen == len(data) * times


def cpu_milliseconds(work: Callable[[], None], images: int) -> float:
    """CPU time of this process, in milliseconds per image."""
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started) / images


def main() -> None:
    """Print the figures."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    data, model = open_data(folder), random_model("D", width=1 / 64)
    for times in TIMES:
        images = many(data, times)
        works: dict[str, Callable[[], None]] = {"timm": partial(timms, data, folder, times)}
        wanted = MODES if times == 1 else ("center",)
        works |= {protocol: partial(ours, images, model, protocol) for protocol in wanted}
        found: dict[str, list[float]] = {name: [] for name in works}
        for turn in range(ROUNDS + 1):
            for name, work in works.items():
                spent = cpu_milliseconds(work, len(images))
                if turn:
                    found[name].append(spent)
        base = statistics.median(found["timm"])
        print(f"{len(images):,} images")
        for name, each in found.items():
            middle = statistics.median(each)
            at = f", Q={','.join(map(str, MODES[name]))}" if name in MODES else "'s loader"
            print(f"{name}{at}: {middle:.2f} ms ({min(each):.2f}-{max(each):.2f}), {middle / base:.2f} of timm's")


if __name__ == "__main__":
    main()

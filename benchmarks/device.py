"""`vggbench eval` on a CUDA device, from files: `python benchmarks/device.py FOLDER [IMAGES] [WORKERS]`.

D with random weights at full width, one central crop, beside timm's loader and net (channels_last, autocast) over the
same JPEGs of FOLDER (class folders, linked as often as it takes), with as many reading processes; and our own forward
passes alone, on pictures that lie on the device. All take turns; printed are ratios of medians, and images a second.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import timm
import timm.data
import torch
from peers import Begun, linked, timm_vgg16
from torch import Tensor
from turns import pictures, random_model, ratio, take_turns

from vggbench.data import DataSet, open_data
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.loop import evaluate
from vggbench.images.pixels import take
from vggbench.inference.choice import start
from vggbench.inference.choices import Precision
from vggbench.inference.devices import AUTOCAST, allow_tf32
from vggbench.nets.vgg import VGG
from vggbench.paper.protocols import Protocol
from vggbench.weights.load import Model

ROUNDS, BATCH = 3, 256
CENTER = Protocol("center")
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def ours(model: Model, data: DataSet, precision: Precision, workers: int) -> float:
    """Seconds of an evaluation after its start."""
    watch, settings = Begun(), Settings(device="cuda", backend="pytorch", precision=precision, workers=workers)
    with tempfile.TemporaryDirectory() as store:
        evaluate(data, [Job(model, CENTER, 256)], store, settings, watch)
        return time.perf_counter() - watch.at


def theirs(network: VGG, folder: Path, precision: Precision, workers: int) -> float:
    """Seconds of validate.py's loop after its first batch is asked for, without its meters."""
    peer = timm_vgg16(network).to("cuda", memory_format=torch.channels_last)
    config = timm.data.resolve_data_config({}, model=peer)
    config = {key: config[key] for key in ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")}
    dataset = timm.data.create_dataset("", root=str(folder), split="validation")
    loader: Any = timm.data.create_loader(
        dataset, batch_size=BATCH, use_prefetcher=True, num_workers=workers, device=torch.device("cuda"),
        pin_memory=True, **config,
    )  # fmt: skip
    allow_tf32(False)
    started = time.perf_counter()
    with torch.inference_mode(), torch.autocast("cuda", AUTOCAST.get(precision), enabled=precision in AUTOCAST):
        for images, _ in loader:
            peer(images.contiguous(memory_format=torch.channels_last)).topk(5)
    torch.cuda.synchronize()
    return time.perf_counter() - started


def passes(model: Model, folder: Path, images: int, precision: Precision) -> Callable[[], None]:
    """As many forward passes, on one batch of crops that lies on the device."""
    run = start("pytorch", model, torch.device("cuda"), precision)
    crops = [take(image, *CENTER.views(image.shape[1], image.shape[2])) for image in pictures(folder, 32, [256])[256]]
    batch = torch.stack(crops).repeat(BATCH // len(crops), 1, 1, 1).to("cuda")

    def work() -> None:
        last: Tensor | None = None
        for _ in range(0, images, BATCH):
            last = run(batch)
        assert last is not None
        torch.cuda.synchronize()

    return work


def main() -> None:
    """Print the ratios."""
    if not torch.cuda.is_available():
        print("No CUDA device: nothing to measure.")
        return
    given = open_data(Path(sys.argv[1]))
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else 4096
    workers = int(sys.argv[3]) if len(sys.argv) > 3 else max((os.cpu_count() or 2) - 1, 1)
    model = random_model("D")
    assert isinstance(model.module, VGG)
    with tempfile.TemporaryDirectory() as target:
        folder = linked(given, Path(target), copies=-(-wanted // len(given)))
        data = open_data(folder)
        print(f"{torch.cuda.get_device_name()}, {len(data)} images, {workers} reading processes", flush=True)
        for precision in PRECISIONS:
            times = take_turns(
                {
                    "eval": partial(ours, model, data, precision, workers),
                    "timm": partial(theirs, model.module, folder, precision, workers),
                    "passes": passes(model, folder, len(data), precision),
                },
                ROUNDS,
            )
            rates = {name: len(data) / statistics.median(seconds) for name, seconds in times.items()}
            print(f"{precision}: eval against timm {ratio(times, 'timm', 'eval')}; ", end="")
            print(f"eval against its forward passes alone {ratio(times, 'passes', 'eval')}; images a second: ", end="")
            print(", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items()), flush=True)


if __name__ == "__main__":
    main()

"""On a CUDA device: us against timm by precision, and shared against plain crops: `python benchmarks/gpu.py FOLDER`.

Without such a device it says so and ends. D with random weights at full width; both sides in turns, from uint8 images
on the device to scores there. Printed are ratios of medians.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from peers import timm_vgg16
from torch import Tensor, nn
from turns import pictures, random_model, ratio, take_turns

from vggbench.evaluation.jobs import Job
from vggbench.inference.choice import start
from vggbench.inference.choices import Precision
from vggbench.inference.devices import AUTOCAST, allow_tf32
from vggbench.inference.scorer import Scorer
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol

ROUNDS, BATCH = 10, 128
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16", "fp16")


def forward(network: nn.Module, images: Tensor, precision: Precision) -> None:
    """timm's loop: channels_last, autocast where asked for."""
    allow_tf32(precision == "tf32")
    with torch.inference_mode(), torch.autocast("cuda", AUTOCAST.get(precision), enabled=precision in AUTOCAST):
        network(images.to(torch.float32).div(255).contiguous(memory_format=torch.channels_last))
    torch.cuda.synchronize()


def scores(network: Callable[[Tensor], Tensor], images: Tensor) -> None:
    """Our loop, until the device is done."""
    network(images)
    torch.cuda.synchronize()


def main() -> None:
    """Print the ratios."""
    if not torch.cuda.is_available():
        print("No CUDA device: nothing to measure.")
        return
    device, model = torch.device("cuda"), random_model("D")
    assert isinstance(model.module, VGG)
    peer = timm_vgg16(model.module).to(device, memory_format=torch.channels_last)
    images = torch.randint(0, 256, (BATCH, 3, CROP, CROP), dtype=torch.uint8, device=device)
    print(torch.cuda.get_device_name(device))
    for precision in PRECISIONS:
        own = start("pytorch", model, device, precision)
        compiled = start("pytorch+compile", model, device, precision)
        times = take_turns(
            {
                "ours": partial(scores, own, images),
                "ours compiled": partial(scores, compiled, images),
                "timm": partial(forward, peer, images, precision),
            },
            ROUNDS,
        )
        print(f"{precision}: {ratio(times, 'timm', 'ours')}, compiled {ratio(times, 'timm', 'ours compiled')}")
        for scale, some in pictures(Path(sys.argv[1]), 4, (256, 384, 512)).items():
            job = Job(model, Protocol("multicrop", 8), scale)
            plain, shared = Scorer(job.protocol, own, BATCH), Scorer(job.protocol, own, BATCH)
            plain.shared = 0
            ways = {"plain": plain, "shared": shared}
            works = {name: partial(way.posteriors, some) for name, way in ways.items()}
            said = ratio(take_turns(works, ROUNDS), "plain", "shared")
            print(f"{precision}, crops at Q={scale}: {said}, {shared.shared} stages shared")


if __name__ == "__main__":
    main()

"""What the benchmarks share: ways to do a thing timed in turns, so that all meet the same machine; nets and images."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vggbench.data import open_data
from vggbench.data.imagenet import wnids
from vggbench.images.packs import Images, Request
from vggbench.images.preprocessing import INPUTS, Rescale
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import VGG, initialise
from vggbench.paper.configs import config_named
from vggbench.store.identity import Identity
from vggbench.weights.load import Model

Times = Mapping[str, list[float]]


def take_turns(works: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Seconds of each round of each way, or what it returns as such; a first round warms up and does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            started = time.perf_counter()
            own = work()
            if turn:
                times[name].append(own if isinstance(own, float) else time.perf_counter() - started)
    return times


def ratio(times: Times, slow: str, fast: str) -> str:
    """How many times as fast `fast` is: the ratio of medians, and the range of the rounds' own ratios."""
    per_round = [one / other for one, other in zip(times[slow], times[fast], strict=True)]
    middle = statistics.median(times[slow]) / statistics.median(times[fast])
    return f"{middle:.2f} ({min(per_round):.2f}-{max(per_round):.2f})"


def random_model(name: str, *, ceil: bool = False, width: float = 1.0) -> Model:
    """A random net whose posteriors differ from crop to crop."""
    config = config_named(name)
    network = VGG(config, width=width, ceil_pool=ceil).eval()
    initialise(network, 0)
    with torch.no_grad():
        for layer in network.classifier:
            if isinstance(layer, torch.nn.Linear):
                layer.weight *= 4
    net = Architecture(config, width=width, ceil_pool=ceil)
    return Model(Identity(f"{name}@random", INPUTS["caffe"], 1000, wnids(), name, architecture=net), network)


def pictures(folder: Path, count: int, scales: Sequence[int]) -> dict[int, list[Tensor]]:
    """Images spread over the folder, at each Q."""
    data = open_data(folder)
    images = Images(data.images, Rescale())
    loaded = [images.one(Request.plain(i * len(data) // count, scales)) for i in range(count)]
    return {scale: [image.at(scale) for image in loaded] for scale in scales}

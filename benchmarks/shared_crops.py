"""Multi-crop, shared against plain, on a grid of 8 or of whole pixels.

    python benchmarks/shared_crops.py FOLDER 8|1 [NET...]

Both compute the posteriors of the same real images with the same random weights at full width, channels last, fc layers
and mirrors included, in turns. Printed are ratios of median times and the largest difference of a posterior.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from turns import pictures, random_model, ratio, take_turns

from vggbench.inference.choice import start
from vggbench.inference.scorer import Scorer
from vggbench.paper.protocols import Protocol
from vggbench.weights.load import Model

SCALES = (256, 384, 512)
DENSE = Protocol("dense")


def scorer(model: Model, protocol: Protocol, scale: int, shared: int | None) -> Scorer:
    """The evaluation's own, with the number of shared stages set; None lets it choose."""
    made = Scorer(protocol, start("pytorch", model, torch.device("cpu"), "fp32"), 16)
    made.shared = shared
    return made


def compute(scorers: Sequence[Scorer], images: Sequence[Tensor]) -> list[np.ndarray]:
    """Posteriors of the images by each."""
    return [each.posteriors(images) for each in scorers]


def main() -> None:
    """Print the ratios per Q, over all Qs, and together with dense."""
    count, rounds = 2, 3
    crops = Protocol("multicrop", 8 if sys.argv[2] == "8" else 1)
    images = pictures(Path(sys.argv[1]), count, SCALES)
    for name in sys.argv[3:] or ["D"]:
        for ceil in (False, True) if name == "D" else (False,):
            model = random_model(name, ceil=ceil)
            totals: dict[str, list[float]] = {
                "plain": [0.0] * rounds,
                "shared": [0.0] * rounds,
                "dense": [0.0] * rounds,
            }
            for scale in SCALES:
                plain, own, dense = (scorer(model, p, scale, s) for p, s in ((crops, 0), (crops, None), (DENSE, 0)))
                first, second = compute([plain, own], images[scale])
                works = {
                    "plain": partial(compute, [plain], images[scale]), "shared": partial(compute, [own], images[scale]),
                    "dense": partial(compute, [dense], images[scale]),
                }  # fmt: skip
                times = take_turns(works, rounds)
                for way, found in times.items():
                    totals[way] = [a + b for a, b in zip(totals[way], found, strict=True)]
                said = f"{name} {'ceil' if ceil else 'floor'} Q={scale}: {ratio(times, 'plain', 'shared')}"
                differ = f"{np.abs(first - second).max():.1e} of {first.max():.2f}"
                shares = f"{own.shared} stages" if crops.grid == 8 else "what precedes the first pooling"
                print(f"{said}, {shares}, posteriors differ by {differ}", flush=True)
            together = {
                way: [a + b for a, b in zip(totals[way], totals["dense"], strict=True)] for way in ("plain", "shared")
            }
            print(
                f"{name} all Qs: {ratio(totals, 'plain', 'shared')}; with dense: {ratio(together, 'plain', 'shared')}"
            )


if __name__ == "__main__":
    main()

"""`eval D --scales 256 384 512 --dense` against a matrix product: `python benchmarks/dense.py FOLDER`.

The evaluation of some JPEGs of FOLDER by D with random weights at full width, with reading, store and first check but
without the start, against the time that a product of two 4096 x 4096 float32 matrices measured beside it implies for
its MACs, by PyTorch's library and by NumPy's. In turns; ratios of medians, above 1 where the evaluation is faster.
The first check is one image's by PyTorch at each Q, whatever their number: of 8 it would be an eighth of the time.
"""

import sys
from functools import partial

import numpy as np
import torch
from peers import OURS, evaluated
from turns import random_model, ratio, take_turns

from vggbench.data import open_data
from vggbench.evaluation.plan import sizes
from vggbench.nets.cost import image_macs
from vggbench.paper.protocols import Protocol

ROUNDS, IMAGES, SCALES, SIDE = 3, 24, (256, 384, 512), 4096
DENSE = Protocol("dense")


def main() -> None:
    """Print the ratios."""
    data, model = open_data(sys.argv[1]).subset(IMAGES), random_model("D")
    assert model.identity.architecture
    macs = sum(
        image_macs(model.identity.architecture, DENSE, scale, *size) for scale in SCALES for size in sizes(data, IMAGES)
    )
    matrix = torch.randn(SIDE, SIDE)
    array = matrix.numpy().copy()
    works = {f"eval {name}": partial(evaluated, model, data, name, DENSE, SCALES) for name in OURS} | {
        "product by PyTorch": lambda: matrix @ matrix,
        "product by NumPy": lambda: array @ array,
    }
    times = take_turns(works, ROUNDS)
    for way in ("product by PyTorch", "product by NumPy"):
        rate = SIDE**3 / np.median(times[way])
        implied = times | {way: [seconds * macs / SIDE**3 for seconds in times[way]]}
        print(f"{way}: {rate / 1e9:.0f} GMAC/s")
        for name in OURS:
            print(f"eval {name} against {way}: {ratio(implied, way, f'eval {name}')}")


if __name__ == "__main__":
    main()

"""ONNX Runtime against PyTorch, for each protocol and width: `python benchmarks/backends.py FOLDER [WIDTH...]`.

Both compute the posteriors of the same real images with the same random weights, in turns. Printed are ratios of median
times, above 1 where ONNX Runtime is faster, and the largest difference of a posterior.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from turns import pictures, random_model, ratio, take_turns

from vggbench.evaluation.jobs import Job
from vggbench.inference.choice import start
from vggbench.inference.choices import BackendName
from vggbench.inference.scorer import Scorer
from vggbench.paper.protocols import Protocol

JOBS = (("center", 256, 32), ("dense", 256, 8), ("dense", 384, 8), ("dense", 512, 8), ("multicrop", 384, 1),
        ("multicrop8", 256, 1), ("multicrop8", 384, 1), ("multicrop8", 512, 1))  # fmt: skip
"""Protocol, Q, images."""
NAMES: tuple[BackendName, ...] = ("pytorch", "onnxruntime")


def main() -> None:
    """Print the ratios."""
    images = pictures(Path(sys.argv[1]), 32, sorted({scale for _, scale, _ in JOBS}))
    for width in [float(text) for text in sys.argv[2:]] or [1.0]:
        model = random_model("D", width=width)
        backends = {name: start(name, model, torch.device("cpu"), "fp32") for name in NAMES}
        for protocol, scale, count in JOBS:
            job = Job(model, Protocol.parse(protocol), scale)
            some = images[scale][:count]
            works = {
                name: partial(Scorer(job.protocol, backend, 32).posteriors, some) for name, backend in backends.items()
            }
            found = [work() for work in works.values()]
            times = take_turns(works, 5)
            apart = np.abs(found[0] - found[1]).max()
            print(
                f"width {width:g} {protocol} Q={scale}: {ratio(times, *NAMES)}, posteriors differ by {apart:.1e} "
                f"of {found[0].max():.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

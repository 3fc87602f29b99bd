"""A first success: the sample's six nets on a few drawn pictures, and where one of them sees a fish."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vggbench.evaluation.jobs import Job
from vggbench.evaluation.listening import Listener
from vggbench.evaluation.request import Request
from vggbench.images.pixels import rescale
from vggbench.images.preprocessing import Rescale
from vggbench.paper.configs import PAPER
from vggbench.paper.protocols import Protocol
from vggbench.results.evaluated import Evaluated, compared, evaluated
from vggbench.results.rows import Row
from vggbench.sample.pictures import side_by_side
from vggbench.studies.prediction import ClassMap, Predictor

DATA = "sample-quick"
PICTURES, SEEN = (("star", 2), ("fish", 3), ("house", 2)), "fish"
"""What stands side by side, each a class and which of its pictures, and the class that is looked for."""
_NET, _SCALE = "D", 512


@dataclass(frozen=True)
class Quickstart:
    """The evaluation of six nets, and the score map of one of them."""

    found: Evaluated
    rows: list[Row]
    """One a net, each tested against the first."""
    pixels: Tensor
    """(3, H, W) uint8: the image of the map, at its Q."""
    map: ClassMap
    title: str
    """What the map shows."""
    how: str
    """The net, its protocol and Q."""


def quickstart(runs: Path = Path("runs"), listener: Listener | None = None) -> Quickstart:
    """Evaluate the six nets of the sample on 120 drawn pictures, by the central crop, and map one class.

    The backend is fixed: to time both would take longer than the evaluation. Raises as `evaluate`.
    """
    backend = "onnxruntime" if find_spec("onnxruntime") else "pytorch"
    request = Request(models=tuple(PAPER), data=DATA, protocols="center", runs=runs, device="cpu", backend=backend)
    found = evaluated(request, listener)
    session = found.session
    assert session, "it was computed or found just now"
    model = next(model for model in session.models if model.identity.name == f"{_NET}@sample")
    predictor = Predictor(model, [Job(model, Protocol("dense"), _SCALE)], session.settings)
    pixels = torch.from_numpy(np.array(side_by_side(PICTURES))).permute(2, 0, 1)
    image = rescale(pixels, _SCALE, Rescale())
    seen = predictor.class_map(image, predictor.place_of(SEEN))
    how = f"{model.identity.name}, dense, Q={_SCALE}"
    return Quickstart(found, compared(found), image, seen, f"{SEEN}: {100 * seen.dense:.1f} %", how)

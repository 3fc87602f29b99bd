"""vggbench: the evaluation of VGG networks by the paper's own protocols.

    from vggbench import INPUTS, Job, Model, Protocol, error_rates, evaluate, fuse, open_data

The README shows a whole evaluation in eight lines. Importing this package is cheap:
PyTorch is imported with the first name that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vggbench.data import DataSet as DataSet
    from vggbench.data import open_data as open_data
    from vggbench.errors import VggbenchError as VggbenchError
    from vggbench.evaluation.jobs import Job as Job
    from vggbench.evaluation.jobs import Settings as Settings
    from vggbench.evaluation.loop import evaluate as evaluate
    from vggbench.images.preprocessing import INPUTS as INPUTS
    from vggbench.images.preprocessing import Input as Input
    from vggbench.images.preprocessing import Rescale as Rescale
    from vggbench.metrics import ErrorRate as ErrorRate
    from vggbench.nets.vgg import VGG as VGG
    from vggbench.paper.configs import CONFIGS as CONFIGS
    from vggbench.paper.protocols import Protocol as Protocol
    from vggbench.paper.protocols import TrainScale as TrainScale
    from vggbench.paper.protocols import View as View
    from vggbench.results.rows import error_rates as error_rates
    from vggbench.store.posteriors import Fusion as Fusion
    from vggbench.store.posteriors import fuse as fuse
    from vggbench.store.posteriors import posteriors as posteriors
    from vggbench.store.runs import Run as Run
    from vggbench.weights.load import LoadOptions as LoadOptions
    from vggbench.weights.load import Model as Model
    from vggbench.weights.load import load_model as load_model
    from vggbench.weights.load import save_model as save_model
    from vggbench.weights.spec import ModelSpec as ModelSpec

_HOMES = {
    "CONFIGS": "paper.configs",
    "DataSet": "data",
    "ErrorRate": "metrics",
    "Fusion": "store.posteriors",
    "INPUTS": "images.preprocessing",
    "Input": "images.preprocessing",
    "Job": "evaluation.jobs",
    "LoadOptions": "weights.load",
    "Model": "weights.load",
    "ModelSpec": "weights.spec",
    "Protocol": "paper.protocols",
    "Rescale": "images.preprocessing",
    "Run": "store.runs",
    "Settings": "evaluation.jobs",
    "TrainScale": "paper.protocols",
    "VGG": "nets.vgg",
    "VggbenchError": "errors",
    "View": "paper.protocols",
    "error_rates": "results.rows",
    "evaluate": "evaluation.loop",
    "fuse": "store.posteriors",
    "load_model": "weights.load",
    "open_data": "data",
    "posteriors": "store.posteriors",
    "save_model": "weights.load",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vggbench' has no attribute {name!r}")
    return getattr(import_module(f"vggbench.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

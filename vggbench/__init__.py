"""vggbench: the evaluation of VGG networks by the paper's own protocols.

    from vggbench import INPUTS, Job, Model, Protocol, error_rates, evaluate, fuse, open_data

The README shows a whole evaluation in eight lines. Importing this package is cheap:
PyTorch is imported with the first name that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vggbench.configs import CONFIGS as CONFIGS
    from vggbench.data import DataSet as DataSet
    from vggbench.data import open_data as open_data
    from vggbench.errors import VggbenchError as VggbenchError
    from vggbench.evaluation import evaluate as evaluate
    from vggbench.jobs import Job as Job
    from vggbench.jobs import Settings as Settings
    from vggbench.metrics import ErrorRate as ErrorRate
    from vggbench.model import VGG as VGG
    from vggbench.protocols import Protocol as Protocol
    from vggbench.protocols import TrainScale as TrainScale
    from vggbench.protocols import View as View
    from vggbench.results import error_rates as error_rates
    from vggbench.scores import Fusion as Fusion
    from vggbench.scores import Run as Run
    from vggbench.scores import fuse as fuse
    from vggbench.scores import posteriors as posteriors
    from vggbench.views import INPUTS as INPUTS
    from vggbench.views import Input as Input
    from vggbench.views import Rescale as Rescale
    from vggbench.weights import LoadOptions as LoadOptions
    from vggbench.weights import Model as Model
    from vggbench.weights import ModelSpec as ModelSpec
    from vggbench.weights import load_model as load_model
    from vggbench.weights import save_model as save_model

_HOMES = {
    "CONFIGS": "configs",
    "DataSet": "data",
    "ErrorRate": "metrics",
    "Fusion": "scores",
    "INPUTS": "views",
    "Input": "views",
    "Job": "jobs",
    "LoadOptions": "weights",
    "Model": "weights",
    "ModelSpec": "weights",
    "Protocol": "protocols",
    "Rescale": "views",
    "Run": "scores",
    "Settings": "jobs",
    "TrainScale": "protocols",
    "VGG": "model",
    "VggbenchError": "errors",
    "View": "protocols",
    "error_rates": "results",
    "evaluate": "evaluation",
    "fuse": "scores",
    "load_model": "weights",
    "open_data": "data",
    "posteriors": "scores",
    "save_model": "weights",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vggbench' has no attribute {name!r}")
    return getattr(import_module(f"vggbench.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""vggbench: the evaluation of VGG networks by the paper's own protocols.

    net = vggbench.load("D@oxford")
    found = vggbench.evaluate(net, "imagenet/", protocols=["dense", "multicrop"], scales=[256, 384, 512])
    found.to_pandas()

`vggbench.front` holds what is called so. Importing this package is cheap: PyTorch is imported by what needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from vggbench.data import DataSet as DataSet
    from vggbench.errors import VggbenchError as VggbenchError
    from vggbench.evaluation.jobs import Job as Job
    from vggbench.evaluation.jobs import Settings as Settings
    from vggbench.front import ILSVRC_CLASSES as ILSVRC_CLASSES
    from vggbench.front import compare as compare
    from vggbench.front import evaluate as evaluate
    from vggbench.front import explain as explain
    from vggbench.front import features as features
    from vggbench.front import fuse as fuse
    from vggbench.front import load as load
    from vggbench.front import open_data as open_data
    from vggbench.front import params as params
    from vggbench.front import probe as probe
    from vggbench.front import read_features as read_features
    from vggbench.front import score as score
    from vggbench.images.preprocessing import INPUTS as INPUTS
    from vggbench.images.preprocessing import Input as Input
    from vggbench.images.preprocessing import Rescale as Rescale
    from vggbench.metrics import ErrorRate as ErrorRate
    from vggbench.nets.vgg import VGG as VGG
    from vggbench.paper.configs import CONFIGS as CONFIGS
    from vggbench.paper.protocols import Protocol as Protocol
    from vggbench.paper.protocols import TrainScale as TrainScale
    from vggbench.paper.protocols import View as View
    from vggbench.results.evaluated import Evaluated as Evaluated
    from vggbench.results.rows import error_rates as error_rates
    from vggbench.store.features import Features as Features
    from vggbench.store.identity import Identity as Identity
    from vggbench.store.posteriors import Fusion as Fusion
    from vggbench.store.posteriors import posteriors as posteriors
    from vggbench.store.runs import Run as Run
    from vggbench.weights.load import LoadOptions as LoadOptions
    from vggbench.weights.load import Model as Model
    from vggbench.weights.load import load_model as load_model
    from vggbench.weights.load import save_model as save_model
    from vggbench.weights.spec import ModelSpec as ModelSpec

_HOMES = {
    name: home
    for home, names in {
        "data": "DataSet",
        "errors": "VggbenchError",
        "evaluation.jobs": "Job Settings",
        "front": "ILSVRC_CLASSES compare evaluate explain features fuse load open_data params probe read_features "
        "score",
        "images.preprocessing": "INPUTS Input Rescale",
        "metrics": "ErrorRate",
        "nets.vgg": "VGG",
        "paper.configs": "CONFIGS",
        "paper.protocols": "Protocol TrainScale View",
        "results.evaluated": "Evaluated",
        "results.rows": "error_rates",
        "store.features": "Features",
        "store.identity": "Identity",
        "store.posteriors": "Fusion posteriors",
        "store.runs": "Run",
        "weights.load": "LoadOptions Model load_model save_model",
        "weights.spec": "ModelSpec",
    }.items()
    for name in names.split()
}
"""Where each public name is."""

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vggbench' has no attribute {name!r}")
    return getattr(import_module(f"vggbench.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

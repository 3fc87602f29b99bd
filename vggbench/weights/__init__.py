"""Where weights come from, and how a file becomes a network: nothing is skipped, guessed or executed."""

from vggbench.weights.description import ASKED
from vggbench.weights.download import DownloadWatch
from vggbench.weights.load import LoadOptions, Model, load_model, save_model
from vggbench.weights.released import default_source
from vggbench.weights.spec import SAMPLE_NETS, ModelSpec

__all__ = [
    "ASKED", "SAMPLE_NETS", "DownloadWatch", "LoadOptions", "Model", "ModelSpec", "default_source", "load_model",
    "save_model",
]  # fmt: skip

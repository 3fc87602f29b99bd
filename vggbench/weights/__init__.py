"""Where weights come from, and how a file becomes a network: nothing is skipped, guessed or executed."""

from vggbench.weights.load import LoadOptions, Model, load_model, save_model
from vggbench.weights.spec import SAMPLE_NETS, ModelSpec

__all__ = ["SAMPLE_NETS", "LoadOptions", "Model", "ModelSpec", "load_model", "save_model"]

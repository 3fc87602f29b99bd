"""Predictions that other tools wrote, in any of a few formats, and those formats written."""

from vggbench.store.predictions.classes import named_classes
from vggbench.store.predictions.reading import Predictions, read_predictions
from vggbench.store.predictions.writing import ENDINGS, write_predictions

__all__ = ["ENDINGS", "Predictions", "named_classes", "read_predictions", "write_predictions"]

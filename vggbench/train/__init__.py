"""Training by the paper's recipe (section 3.1), validated by the project's own evaluation."""

from vggbench.train.crops import statistics
from vggbench.train.loop import Trained, TrainWatch, train
from vggbench.train.recipe import Epoch, Recipe

__all__ = ["Epoch", "Recipe", "TrainWatch", "Trained", "statistics", "train"]

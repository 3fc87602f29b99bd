"""Training by the paper's recipe (section 3.1), validated by the project's own evaluation."""

from vggbench.train.loop import Trained, TrainWatch, train
from vggbench.train.recipe import Epoch, Recipe
from vggbench.train.step import Running

__all__ = ["Epoch", "Recipe", "Running", "TrainWatch", "Trained", "train"]

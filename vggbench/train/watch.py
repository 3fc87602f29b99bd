"""Who is told what a training does on the way."""

from collections.abc import Sequence

from vggbench.train.recipe import Epoch


class TrainWatch:
    """What a training tells while it goes on; this one listens to nothing."""

    def measured(self, images: int, of: int) -> None:
        """So many images of the training set have been measured for its mean and colour components."""

    def begun(self, epochs: Sequence[Epoch], images: int, epoch_images: int) -> None:
        """The epochs and the images of the next one that a checkpoint had already, and the images of an epoch."""

    def doubted(self, image: str) -> None:
        """An image is trained on although libjpeg complained of it; once an epoch, with the complaint."""

    def step(self, images: int, loss: float) -> None:
        """One step more."""

    def epoch(self, epoch: Epoch) -> None:
        """An epoch is over, and validated."""

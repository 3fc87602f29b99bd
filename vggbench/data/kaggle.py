"""The tree that Kaggle distributes: `ILSVRC/Data/CLS-LOC/val`, flat, and `.../train/n01440764/`.

`LOC_val_solution.csv` beside it is checked like any ground truth that lies beside the images.
"""

from vggbench.data.dataset import ImageFile
from vggbench.data.flat import flat_images, is_flat
from vggbench.data.folders import class_folder_images, empty_classes
from vggbench.data.layout import Layout, Place
from vggbench.data.splits import KAGGLE_TOP


def _images(place: Place) -> list[ImageFile]:
    return flat_images(place) if is_flat(place) else class_folder_images(place.listing)


KAGGLE = Layout(
    "Kaggle's tree",
    f"ILSVRC/Data/{KAGGLE_TOP}/val/ILSVRC2012_val_00000001.JPEG",
    lambda place: place.path.parent.name == KAGGLE_TOP,
    _images,
    empty_classes=lambda place: () if is_flat(place) else empty_classes(place),
)

"""Folders 0 to 999, as ImageNetV2 has them: each the place of its class in the order of every network."""

from dataclasses import replace

from vggbench.data.dataset import ImageFile
from vggbench.data.folders import class_folder_images, empty_classes
from vggbench.data.imagenet import require_stated_class, wnids
from vggbench.data.layout import Layout, Place
from vggbench.data.numbers import is_thousand


def _recognises(place: Place) -> bool:
    return is_thousand(place.listing.top_folders)


def _images(place: Place) -> list[ImageFile]:
    found = []
    for image in class_folder_images(place.listing):
        class_name = wnids()[int(image.class_name)]
        require_stated_class(class_name, image.id, image)
        found.append(replace(image, class_name=class_name))
    return found


def _empty(place: Place) -> tuple[str, ...]:
    return tuple(wnids()[int(number)] for number in empty_classes(place))


NUMBERED = Layout(
    "folders 0 to 999",
    "imagenetv2-matched-frequency-format-val/0/*.jpeg",
    _recognises,
    _images,
    empty_classes=_empty,
)

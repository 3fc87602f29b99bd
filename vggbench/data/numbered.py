"""Folders 0 to 999, as ImageNetV2 has them: each the place of its class in the order of every network."""

from dataclasses import replace

from vggbench.data.dataset import ImageFile
from vggbench.data.folders import class_folder_images
from vggbench.data.imagenet import require_stated_class, wnids
from vggbench.data.layout import Layout, Place


def _recognises(place: Place) -> bool:
    return set(place.listing.top_folders) == {str(number) for number in range(len(wnids()))}


def _images(place: Place) -> list[ImageFile]:
    found = []
    for image in class_folder_images(place.listing):
        class_name = wnids()[int(image.class_name)]
        require_stated_class(class_name, image.id, image)
        found.append(replace(image, class_name=class_name))
    return found


NUMBERED = Layout("folders 0 to 999", "imagenetv2-matched-frequency-format-val/0/*.jpeg", _recognises, _images)

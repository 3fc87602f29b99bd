"""All images in one folder or tar, as in ILSVRC2012_img_val.tar: their place says nothing of their class."""

from vggbench.data.dataset import ImageFile
from vggbench.data.identity import with_unique_ids
from vggbench.data.imagenet import named_wnid
from vggbench.data.layout import UNLABELLED, Layout, Place


def is_flat(place: Place) -> bool:
    """Whether there are images at the top, and no folder beside them holds any."""
    images = place.listing.images
    return bool(images) and not any(entry.folders for entry in images)


def flat_images(place: Place) -> list[ImageFile]:
    """The images, unlabelled but where their own names end in a wnid, as some distributions have them."""
    return with_unique_ids(
        [(entry.name, entry.image(named_wnid(entry.name) or UNLABELLED)) for entry in place.listing.images]
    )


FLAT = Layout("flat folder", "val/ILSVRC2012_val_00000001.JPEG", is_flat, flat_images)

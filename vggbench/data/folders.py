"""One folder a class, in a folder or a tar: `val/n01440764/*.JPEG`, or any names of one's own."""

from collections import Counter

from vggbench.data.dataset import ImageFile
from vggbench.data.identity import with_unique_ids
from vggbench.data.layout import Layout, Place
from vggbench.data.listing import EXTENSIONS, Listing
from vggbench.errors import DataError


def class_folder_images(listing: Listing) -> list[ImageFile]:
    """Each image, its class the topmost folder that it lies in.

    Raises DataError for a class without an image, an image without a class, and a folder of folders.
    """
    stray = next((entry for entry in listing.images if not entry.folders), None)
    if stray:
        raise DataError(
            f"{listing.where(stray.name)} lies beside the class folders, which says nothing about its class: expected "
            "every image in the folder of its class. Sort it in, or take it away."
        )
    counted = Counter(entry.folders[0] for entry in listing.images)
    direct = {entry.folders[0] for entry in listing.images if len(entry.folders) == 1}
    for folder in listing.top_folders:
        if folder not in direct:
            _refuse_nested(listing, folder)
        if not counted[folder]:
            raise DataError(
                f"Class folder {listing.where(folder)} holds no image: expected files ending in "
                f"{', '.join(EXTENSIONS[:3])}. Fill it or remove it, so that every class is measured."
            )
    return with_unique_ids([(entry.name, entry.image(entry.folders[0])) for entry in listing.images])


def _refuse_nested(listing: Listing, folder: str) -> None:
    """A folder of folders, such as `train` beside `test`, is no class."""
    prefix = f"{folder}/"
    inner = {name[len(prefix) :].partition("/")[0] for name in listing.folders if name.startswith(prefix)}
    if len(inner) > 1:
        where = listing.where(folder)
        raise DataError(
            f"{where} holds {len(inner)} folders and no image: expected the images of one class."
            + ("" if listing.top.is_file() else f" If it holds a whole set, pass --data {where}.")
        )


def _images(place: Place) -> list[ImageFile]:
    if not place.listing.top_folders:
        raise DataError(f"{place.path} holds no images: expected one folder of images per class, such as n01440764/.")
    return class_folder_images(place.listing)


CLASS_FOLDERS = Layout("class folders", "val/n01440764/*.JPEG", lambda place: True, _images)

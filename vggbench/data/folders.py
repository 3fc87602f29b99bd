"""One folder a class, in a folder or a tar: `val/n01440764/*.JPEG`, or any names of one's own."""

from collections import Counter

from vggbench.data.dataset import ImageFile
from vggbench.data.imagenet import val_number
from vggbench.data.layout import Layout, Place
from vggbench.data.listing import EXTENSIONS, Entry, Listing
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
    for folder in listing.top_folders:
        _refuse_nested(listing, folder)
        if not counted[folder]:
            raise DataError(
                f"Class folder {listing.where(folder)} holds no image: expected files ending in "
                f"{', '.join(EXTENSIONS[:3])}. Fill it or remove it, so that every class is measured."
            )
    return with_unique_ids([(entry, entry.image(entry.folders[0])) for entry in listing.images], listing)


def with_unique_ids(found: list[tuple[Entry, ImageFile]], listing: Listing) -> list[ImageFile]:
    """Ids are file names; where two classes use one name, every id is the whole name below the top instead."""
    names = Counter(image.id for _, image in found)
    twice = [(entry, image) for entry, image in found if names[image.id] > 1]
    if not twice:
        return [image for _, image in found]
    first = twice[0][1].id
    if val_number(first):
        one, other = [listing.where(entry.name) for entry, image in twice if image.id == first][:2]
        raise DataError(f"The same image stands twice, as {one} and {other}: remove the wrong one.")
    return [ImageFile(entry.name, i.path, i.length, i.class_name, i.offset) for entry, i in found]


def _refuse_nested(listing: Listing, folder: str) -> None:
    """A folder of folders, such as `train` beside `test`, is no class."""
    prefix = f"{folder}/"
    inner = {name[len(prefix) :].partition("/")[0] for name in listing.folders if name.startswith(prefix)}
    direct = any(entry.folders == (folder,) for entry in listing.files)
    if len(inner) > 1 and not direct:
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

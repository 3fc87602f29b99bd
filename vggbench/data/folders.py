"""One folder a class, in a folder or a tar: `val/n01440764/*.JPEG`, or any names of one's own."""

from typing import NoReturn

from vggbench.data.dataset import ImageFile, sorted_classes
from vggbench.data.foreign import advice
from vggbench.data.identity import with_unique_ids
from vggbench.data.imagenet import is_wnid
from vggbench.data.layout import Layout, Place
from vggbench.data.listing import EXTENSIONS, Listing
from vggbench.data.shards import other_shards, require_split
from vggbench.data.splits import split_of_folder
from vggbench.errors import DataError


def class_folder_images(listing: Listing) -> list[ImageFile]:
    """Each image, its class the topmost folder that it lies in.

    Raises DataError where no class has an image, for an image without a class, and for a folder of folders.
    """
    stray = next((entry for entry in listing.images if not entry.folders), None)
    if stray:
        raise DataError(
            f"{listing.where(stray.name)} lies beside the class folders, which says nothing about its class: expected "
            "every image in the folder of its class. Sort it in, or take it away."
        )
    places: dict[str, set[str]] = {}
    for entry in listing.images:
        places.setdefault(entry.folders[0], set()).add(entry.name.rpartition("/")[0])
    for folder, inner in places.items():
        if folder not in inner and (len(inner) > 1 or _names_a_set(inner, folder)):
            _refuse_nested(listing, folder, len(inner))
    if not listing.images:
        folder = listing.top_folders[0]
        raise DataError(
            f"Class folder {listing.where(folder)} holds no image, nor does any other: expected files ending in "
            f"{', '.join(EXTENSIONS[:3])}.{advice([entry.name for entry in listing.files])}"
        )
    return with_unique_ids([(entry.name, entry.image(entry.folders[0])) for entry in listing.images])


def empty_classes(place: Place) -> tuple[str, ...]:
    """The folders that hold no image, in order."""
    return sorted_classes(set(place.listing.top_folders) - {entry.folders[0] for entry in place.listing.images})


def _names_a_set(inner: set[str], folder: str) -> bool:
    """Whether the one path of images below a folder has a split or a class of ILSVRC in it, as `photos/val/`."""
    (path,) = inner
    return any(split_of_folder(name) or is_wnid(name) for name in path.removeprefix(f"{folder}/").split("/"))


def _refuse_nested(listing: Listing, folder: str, count: int) -> NoReturn:
    """A folder of folders, such as `photos` beside `drawings`, is no class."""
    where = listing.where(folder)
    raise DataError(
        f"{where} holds {count} folder{'s' if count > 1 else ''} and no image: expected the images of one class."
        + ("" if listing.top.is_file() else f" If it holds a whole set, pass --data {where}.")
    )


def _images(place: Place) -> list[ImageFile]:
    if not place.listing.top_folders:
        if place.path.is_dir():
            require_split(other_shards(place.path, ".tar", place.split), place.split, place.path)
        raise DataError(
            f"{place.path} holds no images: expected one folder of images per class, such as n01440764/."
            f"{advice([entry.name for entry in place.listing.files])}"
        )
    return class_folder_images(place.listing)


def _all_classes(place: Place) -> tuple[str, ...] | None:
    """Empty ones too, since they have a place among a network's outputs as the others have."""
    return sorted_classes(set(place.listing.top_folders)) if empty_classes(place) else None


CLASS_FOLDERS = Layout(
    "class folders", "val/n01440764/*.JPEG", lambda place: True, _images, _all_classes, empty_classes
)

"""Files of images in a folder or a tar: one folder a class, by name or number, Kaggle's tree, or all in one folder.

`LOC_val_solution.csv` beside Kaggle's tree is checked like any ground truth that lies beside the images.
"""

from dataclasses import replace
from typing import NoReturn

from vggbench.data.dataset import UNLABELLED, ImageFile, sorted_classes, with_unique_ids
from vggbench.data.foreign import advice
from vggbench.data.imagenet import is_wnid, named_wnid, require_stated_class, wnids
from vggbench.data.layout import Layout, Place
from vggbench.data.listing import EXTENSIONS, Listing
from vggbench.data.numbers import is_thousand
from vggbench.data.shards import require_split, shards_at
from vggbench.data.splits import KAGGLE_TOP, split_of_folder
from vggbench.errors import DataError


def _class_folder_images(listing: Listing) -> list[ImageFile]:
    """Each image, its class the topmost folder that it lies in.

    Raises DataError where no class has an image, for an image without a class, and for a folder of folders.
    """
    stray = next((entry for entry in listing.images if not entry.folders), None)
    if stray:
        raise DataError(
            f"{listing.where(stray.name)} is beside the class folders, so its class is unknown: expected "
            "every image in the folder of its class. Move it into its class folder, or remove it."
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


def _empty_classes(place: Place) -> tuple[str, ...]:
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
        require_split(shards_at(place, ".tar")[1], place)
        raise DataError(
            f"{place.path} holds no images: expected one folder of images per class, such as n01440764/."
            f"{advice([entry.name for entry in place.listing.files])}"
        )
    return _class_folder_images(place.listing)


def _all_classes(place: Place) -> tuple[str, ...] | None:
    """Empty ones too, since they have a place among a network's outputs as the others have."""
    return sorted_classes(set(place.listing.top_folders)) if _empty_classes(place) else None


def _is_flat(place: Place) -> bool:
    """Whether there are images at the top, and no folder beside them holds any: their place says nothing of a class."""
    images = place.listing.images
    return bool(images) and not any(entry.folders for entry in images)


def _flat_images(place: Place) -> list[ImageFile]:
    """The images, unlabelled but where their own names end in a wnid, as some distributions have them."""
    return with_unique_ids(
        [(entry.name, entry.image(named_wnid(entry.name) or UNLABELLED)) for entry in place.listing.images]
    )


def _numbered_images(place: Place) -> list[ImageFile]:
    """For folders 0 to 999, as ImageNetV2 has them: each number is the place of its class in every network's order."""
    found = []
    for image in _class_folder_images(place.listing):
        class_name = wnids()[int(image.class_name)]
        require_stated_class(class_name, image.id, image)
        found.append(replace(image, class_name=class_name))
    return found


FLAT = Layout("flat folder", "val/ILSVRC2012_val_00000001.JPEG", _is_flat, _flat_images)
KAGGLE = Layout(
    "Kaggle's tree",
    f"ILSVRC/Data/{KAGGLE_TOP}/val/ILSVRC2012_val_00000001.JPEG",
    lambda place: place.path.parent.name == KAGGLE_TOP,
    lambda place: _flat_images(place) if _is_flat(place) else _class_folder_images(place.listing),
    empty_classes=lambda place: () if _is_flat(place) else _empty_classes(place),
)
NUMBERED = Layout(
    "folders 0 to 999",
    "imagenetv2-matched-frequency-format-val/0/*.jpeg",
    lambda place: is_thousand(place.listing.top_folders),
    _numbered_images,
    empty_classes=lambda place: tuple(wnids()[int(number)] for number in _empty_classes(place)),
)
CLASS_FOLDERS = Layout(
    "class folders", "val/n01440764/*.JPEG", lambda place: True, _images, _all_classes, _empty_classes
)

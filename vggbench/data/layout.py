"""What a form of a data set is: how it is recognised, and what it yields."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vggbench.data.dataset import ImageFile
from vggbench.data.foreign import advice
from vggbench.data.listing import Listing, list_folder
from vggbench.data.splits import Spot, look_into_listing, split_of_folder, spot_of
from vggbench.data.tar import is_tar, list_tar
from vggbench.errors import DataError


@dataclass(frozen=True)
class Place:
    """The place of the images of one split: a folder, or a file that holds them."""

    path: Path
    split: str
    """val or train."""
    label_column: str | None = None
    """The split of shards, if it was named."""

    @cached_property
    def listing(self) -> Listing:
        """All files of the split, in a folder or in a tar; raises as `whole_listing`, and for a tar of other splits."""
        if not self.path.is_file():
            return self.whole_listing
        require_split_of(self.path, self.spot, self.split)
        return self.whole_listing.below(self.spot.inner) if self.spot.inner else self.whole_listing

    @cached_property
    def spot(self) -> Spot:
        """The place of the split in a tar; raises as `whole_listing`."""
        return spot_of(look_into_listing(self.whole_listing), self.split)

    @cached_property
    def whole_listing(self) -> Listing:
        """All files of a folder or of a tar; raises DataError for any other file, and OSError."""
        if not self.path.is_file():
            return list_folder(self.path)
        if not is_tar(self.path):
            raise DataError(
                f"{self.path} is a file, and neither a tar nor Parquet: expected {EXPECTED}.{advice([self.path.name])}"
            )
        return list_tar(self.path)


@dataclass(frozen=True)
class Layout:
    """A form in which people hold a data set."""

    name: str
    example: str
    recognises: Callable[[Place], bool]
    images: Callable[[Place], list[ImageFile]]
    """The images, unsorted, some perhaps `UNLABELLED`; raises DataError and OSError."""
    class_names: Callable[[Place], tuple[str, ...] | None] = lambda place: None
    """All classes in the order of their numbers, where a set has its own; else they are sorted."""
    empty_classes: Callable[[Place], tuple[str, ...]] = lambda place: ()
    """Classes that have a place and no image."""


def require_split_of(top: Path, spot: Spot, split: str) -> None:
    """Raise DataError where `top` names other splits and not this one."""
    if not spot.others:
        return
    named = " and ".join(f"{path}/" for path in spot.others)
    apart = [path for path in spot.others if split_of_folder(path.rpartition("/")[2]) != "train"]
    where = " or ".join(str(top / path) for path in apart or spot.others)
    choice = "Unpack the one that is meant." if top.is_file() else f"To measure on others, pass --data {where}."
    raise DataError(
        f"{top} holds {named} and no {split} images: expected a folder called val/, valid/ or validation/ beside them. "
        f"{choice}"
    )


EXPECTED = (
    "a folder with one folder of images per class, such as val/n01440764/; ILSVRC2012_img_val.tar or the images "
    "from it in one folder; Kaggle's tree; or a folder of Parquet or WebDataset shards"
)
"""What --data takes, for messages."""

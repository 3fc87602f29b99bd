"""The id of each image: its file name, or its whole name where two images share that."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from vggbench.data.dataset import ImageFile
from vggbench.data.imagenet import val_number
from vggbench.errors import DataError


def with_unique_ids(named: Sequence[tuple[str, ImageFile]]) -> list[ImageFile]:
    """The images, given with their whole names; those that share an id get that name instead.

    Raises DataError where even the names are the same, and for a validation image of ILSVRC that stands twice.
    """
    ids = Counter(image.id for _, image in named)
    if len(ids) < len(named):
        _refuse_twice((image.id, name, image) for name, image in named if val_number(image.id))
        named = [(name, replace(image, id=name) if ids[image.id] > 1 else image) for name, image in named]
        _refuse_twice((image.id, name, image) for name, image in named)
    return [image for _, image in named]


def _refuse_twice(images: Iterable[tuple[str, str, ImageFile]]) -> None:
    seen: dict[str, str] = {}
    for image_id, name, image in images:
        place = str(image.path) if image.path.as_posix().endswith(name) else f"{name} in {image.path}"
        if image_id in seen:
            raise DataError(
                f"The same image, {image_id}, stands twice, as {seen[image_id]} and {place}: expected each once. "
                "Remove the wrong one."
            )
        seen[image_id] = place

"""Which class each place of the values is, as columns name it or as somebody states it; a background is left out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vggbench.data.dataset import sorted_classes
from vggbench.data.imagenet import is_wnid, wnids
from vggbench.errors import DataError
from vggbench.store.predictions.part import MOST_CLASSES, reading, some
from vggbench.store.predictions.texts import encoding_of

ILSVRC = "ilsvrc"
"""As a word for `--classes`: the 1,000 wnids, sorted."""
_BACKGROUND = {"background", "__background__", "dummy", "__dummy__"}
_LARGEST = 16 << 20
STATE = "Use --classes ilsvrc for ILSVRC's 1,000 in order of their wnids, or --classes FILE with one name per line."


@dataclass(frozen=True)
class Order:
    """The classes in order of the values; at `background`, where there is one, are values of none of them."""

    names: tuple[str, ...]
    """(K,), without a background."""
    background: int | None = None
    said: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many values an image has."""
        return len(self.names) + (self.background is not None)


def named_classes(given: str) -> tuple[str, ...]:
    """The classes that `--classes` states, in the order of a network's outputs: `ilsvrc`, or a file with one per line.

    Where all lines begin with a wnid, as in synset_words.txt, the wnid alone is the name. Raises DataError.
    """
    if given == ILSVRC:
        return wnids()
    path = Path(given)
    with reading(path, "a list of classes"):
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path} has more than {_LARGEST:,} bytes: expected the name of a class on each line.")
        content = path.read_bytes()
        lines = [line.strip() for line in content.decode(encoding_of(content)).rstrip().splitlines()]
    names = [line.partition(" ")[0].partition("\t")[0] for line in lines]
    names = names if all(map(is_wnid, names)) else lines
    if not 2 <= len(names) <= MOST_CLASSES or not all(names):
        raise DataError(
            f"{path} has {len(names):,} lines, or empty ones: expected the name of a class on each, in order."
        )
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise DataError(f"{path} names {some(doubled)} twice: expected each class once.")
    return tuple(names)


def is_background(name: str, data_classes: Sequence[str]) -> bool:
    """Whether a name is that of TensorFlow's extra class, and of none of the data's."""
    return name.lower() in _BACKGROUND and name not in data_classes


def without_background(names: Sequence[str], data_classes: Sequence[str]) -> Order:
    """The order of names; one of them may be a background's. Raises DataError for two."""
    places = [place for place, name in enumerate(names) if is_background(name, data_classes)]
    if len(places) > 1:
        raise DataError(f"{some([names[p] for p in places])}: expected one class of background at most. Remove one.")
    if not places:
        return Order(tuple(names))
    kept = tuple(name for place, name in enumerate(names) if place != places[0])
    said = f"{len(names):,} classes: {names[places[0]]} is none of the data's and is left out."
    return Order(kept, places[0], (said,))


def order_of_named(
    columns: Sequence[str], data_classes: Sequence[str], classes: Sequence[str] | None, path: Path
) -> Order:
    """The order for columns that name their classes: sorted, whatever the file's order, or as `classes` state it.

    Ties go to the class that stands first, so the order of columns must not decide. Raises DataError.
    """
    own = [name for name in columns if not is_background(name, data_classes)]
    if classes is None:
        names = sorted_classes(set(own))
    else:
        names = tuple(name for name in classes if not is_background(name, data_classes))
        odd = sorted(set(names) ^ set(own))
        if odd:
            raise DataError(
                f"{path} has {len(own):,} columns of classes where --classes names {len(names):,}; one of the two "
                f"lacks {some(odd)}: expected the same. Leave --classes out, since the columns name themselves."
            )
    order = without_background([name for name in columns if name not in set(own)] + list(names), data_classes)
    return Order(order.names, order.background, order.said)


def order_of_unnamed(
    width: int, data_classes: Sequence[str], classes: Sequence[str] | None, path: Path, by: str = "--classes"
) -> Order:
    """The order for `width` values that do not name their classes, as `by` states it. Raises DataError without."""
    if classes is None:
        if list(data_classes) == [str(number) for number in range(width)]:
            return Order(tuple(data_classes))  # the data's classes are themselves numbers of outputs
        raise DataError(f"{path} has {width:,} values per image and does not say for which classes. {STATE}")
    order = without_background(classes, data_classes)
    if order.width == width:
        return Order(order.names, order.background, (*order.said, _in_order(order.names, by)))
    if width == len(wnids()) + 1 and tuple(classes) == wnids():
        said = "1,001 classes: the first, background, is left out."
        return Order(order.names, 0, (said, _in_order(order.names, by)))
    raise DataError(
        f"{path} has {width:,} values per image: expected {order.width:,}, one for each class that {by} names. "
        "Name the classes of this model, one per line, in a file for --classes."
    )


def _in_order(names: tuple[str, ...], by: str) -> str:
    which = "ILSVRC's 1,000 in order of their wnids" if names == wnids() else f"{len(names):,} in the order"
    return f"Its values are of {which}, as {by} states."

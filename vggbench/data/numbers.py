"""Labels that are numbers: which class each number is."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from vggbench.data.imagenet import (
    class_names,
    image_id,
    is_ilsvrc_class,
    named_wnid,
    require_stated_class,
    val_labels,
    val_number,
    wnids,
)
from vggbench.errors import DataError

_THOUSAND = frozenset(map(str, range(1000)))


def class_of_number(number: object, file_name: str, names: Sequence[str] | None, where: str) -> str:
    """The class of label `number`: by `names` where the shards bring their own, of ILSVRC's images by the 1,000 wnids.

    Where the names are of some of ILSVRC's classes, the file's own name must state the one that is named. Anything
    else is a class called by its number. Raises DataError for a label that is not a number or out of range.
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise DataError(f"{where} has the label {str(number)[:40]!r}: expected a whole number, the place of its class.")
    own = _own_class(file_name)
    if own and names and len(names) < len(wnids()) and 0 <= number < len(names) and _means(names[number], own):
        return own
    known: Sequence[str] | None = wnids() if own or is_ilsvrc_order(names) else names
    if not 0 <= number < (len(known) if known else number + 1):
        raise DataError(
            f"{where} has the label {number}: expected 0 to {len(known) - 1 if known else '...'}, the place of its "
            "class. A test split has no labels; take the validation split."
        )
    class_name = known[number] if known else str(number)
    if known is names and names and names.count(class_name) > 1:
        raise DataError(
            f"{where} is of a class {class_name[:40]!a}, a name that two classes have: expected one for each."
        )
    require_stated_class(class_name, file_name, where)
    return class_name


def is_thousand(classes: Iterable[str]) -> bool:
    """Whether classes are exactly the numbers 0 to 999, which are places in the order of every ILSVRC network.

    Fewer than all could be numbers of anything, and numbers from 1 on are another order.
    """
    return frozenset(classes) == _THOUSAND


def is_ilsvrc_order(names: Sequence[str] | None) -> bool:
    """Whether 1,000 names are ILSVRC's classes, each at its place: by wnid, or by its words, such as 'tench, ...'."""
    return names is not None and len(names) == len(wnids()) and _is_order(tuple(names))


@lru_cache(maxsize=4)
def _is_order(names: tuple[str, ...]) -> bool:
    return all(_means(name, wnid) for name, wnid in zip(names, wnids(), strict=True))


def _means(name: str, wnid: str) -> bool:
    return name.startswith(wnid) or _same(name, class_names()[wnid])


def _same(name: str, words: str) -> bool:
    """Whether the first synonym of a name such as 'crane' or 'tench, Tinca tinca' is how the class's words begin."""
    first, own = (re.findall(r"[a-z]+", text.lower()) for text in (name.partition(",")[0], words))
    return bool(first) and own[: len(first)] == first


def _own_class(file_name: str) -> str | None:
    """The class of one of ILSVRC's images by its name alone."""
    stated, number = named_wnid(file_name), val_number(image_id(file_name))
    if is_ilsvrc_class(stated):
        return stated
    return wnids()[val_labels()[number - 1]] if number else None

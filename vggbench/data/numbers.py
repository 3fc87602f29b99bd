"""Labels that are numbers, as Parquet and WebDataset shards have them: which class each number is."""

from collections.abc import Sequence

from vggbench.data.imagenet import image_id, is_ilsvrc_class, named_wnid, require_stated_class, val_number, wnids
from vggbench.errors import DataError


def class_of_number(number: object, file_name: str, names: Sequence[str] | None, where: str) -> str:
    """The class of label `number`: by `names` where the shards bring their own, of ILSVRC's images by the 1,000 wnids.

    Anything else is a class called by its number. Raises DataError for a label that is no number or out of range.
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise DataError(f"{where} has the label {str(number)[:40]!r}: expected a whole number, the place of its class.")
    known: Sequence[str] | None = wnids() if _is_ilsvrc(file_name) else names
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


def _is_ilsvrc(file_name: str) -> bool:
    return bool(val_number(image_id(file_name)) or is_ilsvrc_class(named_wnid(file_name)))

"""The classes that a model chooses among: those of models side by side are the same, in the same order."""

from collections.abc import Sequence
from typing import Protocol

from vggbench.errors import UsageError


class Classed(Protocol):
    """What has a name for messages, and classes in the order of its outputs."""

    @property
    def name(self) -> str:
        """As it is printed."""

    @property
    def classes(self) -> int:
        """How many."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """None where its file names none."""


def require_same_classes(models: Sequence[Classed]) -> None:
    """Raise UsageError where models have different classes, or the same in another order."""
    for other in models[1:]:
        if (other.class_names, other.classes) != (models[0].class_names, models[0].classes):
            raise UsageError(
                f"{models[0].name} and {other.name} have different classes or order: expected the same list. "
                "Compare and fuse nets that were trained on the same classes."
            )

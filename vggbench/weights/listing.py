"""The released files, and which of them lie on this machine."""

from dataclasses import dataclass
from typing import Literal

from vggbench.errors import WeightsError
from vggbench.images.preprocessing import INPUTS
from vggbench.weights.download import find, place
from vggbench.weights.released import RELEASED, Released


@dataclass(frozen=True)
class Listed:
    """A released file."""

    released: Released
    input_name: str | None
    """What `--input` calls its preprocessing."""
    place: str
    """Where it lies, or may be put by hand."""
    here: Literal["yes", "wrong"] | None
    """`wrong` for bytes that are not the released ones."""


def listed() -> list[Listed]:
    """All of them."""
    names = {known: name for name, known in reversed(INPUTS.items())}
    return [Listed(row, names.get(row.input), str(place(row)), _here(row)) for row in RELEASED]


def _here(row: Released) -> Literal["yes", "wrong"] | None:
    try:
        return "yes" if find(row) else None
    except WeightsError:
        return "wrong"
    except OSError:
        return None

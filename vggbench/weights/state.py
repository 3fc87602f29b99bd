"""What a file of tensors yields, before it is known whose names they bear."""

from typing import Any, NamedTuple

from vggbench.weights.held import Held


class State(NamedTuple):
    """Tensors by the file's own names, in its order, and what it says besides."""

    tensors: dict[str, Held]
    said: tuple[str, ...] = ()
    """What was taken of several things, and by what convention: sentences without a full stop."""
    description: dict[str, Any] = {}  # noqa: RUF012 - read alone
    ceil_pool: bool | None = None
    kinds: dict[str, str] = {}  # noqa: RUF012
    """The class of each module, `Conv2d`, where a whole network was pickled."""

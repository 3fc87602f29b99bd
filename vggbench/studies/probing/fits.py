"""What machines gave, kept on disk while a probe is under way: one that is killed takes it up again."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbench.errors import StoreError
from vggbench.files import Refusal, sealed, unsealed, write_whole

VERSION = 1
"""Raised whenever our code changes what is kept."""
_REFUSAL = Refusal(
    StoreError,
    "room and a folder that this user may write. Name another with --runs.",
    what="What a machine gives cannot be kept",
)


@dataclass
class Fits:
    """How many machines were fitted, and how many of them stopped before they had converged.

    What each gave is kept in `folder`, if there is one, until `forget`.
    """

    folder: Path | None = None
    fitted: int = 0
    unconverged: int = 0
    _paths: list[Path] = field(default_factory=list)

    def given(
        self, fit: Callable[[], tuple[NDArray[Any], bool]], made_of: Sequence[NDArray[Any] | str | float]
    ) -> NDArray[Any]:
        """What `fit` gives, (M,), and says of its convergence, or gave before with all the same things in `made_of`.

        Raises StoreError where it cannot be kept.
        """
        path = self.folder / f"{_hash((VERSION, *made_of))}.json" if self.folder else None
        found = _read(path) if path else None
        if found is None:
            found = fit()
            if path:
                values, converged = found
                record = {"values": values.tolist(), "type": values.dtype.name, "converged": converged}
                write_whole(path, sealed(record), _REFUSAL)
        if path:
            self._paths.append(path)
        values, converged = found
        self.fitted += 1
        self.unconverged += not converged
        return values

    def forget(self) -> None:
        """Remove what is kept, once it is of no more use."""
        for path in self._paths:
            path.unlink(missing_ok=True)
        if self.folder:
            with contextlib.suppress(OSError):  # that of another probe lies there, or nothing was fitted
                self.folder.rmdir()


def _hash(made_of: Sequence[NDArray[Any] | str | float]) -> str:
    found = hashlib.sha256()
    for part in made_of:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype} {part.shape}\n".encode())
            found.update(np.ascontiguousarray(part).data)
        else:
            found.update(f"{json.dumps(part)}\n".encode())
    return found.hexdigest()[:32]


def _read(path: Path) -> tuple[NDArray[Any], bool] | None:
    """None where nothing is kept, or where it is no longer what was written."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = unsealed(path.read_bytes())
        return np.array(record["values"], record["type"]), record["converged"]
    return None

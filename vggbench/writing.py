"""Files that are there whole or not at all."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from vggbench.errors import VggbenchError


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write what shall be at `path`, which takes its place once it is whole. Raises VggbenchError."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise VggbenchError(
            f"{path} cannot be written ({error.strerror or error}): expected a place where this user may write. "
            "Name another with --output, --plot or --map; nothing needs to be computed again."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)

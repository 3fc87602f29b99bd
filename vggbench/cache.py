"""The folder of what can be made or fetched again."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vggbench.errors import VggbenchError
from vggbench.files import Refusal, refusing, sealed, unsealed, write_whole


class NotKeptError(VggbenchError):
    """An answer cannot be kept in the cache folder."""


def cache_folder() -> Path:
    """$VGGBENCH_CACHE, or the user's cache folder for vggbench."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("VGGBENCH_CACHE")
    return at_home(chosen) if chosen else user_cache_path("vggbench")


def at_home(text: str) -> Path:
    """A path, in which `~` is the user's home folder where there is one."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # of nobody's home, as of a container's user without a name
        return Path(text)


def answers(name: str) -> dict[str, Any]:
    """What was found out once and is kept under a name, by question; nothing where it is no longer as written."""
    with contextlib.suppress(OSError, ValueError):
        return unsealed(answers_file(name).read_bytes())
    return {}


def answers_file(name: str) -> Path:
    """The file of the answers kept under a name."""
    return cache_folder() / f"{name}.json"


def answer(name: str, question: str, find_out: Callable[[], Any]) -> Any:
    """The kept answer to a question, or the one that is found out and kept now; of several processes one finds it out.

    Raises NotKeptError where nothing can be kept.
    """
    known = answers(name)
    if question in known:
        return known[question]
    from filelock import FileLock

    place = answers_file(name)
    refusal = Refusal(NotKeptError, "a folder that this user may write; name another in $VGGBENCH_CACHE.")
    lock = FileLock(place.with_name(f".{place.name}.lock"))
    with refusing(place, refusal._replace(failures=(OSError, NotImplementedError))):  # a file system without locks
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        known = answers(name)
        if question not in known:
            known[question] = find_out()
            write_whole(place, sealed(known), refusal)
        return known[question]
    finally:
        lock.release()

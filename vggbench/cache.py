"""Where what can be made or fetched again is kept, and how its making is told."""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

PROGRESS = logging.getLogger("vggbench.progress")
"""Bars are drawn where this is enabled for INFO, as the command line does, and notices of progress go to it."""
_Item = TypeVar("_Item")


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


def shows_bars() -> bool:
    """Whether stderr is a terminal on which somebody wants to see progress."""
    return PROGRESS.isEnabledFor(logging.INFO) and sys.stderr.isatty()


def told(items: Iterable[_Item], what: str, total: float, done: Callable[[_Item], float]) -> Iterator[_Item]:
    """The items, with a bar on a terminal and a line elsewhere; `done` says how much of `total` an item completes."""
    if not shows_bars():
        logging.getLogger("vggbench").info("%s, once.", what)
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{what}, once", total=total)
        for item in items:
            yield item
            bar.update(task, completed=done(item))

"""Bars on a terminal for what takes a while; none where no progress is wanted."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

PROGRESS = logging.getLogger("vggbench.progress")
"""Bars are drawn where this is enabled for INFO, as the command line does; lines in their place are logged to it."""
_Item = TypeVar("_Item")


def shows_bars() -> bool:
    """Whether stderr is a terminal and progress is wanted."""
    return PROGRESS.isEnabledFor(logging.INFO) and sys.stderr.isatty()


def bar() -> Any:
    """A bar whose tasks have `rate` and `said`, the last as far as there is room; it goes when it stops."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    return Progress(
        TextColumn("{task.percentage:3.0f}%", table_column=Column(min_width=4)),
        BarColumn(bar_width=10),
        TextColumn("{task.fields[rate]}", table_column=Column(min_width=len("123.4 images/s"))),
        TimeRemainingColumn(table_column=Column(min_width=7)),
        TextColumn("left", table_column=Column(min_width=4)),
        TextColumn(
            "{task.fields[said]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
        ),
        console=Console(stderr=True, soft_wrap=True),  # what is said meanwhile comes in lines of our own
        transient=True,
        expand=True,
    )


def rate(count: float, seconds: float, unit: str = "images") -> str:
    """`12.3 images/s`, in at most 14 characters up to 999,999."""
    found = count / seconds if seconds > 0 else 0.0
    return f"{found:,.{0 if found >= 100 else 1 if found >= 1 else 2}f} {unit}/s"


def told(items: Iterable[_Item], what: str, total: float, done: Callable[[_Item], float]) -> Iterator[_Item]:
    """The items, with a bar on a terminal and a line elsewhere; `done` says how much of `total` an item completes."""
    if not shows_bars():
        logging.getLogger("vggbench").info("%s, once.", what)
        yield from items
        return
    with bar() as shown:
        task = shown.add_task("", total=total, rate="", said=f"{what}, once")
        for item in items:
            yield item
            shown.update(task, completed=done(item))

"""The notes under a table: all in full in Markdown and reports, few and numbered on a terminal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from vggbench.errors import printable
from vggbench.render.tables.wrapping import wrapped

Kind = Literal[
    "interval", "reference", "no-reference", "no-top5", "labels", "classes", "blacklist", "grain", "gain", "against",
    "mixed", "calibration", "gmacs", "no-macs", "speed", "input", "crops", "own", "dense", "uncounted",
    "decoders", "doubtful", "unnamed", "taken", "differences", "origins", "shallow", "seen", "random", "row", "nets",
    "recipe", "points", "change", "published", "left-out", "paper", "lacking", "test-set", "training", "claim",
]  # fmt: skip
"""The kinds of notes under tables of errors; docs/explain/notes.md says what each means."""
Place = Literal["always", "room", "detail"]
OPTION = "--explain-notes"
_MOST, _LEAST, _WIDTH = 5, 3, 80
"""Lines under a table on a terminal of 80 columns, at most and at least."""


@dataclass(frozen=True)
class Note:
    """A sentence under a table, as long as one of the columns with the headings `of` stands; without any, always.

    A terminal shows `brief`, or `text`: `always`, where there is `room`, or, a `detail`, only when asked for all.
    """

    text: str
    of: tuple[str, ...] = ()
    same_line: bool = False
    """Whether Markdown has it on the line of the note before it."""
    kind: Kind | None = None
    brief: str | None = None
    place: Place = "room"


@dataclass(frozen=True)
class Signed:
    """What the figures of a table depend on: a line for each net, and one for the table."""

    lines: tuple[str, ...] = ()
    brief: str | None = None


UNSIGNED = Signed()


def in_full(notes: Iterable[str | Note], headings: set[str], signed: Signed) -> list[str]:
    """Every note that goes with these columns, and the signatures, a line each."""
    lines: list[str] = []
    for note in _of(notes, headings):
        before = [lines.pop()] if note.same_line and lines else []
        lines.append(" ".join([*before, note.text]))
    return [*lines, *signed.lines]


def on_terminal(
    notes: Iterable[str | Note], headings: set[str], signed: Signed, *, height: int, width: int, explained: bool
) -> list[str]:
    """The lines under a table of `height` lines, before they are wrapped; all notes in full if `explained`.

    Notes without a kind stand as they are. Others are numbered; those that find no room are named by number.
    """
    shown = _of(notes, headings)
    if not any(note.kind for note in shown):
        return in_full(notes, headings, signed)
    if explained:
        return [*(f"{number} {note.text}" for number, note in enumerate(shown, 1)), *signed.lines]
    brief = signed.brief or (signed.lines[0] if signed.lines else None)
    ending = [brief] if brief else []
    room = max(_LEAST, min(_MOST, height - 1)) - sum(_height(line) for line in ending)
    kept = [place for place, note in enumerate(shown) if note.place != "detail"]
    while True:
        lines = _packed(shown, kept, max(width, _WIDTH) - 1, has_more=len(signed.lines) > 1)
        spare = [place for place in kept if shown[place].place == "room"]
        if sum(map(_height, lines)) <= room or not spare:
            return [*lines, *ending]
        kept.remove(spare[-1])


def ranges(numbers: Sequence[int]) -> str:
    """`1, 4-6` for 1, 4, 5, 6."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{low}-{high}" if high > low else str(low) for low, high in spans)


def _of(notes: Iterable[str | Note], headings: set[str]) -> list[Note]:
    found = [Note(note) if isinstance(note, str) else note for note in notes]
    return [note for note in found if not note.of or not headings.isdisjoint(note.of)]


def _packed(shown: Sequence[Note], kept: Sequence[int], width: int, *, has_more: bool) -> list[str]:
    """The notes that are kept, each behind its number, in as few lines as break none that fits a line of its own.

    Where to find the others stands in the last line with room for it.
    """
    hidden = [place + 1 for place in range(len(shown)) if place not in kept]
    is_whole = not hidden and not has_more and not any(shown[place].brief for place in kept)
    if is_whole and len(kept) == 1:
        return [shown[0].text]
    lines: list[str] = []
    for place in kept:
        text = printable(f"{place + 1} {shown[place].brief or shown[place].text}")
        if lines and cell_len(lines[-1]) + 2 + cell_len(text) <= width:
            lines[-1] += f"  {text}"
        else:
            lines.append(text)
    if is_whole:
        return lines
    pointer = f"{ranges(hidden) if hidden else 'In full'}: {OPTION}"
    room = [place for place, line in enumerate(lines) if cell_len(line) + 2 + len(pointer) <= width]
    if room:
        lines[room[-1]] += f"  {pointer}"
    return lines if room else [*lines, pointer]


def _height(line: str) -> int:
    """Lines that it takes on a terminal of 80 columns."""
    return len(wrapped(printable(line), _WIDTH - 1))

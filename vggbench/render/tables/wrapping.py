"""Text in lines of a terminal's width, which never break inside a number."""

import re
from collections.abc import Iterable, Iterator

from rich.cells import cell_len

_PIECE = re.compile(r"(?:(?<!\w)[-+±<])?[^\W_]+(?:(?<=\d)[.,:/-](?=\d)[^\W_]+)*[%*]?|\S")
"""What stays whole: 24.40, +0.0, 256,384,512, 0.7-20.2, a word, a part of a path."""
_WORD = re.compile(r"(?:\[[^\[\]\s]+, [^\[\]\s]+\]|\S)+")
"""An interval, [0.7, 20.2], is one word."""
_PART = re.compile(r"\d+(?:\.\d+)?[,:/-]?|.")
"""The parts of a piece that is longer than a line: it is broken beside the numbers of a list or of a hash."""
_READABLE, _LONG = 12, 17
"""Characters of a word, and of a piece, that are not broken where lines can be longer."""


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` characters, broken at spaces, or else beside a piece of a word; none is left out."""
    if "\n" not in text and cell_len(text) <= width:
        return [text]
    lines = []
    for paragraph in text.split("\n"):
        lines.append("")
        for word in _words(paragraph, width):
            for place, piece in enumerate(_pieces(word, width)):
                gap = " " if place == 0 and lines[-1] else ""
                if lines[-1] and cell_len(lines[-1] + gap + piece) > width:
                    lines.append(piece)
                else:
                    lines[-1] += gap + piece
    return lines


def widest(texts: Iterable[str]) -> int:
    """Characters of the longest line."""
    return max((cell_len(line) for text in texts for line in text.split("\n")), default=0)


def narrowest(texts: Iterable[str]) -> int:
    """The fewest characters that break no number, nor a short word."""
    words = {word for text in texts for word in _words(text, _LONG)}
    return max(min(widest(words), _READABLE), widest(piece for word in words for piece in _pieces(word, _LONG)))


def _words(text: str, width: int) -> Iterator[str]:
    """What stands between spaces, and an interval whole where it fits."""
    for word in _WORD.findall(text):
        yield from [word] if cell_len(word) <= width else word.split()


def _pieces(word: str, width: int) -> list[str]:
    """What may stand in lines of its own."""
    if cell_len(word) <= width:
        return [word]
    pieces: list[str] = []
    for piece in _PIECE.findall(word):
        parts = [piece] if cell_len(piece) <= width else _PART.findall(piece)
        pieces += [short for part in parts for short in ([part] if cell_len(part) <= width else part)]
    return pieces

"""Text in lines of a terminal's width, which never break inside a number."""

import re
from collections.abc import Iterable

from rich.cells import cell_len, chop_cells

_PIECE = re.compile(r"(?:(?<!\w)[-+±<])?[^\W_]+(?:(?<=\d)[.,:/-](?=\d)[^\W_]+)*[%*]?|\S")
"""What is never broken: 24.40, +0.0, 256,384,512, 0.7-20.2, a word, a part of a path."""
_READABLE = 12
"""Characters of a word that is not broken where lines can be longer."""


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` characters, broken at spaces, or else beside a piece of a word; none is left out."""
    if "\n" not in text and cell_len(text) <= width:
        return [text]
    lines = []
    for paragraph in text.split("\n"):
        lines.append("")
        for word in paragraph.split():
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
    words = [word for text in texts for word in text.split()]
    pieces = max((cell_len(piece) for word in words for piece in _PIECE.findall(word)), default=1)
    return max(pieces, min(widest(words), _READABLE))


def _pieces(word: str, width: int) -> list[str]:
    if cell_len(word) <= width:
        return [word]
    return [part for piece in _PIECE.findall(word) for part in chop_cells(piece, width)]

"""Text files that give images their labels: Caffe's val.txt, Kaggle's solution, any CSV with a name and a label.

Columns are parted by tabs, commas, semicolons or blanks; names may hold blanks, and stand in quotes.
"""

import codecs
import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from vggbench.data.imagenet import is_wnid
from vggbench.data.listing import is_image
from vggbench.errors import DataError

_LONGEST_LINE = 20_000
"""The most characters of a line; Kaggle's longest lists a few dozen boxes."""
_MOST_LINES = 20_000_000
_DELIMITERS = "\t,;"
_BLANK = " "
_NAME_HEADINGS = (
    {"filename", "file_name", "file", "filepath", "file_path", "path", "image_path", "image_file"},
    {"image", "img", "imageid", "image_id", "image_name", "images"},
    {"name", "key", "id"},
)
"""What a column of names is called; an earlier set stands before a later one."""
_LABEL_HEADINGS = {
    "label", "labels", "class", "target", "wnid", "synset", "category", "predictionstring", "class_id", "label_id",
    "class_name", "classid", "label_name", "class_index", "label_index", "breed",
}  # fmt: skip
_ODD_NUMBER = re.compile(r"[+-]\d+|[+-]?\d*[.]\d*(?:[eE][+-]?\d+)?")
"""A number that is not a place of a class: -1, or 3.0, which as a word would be sorted behind 10.0."""
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip


class Labelled(NamedTuple):
    """What one line says; the name is empty where it is a label alone."""

    name: str
    label: str
    line: int
    text: str

    @property
    def kind(self) -> tuple[bool, bool]:
        """What all lines of a file have in common: whether there is a name, and whether the label is a word."""
        return bool(self.name), _is_word(self.label)

    def refuse(self, path: Path) -> NoReturn:
        """Raise DataError that shows the line."""
        raise DataError(
            f"Line {self.line} of {path} is {self.text[:60]!r}: expected an image's name and its wnid or model index, "
            "such as ILSVRC2012_val_00000001.JPEG n01751748."
        )


def labelled_names(path: Path) -> list[Labelled]:
    """The name and label of each line, in order, without headings.

    All labels are wnids and numbers, or all are words. Raises DataError for a line that departs from
    the others or does not say which is which, and OSError.
    """
    rows = list(_rows(path))
    if len(rows) > 1 and not is_image(rows[0].name) and rows[0].kind[1] and not rows[1].kind[1]:
        del rows[0]  # headings of unknown words
    for row in rows:
        if row.kind != rows[0].kind or not row.label or row.kind == (False, True) or _ODD_NUMBER.fullmatch(row.label):
            row.refuse(path)
    return rows


def _rows(path: Path) -> Iterator[Labelled]:
    numbered = ((number, line.strip()) for number, line in enumerate(_lines(path), start=1) if line.strip())
    head = next(numbered, None)
    if head is None:
        return
    columns = _headed(head[1], path)
    for number, text in itertools.chain(() if columns else (head,), numbered):
        pair = columns.of(text) if columns else _pair(text)
        if pair is None and number == head[0] and not _has_data(text):
            continue  # headings of unknown words
        row = Labelled(*(pair or ("", "")), number, text)
        if pair is None:
            row.refuse(path)
        yield row


def _has_data(text: str) -> bool:
    return any(is_image(word) or not _is_word(word) for word in re.split(rf"[{_DELIMITERS}\s]+", text) if word)


class _Columns(NamedTuple):
    """The columns of names and labels by their headings."""

    delimiter: str
    name: int
    label: int

    def of(self, text: str) -> tuple[str, str] | None:
        """The name and the label of a line."""
        if self.delimiter == _BLANK:
            return _pair(text)
        fields = _fields(text, self.delimiter)
        return (fields[self.name], _label(fields[self.label])) if len(fields) > max(self.name, self.label) else None


def _headed(text: str, path: Path) -> _Columns | None:
    """The columns, where the first line is headings that are known; raises DataError where they leave a choice."""
    delimiter = next((char for char in _DELIMITERS if char in text), _BLANK)
    heads = [head.lower().replace(" ", "_") for head in _fields(text, delimiter)]
    known = _LABEL_HEADINGS.union(*_NAME_HEADINGS)
    if len(heads) < 2 or not known & set(heads) or any(head.isdecimal() or is_wnid(head) for head in heads):
        return None
    names = next((found for group in _NAME_HEADINGS if (found := [h for h in heads if h in group])), [])
    labels = [head for head in heads if head in _LABEL_HEADINGS and head not in names]
    if len(heads) == 2:
        names, labels = names or [h for h in heads if h not in labels], labels or [h for h in heads if h not in names]
    if len(names) != 1 or len(labels) != 1:
        raise DataError(
            f"{path} has the columns {', '.join(heads)[:200]}: expected one of names and one of labels, such as "
            "filename and label. Remove the others, or rename these two."
        )
    return _Columns(delimiter, heads.index(names[0]), heads.index(labels[0]))


def _pair(text: str) -> tuple[str, str] | None:
    """The name and the label of a line; a label that is a number or a wnid stands before one in words."""
    found = [pair for char in _DELIMITERS if char in text and (pair := _parted(_fields(text, char)))]
    if not found or (_is_word(found[0][1]) and (is_image(text.rpartition(_BLANK)[0]) or _has_more_behind(found[0][0]))):
        found = [pair for pair in [_blank_parted(text)] if pair] + found
    return next((pair for pair in found if not _is_word(pair[1])), next(iter(found), None))


def _has_more_behind(name: str) -> bool:
    """Whether what stands before a comma is a file's name, a blank and more, as in `x.jpg tench, Tinca tinca`."""
    return not is_image(name) and is_image(name.partition(_BLANK)[0])


def _parted(fields: list[str]) -> tuple[str, str] | None:
    """The name and the label. Beyond two fields the second must be a wnid: any of them could be a number's column."""
    if len(fields) < 2:
        return None
    label = _label(fields[1])
    is_alone = is_wnid(label) and not any(map(is_wnid, fields[2:]))
    return (fields[0], label) if len(fields) == 2 or is_alone else None


def _blank_parted(text: str) -> tuple[str, str] | None:
    """Names may hold blanks: then the label is the last word, as Caffe reads it."""
    if text[0] in "\"'":
        return _parted(_fields(text, _BLANK))
    words = text.split()
    if len(words) < 3:
        return ("", words[0]) if len(words) == 1 else (words[0], words[1])
    head, last = text.rsplit(maxsplit=1)
    if is_image(head):
        return head, last
    if any(not _is_word(word) for word in words[1:-1]):
        return _parted(words)
    if is_image(words[0]):
        return words[0], text.removeprefix(words[0]).strip()
    return None if _is_word(last) else (head, last)


def _label(field: str) -> str:
    """Kaggle's solution has boxes after the wnid."""
    word = field.partition(_BLANK)[0]
    return word if is_wnid(word) else field


def _is_word(label: str) -> bool:
    return not label.isdecimal() and not is_wnid(label)


def _fields(text: str, delimiter: str) -> list[str]:
    """The fields of a line. Quotes may be double or single; what is not closed is no quote."""
    quote = text[0] if text[0] in "\"'" and text.count(text[0]) > 1 else '"'
    fields = next(csv.reader([text], delimiter=delimiter, quotechar=quote, skipinitialspace=True))
    while fields and not fields[-1].strip():
        fields.pop()
    return [field.strip() for field in fields]


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file, none of them longer than any label is. Raises DataError."""
    try:
        with path.open(encoding=_encoding(path)) as file:
            for count, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), "")):
                if len(line) == _LONGEST_LINE and not line.endswith("\n"):
                    raise DataError(
                        f"Line {count + 1} of {path} has more than {_LONGEST_LINE:,} characters: expected a name and "
                        "a label on each line."
                    )
                if count == _MOST_LINES:
                    raise DataError(f"{path} has more than {_MOST_LINES:,} lines: expected one for each image.")
                yield line
    except (UnicodeError, csv.Error) as error:
        raise DataError(f"{path} is not text: expected a name and a label on each line.") from error


def _encoding(path: Path) -> str:
    """Recognise it by the mark at the beginning, or by the zeros in every other place of UTF-16."""
    with path.open("rb") as file:
        head = file.read(64)
    marked = next((encoding for mark, encoding in _MARKS.items() if head.startswith(mark)), None)
    if marked or not head:
        return marked or "utf-8-sig"
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if not any(head[start::2]) and all(head[1 - start :: 2]):
            return encoding
    return "utf-8-sig"

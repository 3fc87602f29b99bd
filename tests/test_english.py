"""Help texts, messages, docstrings and pages: one word for one thing, and sentences that are read at once."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from vggbench.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MOST_WORDS = 29
"""The most words of a sentence on a page or in a help text."""
_WORD = re.compile(r"[\w'/@.+-]*[A-Za-z][\w'/@.+-]*")


def glossary() -> list[tuple[str, str]]:
    """What not to write, and what to write, from CONTRIBUTING."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", _glossary_of(PAGES[1].read_text())[1], re.MULTILINE)
    return [(wrong.strip(), right) for right, _, wrongs in rows if right != "write" for wrong in wrongs.split(",")]


def _glossary_of(page: str) -> tuple[str, str]:
    """The page without its glossary, and that."""
    found = re.search(r"^\| write \|.*?(?=\n\n|\Z)", page, re.MULTILINE | re.DOTALL)
    return (page.replace(found[0], ""), found[0]) if found else (page, "")


def prose(page: str) -> Iterator[str]:
    """Paragraphs, items and cells of Markdown, without code and addresses."""
    text = re.sub(r"^---\n.*?\n---\n|```.*?```|<!--.*?-->|^:::.*?$", "", page, flags=re.DOTALL | re.MULTILINE)
    for block in re.split(r"\n\s*\n|\n(?=[|#>*-] ?)|\n(?=\d+\. )", text):
        for part in re.split(r"(?<!\\)\|", block) if block.lstrip().startswith("|") else [block]:
            linked = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", part)
            yield " ".join(re.sub(r"`[^`]*`", "`code`", linked).split())


def helps() -> Iterator[tuple[str, str]]:
    """The name and the help text of each command and of each of its options."""
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        yield name, str(command.help)
        yield from ((f"{name} {param.opts[0]}", str(param.help)) for param in command.params)


def strings() -> Iterator[tuple[str, str]]:
    """Messages and docstrings of the package, where they stand."""
    for path in sorted((ROOT / "vggbench").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
                yield f"{path.relative_to(ROOT)}:{node.lineno}", " ".join(node.value.split())


def sentences(text: str) -> list[str]:
    """Split behind a full stop, question or exclamation mark."""
    return re.split(r"(?<=[.!?])\s+", text)


def too_long(text: str) -> list[str]:
    return [sentence for sentence in sentences(text) if len(_WORD.findall(sentence)) > MOST_WORDS]


def found_in(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text, re.IGNORECASE) is not None


# ---------------------------------------------------------------- one word for one thing


def test_the_glossary_is_read() -> None:
    words = dict(glossary())
    assert len(words) > 35
    assert words["ensemble"] == "fusion"
    assert found_in("The Ensemble of nets", "ensemble")
    assert not found_in("matplotlib's grid.color", "color"), "a name of somebody else's"


def test_no_message_and_no_docstring_has_another_word() -> None:
    wrong = [word for word, _ in glossary()]
    assert [f"{place}: {word}" for place, text in strings() for word in wrong if found_in(text, word)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_has_another_word(path: Path) -> None:
    texts = list(prose(_glossary_of(path.read_text(encoding="utf-8"))[0]))
    assert [f"{word} (write {right}): {text[:80]}" for word, right in glossary() for text in texts
            if found_in(text, word)] == []  # fmt: skip


# ---------------------------------------------------------------- sentences


def test_a_long_sentence_is_found() -> None:
    assert too_long(" ".join(["word"] * 30) + ".")
    assert not too_long(f"{' '.join(['word'] * 29)}. {' '.join(['word'] * 29)}.")
    assert list(prose("One `two`.\n\n```\ncode\n```\n| a | [b](c.md) |\n")) == ["One `code`.", "", "a", "b", ""]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sentence_of_a_page_is_too_long(path: Path) -> None:
    assert [long for text in prose(path.read_text(encoding="utf-8")) for long in too_long(text)] == []


def test_no_sentence_of_a_help_text_is_too_long() -> None:
    texts = list(helps())
    assert len(texts) > 300
    assert [f"{name}: {long}" for name, text in texts for long in too_long(" ".join(text.split()))] == []


# ---------------------------------------------------------------- the page of errors

_PLACEHOLDER = re.compile(r"\.\.\.|\b[A-Z]\b|\bPATH\b|\b[0-9,]+\b|\bvalidation\b")
"""What a message has in its place."""


def test_every_message_on_the_page_of_errors_exists() -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    quoted = [
        phrase for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for phrase in re.findall("`(.*?)`", row)
    ]
    pieces = {(phrase, piece.strip(" :")) for phrase in quoted for piece in _PLACEHOLDER.split(phrase)}
    messages = [text for _, text in strings()]
    assert len(quoted) > 20
    assert [phrase for phrase, piece in sorted(pieces) if " " in piece
            if not any(piece in message for message in messages)] == []  # fmt: skip

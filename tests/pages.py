"""What stands on a page, run: commands and their output, Python, and commands that are only parsed.

`$ vggbench ...` in a console block runs in this process, as at a terminal of 80 columns, in a folder of the page's own.
Its standard output must be what the page shows; where it prints none, what it says on standard error. A line `...` on
the page stands for any lines. A command without output under it must end well. `$ echo $?` shows how it ended.

`<!-- parsed: REASON -->` above a block: its commands are only parsed, its Python only compiled. `minutes` is a reason
for the quick test alone: the slow one runs the block.
"""

import contextlib
import io
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer
from sybil import Document, Example, Region, Sybil
from sybil.evaluators.doctest import DocTestEvaluator
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.abstract.doctest import DocTestStringParser
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, FencedCodeBlockLexer

ROOT = Path(__file__).parent.parent
WIDTH = 80
REASONS = {
    "network": "fetches released weights",
    "processes": "starts processes of its own",
    "gpu": "needs a GPU",
    "minutes": "takes a minute or more",
    "hours": "takes hours",
    "theirs": "is another tool's code, on files of the reader's",
}
"""Why a block is only parsed."""
_SHOWN = ("text", "json", "toml", "bibtex", "yaml", "dockerfile")
"""Languages of blocks that are to be read alone."""
_UPDATES = "VGGBENCH_UPDATE_PAGES"
"""Set in the environment, it makes pages show what commands print."""

_MACHINES = (
    (r"[0-9a-f]{64}", "SHA256"),
    (r"\b[0-9a-f]{8}\b", "HASH"),
    (
        r"\b(torch|torchvision|PyTorch|Pillow|vggbench|onnxruntime|ONNX Runtime|timm|simplejpeg|scikit-learn|Python)"
        r"[ =]\d+(\.\w+)+(\+\w+)?",
        r"\1 VERSION",
    ),
    (r"\b\d[\d,.]*( ?(ms|s|min|h|hours?)\b| images/s| GMAC/s)", r"TIME\1"),
    (r"\bTIME (ms|s|min|h)\b", "TIME"),
    (r"\b\d[\d,.]* (kB|MB|GB|MiB|GiB)\b", "SIZE"),
    (r"\d\d\d\d-\d\d-\d\d( |T)\d\d:\d\d(:\d\d)?", "DATE"),
    (r"\d\d\d\d-\d\d-\d\d", "DATE"),
    (r"(ONNX Runtime|PyTorch) on cpu", "BACKEND on cpu"),
    (r"(BACKEND on cpu, )+", "BACKEND on cpu, "),
)  # fmt: skip
"""What differs from machine to machine and day to day."""


@dataclass
class Page:
    """How far a page is: the exit status of its last command, and what is counted and changed."""

    namespace: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    reason: str | None = None
    ran: int = 0
    parsed: int = 0
    edits: list[tuple[int, int, str]] = field(default_factory=list)


def normalised(text: str, folder: Path | None = None) -> list[str]:
    """Lines without what differs from machine to machine, and without the blanks that such differences move."""
    if folder:
        text = text.replace(f"{folder}/", "").replace(str(folder), ".")
    for pattern, instead in _MACHINES:
        text = re.sub(pattern, instead, text)
    return [" ".join(line.split()) for line in text.strip("\n").splitlines()]


def differs(shown: list[str], printed: list[str]) -> bool:
    """Whether lines on a page are not the ones printed; `...` stands for any."""
    pattern = "\n".join(".*" if line == "..." else re.escape(line) for line in shown)
    return re.fullmatch(pattern, "\n".join(printed), re.DOTALL) is None


def shortened(shown: list[str], printed: list[str]) -> list[str]:
    """What is printed, with a line `...` where the page had one."""
    if "..." not in shown:
        return printed
    head = shown.index("...")
    tail = len(shown) - head - 1
    return printed if head + tail >= len(printed) else [*printed[:head], "...", *printed[len(printed) - tail :]]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at_a_terminal(words: list[str]) -> tuple[int, str, str]:
    """Run vggbench in this process: exit status, standard output, standard error."""
    from vggbench.cli.main import main

    out, err, before = _Terminal(), io.StringIO(), sys.argv
    sys.argv = ["vggbench", *words]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = before
    said = [
        textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False)
        for line in err.getvalue().splitlines()
    ]
    return code, out.getvalue(), "\n".join(said)


def parse(words: list[str]) -> None:
    """Let the parser itself read a command; raises UsageError where it would refuse."""
    from vggbench.cli.main import app

    group: Any = typer.main.get_command(app)
    with group.make_context("vggbench", list(words), resilient_parsing=False) as context:
        _, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        if "--help" not in rest and not set(rest) & {"-h"}:
            command.make_context(command.name, list(rest), parent=context)


@dataclass
class _Command:
    words: list[str]
    shown: list[str]
    start: int
    """Where in the block the output that is shown begins, in characters."""
    end: int


def commands_in(source: str) -> Iterator[_Command]:
    """The commands of a console block, each with what is shown under it."""
    lines = source.splitlines(keepends=True)
    place = offset = 0
    while place < len(lines):
        assert lines[place].startswith("$ "), f"a console block begins with $: {lines[place]!r}"
        text = lines[place][2:].rstrip("\n")
        offset += len(lines[place])
        place += 1
        while text.endswith("\\"):
            text = text[:-1] + lines[place].lstrip("> ").rstrip("\n")
            offset += len(lines[place])
            place += 1
        start, shown = offset, []
        while place < len(lines) and not lines[place].startswith("$ "):
            shown.append(lines[place].rstrip("\n"))
            offset += len(lines[place])
            place += 1
        yield _Command(shlex.split(text, comments=True), shown, start, offset)


class Runner:
    """Evaluates the examples of one page in a folder."""

    def __init__(self, folder: Path, slow: bool) -> None:
        self.folder, self.slow = folder, slow
        self.page = Page()

    def console(self, example: Example) -> str | None:
        """Run the commands of a block; what differs is returned."""
        reason, self.page.reason = self.page.reason, None
        commands = list(commands_in(str(example.parsed)))
        asked = [command.words[:2] == ["echo", "$?"] for command in [*commands[1:], *commands[:1]]]
        wrong = [self._command(*both, example, reason) for both in zip(commands, asked, strict=True)]
        return "\n".join(filter(None, wrong)) or None

    def _command(self, command: _Command, may_fail: bool, example: Example, reason: str | None) -> str | None:
        words = command.words
        if words[:2] == ["echo", "$?"]:
            return self._compared(command, example, str(self.page.status))
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        if words[0] != "vggbench":
            return self._other(words)
        if reason:
            self.page.parsed += 1
            parse(words[1:])
            return None
        self.page.ran += 1
        self.page.status, out, err = at_a_terminal(words[1:])
        if not command.shown:
            failed = self.page.status and not may_fail
            return f"{shlex.join(words)}: exit {self.page.status}\n{err}" if failed else None
        return self._compared(command, example, out if out.strip() else err)

    def _compared(self, command: _Command, example: Example, printed: str) -> str | None:
        shown = [" ".join(line.split()) for line in command.shown]
        while shown and not shown[-1]:
            shown.pop()
        known = normalised("\n".join(shown))
        found = normalised(printed, self.folder)
        if not differs(known, found):
            return None
        if os.environ.get(_UPDATES):
            lines = printed.replace(f"{self.folder}/", "").rstrip().splitlines()
            text = "\n".join(line.rstrip() for line in shortened(shown, lines))
            origin = example.start + example.document.text[example.start :].index(str(example.parsed))
            self.page.edits.append((origin + command.start, origin + command.end, f"{text}\n"))
            return None
        return (
            f"$ {shlex.join(command.words)}\nprints\n{chr(10).join(found)}\nand the page shows\n{chr(10).join(known)}"
        )

    def _other(self, words: list[str]) -> str | None:
        """Commands that are not ours: what can be known of them is checked."""
        if words[0] == "torchrun":
            place = words.index("vggbench")
            assert words[place - 1] == "-m"
            self.page.parsed += 1
            parse(words[place + 1 :])
        elif words[0] == "make":
            targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert set(words[1:]) <= set(targets), f"no target: {words}"
        else:
            assert words[0] in ("pip", "git", "source", "cd", "export", "docker", "python", "sbatch"), (
                f"not known: {words}"
            )
        return None

    def python(self, example: Example) -> str | None:
        """Run a block in the page's namespace."""
        reason, self.page.reason = self.page.reason, None
        if reason:
            compile(str(example.parsed), example.path, "exec")
        else:
            example.document.namespace["__name__"] = "page"
            PythonEvaluator()(example)
        return None

    def marked(self, example: Example) -> None:
        """The reason why the next block is only parsed."""
        self.page.reason = str(example.parsed).strip()
        assert self.page.reason in REASONS, f"{self.page.reason}: expected one of {', '.join(REASONS)}"
        if self.page.reason == "minutes" and self.slow:
            self.page.reason = None


def sybil_of(runner: Runner) -> Sybil:
    """What finds the examples of a page."""

    def fenced(document: Document) -> Iterable[Region]:
        doctests = DocTestStringParser(DocTestEvaluator())
        for region in FencedCodeBlockLexer(language=r".*?")(document):
            source, language = region.lexemes["source"], region.lexemes["language"]
            region.parsed = source
            if language == "console":
                region.evaluator = runner.console
                yield region
            elif language == "python" and source.startswith(">>>"):
                for found in doctests(source, document.path):
                    found.adjust(region, source)
                    yield found
            elif language == "python":
                region.evaluator = runner.python
                yield region
            else:
                assert language in _SHOWN or language.startswith("{"), f"a block of {language!r}: is it run?"

    def marks(document: Document) -> Iterable[Region]:
        for region in DirectiveInHTMLCommentLexer(directive="parsed")(document):
            region.parsed, region.evaluator = region.lexemes["arguments"], runner.marked
            yield region

    return Sybil(parsers=[fenced, marks])


def pages() -> list[Path]:
    """README and all pages of the site that are written by hand."""
    written = (path for path in (ROOT / "docs").rglob("*.md") if "commands" not in path.parts)
    return [ROOT / "README.md", *sorted(written)]


def run(path: Path, folder: Path, slow: bool = False) -> tuple[Page, list[str]]:
    """Evaluate all examples of a page in order; what is wrong, each with its line."""
    runner = Runner(folder, slow or bool(os.environ.get(_UPDATES)))
    document = sybil_of(runner).parse(path)
    wrong: list[str] = []
    for example in document.examples():
        try:
            example.evaluate()
        except Exception as error:
            wrong.append(f"{path.name}:{example.line}: {error}")
    if runner.page.edits:
        text = path.read_text()
        for start, end, instead in sorted(runner.page.edits, reverse=True):
            text = text[:start] + instead + text[end:]
        path.write_text(text)
    return runner.page, wrong

"""What `vggbench` alone prints: common questions, and the commands that answer them."""

from typing import NamedTuple


class Question(NamedTuple):
    """A question, and command lines that answer it."""

    text: str
    lines: tuple[str, ...]


QUESTIONS = (
    Question("Is my set-up right?", ("vggbench check D@torchvision --data imagenet --center",)),
    Question("What does my net score by the paper?", ("vggbench eval D@vgg16.pth --data imagenet --dense",)),
    Question(
        "Which change made the difference?",
        ("vggbench explain D@oxford --data imagenet", "vggbench locate D@torchvision cat.jpg --theirs dump.npz"),
    ),
    Question("Which net is better?", ("vggbench compare D@a.pth E@b.pth --data imagenet",)),
    Question("How do I reproduce the paper?", ("vggbench reproduce --data imagenet --plan",)),
)
FIRST = "vggbench quickstart"
"""What to type first: it needs no file and no network."""
NEXT = (
    "vggbench report D E --data sample-quick --center",
    "vggbench explain D --data sample-quick --limit 48",
    "vggbench eval D@torchvision --data imagenet --center",
)
"""What to type after that: the same figures as a page, what changes a net's error, and the reader's own images."""


def overview() -> str:
    """The questions, each with its command, in lines of at most 80 characters."""
    lines = ["Evaluate VGG networks, and any classifier, by the protocols of arXiv 1409.1556.", ""]
    lines += [f"First try, with no file of your own:  {FIRST}", ""]
    for question in QUESTIONS:
        lines += [question.text, *(f"  {line}" for line in question.lines)]
    return "\n".join([*lines, "", "All commands: vggbench --help    Options of one: vggbench COMMAND --help", ""])

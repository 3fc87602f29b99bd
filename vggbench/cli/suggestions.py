"""What may have been meant by a command or an option that does not exist."""

from collections.abc import Mapping, Sequence
from typing import Any

from vggbench.errors import nearest

_COMMANDS = {
    "accuracy": "eval", "evaluate": "eval", "run": "eval", "test": "eval", "validate": "eval", "val": "eval",
    "bench": "speed", "benchmark": "speed", "latency": "speed", "profile": "speed", "throughput": "speed",
    "flops": "params", "macs": "params", "parameters": "params", "summary": "params",
    "classify": "predict", "infer": "predict", "inference": "predict",
    "combine": "fuse", "ensemble": "fuse", "fusion": "fuse",
    "bibtex": "cite", "citation": "cite", "diff": "compare", "html": "report", "fit": "train", "onnx": "export",
    "convert": "export", "download": "weights", "fetch": "weights", "models": "weights", "list": "runs", "ls": "runs",
    "delete": "runs", "debug": "locate", "why": "explain", "paper": "reproduce", "demo": "quickstart",
    "start": "quickstart", "tutorial": "quickstart", "env": "doctor", "info": "doctor", "dataset": "data",
    "import": "score",
}  # fmt: skip
"""Words that other tools have for a command of ours."""
_OPTIONS = {
    "--arch": "a MODEL such as D@oxford", "--batch": "--batch-size", "--dataset": "--data", "--gpu": "--device cuda",
    "--half": "--precision fp16", "--json": "--format json", "--model": "a MODEL such as D@oxford",
    "--num-workers": "--workers", "--out": "--output", "--resize": "--scales", "--silent": "--quiet", "-o": "--output",
    "--size": "--scales", "--ten-crop": "--tencrop",
}  # fmt: skip

_PROTOCOLS = ("--protocol", "--protocols", "--views", "--crop")
"""Options of other tools whose value is an option of ours."""


def unknown_command(word: str, known: Sequence[str]) -> str:
    """A sentence on a word that is no command."""
    meant = _COMMANDS.get(word.lower())
    near = [meant] if meant in known else nearest(word, known)
    hint = f" Did you mean `vggbench {near[0]}`?" if near else ""
    return f"There is no command {word!r}.{hint} `vggbench --help` lists all."


def unknown_option(
    word: str, following: str | None, command: str | None, options: Mapping[str | None, Sequence[str]]
) -> str:
    """A sentence on an option that `command`, or vggbench before any command, does not have.

    `following` is the next word of the command line; `options` are those of each command, of None those before it.
    """
    own = options[command]
    meant = _OPTIONS.get(word, "--")
    if word in _PROTOCOLS and f"--{following}" in own:
        meant = f"--{following}"
    is_known = meant.startswith("a MODEL") or meant.split(" ")[0] in own
    near = [meant] if is_known else _like(word, own)
    elsewhere = [name for name, others in options.items() if name and name != command and word in others]
    hint = f" Did you mean {near[0]}?" if near else ""
    if elsewhere and command is None:
        hint = " Options come after the command, as in `vggbench eval D --dense`."
    elif elsewhere and not is_known:
        hint = f" It is an option of {', '.join(elsewhere[:3])}{' and others' if len(elsewhere) > 3 else ''}."
    whole = f"vggbench {command}" if command else "vggbench"
    return f"{command or 'vggbench'} has no option {word}.{hint} `{whole} --help` lists all."


def _like(word: str, options: Sequence[str]) -> list[str]:
    """Options that resemble a word; the dashes that all have count for nothing."""
    return [f"--{name}" for name in nearest(word.lstrip("-"), [name[2:] for name in options if name.startswith("--")])]


def all_options(group: Any) -> dict[str | None, list[str]]:
    """The options of each command of the command line, under None those before a command."""
    own = {None: group, **group.commands}
    return {name: [opt for item in one.params for opt in item.opts if opt[0] == "-"] for name, one in own.items()}

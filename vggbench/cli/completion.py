"""What the shell offers while a command line is typed: configs, sources of weights, weights files, stored runs.

Nothing heavy is imported here: each press of Tab starts Python again.
"""

import os
import re
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path

from vggbench.paper.configs import CONFIGS

SOURCES = ("oxford", "torchvision", "timm", "keras", "matconvnet", "onnx", "onnx-12", "sample", "random")
"""What may follow the @; `weights.released` says for which configs."""
KINDS = ("torchvision", "timm", "onnx", "pt2")
_BUILDER = re.compile(r"^@register_model(?:\(\))?\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
"""A function by which torchvision or timm builds a network."""
_ENDINGS = (".safetensors", ".pth", ".pt", ".tar", ".bin", ".npz", ".caffemodel", ".mat", ".h5", ".onnx")


def models(incomplete: str) -> list[str]:
    """CONFIG, or CONFIG@SOURCE once there is an @."""
    words, place = os.environ.get("COMP_WORDS", "").split(), int(os.environ.get("COMP_CWORD", "0") or 0)
    if incomplete == "@" or words[place - 1 : place] == ["@"]:  # bash takes @ for a word of its own
        return _sources("" if incomplete == "@" else incomplete)
    if ":" in incomplete or words[place - 1 : place] == [":"]:
        return _others(incomplete, words[place - 2 : place - 1])
    config, at, source = incomplete.partition("@")
    if at:
        return [f"{config}@{found}" for found in _sources(source)]
    others = [f"{kind}:" for kind in KINDS if incomplete and kind.startswith(incomplete)]
    return [name for name in CONFIGS if name.startswith(config.upper())] + others


def _others(incomplete: str, before: list[str]) -> list[str]:
    """KIND:NAME and KIND:FILE; bash takes : for a word of its own as well, and then completes what follows it."""
    kind, _, begun = incomplete.rpartition(":")
    own = kind or (before[0] if before else "")
    if own in ("onnx", "pt2"):
        found = list(_files(begun, (f".{own}",)))
    else:
        found = [name for name in _names(own) if name.startswith(begun)]
    return [f"{kind}:{name}" if kind else name for name in found]


def _names(library: str) -> list[str]:
    """A library's networks: the names of the functions that build them, for which it need not be imported."""
    package = PathFinder.find_spec(library)
    folder = Path(package.origin).parent / "models" if package and package.origin else Path("none")
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.glob("*.py"))]
    return sorted({name for text in texts for name in _BUILDER.findall(text)})


def runs(incomplete: str) -> list[str]:
    """Names of stored runs, of the store in $VGGBENCH_RUNS or runs/."""
    root = Path(os.environ.get("VGGBENCH_RUNS", "runs"))
    return sorted(path.parent.name for path in root.glob("*/run.json") if path.parent.name.startswith(incomplete))


def models_and_runs(incomplete: str) -> list[str]:
    """Both."""
    return models(incomplete) + runs(incomplete)


def _sources(begun: str) -> list[str]:
    return [source for source in SOURCES if source.startswith(begun)] + list(_files(begun))


def _files(begun: str, endings: tuple[str, ...] = _ENDINGS) -> Iterable[str]:
    folder = begun.rpartition("/")[0]
    for path in sorted(Path(folder or ".").expanduser().glob("*")):
        text = f"{folder}/{path.name}" if folder else path.name
        if text.startswith(begun) and (path.suffix in endings or path.is_dir()):
            yield text + ("/" if path.is_dir() else "")

"""What the shell offers while a command line is typed: configs, sources of weights, weights files, stored runs.

Nothing heavy is imported here: each press of Tab starts Python anew.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from vggbench.paper.configs import CONFIGS

SOURCES = ("oxford", "torchvision", "timm", "keras", "matconvnet", "onnx", "onnx-12", "sample", "random")
"""What may follow the @; `weights.released` says of which configs."""
_ENDINGS = (".safetensors", ".pth", ".pt", ".tar", ".bin", ".npz", ".caffemodel", ".mat", ".h5", ".onnx")


def models(incomplete: str) -> list[str]:
    """CONFIG, or CONFIG@SOURCE once there is an @."""
    words, place = os.environ.get("COMP_WORDS", "").split(), int(os.environ.get("COMP_CWORD", "0") or 0)
    if incomplete == "@" or words[place - 1 : place] == ["@"]:  # bash takes @ for a word of its own
        return _sources("" if incomplete == "@" else incomplete)
    config, at, source = incomplete.partition("@")
    if at:
        return [f"{config}@{found}" for found in _sources(source)]
    return [name for name in CONFIGS if name.startswith(config.upper())]


def runs(incomplete: str) -> list[str]:
    """Names of stored runs, of the store in $VGGBENCH_RUNS or runs/."""
    root = Path(os.environ.get("VGGBENCH_RUNS", "runs"))
    return sorted(path.parent.name for path in root.glob("*/run.json") if path.parent.name.startswith(incomplete))


def models_and_runs(incomplete: str) -> list[str]:
    """Both."""
    return models(incomplete) + runs(incomplete)


def _sources(begun: str) -> list[str]:
    return [source for source in SOURCES if source.startswith(begun)] + list(_files(begun))


def _files(begun: str) -> Iterable[str]:
    folder = begun.rpartition("/")[0]
    for path in sorted(Path(folder or ".").expanduser().glob("*")):
        text = f"{folder}/{path.name}" if folder else path.name
        if text.startswith(begun) and (path.suffix in _ENDINGS or path.is_dir()):
            yield text + ("/" if path.is_dir() else "")

"""What must be quick does not import what is slow: PyTorch costs 1.6 s, pandas 0.5 s."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vggbench

HEAVY = ("torch", "torchvision", "torch._dynamo", "pandas", "pyarrow", "matplotlib")


def heavy_after(code: str, heavy: tuple[str, ...] = HEAVY) -> set[str]:
    """Which heavy packages a fresh Python has loaded after running `code`."""
    script = (
        "import atexit, json, sys\n"
        f"atexit.register(lambda: print(json.dumps([m for m in {heavy} if m in sys.modules]), file=sys.stderr))\n"
    )
    done = subprocess.run([sys.executable, "-c", script + code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def heavy_after_command(*arguments: str) -> set[str]:
    return heavy_after(f"sys.argv = {['vggbench', *arguments]}\nfrom vggbench.cli.main import main\nmain()")


@pytest.mark.parametrize(
    "module",
    ["vggbench", "vggbench.cli"]
    + [
        f"vggbench.{name}"
        for name in ("errors", "paper.configs", "paper.protocols", "paper.published", "metrics", "nets.cost")
    ]
    + [f"vggbench.images.{name}" for name in ("headers", "inspection", "preprocessing")],
)
def test_importing_is_light(module: str) -> None:
    assert heavy_after(f"import {module}") == set()


@pytest.mark.parametrize("name", ["CONFIGS", "Protocol", "TrainScale", "View", "VggbenchError", "ErrorRate"])
def test_a_light_export_stays_light(name: str) -> None:
    assert heavy_after(f"from vggbench import {name}") == set()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("params",),
        ("params", "--help"),
        ("eval", "--help"),
        ("params", "D", "--scales", "256", "384", "--format", "json"),
        ("params", "--format", "csv"),
        ("params", "--format", "table"),
        ("params", "C", "--layers"),
        ("cite",),
        ("weights",),
    ],
    ids=" ".join,
)
def test_a_quick_command_is_light(arguments: tuple[str, ...]) -> None:
    assert heavy_after_command(*arguments) == set()


OF_STORED_RUNS = {
    "runs": {"pyarrow"},
    "runs {A}": {"pyarrow"},
    "fuse {A} {D}": {"pyarrow"},
    "compare {A} {D}": {"pyarrow"},
    "fuse {A} {D} --format json": {"pyarrow"},
    "runs export {A} --output x.json": {"pyarrow"},
    "runs export {A} --output x.csv": {"pyarrow", "pandas"},
    "runs export {A} --posteriors --output x.csv": {"pyarrow", "pandas"},
    "report {A} {D} --output x.html": {"pyarrow", "matplotlib"},
    "reproduce --published": {"pyarrow"},
}
"""What a command on stored runs may take: PyTorch is in none, Matplotlib only where it draws."""


@pytest.mark.thorough
@pytest.mark.parametrize("words", OF_STORED_RUNS)
def test_stored_runs_need_no_pytorch(
    words: str, stored: Callable[..., Path], few_drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = stored(*(("eval", net, "--data", "sample", "--center") for net in "AD"))
    monkeypatch.chdir(own.parent)
    names = {net: next(own.glob(f"{net}-*")).name for net in "AD"}
    assert heavy_after_command(*words.format(**names).split()) <= OF_STORED_RUNS[words]


@pytest.mark.parametrize(
    "words",
    [
        "eval D --grid 4",
        "eval D --precision fp8",
        "compare A D --sort size",
        "train A --init he2",
        "eval D --scales 1x",
    ],
)
def test_a_mistyped_value_answers_before_anything_is_imported(words: str) -> None:
    code = f"sys.argv = {['vggbench', *words.split()]}\nfrom vggbench.cli.main import main\ntry:\n    main()\n"
    assert heavy_after(f"{code}except SystemExit as stop:\n    assert stop.code == 2") == set()


def test_looking_at_a_data_set_is_light(pictures: Path) -> None:
    assert heavy_after_command("data", str(pictures)) == set()
    assert heavy_after_command("data", str(pictures), "--classes", "--format", "json") == set()


def test_images_are_decoded_and_rescaled_without_importing_torchvision(pictures: Path) -> None:
    (jpeg, *_) = pictures.rglob("*.JPEG")
    code = (
        "from pathlib import Path\n"
        "from vggbench.images.pixels import decode, rescale\n"
        "from vggbench.images.preprocessing import Rescale\n"
        f"rescale(decode(Path({str(jpeg)!r}).read_bytes()), 256, Rescale())"
    )
    assert heavy_after(code) == {"torch"}


def test_torchvision_is_imported_where_its_decoder_is_used_alone() -> None:
    package = Path(vggbench.__file__).parent
    importing = re.compile(r"^\s*(import|from) torchvision\b", re.MULTILINE)
    found = [str(path.relative_to(package)) for path in package.rglob("*.py") if importing.search(path.read_text())]
    assert sorted(found) == ["images/pixels.py", "weights/classifiers/torchvision_nets.py"]


def test_the_check_can_fail() -> None:
    assert heavy_after("import pandas") >= {"pandas"}
    assert heavy_after("import types\nsys.modules['torch'] = types.ModuleType('torch')") == {"torch"}
    assert "pyarrow" in heavy_after("from vggbench import Run")

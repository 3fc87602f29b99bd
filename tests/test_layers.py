"""The house: a room imports only from rooms above it, and no two modules import each other."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import vggbench

PACKAGE = Path(vggbench.__file__).parent

FREE = ("errors", "files", "cache", "metrics", "progress")
"""Single files that every room may import, and that import but one another."""
ROOMS = (
    *FREE, "paper", "nets", "sample", "data", "images", "store", "weights", "inference", "evaluation", "results",
    "train", "studies", "render", "front", "cli", "__main__", "__init__",
)  # fmt: skip
"""From the top down, as CONTRIBUTING.md lists them."""
FREE_NAMES = {"__version__"}
"""What any module may take from the package itself, which stands on top."""


def module_name(path: Path) -> str:
    """`vggbench/data/folders.py` -> `data.folders`, `vggbench/data/__init__.py` -> `data`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def place(module: str) -> int:
    """How far down the house; the single files stand side by side."""
    return ROOMS.index(module.partition(".")[0])


def imports(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """The modules of vggbench that `source` imports anywhere: at its top, in a function, or for types alone."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (_relative(alias.name) for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, module, is_package)
            if _is_ours(origin):
                yield from _taken(origin, [alias.name for alias in node.names])


def _is_ours(name: str) -> bool:
    return name == "vggbench" or name.startswith("vggbench.")


def _relative(name: str) -> str:
    return name.removeprefix("vggbench").removeprefix(".") or "__init__"


def _origin(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    """The absolute name of what `from ... import` imports from."""
    if not node.level:
        return node.module or ""
    here = f"vggbench.{module}".split(".")
    base = here[: len(here) - node.level + is_package]
    return ".".join([*base, *([node.module] if node.module else [])])


def _taken(origin: str, names: list[str]) -> Iterator[str]:
    for name in names:
        submodule = f"{_relative(origin)}.{name}" if origin != "vggbench" else name
        if submodule in MODULES:
            yield submodule
        elif not (origin == "vggbench" and name in FREE_NAMES):
            yield _relative(origin)


def upward(source: str, module: str, is_package: bool = False) -> list[str]:
    """Imports of `module` that come from its own room's height or below it, other than from its own folder."""
    own = module.partition(".")[0]
    beside = FREE if own in FREE else (own,)
    return [
        other
        for other in imports(source, module, is_package)
        if other.partition(".")[0] not in beside and place(other) >= place(module)
    ]


def is_package(module: str) -> bool:
    return MODULES[module].name == "__init__.py" and module != "__init__"


@pytest.mark.parametrize("module", MODULES)
def test_every_module_stands_on_a_place(module: str) -> None:
    assert module.partition(".")[0] in ROOMS, "add its room to ROOMS, and to CONTRIBUTING.md's table"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_rooms_above(module: str) -> None:
    assert upward(MODULES[module].read_text(), module, is_package(module)) == []


def test_no_modules_import_each_other() -> None:
    graph = {
        module: set(imports(path.read_text(), module, is_package(module))) - {module}
        for module, path in MODULES.items()
        if module != "__init__"
    }
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_imports_are_seen() -> None:
    """Were the reader blind, the tests above would pass."""
    assert set(imports(MODULES["nets.recount"].read_text(), "nets.recount")) == {
        "paper.configs", "nets.cost", "errors", "nets.vgg",
    }  # fmt: skip
    assert "data.imagenet" in set(imports(MODULES["weights.load"].read_text(), "weights.load"))
    assert {"nets.recount", "render.tables.parameters"} <= set(
        imports(MODULES["cli.commands.params"].read_text(), "cli.commands.params")
    )


@pytest.mark.parametrize(
    ("module", "source", "caught"),
    [
        ("metrics", "from vggbench.store.runs import Run", ["store.runs"]),
        ("metrics", "import vggbench.store.runs", ["store.runs"]),
        ("metrics", "import vggbench.store.runs as s, math", ["store.runs"]),
        ("metrics", "from vggbench import store", ["store"]),
        ("metrics", "from vggbench import fuse", ["__init__"]),
        ("metrics", "import vggbench", ["__init__"]),
        ("metrics", "from . import store", ["store"]),
        ("metrics", "from .store.runs import Run", ["store.runs"]),
        ("metrics", "def f():\n    from vggbench.cli.options import expand", ["cli.options"]),
        ("metrics", "if TYPE_CHECKING:\n    from vggbench.data import DataSet", ["data"]),
        ("data.folders", "from ..weights import Model", ["weights"]),
        ("data.folders", "from vggbench.render.tables import table", ["render.tables.table"]),
        ("render.tables.table", "from vggbench.cli.main import main", ["cli.main"]),
        ("cli", "from vggbench.__main__ import main", ["__main__"]),
    ],
)
def test_an_import_upward_is_caught(module: str, source: str, caught: list[str]) -> None:
    assert upward(source, module, module == "cli") == caught


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("store.runs", "from vggbench.metrics import ranks"),
        ("store.runs", "from vggbench import __version__"),
        ("store.runs", "import numpy, torch\nfrom pathlib import Path"),
        ("store.runs", "from ..errors import StoreError"),
        ("data.folders", "from vggbench.data.dataset import DataSet"),
        ("data.folders", "from . import dataset"),
        ("data.folders", "from ..errors import DataError"),
        ("cli.evaluating", "from vggbench.weights import Model"),
        ("metrics", "from vggbenchmark import anything"),
        ("metrics", "'''from vggbench.cli.main import main'''"),
    ],
)
def test_an_import_downward_or_beside_is_not(module: str, source: str) -> None:
    assert upward(source, module) == []


def test_a_package_reads_its_own_dots() -> None:
    assert list(imports("from .folders import open_folders", "data", is_package=True)) == ["data.folders"]
    assert list(imports("from . import folders", "data", is_package=True)) == ["data.folders"]
    assert list(imports("from ..errors import DataError", "data", is_package=True)) == ["errors"]

"""What `vggbench` exports is there, is documented, and is not hidden by a module of the same name."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import vggbench

PACKAGE = Path(vggbench.__file__).parent
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def undocumented(source: str) -> list[str]:
    """Public modules, classes, functions and methods of `source` without a docstring."""
    tree = ast.parse(source)
    return [name for name, node in [("module", tree), *_public(tree)] if not ast.get_docstring(node)]


def _public(parent: ast.Module | ast.ClassDef) -> Iterator[tuple[str, Documented]]:
    for node in parent.body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


def exports() -> list[str]:
    return [name for name in vggbench.__all__ if name != "__version__"]


def test_version() -> None:
    assert vggbench.__version__.count(".") == 2


@pytest.mark.parametrize("name", exports())
def test_an_export_is_importable(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"from vggbench import {name}", namespace)
    assert namespace[name] is getattr(vggbench, name)
    assert not isinstance(namespace[name], ModuleType)


@pytest.mark.parametrize("name", exports())
def test_an_exported_class_or_function_has_a_docstring_of_its_own(name: str) -> None:
    value = getattr(vggbench, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        doc = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
        assert doc
        assert not doc.startswith(f"{name}("), "a dataclass without a docstring gets its signature"
    else:
        assert name in ("CONFIGS", "ILSVRC_CLASSES", "INPUTS")


def test_all_exports_are_told_to_type_checkers_too() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert told == {name: f"vggbench.{home}" for name, home in vggbench._HOMES.items()}
    assert sorted(vggbench.__all__) == dir(vggbench)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'vggbench' has no attribute 'evaluates'"):
        _ = vggbench.evaluates


def test_evaluate_stays_a_function_once_its_module_is_imported() -> None:
    importlib.import_module("vggbench.evaluation.loop")
    from vggbench.evaluation.loop import evaluate

    assert inspect.isfunction(evaluate)


def test_no_module_bears_the_name_of_an_export() -> None:
    """Importing it would set the package's attribute, and hide the export."""
    modules = {module.name for module in pkgutil.iter_modules([str(PACKAGE)])}
    assert {"evaluation", "paper", "cli"} <= modules
    assert modules & set(vggbench.__all__) == set()


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_all_that_is_public_has_a_docstring(path: Path) -> None:
    assert undocumented(path.read_text()) == []


def test_what_lacks_a_docstring_is_found() -> None:
    source = '"""Module."""\ndef f(): ...\ndef _g(): ...\nclass C:\n    """C."""\n    def m(self): ...\nclass D: ...\n'
    assert undocumented(source) == ["f", "m", "D"]
    assert undocumented("x = 1") == ["module"]

"""Rendering takes values: it tests nothing, opens no data, and knows no torch."""

import ast
import pkgutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_light_imports import heavy_after, heavy_after_command

import vggbench.render

FOLDER = Path(vggbench.render.__file__).parent
MODULES = [found.name for found in pkgutil.walk_packages(vggbench.render.__path__, "vggbench.render.")]
PICTURES = "vggbench.render.plots"
OF_METRICS = {"ErrorRate", "Errors", "LEAST_SIGNIFICANT"}
"""Values; what tests and counts there is for results/."""


def imported(names: Sequence[str]) -> set[str]:
    """Which of torch, torchvision and matplotlib a fresh Python has loaded with these modules."""
    code = f"import importlib, json, sys\nfor name in {list(names)}:\n    importlib.import_module(name)\n"
    return heavy_after(code, heavy=("torch", "torchvision", "matplotlib"))


def test_every_module_is_looked_at() -> None:
    assert {f"{PICTURES}.score_map", "vggbench.render.report.page", "vggbench.render.tables.weights"} < set(MODULES)
    assert len(MODULES) == len(list(FOLDER.rglob("*.py"))) - 1


def test_nothing_of_it_imports_torch() -> None:
    assert imported(MODULES) == {"matplotlib"}


def test_only_plots_import_matplotlib() -> None:
    assert imported([name for name in MODULES if not name.startswith(f"{PICTURES}.")]) == set()


@pytest.mark.thorough
def test_the_check_can_fail() -> None:
    assert imported(["torch"]) == {"torch"}
    assert imported(["vggbench.inference.devices"]) >= {"torch"}


def of_metrics(source: str) -> set[str]:
    """What a module takes from `metrics`."""
    taken = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in taken if node.module == "vggbench.metrics" for alias in node.names}


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_nothing_of_it_tests_or_counts(path: Path) -> None:
    assert of_metrics(path.read_text()) <= OF_METRICS


def test_a_test_would_be_seen() -> None:
    assert of_metrics("def f():\n    from vggbench.metrics import holm, ErrorRate") == {"holm", "ErrorRate"}


def test_the_released_files_are_listed_without_torch() -> None:
    assert heavy_after_command("weights") == set()

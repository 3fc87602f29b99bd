"""The package as it is published: one version everywhere, all its files, a citation and a Dockerfile that are valid."""

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from vggbench import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_one_version_stands_everywhere() -> None:
    assert PROJECT["project"]["version"] == __version__
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {__version__}\n" in citation
    (released,) = re.findall(r"^date-released: (.*)$", citation, re.MULTILINE)
    assert f"## [{__version__}] - {released}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_changelog_has_each_heading_once_a_version() -> None:
    for version in (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]:
        headings = re.findall(r"^### (.*)$", version, re.MULTILINE)
        assert headings == [name for name in ("Added", "Changed", "Deprecated", "Removed", "Fixed") if name in headings]


def test_the_citation_fits_its_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.citation-file-format"]
    found = subprocess.run([*command, ROOT / "CITATION.cff"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_dockerfile_is_linted() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    if not linter.exists():
        pytest.skip("no hadolint here")
    found = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_every_file_of_the_package_is_packed() -> None:
    """What is no Python is packed by a pattern."""
    git = shutil.which("git")
    if not git or not (ROOT / ".git").exists():
        pytest.skip("no git here")
    listed = subprocess.run([git, "ls-files", "vggbench"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["vggbench"]
    others = [path.removeprefix("vggbench/") for path in listed.split() if not path.endswith(".py")]
    assert len(others) > 5
    assert not [path for path in others if not any(fnmatch(path, pattern) for pattern in patterns)]


def test_extras_are_what_errors_tell_to_install() -> None:
    texts = [path.read_text() for path in (ROOT / "vggbench").rglob("*.py")]
    told = {name for text in texts for name in re.findall(r"vggbench\[(\w+)\]", text)}
    assert told
    assert told <= set(PROJECT["project"]["optional-dependencies"])

"""The site: MyST pages, commands from their parser, the Python API from docstrings; nothing from the network."""

import sys
from pathlib import Path

import typer
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from vggbench import __version__  # noqa: E402 - the package of this folder, installed or not
from vggbench.cli.main import app as commands  # noqa: E402

project = "vggbench"
author = "The vggbench authors"
project_copyright = f"2026, {author}"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "sphinxcontrib.typer"]
exclude_patterns = ["figures/*.py"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the pages of others may begin with a smaller heading
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_line_continuation_character = "\\"

html_theme = "pydata_sphinx_theme"
html_title = f"vggbench {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_show_search_summary = False  # summaries are fetched, which a page that is opened from disk cannot do
html_context = {"default_mode": "auto"}
html_sidebars = {"tutorial/index": []}  # one page: nothing to go to beside it
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "navigation_with_keys": False,
}

_PAGE = """# `{name}`

{summary}

```{{eval-rst}}
.. typer:: vggbench.cli.main:app:{name}
   :prog: vggbench {name}
   :preferred: text
   :width: 100
```
"""


def write_command_pages(app: Sphinx) -> None:
    """A page for each command of the parser, and their list; what is no command any more goes."""
    folder = HERE / "reference" / "commands"
    folder.mkdir(exist_ok=True)
    found = typer.main.get_command(commands).commands  # type: ignore[attr-defined]
    pages = {"index": _list(found)}
    for name, command in found.items():
        pages[name] = _PAGE.format(name=name, summary=_first_sentence(command))
    for path in folder.iterdir():
        if path.stem not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _list(found: dict[str, typer.core.TyperCommand]) -> str:
    rows = "\n".join(f"| [`{name}`]({name}.md) | {_first_sentence(command)} |" for name, command in found.items())
    names = "\n".join(found)
    return (
        "# Commands\n\nEach page is the help of the command itself: `vggbench COMMAND --help` prints the same.\n\n"
        f"| command | what it does |\n|---|---|\n{rows}\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"
    )


def _first_sentence(command: typer.core.TyperCommand) -> str:
    return " ".join(str(command.help).split("\n\n")[0].split())


def show_code(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Docstrings indent what is code, as Markdown does; reStructuredText wants a `::` before it."""
    shown: list[str] = []
    for before, line in zip(["", *lines], lines, strict=False):
        follows = shown and not before.strip() and next((one for one in reversed(shown) if one.strip()), "")
        begins = line.startswith("    ") and not line.lstrip().startswith(">>>")
        if begins and follows and not follows.startswith((" ", ":")):
            shown += ["::", ""]
        shown.append(line)
    lines[:] = shown


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", show_code)
    app.connect("builder-inited", write_command_pages)

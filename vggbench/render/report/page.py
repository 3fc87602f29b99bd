"""One self-contained HTML file: tables that sort, plots, the worst errors, and how all of it was made."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from vggbench.render.tables.table import Column, Table, shown_columns, shown_notes
from vggbench.results.gallery import Gallery

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FOLDER = files("vggbench.render.report")


@dataclass(frozen=True)
class Plot:
    """A picture and its text for those who do not see it."""

    name: str
    address: str
    dark: str
    """The address of the same picture for a dark page."""


def render(
    title: str,
    *,
    warning: str | None,
    tables: Sequence[Table],
    plots: "dict[str, Figure]",
    galleries: Sequence[Gallery],
) -> str:
    """The page; every string from data is escaped, and nothing is loaded from anywhere."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    shown = [(table, shown_columns(table.markdown, table.rows, None)) for table in tables]
    style, script = (_FOLDER.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    return environment.from_string(_FOLDER.joinpath("report.html.j2").read_text(encoding="utf-8")).render(
        title=title,
        warning=warning,
        tables=[(table, columns, shown_notes(table, columns)) for table, columns in shown],
        plots=[_drawn(name, figure) for name, figure in plots.items()],
        galleries=galleries,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        number=number,
        jpeg=_jpeg,
    )


def number(column: Column, text: str) -> str | None:
    """What a cell is sorted by, where it is a number or begins with one."""
    first = text.replace(",", "").replace("*", "").split(" ")[0].removesuffix("%")
    try:
        return repr(float(first))
    except ValueError:
        return None


def _jpeg(content: bytes) -> str:
    return _data_uri("image/jpeg", content)


def _drawn(name: str, figure: "Figure") -> Plot:
    from vggbench.render.plots.figure import as_svg, on_dark

    light = as_svg(figure)
    return Plot(name, *(_data_uri("image/svg+xml", svg.encode()) for svg in (light, on_dark(light))))


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _hash(text: str) -> str:
    """For the page's Content-Security-Policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"

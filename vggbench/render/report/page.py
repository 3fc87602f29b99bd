"""One self-contained HTML file: tables that sort, plots, the worst errors, and how all of it was made."""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from vggbench.data.imagenet import in_words
from vggbench.render.tables.errors import eval_table, nets_table
from vggbench.render.tables.table import Column, Table, shown_columns, shown_notes
from vggbench.results.circumstances import data_title
from vggbench.results.correction import corrected
from vggbench.results.evaluated import Evaluated
from vggbench.results.gallery import Gallery, gallery

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FOLDER = files("vggbench.render.report")
_SAMPLE = (
    "SAMPLE: these are drawn pictures of twelve classes, not ImageNet, and nets of a fraction of the paper's width."
)


@dataclass(frozen=True)
class Plot:
    """A picture and its text for those who do not see it."""

    name: str
    address: str
    dark: str
    """The address of the same picture for a dark page."""


def page(found: Evaluated) -> str:
    """The report of an evaluation: its tables, plots and worst errors, as HTML."""
    from vggbench.render.plots.evaluation import figures

    data, models = found.data, found.models
    baseline = found.lines(models[0])
    tables: list[Table] = []
    if len(models) > 1:
        rows = [row for model in models for row in found.measured(found.lines(model)[-1:], baseline[-1:])]
        tables.append(nets_table(corrected(rows), found.about))
    tables += [eval_table(found.measured(found.lines(model)), found.about, found.gain(model)) for model in models]
    galleries = []
    for model in models:
        line = found.lines(model)[-1]
        if model.has_five_best:  # whose worst errors are not known
            continue
        names = in_words(model.class_names, model.classes)
        galleries.append(gallery(f"{model.name}, {line.title}", found.of_each_image(line), names, found.pictures))
    what = data_title(data, found.measured(baseline[:1])[0])
    return render(
        f"{', '.join(model.name for model in models)} on {what}", warning=_SAMPLE if data.is_sample else None,
        tables=tables, plots=figures(found), galleries=galleries,
    )  # fmt: skip


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
    own, shared = said_once([shown_notes(table, columns) for table, columns in shown])
    style, script = (_FOLDER.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    return environment.from_string(_FOLDER.joinpath("report.html.j2").read_text(encoding="utf-8")).render(
        title=title,
        warning=warning,
        tables=[(*both, notes) for both, notes in zip(shown, own, strict=True)],
        notes=shared,
        plots=[_drawn(name, figure) for name, figure in plots.items()],
        galleries=galleries,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        number=number,
        jpeg=_jpeg,
    )


def said_once(notes: Sequence[Sequence[str]]) -> tuple[list[list[str]], list[str]]:
    """The notes of each table that no other has, and those of several, each once."""
    tables = Counter(note for own in notes for note in dict.fromkeys(own))
    return [[note for note in own if tables[note] == 1] for own in notes], [
        n for n, count in tables.items() if count > 1
    ]


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

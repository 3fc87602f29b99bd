"""One self-contained HTML file: tables that sort, plots, the worst errors, and how all of it was made."""

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from matplotlib.figure import Figure
from PIL import Image

from vggbench.data import ImageFile
from vggbench.images.headers import NotAnImage, read_whole
from vggbench.images.pixels import decode_listening
from vggbench.render.plots.figure import as_svg
from vggbench.render.tables.table import Column, Table, shown_columns, shown_notes
from vggbench.store.per_image import PerImage

_FOLDER = files("vggbench.render.report")
_SIDE = 160
"""Pixels of a thumbnail's longer side."""
WORST = 24
"""Images shown of each net at most."""


@dataclass(frozen=True)
class Said:
    """A class and its probability in percent."""

    name: str
    percent: float


@dataclass(frozen=True)
class Mistake:
    """An image that a net got wrong, and what it said."""

    image: str
    truth: str
    rank: int
    loss: float
    said: tuple[Said, ...]
    thumbnail: str | None
    """A data URI; None where the image can no longer be read."""


@dataclass(frozen=True)
class Gallery:
    """The worst mistakes of one net."""

    title: str
    mistakes: tuple[Mistake, ...]
    wrong: int
    images: int


@dataclass(frozen=True)
class Plot:
    """A picture and its text for those who do not see it."""

    name: str
    address: str
    dark: str
    """The address of the same picture for a dark page."""


def render(
    title: str, *, warning: str | None, tables: Sequence[Table], plots: dict[str, Figure], galleries: Sequence[Gallery]
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
        plots=[Plot(name, *(_drawn(figure, dark=dark) for dark in (False, True))) for name, figure in plots.items()],
        galleries=galleries,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        number=number,
    )


def number(column: Column, text: str) -> str | None:
    """What a cell is sorted by, where it is a number or begins with one."""
    first = text.replace(",", "").replace("*", "").split(" ")[0].removesuffix("%")
    try:
        return repr(float(first))
    except ValueError:
        return None


def gallery(title: str, found: PerImage, names: Sequence[str], images: Sequence[ImageFile]) -> Gallery:
    """The wrong images of highest loss, the worst first."""
    wrong = [place for place in range(len(found.images)) if found.ranks[place] > 0]
    worst = sorted(wrong, key=lambda place: (-found.losses[place], place))[:WORST]
    by_id = {image.id: image for image in images}
    mistakes = tuple(
        Mistake(
            image=found.images[place],
            truth=names[found.labels[place]],
            rank=int(found.ranks[place]) + 1,
            loss=float(found.losses[place]),
            said=tuple(
                Said(names[c], 100 * float(p))
                for c, p in zip(found.classes[place], found.probabilities[place], strict=True)
            ),
            thumbnail=_thumbnail(by_id[found.images[place]]),
        )
        for place in worst
    )
    return Gallery(title, mistakes, len(wrong), len(found.images))


def _thumbnail(image: ImageFile) -> str | None:
    try:
        pixels, _ = decode_listening(read_whole(image))
    except NotAnImage:
        return None  # the page says so in its place
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    picture.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return _data_uri("image/jpeg", file.getvalue())


def _drawn(figure: Figure, *, dark: bool) -> str:
    return _data_uri("image/svg+xml", as_svg(figure, dark=dark))


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _hash(text: str) -> str:
    """For the page's Content-Security-Policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"

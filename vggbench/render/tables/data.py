"""The tables of `data`: what a data set is, and how many images each class has."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from vggbench.data.imagenet import VAL_IMAGES, class_names
from vggbench.errors import counted, printable
from vggbench.images.inspection import Inspection
from vggbench.render.tables.table import Column, Table

_EDGES = (0, 64, 128, 224, 256, 320, 384, 448, 512, 768, 1024, 2048)
"""Of the bins of the shorter side, in pixels: Q, and what lies around it."""
_MODE_NAMES = {"L": "grey", "P": "palette", "I;16": "grey of 16 bits"}
"""Of Pillow's modes, those that do not say what they are."""
_BAR = 30
"""Characters of the longest bar."""


@dataclass(frozen=True)
class Fact:
    """One line: what it is about, its text, and the same as a plain value."""

    name: str
    text: str
    value: Any


def data_table(found: Inspection) -> Table:
    """What was recognised, what it holds, and what is wrong with it."""
    data = found.data
    columns = [Column("", lambda fact: fact.name), Column(data.name, lambda fact: fact.text, folds=True)]
    markdown = [Column("Fact", lambda fact: fact.name), Column(data.name, lambda fact: fact.text)]
    return Table(
        title=f"{data.name} | {data.layout} | {counted(len(data), 'image')}",
        rows=list(_facts(found)),
        terminal=columns,
        markdown=markdown,
        record=lambda fact: {"fact": fact.name, "value": fact.value},
        notes=_notes(found),
    )


def classes_table(found: Inspection) -> Table:
    """Images of each class."""
    names = class_names()
    columns = [
        Column("Class", lambda row: row[0]),
        Column("Name", lambda row: names.get(row[0], ""), optional=True, folds=True),
        Column("Images", lambda row: f"{row[1]:,}", right=True),
    ]
    return Table(
        title=f"{found.data.name} | {found.data.layout} | {counted(len(found.per_class), 'class')}",
        rows=list(found.per_class.items()),
        terminal=columns,
        markdown=columns,
        record=lambda row: {"class": row[0], "name": names.get(row[0]), "images": row[1]},
        notes=[],
    )


def _facts(found: Inspection) -> Iterator[Fact]:
    data, counts = found.data, {name: count for name, count in found.per_class.items() if count}
    yield Fact("Layout", data.layout, data.layout)
    yield Fact("Labels from", data.labelled_by, data.labelled_by)
    yield Fact("Images", _images(found), len(data))
    ilsvrc = " of ILSVRC's 1,000" if data.has_ilsvrc_classes else ""
    empty = f", and {len(data.empty_classes):,} without an image" if data.empty_classes else ""
    yield Fact("Classes", f"{len(counts):,}{ilsvrc}{empty}", len(counts))
    fewest, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    spread = f"{counts[fewest]:,} each"
    if counts[fewest] != counts[most]:
        middle = median(counts.values())
        spread = f"{counts[fewest]:,} ({fewest}) to {counts[most]:,} ({most}), median {middle:g}"
    yield Fact("Per class", spread, [counts[fewest], counts[most]])
    yield Fact("Fingerprint", data.fingerprint[:16], data.fingerprint)
    yield from _pixels(found)
    if found.verified:
        whole, wrong = len(found.looked), len(found.problems)
        yield Fact("Verified", f"{found.decoded:,} of {whole:,} decoded, {wrong:,} wrong", found.decoded)
    for image, problem in found.problems:
        yield Fact("Wrong", printable(f"{image} {problem}"), f"{image} {problem}")


def _images(found: Inspection) -> str:
    data = found.data
    if data.is_full_ilsvrc_val:
        return f"{len(data):,}, all of ILSVRC-2012 val"
    if data.total == VAL_IMAGES:
        return f"{len(data):,} of {data.total:,}, a subset of ILSVRC-2012 val"
    return f"{len(data):,}"


def _pixels(found: Inspection) -> Iterator[Fact]:
    if not found.headers:
        return
    modes = Counter(header.mode for header in found.headers)
    formats = Counter(header.format for header in found.headers)
    yield Fact("Modes", _counted(modes), dict(modes))
    yield Fact("Formats", _counted(formats), dict(formats))
    turned = sum(header.oriented for header in found.headers)
    if turned:
        yield Fact("EXIF turned", f"{turned:,}; ignored, as every ImageNet pipeline does", turned)
    sizes = Counter((header.width, header.height) for header in found.headers)
    commonest = ", ".join(f"{width}x{height} {count:,}" for (width, height), count in sizes.most_common(3))
    yield Fact("Sizes", f"{len(sizes):,} different; {commonest}", {f"{w}x{h}": n for (w, h), n in sizes.items()})
    sides = found.shorter_sides
    middle = float(np.median(sides))
    yield Fact("Shorter side", f"{sides.min()} to {sides.max()} px, median {middle:g}", middle)
    yield from _histogram(found)


def _histogram(found: Inspection) -> Iterator[Fact]:
    """How the shorter sides are distributed, as bars."""
    counts, _ = np.histogram(found.shorter_sides, bins=[*_EDGES, np.inf])
    filled = np.flatnonzero(counts)
    for place in range(filled[0], filled[-1] + 1):
        low, count = _EDGES[place], int(counts[place])
        end = f"-{_EDGES[place + 1] - 1}" if place + 1 < len(_EDGES) else " and more"
        bar = "█" * round(_BAR * count / counts.max()) or ("▏" if count else "")
        yield Fact(f"  {low}{end} px", f"{bar} {count:,}".strip(), count)


def _notes(found: Inspection) -> list[str]:
    notes = [f"Note: {note}." for note in found.data.notes]
    if not found.verified:
        seen = f"the headers of {len(found.looked):,} of the images were read"
        notes.append(f"Modes and sizes: {seen}; --verify decodes every one.")
    if found.unknown_wnids:
        notes.append(f"No classes of ILSVRC-2012: {', '.join(found.unknown_wnids[:5])}.")
    return notes


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{_MODE_NAMES.get(name, name)} {count:,}" for name, count in counts.most_common())

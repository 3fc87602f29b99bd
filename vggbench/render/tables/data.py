"""The tables of `data`: what a data set is, and how many images each class has."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vggbench.data.archive import Archive
from vggbench.data.imagenet import VAL_IMAGES, class_names
from vggbench.errors import counted, printable
from vggbench.render.tables.table import Column, Table
from vggbench.results.census import Census, Pixels

_MODE_NAMES = {"L": "grey", "P": "palette", "I;16": "grey of 16 bits"}
"""Words for Pillow's modes that do not say what they are."""
_BAR = 30
"""Characters of the longest bar."""


@dataclass(frozen=True)
class Fact:
    """One line: what it is about, its text, and the same as a plain value."""

    name: str
    text: str
    value: Any


def data_table(found: Census) -> Table:
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


def classes_table(found: Census) -> Table:
    """Images of each class."""
    names = class_names()
    columns = [
        Column("Class", lambda row: row[0]),
        Column("Name", lambda row: names.get(row[0], ""), optional=True, folds=True),
        Column("Images", lambda row: f"{row[1]:,}", right=True),
    ]
    return Table(
        title=f"{found.data.name} | {found.data.layout} | {counted(len(found.images), 'class')}",
        rows=list(found.images.items()),
        terminal=columns,
        markdown=columns,
        record=lambda row: {"class": row[0], "name": names.get(row[0]), "images": row[1]},
        notes=_notes_of_digest(found),
    )


def _facts(found: Census) -> Iterator[Fact]:
    data, own = found.data, found.per_class
    yield Fact("Layout", data.layout, data.layout)
    yield Fact("Labels from", data.labelled_by, data.labelled_by)
    yield Fact("Images", _images(found), len(data))
    ilsvrc = " of ILSVRC's 1,000" if data.has_ilsvrc_classes else ""
    empty = f", and {len(data.empty_classes):,} without an image" if data.empty_classes else ""
    yield Fact("Classes", f"{own.classes:,}{ilsvrc}{empty}", own.classes)
    (fewest, rarest), (most, commonest) = own.fewest, own.most
    spread = f"{fewest:,} each"
    if fewest != most:
        spread = f"{fewest:,} ({rarest}) to {most:,} ({commonest}), median {own.median:g}"
    yield Fact("Per class", spread, [fewest, most])
    yield Fact("Fingerprint", data.fingerprint[:16], data.fingerprint)
    if found.is_read:
        yield Fact("Digest", found.digest or "none, since not every file could be read", found.digest)
    if found.archive:
        yield Fact("Archive", _archive(found.archive), "original" if found.archive.is_original else "not original")
    if found.pixels:
        yield from _pixels(found.pixels)
    if found.verified:
        wrong = len(found.problems)
        yield Fact("Verified", f"{found.decoded:,} of {found.looked:,} decoded, {wrong:,} wrong", found.decoded)
    for problem in found.problems:
        yield Fact("Wrong", printable(problem), problem)


def _images(found: Census) -> str:
    data = found.data
    if data.is_full_ilsvrc_val:
        return f"{len(data):,}, all of ILSVRC-2012 val"
    if data.total == VAL_IMAGES:
        return f"{len(data):,} of {data.total:,}, a subset of ILSVRC-2012 val"
    return f"{len(data):,}"


def _archive(own: Archive) -> str:
    """Whether it is the published one, and by what."""
    published = own.published
    if own.is_original:
        return f"the original {published.name}, by its {own.length:,} bytes and its MD5, {own.md5}"
    if own.length != published.length:
        return f"not the original {published.name}: {own.length:,} bytes, and that has {published.length:,}"
    return f"not the original {published.name}: its MD5 is {own.md5}, and that has {published.md5}"


def _pixels(own: Pixels) -> Iterator[Fact]:
    yield Fact("Modes", _counted(own.modes), dict(own.modes))
    yield Fact("Formats", _counted(own.formats), dict(own.formats))
    if own.turned:
        yield Fact("EXIF turned", f"{own.turned:,}; ignored, as every ImageNet pipeline does", own.turned)
    commonest = ", ".join(f"{width}x{height} {count:,}" for (width, height), count in own.sizes.most_common(3))
    sizes = {f"{width}x{height}": count for (width, height), count in own.sizes.items()}
    yield Fact("Sizes", f"{len(sizes):,} different; {commonest}", sizes)
    least, most, middle = own.shorter_sides
    yield Fact("Shorter side", f"{least} to {most} px, median {middle:g}", middle)
    yield from _histogram(own)


def _histogram(own: Pixels) -> Iterator[Fact]:
    """How the shorter sides are distributed, as bars."""
    highest = max(count for _, _, count in own.bins)
    for first, last, count in own.bins:
        end = " and more" if last is None else f"-{last}"
        bar = "█" * round(_BAR * count / highest) or ("▏" if count else "")
        yield Fact(f"  {first}{end} px", f"{bar} {count:,}".strip(), count)


def _notes(found: Census) -> list[str]:
    notes = [f"Note: {note}." for note in found.data.notes]
    if not found.verified:
        seen = f"the headers of {found.looked:,} of the images were read"
        notes.append(f"Modes and sizes: {seen}; --verify decodes every one.")
    notes.extend(_notes_of_digest(found))
    if found.unknown_wnids:
        notes.append(f"No classes of ILSVRC-2012: {', '.join(found.unknown_wnids[:5])}.")
    return notes


def _notes_of_digest(found: Census) -> list[str]:
    """What the digest says, which stands in no table of classes, and what the published archive's is from."""
    notes = []
    if found.digest:
        notes.append(
            f"Digest {found.digest[:16]}: SHA-256 of a line for each image, in order of id: id, length, and SHA-256 of "
            "its file. It is the same in every layout. A different one "
            "means different files, such as images encoded again, which cost accuracy."
        )
    if found.archive:
        notes.append(f"Archive: the MD5 of the original is that of {found.archive.published.source}.")
    return notes


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{_MODE_NAMES.get(name, name)} {count:,}" for name, count in counts.most_common())

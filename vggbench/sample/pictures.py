"""The built-in sample: drawn pictures of twelve classes, for trying everything without ImageNet, and of six more."""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from vggbench.cache import cache_folder
from vggbench.errors import DataError, UsageError
from vggbench.files import Refusal, written_whole
from vggbench.progress import told
from vggbench.sample.drawing import KINDS, Kind, draw
from vggbench.sample.unseen import UNSEEN

if TYPE_CHECKING:
    from PIL import Image

NETS = Path(__file__).parent / "nets"
"""The six small nets, a file each."""
SAMPLE = "sample"
"""The built-in pictures that evaluations see; `sample-heldout` and so on are its other splits."""
VERSION = 1
"""Raised whenever the pictures change, so that old ones are not taken for new ones."""

SPLITS = {"train": 200, "dev": 20, "val": 40, "heldout": 200, "unseen": 80, "quick": 10}
"""Pictures of each class: `dev` steers training, `val` is what evaluations see and no training step may.

`unseen` is of six other classes, which its nets do not know. `quick` is the first of `val`, for those who do not want
to wait for all to be drawn.
"""

_NAMES = [f"{SAMPLE}-{split}" for split in SPLITS]
_SEEDS = {"train": 1, "dev": 2, "val": 3, "heldout": 4, "unseen": 5, "quick": 3}


def sample_split(name: str) -> str | None:
    """The split that `sample` or `sample-SPLIT` names; None for any other name. Raises UsageError."""
    if name == SAMPLE:
        return "val"
    sample, dash, split = name.partition("-")
    if sample != SAMPLE or not dash:
        return None
    if split not in SPLITS:
        raise UsageError(f"The sample has no split {split!r}: expected {SAMPLE} or {', '.join(_NAMES)}.")
    return split


def sample_folder(split: str = "val") -> Path:
    """The folder of one split, one folder per class; drawn on first use. Raises DataError."""
    folder = cache_folder() / f"sample-{VERSION}" / split
    if not folder.exists():
        _draw_split(split, folder)
    return folder


def kinds_of(split: str) -> tuple[Kind, ...]:
    """The classes of a split."""
    return UNSEEN if split == "unseen" else KINDS


def encoded(split: str, kind: int, number: int) -> bytes:
    """One picture of the sample as the bytes of a JPEG file."""
    picture, quality = draw(kinds_of(split)[kind], (VERSION, _SEEDS[split], kind, number))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def side_by_side(pictures: Sequence[tuple[str, int]], height: int = 375) -> "Image.Image":
    """Pictures of `sample`, each by its class and number, beside each other at one height."""
    from PIL import Image

    places = {kind.name: place for place, kind in enumerate(KINDS)}
    found = [Image.open(io.BytesIO(encoded("val", places[name], number))) for name, number in pictures]
    scaled = [picture.resize((picture.width * height // picture.height, height)) for picture in found]
    whole = Image.new("RGB", (sum(picture.width for picture in scaled), height))
    left = 0
    for picture in scaled:
        whole.paste(picture, (left, 0))
        left += picture.width
    return whole


def contact_sheet(path: Path) -> None:
    """Write one picture with two of each class, by name."""
    from PIL import Image, ImageDraw, ImageFont

    columns, cell, line = 6, 168, 22
    rows = -(-len(KINDS) // columns)
    sheet = Image.new("RGB", (columns * cell, rows * (2 * cell + line)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for index, kind in enumerate(KINDS):
        left, top = index % columns * cell, index // columns * (2 * cell + line)
        for number in range(2):
            picture = Image.open(io.BytesIO(encoded("val", index, number)))
            picture.thumbnail((cell - 6, cell - 6), Image.Resampling.LANCZOS)
            middle = (left + (cell - picture.width) // 2, top + number * cell + (cell - picture.height) // 2)
            sheet.paste(picture, middle)
        pen.text((left + cell // 2, top + 2 * cell + line // 2 - 2), kind.name, fill="black", font=font, anchor="mm")
    with written_whole(path) as partial:
        sheet.save(partial, "JPEG", quality=90)


def _draw_split(split: str, folder: Path) -> None:
    expected = "a folder that this user may write. Name another in $VGGBENCH_CACHE."
    refusal = Refusal(DataError, expected, f"The sample's pictures cannot be drawn into {folder}")
    with written_whole(folder, refusal, is_folder=True) as partial:
        for kind in kinds_of(split):
            (partial / kind.name).mkdir()
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow and NumPy let go of the interpreter's lock
            drawn = enumerate(pool.map(_draw_one, _places(split)), start=1)
            total = SPLITS[split] * len(kinds_of(split))
            what = f"Drawing the sample's {total} {split} pictures"
            for _, (place, jpeg) in told(drawn, what, total, done=lambda item: item[0]):
                (partial / place).write_bytes(jpeg)


def _places(split: str) -> list[tuple[str, int, int]]:
    return [(split, kind, number) for number in range(SPLITS[split]) for kind in range(len(kinds_of(split)))]


def _draw_one(place: tuple[str, int, int]) -> tuple[str, bytes]:
    split, kind, number = place
    kinds = kinds_of(split)
    name = f"sample_{split}_{number * len(kinds) + kind + 1:05d}.JPEG"
    return f"{kinds[kind].name}/{name}", encoded(split, kind, number)

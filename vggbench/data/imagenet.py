"""The 1,000 classes of ILSVRC-2012, in the order that every released network uses: sorted by wnid."""

import csv
from functools import lru_cache
from importlib.resources import files

VAL_IMAGES = 50_000
VAL_PER_CLASS = 50
VAL_PREFIX = "ILSVRC2012_val_"


@lru_cache(maxsize=1)
def wnids() -> tuple[str, ...]:
    """The WordNet ids, n01440764 to n15075141."""
    return tuple(row["wnid"] for row in _rows())


@lru_cache(maxsize=1)
def class_names() -> dict[str, str]:
    """The name of each wnid, in words."""
    return {row["wnid"]: row["name"] for row in _rows()}


def _rows() -> list[dict[str, str]]:
    with files("vggbench.data").joinpath("imagenet_synsets.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))

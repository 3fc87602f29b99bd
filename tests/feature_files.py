"""Files of features whose classes lie around points of their own, and trees as PASCAL VOC has them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vggbench.store.features import write_features

ABOUT: dict[str, Any] = {
    "models": ["D@sample"], "weights": ["1f2e3d4c" * 8], "layer": "fc7", "after_relu": True, "pool": "average",
    "views": "dense", "scales": [256, 384], "over_scales": "average", "l2": True, "input": {}, "classes": None,
    "data": "ab" * 32, "signatures": ["0a1b2c3d"], "vggbench": "0.1.0",
}  # fmt: skip


def drawn(labels: NDArray[np.integer], numbers: int, noise: float, seed: int) -> NDArray[np.float32]:
    """(N, D) of length 1, around a point a class, which is the same for all seeds."""
    points = np.random.default_rng(7).normal(size=(int(labels.max()) + 1, numbers))
    rows = points[labels] + noise * np.random.default_rng(seed).normal(size=(len(labels), numbers))
    found: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def write_file(
    path: Path,
    classes: Sequence[str] = ("ant", "bee", "cat"),
    each: int = 45,
    *,
    numbers: int = 12,
    noise: float = 2.0,
    seed: int = 0,
    order: Sequence[int] | None = None,
    prefix: str = "",
    half: bool = False,
    about: dict[str, Any] | None = None,
) -> Path:
    """A file of `each` images of every class; `order` permutes its rows."""
    labels = np.repeat(np.arange(len(classes)), each)
    ids = [f"{prefix}{classes[label]}/{number:04}" for number, label in enumerate(labels.tolist())]
    rows = drawn(labels, numbers, noise, seed)
    places = list(range(len(ids))) if order is None else list(order)
    write_features(
        path, [ids[at] for at in places], labels[places], [rows[places]],
        ABOUT | {"classes": list(classes)} | (about or {}), half=half,
    )  # fmt: skip
    return path


def write_voc(
    top: Path, *, parts: Mapping[str, int], classes: Sequence[str], seed: int = 0, images: bool = True
) -> Path:
    """VOCdevkit/VOC2007 with images of every part, some of them difficult, and no annotations at all."""
    rng = np.random.default_rng(seed)
    sets = top / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (top / "JPEGImages").mkdir()
    named: dict[str, list[str]] = {}
    labels: dict[str, NDArray[np.int8]] = {}
    start = 1
    for part, count in parts.items():
        named[part] = [f"{number:06}" for number in range(start, start + count)]
        labels[part] = rng.choice(np.array([1, -1, -1, 0], np.int8), (count, len(classes)))
        start += count
    if "train" in parts and "val" in parts:
        named["trainval"] = named["train"] + named["val"]
        labels["trainval"] = np.concatenate([labels["train"], labels["val"]])
    for part, names in named.items():
        (sets / f"{part}.txt").write_text("".join(f"{name}\n" for name in names))
        for column, own in enumerate(classes):
            lines = [f"{name} {label:2d}\n" for name, label in zip(names, labels[part][:, column], strict=True)]
            (sets / f"{own}_{part}.txt").write_text("".join(lines))
        for name in names if images else ():
            Image.new("RGB", (20, 16), tuple(rng.integers(0, 256, 3).tolist())).save(top / "JPEGImages" / f"{name}.jpg")
    return top

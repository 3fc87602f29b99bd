"""What is said of each image, against a loop that sorts all classes of one image."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vggbench.errors import NumericsError, VggbenchError
from vggbench.store.per_image import per_image, write_per_image
from vggbench.store.posteriors import Source, fuse


@dataclass(frozen=True)
class InMemory:
    """Posteriors as if they were stored, read a few at a time."""

    values: NDArray[np.float32]
    title: str = "in memory"

    @property
    def folder(self) -> Path:
        return Path(str(id(self)))

    @property
    def images(self) -> tuple[str, ...]:
        return tuple(f"image {i}" for i in range(len(self.values)))

    @property
    def sources(self) -> tuple[Source, ...]:
        return (self,)

    def mean(self, read: Mapping[Path, NDArray[np.floating]]) -> NDArray[np.floating]:
        return read[self.folder]

    def batches(self) -> Iterator[NDArray[np.floating]]:
        for start in range(0, len(self.values), 3):
            yield self.values[start : start + 3]


@given(st.integers(0, 2**32 - 1), st.integers(1, 10), st.integers(2, 9), st.integers(1, 4))
def test_each_image_is_as_a_loop_finds_it(seed: int, images: int, classes: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.integers(0, levels + 1, (images, classes)) / levels).astype(np.float32)  # full of ties and zeros
    labels = rng.integers(0, classes, images)
    found = per_image(InMemory(values), labels)
    for i, row in enumerate(values):
        order = [c for _, c in sorted((-float(row[c]), c) for c in range(classes))]
        assert found.classes[i].tolist() == order[:5]
        assert found.probabilities[i].tolist() == [row[c] for c in order[:5]]
        assert found.ranks[i] == order.index(labels[i])
        p = float(row[labels[i]])
        assert found.losses[i] == (-math.log(p) if p else math.inf)


def test_of_a_fusion() -> None:
    one, other = (np.eye(6, dtype=np.float32)[[k, k]] for k in (1, 4))
    found = per_image(fuse(InMemory(one), InMemory(other)), np.array([4, 0]))
    assert found.classes[0].tolist() == [1, 4, 0, 2, 3]
    assert found.probabilities[0].tolist() == [0.5, 0.5, 0, 0, 0]
    assert found.ranks.tolist() == [1, 2]


def test_a_nan_is_an_error() -> None:
    with pytest.raises(NumericsError):
        per_image(InMemory(np.full((1, 6), np.nan, np.float32)), np.array([0]))


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_the_file_answers_the_question_of_the_readme(ending: str, tmp_path: Path) -> None:
    """Which images does D get right that A gets wrong?"""
    names, labels = [f"n{i}" for i in range(6)], np.array([0, 1, 2, 3])
    d, a = np.eye(6, dtype=np.float32)[[0, 1, 2, 5]], np.eye(6, dtype=np.float32)[[0, 4, 5, 5]]
    for net, values in (("d", d), ("a", a)):
        write_per_image(per_image(InMemory(values), labels), names, tmp_path / f"{net}.{ending}")
    question = "select image from '{0}/d.{1}' d join '{0}/a.{1}' a using (image) where d.rank = 1 and a.rank > 1"
    assert duckdb.sql(question.format(tmp_path, ending)).fetchall() == [("image 1",), ("image 2",)]
    frame = pd.read_parquet(tmp_path / "d.parquet") if ending == "parquet" else pd.read_csv(tmp_path / "d.csv")
    assert list(frame.columns) == ["image", "label", *(f"top{i}" for i in range(1, 6)), *(f"p{i}" for i in range(1, 6)),
                                   "rank", "loss"]  # fmt: skip
    assert frame["label"].tolist() == ["n0", "n1", "n2", "n3"]
    assert frame["top1"].tolist() == ["n0", "n1", "n2", "n5"]
    assert frame["loss"].tolist() == [0, 0, 0, math.inf]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    found = per_image(InMemory(np.eye(6, dtype=np.float32)), np.arange(6))
    (tmp_path / "file").touch()
    with pytest.raises(VggbenchError, match="expected a place"):
        write_per_image(found, [str(i) for i in range(6)], tmp_path / "file" / "x.csv")

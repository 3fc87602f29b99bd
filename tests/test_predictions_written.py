"""Posteriors that are written for other tools are read back to the bit."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vggbench.errors import UsageError, VggbenchError
from vggbench.store.predictions import ENDINGS, read_predictions, write_predictions

RESERVED = ("image", "label", "filename")
IDS, ABC = ["a", "b", "c"], ("ant", "bee", "cat", "dog", "elk", "fox")
P = np.full((3, 6), 1 / 6, np.float32)
FLOATS = st.floats(0, 1, width=32)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(FLOATS, min_size=3, max_size=3), min_size=1, max_size=9), st.sampled_from(ENDINGS), st.data())
def test_what_is_written_is_read_to_the_bit(rows: list[list[float]], ending: str, data: st.DataObject) -> None:
    posteriors = np.array([[a * b, (1 - a) * b, 1 - b] for a, b, _ in rows]).astype(np.float32)
    posteriors[0] = [1e-45, 1.1754942e-38, 1]
    text = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=5)
    images = data.draw(st.lists(text, min_size=len(rows), max_size=len(rows), unique=True))
    names = sorted({'a,"b"', "ünïcode; d'", data.draw(text.filter(lambda name: name.lower() not in RESERVED))})
    posteriors = posteriors[:, : len(names)] if len(names) == 3 else posteriors @ np.eye(3, dtype=np.float32)
    with TemporaryDirectory() as folder:
        path = Path(folder, f"x{ending}")
        batches = (posteriors[start : start + 2] for start in range(0, len(rows), 2))
        write_predictions(images, np.zeros(len(rows), np.int32), names, batches, path)
        found = read_predictions([path], images, names)
    assert found.class_names == tuple(names)
    assert found.posteriors is not None
    assert found.posteriors.tobytes() == posteriors.tobytes()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_is_there_whole_or_not_at_all(ending: str, tmp_path: Path) -> None:
    def batches() -> Iterator[NDArray[np.float32]]:
        yield P[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_predictions(IDS, np.zeros(3, int), ABC, batches(), tmp_path / f"x{ending}")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in .parquet, .csv, .jsonl, .npz"):
        write_predictions(IDS, np.zeros(3, int), ABC, [P], tmp_path / "x.xlsx")
    with pytest.raises(UsageError, match="Label is a class's name and a column's"):
        write_predictions(IDS, np.zeros(3, int), (*ABC[:5], "Label"), [P], tmp_path / "x.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(VggbenchError, match="cannot be written"):
        write_predictions(IDS, np.zeros(3, int), ABC, [P], tmp_path / "folder.csv")

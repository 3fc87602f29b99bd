"""Ground truths: ReaL's scores equal a ten-line reference, and what does not count leaves the denominator."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import forms
import numpy as np
import pytest
from numpy.typing import NDArray

from vggbench import INPUTS, Model, error_rates
from vggbench.data import DataSet, ImageFile
from vggbench.data.imagenet import VAL_IMAGES, val_id, val_labels, wnids
from vggbench.data.real import read_blacklist, read_real
from vggbench.errors import DataError, UsageError
from vggbench.results.judging import ORIGINAL, GroundTruth, ground_truths
from vggbench.store.posteriors import Source

REAL = Path(__file__).parents[2] / "shared" / "facts" / "real.json"


class _Made:
    """Constructed posteriors of the validation images: `Posteriors`."""

    def __init__(self, values: NDArray[np.float32], ids: tuple[str, ...]) -> None:
        self.values, self.images, self.title = values, ids, "made"
        self.folder = Path(f"{id(self)}")
        self.sources: tuple[Source, ...] = (self,)

    def mean(self, read: Mapping[Path, NDArray[np.floating]]) -> NDArray[np.floating]:
        return read[self.folder]

    def batches(self) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(self.values), 1000):
            yield self.values[start : start + 1000]


def _model(names: tuple[str, ...] = wnids()) -> Model:
    return Model.wrap("made", lambda x: x, INPUTS["caffe"], names, identity="made")


def _val(count: int) -> DataSet:
    labels = val_labels()
    images = [ImageFile(val_id(i + 1), Path("x"), 1, wnids()[labels[i]]) for i in range(count)]
    return DataSet("ilsvrc12-val", tuple(images), VAL_IMAGES, of_classes=wnids())


def _file(path: Path, **lists: list[int]) -> Path:
    """A real.json with lists for some images, `i1=[...]`, and [0] for all others."""
    content = [[0] for _ in range(VAL_IMAGES)]
    for name, found in lists.items():
        content[int(name[1:]) - 1] = found
    path.write_text(json.dumps(content))
    return path


@pytest.mark.thorough
@pytest.mark.skipif(not REAL.exists(), reason="needs shared/facts/real.json")
@pytest.mark.parametrize("reverse", [False, True])
def test_real_as_published_equals_a_reference(reverse: bool) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((VAL_IMAGES, 1000), dtype=np.float32)
    values[np.arange(VAL_IMAGES), val_labels()] += 0.9 * (rng.random(VAL_IMAGES) < 0.7)
    names = wnids()[::-1] if reverse else wnids()  # a model of another order
    scores = _Made(values[:, ::-1] if reverse else values, tuple(val_id(i + 1) for i in range(VAL_IMAGES)))
    found = error_rates(scores, _val(VAL_IMAGES), _model(names), GroundTruth("real", read_real(REAL)))

    right = {1: 0, 5: 0}
    lists = json.loads(REAL.read_text())
    for row, labels in zip(values, lists, strict=True):
        best = np.argpartition(row, -5)[-5:]
        right[1] += bool(labels) and int(best[row[best].argmax()]) in labels
        right[5] += any(label in labels for label in best.tolist())
    counted = sum(map(bool, lists))
    assert found.top5
    assert (found.top1.images, found.top5.images) == (counted, counted) == (46_837, 46_837)
    assert (found.top1.wrong, found.top5.wrong) == (counted - right[1], counted - right[5])


def test_images_without_a_class_and_of_the_blacklist_do_not_count(tmp_path: Path) -> None:
    values = np.zeros((4, 1000), np.float32)
    values[:, 5] = 1
    scores, data = _Made(values, tuple(val_id(i) for i in (1, 2, 3, 4))), _val(4)
    path = _file(tmp_path / "real.json", i1=[], i2=[3, 5], i3=[7], i4=[5])
    real = read_real(path)
    assert error_rates(scores, data, _model(), GroundTruth("real", real)).top1 == _rate(1, 3)
    without = GroundTruth("real", real, frozenset({val_id(3)}))
    assert error_rates(scores, data, _model(), without).top1 == _rate(0, 2)
    assert error_rates(scores, data, _model(), GroundTruth(left_out=frozenset({val_id(1)}))).top1 == _rate(3, 3)
    with pytest.raises(DataError, match="None of the 4 images has a label by original"):
        error_rates(scores, data, _model(), GroundTruth(left_out=frozenset(scores.images)))
    few = _Made(values[1:2], (val_id(2),))
    assert error_rates(few, data, _model(), GroundTruth("real", real)).top1 == _rate(0, 1)


def _rate(wrong: int, images: int) -> Any:
    from vggbench import ErrorRate

    return ErrorRate(wrong, images)


def test_real_does_not_fit_other_images_or_classes(tmp_path: Path) -> None:
    truth = GroundTruth("real", read_real(_file(tmp_path / "real.json")))
    with pytest.raises(DataError, match="--labels real does not fit the image x: it is of the validation images"):
        truth.ranks(
            [_Made(np.ones((1, 1000), np.float32), ("x",))],
            DataSet("x", (ImageFile("x", Path("x"), 1, wnids()[0]),), 1),
            _model().identity,
        )
    one = DataSet("x", (ImageFile(val_id(1), Path("x"), 1, "cat"),), 1)
    with pytest.raises(DataError, match="--labels real does not fit the classes of made"):
        truth.ranks([_Made(np.ones((1, 2), np.float32), (val_id(1),))], one, _model(("cat", "dog")).identity)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[[1], [2]]", "is a list of 2: expected ReaL's real.json, a list of 50,000"),
        ("{}", "is dict: expected ReaL's"),
        ("[1", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (json.dumps([[1000]] * VAL_IMAGES), "Entry 1 .* has '1000': expected model indices, 0 to 999"),
        (json.dumps([[-1]] * VAL_IMAGES), "Entry 1 .* has '-1'"),
        (json.dumps([["a"]] * VAL_IMAGES), "Entry 1 .* has 'a'"),
        (json.dumps([[True]] * VAL_IMAGES), "Entry 1 .* has 'True'"),
        (json.dumps([3] * VAL_IMAGES), "Entry 1 .* is int: expected a list"),
    ],
)
def test_a_file_that_is_not_real_is_refused(content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text(content)
    with pytest.raises(DataError, match=sentence):
        read_real(tmp_path / "real.json")


def test_files_too_large_missing_or_binary_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "big.json").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(DataError, match="has 1,073,741,824 bytes: expected at most"):
        read_real(tmp_path / "big.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_real(tmp_path / "nowhere.json")
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not text"):
        read_blacklist(tmp_path / "x")


@pytest.mark.parametrize("word", ["0", "50001", "x", "-4", "9" * 5000])
def test_a_blacklist_holds_numbers_of_validation_images(word: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("36\n50000\n")
    assert read_blacklist(tmp_path / "list.txt") == {val_id(36), val_id(50_000)}
    (tmp_path / "list.txt").write_text(f"36\n{word}\n")
    with pytest.raises(DataError, match="expected numbers of validation images, 1 to 50,000"):
        read_blacklist(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(DataError, match="names no image"):
        read_blacklist(tmp_path / "list.txt")


def test_what_labels_takes(tmp_path: Path) -> None:
    path = _file(tmp_path / "real.json")
    assert ground_truths(()) == (ORIGINAL,)
    assert [truth.name for truth in ground_truths(("original", f"real={path}", "original"))] == ["original", "real"]
    for text in ("ReaL", "real", "real=", "original=x", f"other={path}"):
        with pytest.raises(UsageError, match="expected original, or real=FILE"):
            ground_truths((text,))


def test_the_command_line_gives_a_row_for_each_and_computes_once(
    vggbench: Callable[..., Any], pictures: Path, tmp_path: Path
) -> None:
    forms.write_pictures(tmp_path / "val")
    real = _file(tmp_path / "real.json", i1=[], **{f"i{i + 1}": [label] for i, label in enumerate(forms.LABELS) if i})
    (tmp_path / "black.txt").write_text("3\n4\n")
    common = ("eval", "A@random", "--width", 1 / 64, "--center", "--scales", "224", "--data", tmp_path,
              "--ground-truth", "none")  # fmt: skip
    first = vggbench(*common, "--format", "json")
    (row,) = json.loads(first.out)
    assert (row["labels"], row["images"], row["images_total"], row["complete"]) == ("original", 120, 50_000, False)
    both = vggbench(*common, "--labels", "original", f"real={real}", "--format", "json")
    assert "Nothing" not in both.err
    assert "Read and decoded" not in both.err, "answered from the store"
    rows = json.loads(both.out)
    assert [(row["labels"], row["images"]) for row in rows] == [("original", 120), ("real", 119)]
    assert abs(rows[0]["top1_error"] * 120 - rows[1]["top1_error"] * 119) <= 100
    shown = vggbench(*common, "--labels", f"real={real}", "--blacklist", tmp_path / "black.txt", "--format", "table")
    assert "real: any class that ReaL lists is right; 117 of 120 images count." in " ".join(shown.out.split())
    assert "2 images of the blacklist do not count" in shown.out
    assert "120 of 50,000 images, a subset" in shown.out
    refused = vggbench("eval", "D@random", "--data", pictures, "--labels", f"real={real}")
    assert refused.code == 1
    assert "--labels real is of the validation images of ILSVRC-2012 and pictures0 has" in refused.err

"""Parquet and WebDataset shards: complete series, labels that are numbers in range, each image once."""

import io
import itertools
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import forms
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vggbench.data import open_data, open_training_data, parquet
from vggbench.data.imagenet import class_names, val_id, wnids
from vggbench.data.numbers import _same
from vggbench.data.shards import split_of
from vggbench.errors import DataError

FIRST = f"{val_id(1)}_n01751748.JPEG"
SECOND = f"{val_id(2)}.JPEG"
JSON = json.dumps({"filename": SECOND}).encode()


def _parquet(path: Path, *rows: tuple[Any, Any, Any], names: list[str] | None = None, **changes: Any) -> Path:
    """Rows of (file name, bytes, label), as `datasets` writes them."""
    image = pa.StructArray.from_arrays(
        [pa.array([row[1] for row in rows], pa.binary()), pa.array([row[0] for row in rows], pa.string())],
        names=["bytes", "path"],
    )
    columns = {"image": image, "label": pa.array([row[2] for row in rows]), **changes}
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": {"names": names}}}})} if names else None
    table = pa.table({name: column for name, column in columns.items() if column is not None}, metadata=metadata)
    path.parent.mkdir(exist_ok=True, parents=True)
    pq.write_table(table, path, row_group_size=2)
    return path


def _webdataset(path: Path, *members: tuple[str, bytes]) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_ilsvrcs_labels_are_places_and_others_have_names(tmp_path: Path) -> None:
    data = open_data(_parquet(tmp_path / "x.parquet", (FIRST, b"1", 65), (SECOND, b"22", 970)))
    assert [(image.id, image.class_name, image.length, image.read()) for image in data.images] == [
        (val_id(1), "n01751748", 1, b"1"),
        (val_id(2), "n09193705", 2, b"22"),
    ]
    own = _parquet(tmp_path / "y.parquet", ("a.png", b"1", 1), ("b.png", b"2", 0), names=["cat", "dog"])
    assert [image.class_name for image in open_data(own).images] == ["dog", "cat"]
    numbers = _parquet(tmp_path / "z.parquet", ("a.png", b"1", 10), ("b.png", b"2", 9))
    assert open_data(numbers).class_names == ("9", "10")


def test_an_images_bytes_are_those_of_its_row(tmp_path: Path) -> None:
    rows = [(f"{i:03d}.png", bytes([i]) * i, i % 3) for i in range(1, 20)]
    data = open_data(_parquet(tmp_path / "x.parquet", *rows))
    assert [image.read() for image in reversed(data.images)] == [row[1] for row in reversed(rows)]
    assert str(data.images[2]) == f"003 in {tmp_path / 'x.parquet'}"


@pytest.mark.parametrize(
    ("rows", "changes", "sentence"),
    [
        ([(FIRST, b"1", 66)], {}, r"is n01753488 by its place and n01751748 by its own name"),
        ([(SECOND, b"1", 971)], {}, r"is n09229709 by its place and n09193705 by the labels"),
        ([(SECOND, b"1", 1000)], {}, r"has the label 1000: expected 0 to 999"),
        ([(SECOND, b"1", -1)], {}, r"has the label -1: .* A test split has no labels"),
        ([("a.png", b"1", "tench")], {}, r"has a label of type string: expected whole numbers"),
        ([("a.png", b"1", 0.5)], {}, r"has a label of type double: expected whole numbers"),
        ([("a.png", b"1", None)], {"label": pa.array([None], pa.int64())}, r"Row 0 of row group 0 in .* has no label"),
        ([("a.png", None, 1)], {}, r"has no bytes: expected an image's bytes and a label"),
        ([("a.png", b"1", 1)], {"label": None}, r"has no label: expected"),
        ([("a.png", b"1", 1)], {"image": pa.array([b"1"])}, r"has the columns image: binary, label: int64: exp"),
        ([(SECOND, b"1", 970), (SECOND, b"2", 970)], {}, r"The same image, ILSVRC2012_val_00000002, occurs twice"),
        ([], {"label": pa.array([], pa.int64())}, r"holds no image \(Parquet shards\)"),
    ],
)  # fmt: skip
def test_parquet_that_does_not_fit_is_refused(
    rows: list[tuple[Any, Any, Any]], changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=sentence):
        open_data(_parquet(tmp_path / "x.parquet", *rows, **changes))


def test_damaged_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _parquet(tmp_path / "x.parquet", *((f"{i}.png", bytes(1000), i) for i in range(8)))
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(DataError, match="not a complete Parquet file"):
        open_data(path)
    path.write_bytes(content)
    monkeypatch.setattr(parquet, "_LARGEST_GROUP", 1000)
    with pytest.raises(DataError, match=r"a row group of [0-9,]+ bytes, and all would"):
        open_data(path)


@pytest.mark.parametrize("ending", ["parquet", "tar"])
@pytest.mark.parametrize(
    ("names", "lost"),
    [
        (("validation-00000-of-00003", "validation-00002-of-00003"), 1),
        (("validation-00000-of-00002",), 1),
        (("imagenet1k-validation-00", "imagenet1k-validation-02"), 1),
        (("validation-1", "validation-3"), 2),
        (("validation-00000-of-00003-a07875a8dd83cc9a", "validation-00002-of-00003-1234567890123456"), 1),
        (("validation-00000-a07875a8dd83cc9a", "validation-00002-b07875a8dd83cc9a"), 1),
        (
            (
                "part-00000-0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f-c000.snappy",
                "part-00002-0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f-c000.snappy",
            ),
            1,
        ),
        (("imagenet-val_00001_of_00003", "imagenet-val_00002_of_00003"), 3),
        (("validation-00001-of-00002", "validation-00005-of-00002"), 2),
    ],
)
def test_a_missing_shard_is_named(names: tuple[str, ...], lost: int, ending: str, tmp_path: Path) -> None:
    for number, name in enumerate(names):
        if ending == "parquet":
            _parquet(tmp_path / f"{name}.parquet", (f"{number}.png", b"1", 0))
        else:
            _webdataset(tmp_path / f"{name}.tar", (f"{number}.jpg", b"1"), (f"{number}.cls", b"0"))
    with pytest.raises(DataError, match=rf"has {len(names)} of the \d files .*\.{ending}: number {lost} is missing"):
        open_data(tmp_path)
    assert len(open_data(tmp_path / f"{names[0]}.{ending}")) == 1, "a file that is named is taken alone"


@pytest.mark.parametrize("ending", ["parquet", "tar"])
def test_each_split_takes_its_own_shards(ending: str, tmp_path: Path) -> None:
    for split, count in (("train", 3), ("validation", 2), ("test", 1)):
        for shard in range(count):
            number = f"{split}{shard}"
            if ending == "parquet":
                _parquet(tmp_path / f"{split}-0000{shard}-of-0000{count}.parquet", (f"{number}.png", b"1", 0))
            else:
                name = tmp_path / f"imagenet1k-{split}-0{shard}.tar"
                _webdataset(name, (f"{number}.jpg", b"1"), (f"{number}.cls", b"0"))
    train, val = open_training_data(tmp_path)
    assert [image.id for image in train.images] == ["train0", "train1", "train2"]
    assert [image.id for image in val.images] == ["validation0", "validation1"]
    assert len(open_data(tmp_path)) == 2


def test_words_that_name_a_split() -> None:
    assert split_of("imagenet1k-validation-00.tar") == split_of("ILSVRC2012_img_val.tar") == "val"
    assert split_of("train-00000-of-00294.parquet") == "train"
    assert split_of("interval-trains.tar") is None


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ((("1.jpg", b"x"), ("1.cls", b"1000"), ("1.json", JSON)), r"label 1000: expected 0 to 999"),
        ((("1.jpg", b"x"), ("1.cls", b"tench")), r"The \.cls of 1 in .* says 'tench': expected a whole number"),
        ((("1.jpg", b"x"), ("2.cls", b"1"), ("1.cls", b"1")), r"Sample 1 in .* has \.jpg: expected one image and its"),
        ((("1.jpg", b"x"), ("1.png", b"x"), ("1.cls", b"1")), r"Sample 1 in .* has \.cls, \.jpg, \.png"),
        ((("1.jpg", b"x"), ("1.cls", b"1"), ("1.json", b"{")), r"The \.json of 1\.jpg in .* cannot be read"),
        ((("1.jpg", b"x"), ("1.cls", b"1"), ("1.json", b"[" * 100_000)), r"The \.json of 1\.jpg in .* cannot be read"),
        ((("1.jpg", b"x"), ("1.cls", b"1" * 2_000_000)), r"1\.cls in .* has 2,000,000 bytes"),
        (2 * (("1.jpg", b"x"), ("1.cls", b"1")), r"Sample 1 in .* has \.cls, \.cls, \.jpg, \.jpg"),
        ((("1.jpg", b"x"), ("1.cls", b"1"), ("1.json", b'{"label": 7}')), r"says 1 and its \.json '7': expected"),
        ((("1.jpg", b"x"), ("1.cls", b"1_0")), r"says '1_0': expected a whole number"),
        ((("1.jpg", b"x"), ("1.cls", b"1"), ("1.json", rb'{"filename": "\ud800.png"}')), r"is not UTF-8"),
    ],
)  # fmt: skip
def test_webdataset_that_does_not_fit_is_refused(
    members: tuple[tuple[str, bytes], ...], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=sentence):
        open_data(_webdataset(tmp_path / "x.tar", *members))


def test_a_folder_of_tars_that_are_no_shards_is_a_folder(tmp_path: Path) -> None:
    _webdataset(tmp_path / "n01440764.tar", ("1.JPEG", b"x"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.JPEG").write_bytes(b"x")
    assert open_data(tmp_path).layout == "class folders"


def test_equal_names_in_two_folders_are_told_apart_and_equal_ones_refused(tmp_path: Path) -> None:
    members = (
        ("a/1.jpg", b"x"),
        ("a/1.cls", b"1"),
        ("b/1.jpg", b"y"),
        ("b/1.cls", b"2"),
        ("2.jpg", b""),
        ("2.cls", b"2"),
    )
    data = open_data(_webdataset(tmp_path / "x.tar", *members))
    assert [(image.id, image.class_name) for image in data.images] == [("2", "2"), ("a/1.jpg", "1"), ("b/1.jpg", "2")]
    for shard in range(2):
        _webdataset(tmp_path / "two" / f"val-{shard}.tar", ("1.jpg", b"x"), ("1.cls", b"1"))
    with pytest.raises(
        DataError, match=r"The same image, 1\.jpg, occurs twice, as 1\.jpg in .*val-0\.tar and 1\.jpg in"
    ):
        open_data(tmp_path / "two")


def test_classes_of_ones_own_keep_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "x.parquet", ("a.png", b"1", 0), ("b.png", b"2", 1), names=["zebra", "ant"])
    assert open_data(path).labels(None, 2).tolist() == [0, 1]
    twice = _parquet(tmp_path / "y.parquet", ("a.png", b"1", 0), names=["crane", "crane"])
    with pytest.raises(DataError, match="'crane', a name that two classes have"):
        open_data(twice)


def test_what_inflates_to_more_than_it_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that stands once in a dictionary and in every row."""
    monkeypatch.setattr(parquet, "_LARGEST_GROUP", 1_000_000)
    rows = [(f"{i}.png", bytes(50_000), 0) for i in range(100)]
    path = _parquet(tmp_path / "x.parquet", *rows)
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=100)
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match="inflates beyond 1,000,000 bytes a row group"):
        open_data(path)


def test_shards_of_no_split_beside_others_are_refused(tmp_path: Path) -> None:
    for name in ("val_a", "valb"):
        _webdataset(tmp_path / f"{name}.tar", (f"{name}.jpg", b"x"), (f"{name}.cls", b"1"))
    with pytest.raises(DataError, match=r"valb\.tar names no split and others do"):
        open_data(tmp_path)


def test_other_parquet_beside_class_folders_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.JPEG").write_bytes(b"x")
    pq.write_table(pa.table({"feature": [1.0]}), tmp_path / "features.parquet")
    (tmp_path / "annotations.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    assert open_data(tmp_path).layout == "class folders"


def test_a_swapped_label_is_noticed_though_size_and_time_are_the_same(tmp_path: Path) -> None:
    path = _webdataset(tmp_path / "x.tar", ("a.jpg", b"x"), ("a.cls", b"1"), ("b.jpg", b"x"), ("b.cls", b"2"))
    times = path.stat()
    assert [image.class_name for image in open_data(path).images] == ["1", "2"]
    _webdataset(path, ("a.jpg", b"x"), ("a.cls", b"2"), ("b.jpg", b"x"), ("b.cls", b"1"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [image.class_name for image in open_data(path).images] == ["2", "1"]


@pytest.mark.parametrize(
    "names",
    [
        ("validation-00000-of-00001-a07875a8dd83cc9a", "validation-00000-of-00001-b07875a8dd83cc9a"),
        ("validation-00000-of-00001", "validation-00000-of-00002", "validation-00001-of-00002"),
    ],
)
def test_two_uploads_in_one_folder_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    """Without file names nothing else would tell that each image occurs twice."""
    for name in names:
        _parquet(tmp_path / f"{name}.parquet", (None, b"1", 0))
    with pytest.raises(DataError, match=r"are of two series: expected one, since images would count twice"):
        open_data(tmp_path)


@pytest.mark.parametrize("ending", ["parquet", "tar"])
@pytest.mark.parametrize("inner", ["", "data"])
def test_shards_of_other_splits_are_named(inner: str, ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "set" / inner
    for split, count in (("train", 2), ("test", 1)):
        for shard in range(count):
            path = folder / f"{split}-0000{shard}-of-0000{count}.{ending}"
            if ending == "parquet":
                _parquet(path, (f"{split}{shard}.png", b"1", 0))
            else:
                _webdataset(path, (f"{split}{shard}.jpg", b"1"), (f"{split}{shard}.cls", b"0"))
    with pytest.raises(DataError, match=r"has files of the split train \(2\) and test \(1\) and none of val: expected"):
        open_data(tmp_path / "set")
    (tmp_path / "test").mkdir()
    alone = folder / f"test-00000-of-00001.{ending}"
    assert [image.id for image in open_data(alone).images] == ["test0"]
    alone.rename(tmp_path / "test" / alone.name)
    assert [image.id for image in open_data(tmp_path / "test").images] == ["test0"], "the folder says which"


def test_an_archive_of_another_split_is_named(tmp_path: Path) -> None:
    _webdataset(tmp_path / "ILSVRC2012_img_train.tar", ("n01440764_1.JPEG", b"x"))
    with pytest.raises(DataError, match=r"has files of the split train \(1\) and none of val"):
        open_data(tmp_path)


def test_shards_of_another_split_beside_class_folders_are_left_alone(tmp_path: Path) -> None:
    _webdataset(tmp_path / "train-0.tar", ("1.jpg", b"x"), ("1.cls", b"1"))
    _parquet(tmp_path / "train-0.parquet", ("1.png", b"1", 0))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "2.JPEG").write_bytes(b"x")
    assert [image.id for image in open_data(tmp_path).images] == ["2"]


def test_images_in_memory_are_told_apart_by_their_content(tmp_path: Path) -> None:
    names = ("cat", "dog", "eel")
    path = forms.in_memory_parquet(tmp_path / "test-00000-of-00001.parquet", {"img": None, "label": names})
    data = open_data(path)
    grey = {Image.open(io.BytesIO(image.read())).getpixel((0, 0)): image for image in data.images}
    assert [grey[(i,) * 3].class_name for i in range(12)] == [names[i % 3] for i in range(12)]
    assert len({image.id for image in data.images}) == 12
    assert data.class_names == names
    assert str(grey[(7,) * 3]) == f"Row 7 of row group 0 in {path}"
    table = pq.read_table(path)
    pq.write_table(table.take(list(range(11, -1, -1))), tmp_path / "other.parquet", row_group_size=5)
    other = open_data(tmp_path / "other.parquet")
    assert other.fingerprint == data.fingerprint, "the order and the file's name say nothing"
    assert [image.class_name for image in other.images] == [image.class_name for image in data.images]


def test_names_that_are_numbers_are_names(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "x.parquet", ("a.png", b"1", 0), ("b.png", b"2", 1), names=["7", "3"])
    assert [image.class_name for image in open_data(path, "label").images] == ["7", "3"]
    assert open_data(path, "label").labels(None, 2).tolist() == [0, 1]


def test_equal_images_in_memory_count_each(tmp_path: Path) -> None:
    data = open_data(_parquet(tmp_path / "x.parquet", (None, b"1", 0), (None, b"1", 1), ("", b"2", 2)))
    assert sorted((image.read(), image.class_name) for image in data.images) == [(b"1", "0"), (b"1", "1"), (b"2", "2")]


def test_a_second_copy_of_images_in_memory_is_refused(tmp_path: Path) -> None:
    rows = [(None, b"1", 0), (None, b"2", 1), (None, b"3", 0)]
    _parquet(tmp_path / "validation.parquet", *rows)
    _parquet(tmp_path / "validation-more.parquet", (None, b"1", 0), (None, b"4", 1), (None, b"5", 1))
    assert len(open_data(tmp_path)) == 6, "single ones do occur twice in some sets"
    _parquet(tmp_path / "validation-copy.parquet", *rows)
    with pytest.raises(DataError, match=r"3 of the 3 images of .*validation.parquet stand in other files"):
        open_data(tmp_path)


def test_other_images_in_memory_of_the_same_lengths_are_another_set(tmp_path: Path) -> None:
    """Or posteriors that are stored of the one would be taken for the other's."""
    one = open_data(_parquet(tmp_path / "1" / "test.parquet", (None, b"1", 0), (None, b"2", 1)))
    other = open_data(_parquet(tmp_path / "2" / "test.parquet", (None, b"3", 0), (None, b"4", 1)))
    assert one.fingerprint != other.fingerprint


def test_of_several_columns_of_labels_one_must_be_named(tmp_path: Path) -> None:
    """CIFAR-100's."""
    fine, coarse = ("apple", "bear", "crab"), ("fruit", "mammal", "sea")
    path = forms.in_memory_parquet(tmp_path / "test.parquet", {"img": None, "fine_label": fine, "coarse_label": coarse})
    with pytest.raises(DataError, match=r"several columns of labels, fine_label or coarse_label: .*--ground-truth"):
        open_data(path)
    assert [open_data(path, column).class_names for column in ("fine_label", "coarse_label")] == [fine, coarse]
    by_fine, by_coarse = (open_data(path, column).images for column in ("fine_label", "coarse_label"))
    for one, other in zip(by_fine, by_coarse, strict=True):
        assert one.id == other.id
        assert (fine.index(one.class_name) + 1) % 3 == coarse.index(other.class_name)
    with pytest.raises(DataError, match=r"no file nothere and no such column in .*: fine_label, coarse_label"):
        open_data(path, "nothere")


def test_parquet_with_a_choice_of_labels_is_no_folder_of_classes(tmp_path: Path) -> None:
    """Though a folder lies beside it."""
    labels = {"fine_label": ("a", "b", "c"), "coarse_label": ("x", "y", "z")}
    forms.in_memory_parquet(tmp_path / "val.parquet", {"img": None, **labels})
    (tmp_path / "notes").mkdir()
    with pytest.raises(DataError, match="several columns of labels"):
        open_data(tmp_path)
    assert open_data(tmp_path, "coarse_label").class_names == ("x", "y", "z")


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"image": None}, r"has no label: expected a column of labels, whole numbers, and it has none"),
        ({"image": None, "width": None}, r"has no label: .* and it has width beside its images"),
        ({"image": None, "fine_label": None, "target": None}, r"several columns of labels, fine_label or target"),
    ],
)
def test_a_column_of_labels_is_not_guessed(
    columns: dict[str, tuple[str, ...] | None], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=sentence):
        open_data(forms.in_memory_parquet(tmp_path / "x.parquet", columns))


def test_two_columns_of_images_are_refused(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "x.parquet", ("a.png", b"1", 0))
    table = pq.read_table(path)
    pq.write_table(table.append_column("mask", table.column("image")), path)
    with pytest.raises(DataError, match=r"has the columns image: struct.*, mask: struct.* expected one column"):
        open_data(path)


def test_shards_that_name_other_classes_are_of_another_set(tmp_path: Path) -> None:
    for shard, names in enumerate((["cat", "dog"], ["dog", "cat"])):
        _parquet(tmp_path / f"val-{shard}.parquet", (f"{shard}.png", b"1", 0), names=names)
    with pytest.raises(DataError, match=r"val-1.parquet and val-0.parquet name different classes"):
        open_data(tmp_path)


def _lemmas() -> list[str]:
    """The names that Hugging Face's imagenet-1k gives its labels are WordNet's, as timm also has them."""
    timm = pytest.importorskip("timm")
    text = (Path(timm.__file__).parent / "data" / "_info" / "imagenet_synset_to_lemma.txt").read_text()
    found = dict(line.split("\t", 1) for line in text.splitlines())
    return [found[wnid] for wnid in wnids()]


def test_a_thousand_names_in_ilsvrcs_order_are_its_classes(tmp_path: Path) -> None:
    """What `ds.map(resize)` of imagenet-1k leaves: no file names, and names in words."""
    names = _lemmas()
    assert names[0] == "tench, Tinca tinca"
    data = open_data(_parquet(tmp_path / "x.parquet", (None, b"1", 65), (None, b"22", 970), names=names))
    assert {image.read(): image.class_name for image in data.images} == {b"1": wnids()[65], b"22": wnids()[970]}
    for one, other in ((0, 1), (134, 998), (500, 501)):
        changed = list(names)
        changed[one], changed[other] = changed[other], changed[one]
        own = open_data(_parquet(tmp_path / f"{one}.parquet", (None, b"1", 65), names=changed))
        assert own.images[0].class_name == names[65]
        with pytest.raises(DataError, match="classes lack"):
            own.labels(wnids(), 1000)


def test_some_of_ilsvrcs_classes_by_their_own_numbers(tmp_path: Path) -> None:
    """Imagenette: ten classes in words, numbered 0 to 9, of files that state their wnid or are validation images."""
    rows = [("n01440764_1.JPEG", b"1", 0), ("n02102040_2.JPEG", b"2", 1), (f"{val_id(1)}.JPEG", b"3", 2)]
    names = ["tench", "English springer", class_names()["n01751748"]]
    data = open_data(_parquet(tmp_path / "x.parquet", *rows, names=names))
    assert [image.class_name for image in data.images] == ["n01751748", "n01440764", "n02102040"]
    by_wnid = open_data(_parquet(tmp_path / "y.parquet", *rows, names=["n01440764", "n02102040", "n01751748"]))
    assert by_wnid.images[1].class_name == "n01440764"
    with pytest.raises(DataError, match=r"is n01443537 by its place and n02102040 by its own name"):
        open_data(_parquet(tmp_path / "z.parquet", *rows, names=["tench", "goldfish", names[2]]))


def test_no_two_classes_could_be_exchanged_unseen() -> None:
    """But those that WordNet calls the same: who exchanged these alone, out of 1,000?"""
    names, words = _lemmas(), list(class_names().values())
    near: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        near.setdefault(name.lower().split()[0].strip(","), []).append(place)
    pairs = (pair for places in near.values() for pair in itertools.combinations(places, 2))
    unseen = [(names[i], names[j]) for i, j in pairs if _same(names[i], words[j]) and _same(names[j], words[i])]
    assert {(one.partition(",")[0], other.partition(",")[0]) for one, other in unseen} == {
        ("crane", "crane"), ("maillot", "maillot"), ("Cardigan", "cardigan")
    }  # fmt: skip


def test_keys_0_to_999_are_places_and_fewer_are_not(tmp_path: Path) -> None:
    data = open_data(forms.thousand_keys(tmp_path / "all") / "test")
    assert data.labels(wnids(), 1000).tolist() == [int(image.read()) for image in data.images]
    assert sorted(data.labels(wnids(), 1000).tolist()) == list(range(1000))
    few = open_data(forms.thousand_keys(tmp_path / "few", count=999) / "test")
    with pytest.raises(DataError, match=r"Numbers count as outputs by themselves only where all of 0 to 999 are met"):
        few.labels(wnids(), 1000)
    told = open_data(tmp_path / "few" / "test", "cls")
    assert told.labels(wnids(), 1000).tolist() == [int(image.read()) for image in told.images]
    with pytest.raises(DataError, match=r"no file nothere, and shards have no such labels: expected"):
        open_data(tmp_path / "few" / "test", "nothere")
    one_based = [(f"{i}.png", b"1", i) for i in range(1, 1001)]
    path = _parquet(tmp_path / "x.parquet", *one_based)
    with pytest.raises(DataError, match=r"Numbers count as outputs"):
        open_data(path).labels(wnids(), 1000)
    with pytest.raises(DataError, match=r"has the label 1000 and the model has 1000 classes: .* lowered by 1"):
        open_data(path, "label").labels(wnids(), 1000)


@pytest.mark.parametrize("notice", ["nshards.txt", "_info.json"])
def test_a_last_shard_that_is_missing_is_noticed_by_what_lies_beside(notice: str, tmp_path: Path) -> None:
    root = tmp_path / "x"
    for shard in range(3):
        _webdataset(root / f"{shard}.tar", (f"{shard}.jpg", b"1"), (f"{shard}.cls", b"0"))
    (root / "nshards.txt").write_text("3\n")
    (root / "_info.json").write_text(json.dumps({"splits": {"train": {"num_samples": 9}, "val": {"num_samples": 3}}}))
    assert len(open_data(root)) == 3
    (root / "2.tar").unlink()
    (root / ("_info.json" if notice == "nshards.txt" else "nshards.txt")).unlink()
    with pytest.raises(DataError, match=rf"has 2 (files|samples) and {notice} says 3: expected as many"):
        open_data(root)
    (root / notice).write_text("{}")
    assert len(open_data(root)) == 2, "what says nothing is no notice"

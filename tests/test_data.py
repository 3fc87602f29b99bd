"""Folders of images: layouts, ids, labels, subsets, and what is refused."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbench.data import open_data
from vggbench.data.dataset import DataSet, ImageFile
from vggbench.data.imagenet import class_names, wnids
from vggbench.errors import DataError, UsageError


def _tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def test_the_thousand_classes() -> None:
    assert len(wnids()) == 1000
    assert list(wnids()) == sorted(wnids())
    assert (wnids()[0], wnids()[999]) == ("n01440764", "n15075141")
    assert class_names()["n01440764"] == "tench"


def test_val_folder_and_bare_folders_are_the_same(tmp_path: Path) -> None:
    _tree(tmp_path / "set" / "val", "a/2.JPEG", "b/1.JPEG")
    whole, bare = open_data(tmp_path / "set"), open_data(tmp_path / "set" / "val")
    assert [image.id for image in whole.images] == ["1", "2"]
    assert whole.fingerprint == bare.fingerprint
    assert whole.name == bare.name == "set"
    assert whole.labels(None, 2).tolist() == [1, 0]


def test_ids_drop_the_extension_and_the_wnid(tmp_path: Path) -> None:
    data = open_data(_tree(tmp_path, "n01440764/ILSVRC2012_val_00000293_n01440764.JPEG"))
    assert data.images[0].id == "ILSVRC2012_val_00000293"


def test_equal_names_in_two_classes_become_paths(tmp_path: Path) -> None:
    data = open_data(_tree(tmp_path, "a/0.png", "b/0.png", "b/deep/1.jpg"))
    assert [image.id for image in data.images] == ["1", "a/0.png", "b/0.png"]
    assert data.class_names == ("a", "b")


def test_the_same_validation_image_twice_is_refused(tmp_path: Path) -> None:
    _tree(tmp_path, "n01440764/ILSVRC2012_val_00000001.JPEG", "n01443537/ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(DataError, match="occurs twice"):
        open_data(tmp_path)


def test_the_fingerprint_knows_ids_and_lengths_but_no_labels(tmp_path: Path) -> None:
    first = open_data(_tree(tmp_path / "1", "a/x.png", "b/y.png"))
    moved = tmp_path / "2"
    shutil.copytree(tmp_path / "1", moved)
    (moved / "a" / "x.png").rename(moved / "b" / "x.png")
    (moved / "a" / "z.png").write_bytes(b"z")
    assert open_data(moved).fingerprint != first.fingerprint
    (moved / "a" / "z.png").unlink()
    (moved / "a").rmdir()
    assert open_data(moved).fingerprint == first.fingerprint
    (moved / "b" / "x.png").write_bytes(b"another length")
    assert open_data(moved).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "holds no images"),
        (("1.JPEG", "2.JPEG"), r"1.JPEG has no class: .* --ground-truth FILE"),
        (("a/1.JPEG", "2.JPEG"), "2.JPEG is beside the class folders"),
        (("a/b/1.JPEG", "a/c/1.JPEG"), "a holds 2 folders and no image: .* --data"),
        (("a/readme.txt", "b/readme.txt"), "a holds no image, nor does any other"),
    ],
)
def test_refusals(names: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=sentence):
        open_data(_tree(tmp_path, *names))


def test_missing_folder_and_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no"):
        open_data(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        open_data(tmp_path / "file")


def test_other_files_are_named_and_hidden_ones_are_not(tmp_path: Path) -> None:
    data = open_data(_tree(tmp_path, "a/1.JPEG", "a/notes.txt", "a/.DS_Store"))
    assert len(data) == 1
    (note,) = data.notes
    assert note.endswith(f"was left alone, {tmp_path / 'a' / 'notes.txt'}")


def test_labels_are_places_in_the_models_list(tmp_path: Path) -> None:
    data = open_data(_tree(tmp_path, "cat/1.png", "dog/2.png"))
    assert data.labels(("dog", "bird", "cat"), 3).tolist() == [2, 0]
    with pytest.raises(DataError, match=r"1 class \('dog'\)"):
        data.labels(("bird", "cat"), 2)
    with pytest.raises(DataError, match="expected as many"):
        data.labels(None, 3)


def _made(count: int, classes: int) -> DataSet:
    images = tuple(ImageFile(f"{i:05d}", Path(f"{i}"), i, f"c{i * 7 % classes:03d}") for i in range(count))
    return DataSet("made", images, count)


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 300))
def test_a_subset_is_spread_over_the_classes(count: int, classes: int, limit: int) -> None:
    data = _made(count, classes)
    subset = data.subset(limit)
    assert len(subset) == min(limit, count)
    assert len({image.id for image in subset.images}) == len(subset)
    assert list(subset.images) == sorted(subset.images, key=lambda image: image.id)
    assert subset.total == count
    if count % classes == 0 and limit % classes == 0 and limit <= count:
        assert {image.class_name for image in subset.images} == set(data.class_names)
    assert subset.class_names == data.class_names


def test_limit_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="1 or more"):
        _made(3, 1).subset(0)


def test_a_full_validation_set_is_recognised_and_nothing_less() -> None:
    names = wnids()
    images = [ImageFile(f"ILSVRC2012_val_{i + 1:08d}", Path("x"), 1, names[i % 1000]) for i in range(50_000)]
    assert DataSet("val", tuple(images), 50_000).is_full_ilsvrc_val
    assert not DataSet("val", tuple(images[1:]), 50_000).is_full_ilsvrc_val
    images[0] = ImageFile(images[0].id, Path("x"), 1, names[5])
    assert not DataSet("val", tuple(images), 50_000).is_full_ilsvrc_val


def test_one_clash_of_names_does_not_hide_what_the_others_say(tmp_path: Path) -> None:
    _tree(tmp_path, "n01440764/0.jpg", "n01443537/0.jpg", "n01440764/ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(DataError, match="is n01440764 by its place and n01751748 by the labels"):
        open_data(tmp_path)


def test_a_text_file_does_not_make_a_class_of_a_folder_of_folders(tmp_path: Path) -> None:
    _tree(tmp_path, "old/a/1.jpg", "old/b/2.jpg", "old/labels.csv", "new/a/3.jpg", "new/b/4.jpg")
    with pytest.raises(DataError, match="new holds 2 folders and no image"):
        open_data(tmp_path)


def test_numbered_folders_in_another_order_are_refused(tmp_path: Path) -> None:
    _tree(tmp_path, *(f"{i}/{wnids()[(i + 1) % 1000]}_{i}.JPEG" for i in range(1000)))
    with pytest.raises(DataError, match=r"by its place and .* by its own name"):
        open_data(tmp_path)


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    _tree(tmp_path, "a/1.jpg")
    os.mkfifo(tmp_path / "a" / "2.jpg")
    with pytest.raises(DataError, match=r"2\.jpg' is a device, pipe or socket"):
        open_data(tmp_path)
    (tmp_path / "a" / "2.jpg").unlink()
    with (tmp_path / "a" / "2.jpg").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(OSError, match="more than any image"):
        open_data(tmp_path).images[1].read()


def test_a_devkit_beside_class_folders_is_no_class(tmp_path: Path) -> None:
    _tree(tmp_path, "a/1.jpg", "ILSVRC2012_devkit_t12/data/x.txt", "ILSVRC2012_devkit_t12/evaluation/y.jpg")
    assert open_data(tmp_path).class_names == ("a",)


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "x" * 300, "/root/../proc/1/fd/x"])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(DataError):
        open_data(path)

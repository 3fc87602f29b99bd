"""Which folder holds the images to measure on: by any usual name, never the training images, never a guess."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggbench.data import open_data, open_training_data
from vggbench.errors import DataError


def _tree(root: Path, *names: str) -> Path:
    root.mkdir(exist_ok=True, parents=True)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def _tar(root: Path) -> Path:
    path = root.with_suffix(".tar")
    subprocess.run(["tar", "-cf", path, "-C", root, "."], check=True)
    return path


@pytest.mark.parametrize("is_tar", [False, True])
@pytest.mark.parametrize(
    "folder",
    ["val", "Val", "VAL", "valid", "validation", "val_images", "imagenet-val", "ILSVRC2012_img_val", "val2017"],
)
def test_a_validation_folder_by_any_usual_name(folder: str, is_tar: bool, tmp_path: Path) -> None:
    names = [f"{split}/{c}/{split[:2]}{c}.png" for split in ("train", folder, "test") for c in "ab"]
    root = _tree(tmp_path / "set", *names)
    place = _tar(root) if is_tar else root
    assert [image.id for image in open_data(place).images] == [f"{folder[:2]}a", f"{folder[:2]}b"]
    train, val = open_training_data(place)
    assert [image.id for image in train.images] == ["tra", "trb"]
    assert [image.id for image in val.images] == [f"{folder[:2]}a", f"{folder[:2]}b"]


@pytest.mark.parametrize("is_tar", [False, True])
@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("train/a/1.png", "train/b/2.png", "test/a/3.png"), r"holds test/ and train/ and no val images"),
        (("train/cat.0.jpg", "train/dog.0.jpg", "test/1.jpg"), r"holds test/ and train/ and no val images"),
        (("train/a/1.png", "train/b/2.png"), r"holds train/ and no val images"),
        (("val/a/1.png", "validation/a/2.png", "val/b/1.png"), r"val/ and validation/ all name the val images"),
        (("set/train/a/1.png", "set/test/a/1.png"), r"holds (set/)?test/ and (set/)?train/ and no val images"),
    ],
)  # fmt: skip
def test_a_choice_that_is_the_users_is_refused_with_what_there_is(
    names: tuple[str, ...], sentence: str, is_tar: bool, tmp_path: Path
) -> None:
    root = _tree(tmp_path / "set", *names)
    with pytest.raises(DataError, match=sentence):
        open_data(_tar(root) if is_tar else root)


def test_the_advice_is_never_the_training_images_where_there_are_others(tmp_path: Path) -> None:
    _tree(tmp_path, "train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png")
    with pytest.raises(DataError) as refused:
        open_data(tmp_path)
    assert str(refused.value).endswith(f"pass --data {tmp_path / 'test'}.")
    assert [image.id for image in open_data(tmp_path / "test").images] == ["3", "4"]


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("airplane/1.jpg", "bus/2.jpg", "train/3.jpg"), ("airplane", "bus", "train")),
        (("valid/1.jpg", "invalid/2.jpg"), ("invalid", "valid")),
        (("val/train/1.jpg", "val/bus/2.jpg", "train/train/3.jpg", "train/bus/4.jpg"), ("bus", "train")),
        (("val/val/1.jpg", "val/cat/2.jpg"), ("cat", "val")),
        (("cat/images/1.jpg",), ("cat",)),
        (("images/1.jpg", "drawings/2.jpg"), ("drawings", "images")),
        (("thumbs/1.jpg", "fingers/2.jpg"), ("fingers", "thumbs")),
        (("photos/images/a/1.jpg", "photos/images/b/2.jpg"), ("a", "b")),
        (("imagenet-r/n01443537/1.jpg", "imagenet-r/n01484850/2.jpg"), ("n01443537", "n01484850")),
    ],
)
def test_what_is_a_class_and_what_holds_classes(
    names: tuple[str, ...], classes: tuple[str, ...], tmp_path: Path
) -> None:
    assert open_data(_tree(tmp_path, *names)).class_names == classes


@pytest.mark.parametrize(
    "names",
    [
        ("imagenet/val/a/1.jpg", "other/val/a/1.jpg"),
        ("one/n01443537/1.jpg", "two/n01484850/2.jpg"),
        ("one/deep/a/1.jpg", "one/deep/b/2.jpg", "two/3.jpg"),
        ("n01443537/one/1.jpg", "n01443537/two/2.jpg"),
    ],
)
def test_a_folder_of_sets_is_no_class(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds \d folders? and no image: expected the images of one class"):
        open_data(_tree(tmp_path, *names))


NAMES = st.sampled_from(
    ["train", "val", "valid", "test", "images", "a", "b", "n01440764", "n01443537", "ILSVRC2012_img_val"]
)
TREES = st.sets(st.lists(NAMES, max_size=4).map(tuple), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(tree=TREES)
def test_whatever_the_tree_an_image_is_of_a_folder_it_lies_in_and_of_no_other_split(
    tree: set[tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    names = [f"{'/'.join(folders)}/{number}.png" for number, folders in enumerate(sorted(tree))]
    _tree(root, *names)
    try:
        data = open_data(root)
    except DataError:
        return
    tops = {folders[0].lower() for folders in tree if folders}
    for image in data.images:
        folders = image.path.relative_to(root).parts[:-1]
        assert image.class_name in folders
        assert image.path.read_bytes() == image.read()
        if tops & {"val", "valid"} and folders[0] in ("train", "test"):
            assert len(tops) > len(tops & {"train", "test", "val", "valid"}), "it may be a class beside others"
    assert len({image.path for image in data.images}) == len(data)


def test_folders_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(tmp_path)
    with pytest.raises(DataError):
        open_data(tmp_path)
    (tmp_path / "images").unlink()
    (tmp_path / "val").symlink_to(tmp_path)
    with pytest.raises(DataError):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("link", "to"), [("a/more", "b"), ("a/loop", "."), ("c", "a")], ids=["another class", "a loop", "a twin"]
)
def test_a_folder_that_is_reached_twice_is_refused(link: str, to: str, tmp_path: Path) -> None:
    """Its images would count twice, or as two classes."""
    _tree(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / link).symlink_to(tmp_path / to)
    with pytest.raises(DataError, match=r"is the same folder as .*: expected each image once. Remove the link"):
        open_data(tmp_path)


def test_a_linked_folder_within_a_class_is_of_the_class(tmp_path: Path) -> None:
    _tree(tmp_path / "disk", "2.jpg", "3.jpg")
    data = tmp_path / "data"
    _tree(data, "a/1.jpg", "b/4.jpg")
    (data / "a" / "more").symlink_to(tmp_path / "disk")
    found = open_data(data)
    assert [(image.id, image.class_name) for image in found.images] == [("1", "a"), ("2", "a"), ("3", "a"), ("4", "b")]
    assert found.notes == ()


def test_litter_is_said_and_hidden_files_are_not(tmp_path: Path) -> None:
    _tree(
        tmp_path, "a/1.jpg", "b/2.jpg", "a/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "a/Thumbs/1.jpg", "b/.AppleDouble/2.jpg"
    )
    for place in (tmp_path, _tar(tmp_path)):
        data = open_data(place)
        assert [image.id for image in data.images] == ["1", "2"]
        (note,) = data.notes
        assert note.startswith("2 folders of thumbnails or a system's own were left alone, the first ")
        assert "a/@eaDir" in note

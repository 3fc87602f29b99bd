"""PASCAL VOC's folders, as the devkits lay them out."""

import os
from pathlib import Path

import numpy as np
import pytest
from feature_files import write_voc

from vggbench.data.layout import Place
from vggbench.data.voc import CLASSES, VOC, has_labels, read_part, require_known, voc_folder
from vggbench.errors import DataError

PARTS = {"train": 6, "val": 5, "test": 7}


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    return write_voc(tmp_path / "VOCdevkit" / "VOC2007", parts=PARTS, classes=CLASSES)


def test_each_label_is_the_lines(voc: Path) -> None:
    for part, count in (*PARTS.items(), ("trainval", 11)):
        found = read_part(voc, part)
        assert (len(found), found.classes) == (count, CLASSES)
        for column, name in enumerate(CLASSES):
            lines = (voc / "ImageSets" / "Main" / f"{name}_{part}.txt").read_text().split()
            assert lines[::2] == list(found.images)
            assert [int(label) for label in lines[1::2]] == found.labels[:, column].tolist()
        assert set(np.unique(found.labels)) == {-1, 0, 1}


def test_the_images_are_those_that_the_lists_name(voc: Path) -> None:
    (voc / "JPEGImages" / "999999.jpg").touch()
    images = VOC.images(Place(voc, "val"))
    assert [image.id for image in images] == [f"{number:06}" for number in range(1, 19)]
    assert all(image.class_name == "" and image.path.is_file() for image in images)
    (voc / "JPEGImages" / "000003.jpg").unlink()
    with pytest.raises(DataError, match=r"lacks 000003\.jpg and 0 more of the 18 images"):
        VOC.images(Place(voc, "val"))


def test_the_devkits_folder_will_do_as_well(voc: Path) -> None:
    assert voc_folder(voc.parent) == voc_folder(voc) == voc
    write_voc(voc.parent / "VOC2012", parts={"train": 2}, classes=CLASSES, images=False)
    with pytest.raises(DataError, match="holds VOC2007 and VOC2012: expected one VOC"):
        voc_folder(voc.parent)
    with pytest.raises(DataError, match="holds no such folder: expected one VOC"):
        voc_folder(voc / "JPEGImages")


def test_public_labels_may_lack_those_of_test(tmp_path: Path) -> None:
    folder = write_voc(tmp_path / "VOC2012", parts={"train": 3, "val": 3}, classes=("cat", "dog"), images=False)
    assert not has_labels(folder, "test")
    assert read_part(folder, "train").classes == ("cat", "dog")
    with pytest.raises(DataError, match=r"There is no .*test\.txt"):
        read_part(folder, "test")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("train.txt", "../../../etc/passwd\n", r"names '\.\./\.\./\.\./etc/passwd': expected the name of an image"),
        ("train.txt", "/etc/passwd\n", "expected the name of an image"),
        ("train.txt", "", "is empty"),
        ("train.txt", "000001\n000001\n", "names 000001 twice"),
        ("train.txt", "\x00\n", "expected the name of an image"),
        ("bird_train.txt", "000001 1\n", "lacks 00000"),
        ("bird_train.txt", "".join(f"00000{i} 2\n" for i in range(1, 7)), "has the line '000001 2'"),
        ("bird_train.txt", "".join(f"00000{i}\n" for i in range(1, 7)), "has the line '000001'"),
        ("bird_train.txt", "".join(f"00000{i} 1\n" for i in range(1, 8)), "names 000007"),
        ("bird_train.txt", "000001 1\n" * 6, "has the line '000001 1'"),
    ],
)
def test_a_damaged_list_is_refused(voc: Path, name: str, text: str, told: str) -> None:
    (voc / "ImageSets" / "Main" / name).write_text(text)
    with pytest.raises(DataError, match=told):
        read_part(voc, "train")


def test_a_list_of_bytes_or_of_gigabytes_is_refused(voc: Path) -> None:
    path = voc / "ImageSets" / "Main" / "train.txt"
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_part(voc, "train")
    os.truncate(path, 1 << 32)
    with pytest.raises(DataError, match="has 4,294,967,296 bytes"):
        read_part(voc, "train")


def test_an_annotation_is_never_opened(voc: Path) -> None:
    (voc / "Annotations").mkdir()
    (voc / "Annotations" / "000001.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;')
    assert len(read_part(voc, "train")) == 6


def test_features_of_half_a_voc_are_refused(voc: Path) -> None:
    part = read_part(voc, "test")
    require_known(part, part.images, "f.parquet")
    with pytest.raises(DataError, match=r"f\.parquet lacks 000018 and 0 more of the 7 images of test"):
        require_known(part, part.images[:-1], "f.parquet")

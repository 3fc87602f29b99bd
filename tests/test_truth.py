"""Ground truths: devkits and files of labels are read, must agree, and are bounded; what is shipped is right."""

import io
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import forms
import numpy as np
import pytest

from vggbench.data import devkit, open_data
from vggbench.data.imagenet import VAL_IMAGES, val_id, val_labels, wnids
from vggbench.data.truth import read_truth
from vggbench.errors import DataError

REAL = Path(__file__).parents[2] / "shared" / "facts" / "real.json"


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forms.write_pictures(tmp_path_factory.mktemp("mini") / "flat")


@pytest.fixture
def mini(flat: Path, tmp_path: Path) -> Path:
    """A flat folder val/ and a devkit beside it."""
    return forms.flat_with_devkit(flat, tmp_path / "ilsvrc")


def test_the_shipped_labels_are_the_public_ones() -> None:
    labels = val_labels()
    assert labels[:6].tolist() == [65, 970, 230, 809, 516, 57]
    assert len(labels) == VAL_IMAGES
    assert Counter(labels.tolist()) == dict.fromkeys(range(1000), 50)


@pytest.mark.skipif(not REAL.exists(), reason="needs shared/facts/real.json")
def test_the_shipped_labels_agree_with_real_as_published() -> None:
    real = json.loads(REAL.read_text())
    inside = sum(label in found for label, found in zip(val_labels().tolist(), real, strict=True))
    listed = sum(bool(found) for found in real)
    assert (listed, round(100 * inside / listed, 2), round(100 * inside / VAL_IMAGES, 2)) == (46_837, 90.02, 84.33)


@pytest.mark.parametrize("form", ["flat_alone", "plain_tar"])
def test_a_flat_folder_and_a_bare_tar_need_no_devkit(form: str, flat: Path, tmp_path: Path) -> None:
    data = open_data(forms.FORMS[form](flat, tmp_path / "data"))
    assert data.labels(wnids(), 1000)[:6].tolist() == [65, 970, 230, 809, 516, 57]
    assert data.labelled_by == "the labels of ILSVRC-2012 val that vggbench ships"


def test_files_that_agree_are_named(mini: Path) -> None:
    data = open_data(mini)
    assert data.labelled_by == "ILSVRC2012_devkit_t12, the labels of ILSVRC-2012 val that vggbench ships"
    assert open_data(mini / "val").labelled_by == data.labelled_by, "the kit lies beside val/"
    assert open_data(mini, "none").labelled_by == "the labels of ILSVRC-2012 val that vggbench ships"


def _write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def _labels(number: int, label: str) -> list[str]:
    """Lines of a val.txt of the miniature, with another label for one image."""
    right = [f"{name}.JPEG {wnid}" for name, wnid in zip(forms.IDS, forms.WNIDS, strict=True)]
    return [*right[: number - 1], f"{forms.IDS[number - 1]}.JPEG {label}", *right[number:]]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (_labels(7, "n01440764"), r"00000007.JPEG is n01440764 by val.txt and n02346627 by the labels .* ships"),
        (_labels(7, "n99999999"), r"00000007 the wnid n99999999: expected one of the 1,000"),
        (_labels(7, "1000"), r"00000007 the label 1000: expected a model index from 0 to 999"),
        (_labels(7, "1" * 5000), r"the label 1{20}: expected a model index"),
        (_labels(7, "tench"), r"Line 7 of .*val.txt is .*tench'"),
        (_labels(1, "65")[:-1], r"119 labels and none for .*00000120.JPEG, one of 120 images"),
        ([*_labels(1, "65"), "ILSVRC2012_val_00000121.JPEG 3"], r"121 labels and there are 120 images, without"),
        ([*_labels(1, "65"), "ILSVRC2012_val_00000003.JPEG 230"], r"names ILSVRC2012_val_00000003 twice"),
        (["490", "361"], r"one number a line, which are ILSVRC2012_IDs and no model indices"),
        ([], "holds no labels"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(lines: list[str], sentence: str, flat: Path, tmp_path: Path) -> None:
    shutil.copytree(flat, tmp_path / "val")
    _write(tmp_path / "val.txt", *lines)
    with pytest.raises(DataError, match=sentence):
        open_data(tmp_path)
    with pytest.raises(DataError, match=sentence):
        open_data(tmp_path / "val", str(tmp_path / "val.txt"))
    assert len(open_data(tmp_path, "none")) == forms.COUNT


@pytest.mark.parametrize("comma", [",", ";", "\t", "  "])
@pytest.mark.parametrize("heading", ["", "name{}label\n"])
def test_forms_of_a_labels_file(comma: str, heading: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(heading.format(comma) + f"val/ILSVRC2012_val_00000001.JPEG{comma}65\n\nother.png{comma}3\n")
    assert read_truth(path).classes == {val_id(1): "n01751748", "other": "3"}


def test_wnids_alone_are_in_order_of_the_images(tmp_path: Path) -> None:
    path = _write(tmp_path / "imagenet_2012_validation_synset_labels.txt", *forms.WNIDS)
    assert read_truth(path).classes == dict(zip(forms.IDS, forms.WNIDS, strict=True))


def test_a_flat_folder_of_any_images_takes_its_classes_from_a_file(pictures: Path, tmp_path: Path) -> None:
    for path in pictures.glob("*/*"):
        shutil.copy(path, tmp_path / path.name)
    truth = _write(tmp_path / "truth.csv", *(f"picture_{i},{i * 7}" for i in range(4)))
    data = open_data(tmp_path, str(truth))
    assert [image.class_name for image in data.images] == ["0", "7", "14", "21"]
    assert data.class_names == ("0", "7", "14", "21"), "numbers in order of number"


def test_a_devkit_of_another_order_is_noticed(mini: Path) -> None:
    truth = mini / "ILSVRC2012_devkit_t12" / "data" / "ILSVRC2012_validation_ground_truth.txt"
    indices = [str(label + 1) for label in forms.LABELS]  # model indices where IDs belong
    _write(truth, *indices)
    with pytest.raises(DataError, match=r"00000001.JPEG is n\d{8} by ILSVRC2012_devkit_t12 and n01751748 by"):
        open_data(mini)


@pytest.mark.parametrize("word", ["0", "1021", "x", "-3", "9" * 4000])
def test_an_id_that_the_devkit_does_not_list_is_refused(word: str, mini: Path) -> None:
    truth = mini / "ILSVRC2012_devkit_t12" / "data" / "ILSVRC2012_validation_ground_truth.txt"
    _write(truth, "5", word)
    with pytest.raises(DataError, match=r"Line 2 of the ground truth .* expected an ILSVRC2012_ID from 1 to 1000"):
        open_data(mini)


def _kit(path: Path, **contents: bytes) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"ILSVRC2012_devkit_t12/data/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_broken_devkits_are_refused(mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit, archive = mini / "ILSVRC2012_devkit_t12", tmp_path / "kit.tar.gz"
    meta = (kit / "data" / "meta.mat").read_bytes()
    names = {"meta.mat": meta, "ILSVRC2012_validation_ground_truth.txt": b"5\n"}
    assert len(read_truth(_kit(archive, **names)).classes) == 1
    archive.write_bytes(archive.read_bytes()[:-900])
    with pytest.raises(DataError, match="not a complete devkit"):
        read_truth(archive)
    with pytest.raises(DataError, match=r"has no data/ILSVRC2012_validation_ground_truth.txt"):
        read_truth(_kit(archive, **{"meta.mat": meta}))
    with pytest.raises(DataError, match=r"cannot be read .* expected `synsets`"):
        read_truth(_kit(archive, **{**names, "meta.mat": meta[:128]}))
    with pytest.raises(DataError, match="ends too early"):
        read_truth(_kit(archive, **{**names, "meta.mat": meta[:2000]}))
    monkeypatch.setattr(devkit, "_LARGEST_KIT", 1_000_000)
    with pytest.raises(DataError, match=r"inflates beyond 1,000,000 bytes"):
        read_truth(_kit(archive, big=bytes(3_000_000), **names))


def test_a_file_of_endless_lines_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with path.open("wb") as file:
        file.truncate(1 << 30)  # a gigabyte without a line end
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(DataError, match=r"Line 1 of .* has more than 20,000 characters"):
        read_truth(path)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_binary_labels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(np.arange(0, 255, dtype=np.uint8).tobytes())
    with pytest.raises(DataError, match="is not text"):
        read_truth(path)
    with pytest.raises(DataError, match="is not a devkit"):
        read_truth(tmp_path)


def test_labels_by_index_are_places_among_the_models_classes(pictures: Path, tmp_path: Path) -> None:
    for path in pictures.glob("*/*"):
        shutil.copy(path, tmp_path / path.name)
    truth = _write(tmp_path / "truth.csv", *(f"picture_{i},{i * 7}" for i in range(4)))
    data = open_data(tmp_path, str(truth))
    assert data.labels(wnids(), 1000).tolist() == data.labels(None, 22).tolist() == [0, 7, 14, 21]
    assert data.labels(("0", "7", "14", "21"), 4).tolist() == [0, 1, 2, 3], "names stand before places"
    assert any("numbers, taken as places among the model's classes, 0 being the first" in note for note in data.notes)
    with pytest.raises(DataError, match=r"has the label 21 and the model has 21 classes: expected 0 to 20"):
        data.labels(None, 21)

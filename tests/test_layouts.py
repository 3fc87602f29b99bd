"""One validation set in every form people hold it: the same images, labels, fingerprint and posteriors."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import forms
import numpy as np
import pytest
import torch
from torch import Tensor

from vggbench import Job, LoadOptions, Model, ModelSpec, Protocol, Settings, load_model, open_data, posteriors
from vggbench.data import open_training_data
from vggbench.data.imagenet import wnids
from vggbench.data.layouts import LAYOUTS
from vggbench.errors import DataError
from vggbench.evaluation.loop import evaluate


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forms.write_pictures(tmp_path_factory.mktemp("mini") / "flat")


@pytest.fixture(scope="module")
def model(peaked: Callable[..., dict[str, Tensor]], tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("weights") / "a.pth"
    torch.save(peaked("A", classes=1000), path)
    return load_model(ModelSpec.parse(f"A@{path}"), LoadOptions(input="caffe"), ())


@pytest.fixture(scope="module")
def expected(flat: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, np.ndarray]:
    """Fingerprint and posteriors of the images in class folders."""
    root = tmp_path_factory.mktemp("expected")
    return _measured(forms.class_folders(flat, root / "data"), model, root)


def _measured(path: Path, model: Model, root: Path) -> tuple[str, np.ndarray]:
    data = open_data(path)
    settings = Settings(device="cpu", workers=1)
    (run,) = evaluate(data, [Job(model, Protocol("center"), 224)], root / "runs", settings)
    return data.fingerprint, posteriors(run)


@pytest.mark.thorough
@pytest.mark.parametrize("form", forms.FORMS)
def test_every_form_gives_the_same_to_the_last_bit(
    form: str, flat: Path, model: Model, expected: tuple[str, np.ndarray], tmp_path: Path
) -> None:
    path = forms.FORMS[form](flat, tmp_path / "data")
    data = open_data(path)
    assert [image.id for image in data.images] == list(forms.IDS)
    assert data.labels(model.identity.class_names, 1000).tolist() == list(forms.LABELS)
    assert (data.name, data.total) == ("ilsvrc12-val", 50_000)
    fingerprint, found = _measured(path, model, tmp_path)
    assert fingerprint == expected[0]
    np.testing.assert_array_equal(found, expected[1])
    assert found.max(1).mean() > 0.05, "peaked enough for a wrong image or label to show"


def test_every_layout_of_the_table_is_one_of_those_forms(flat: Path, tmp_path: Path) -> None:
    met = {
        open_data(form(flat, tmp_path / name)).layout.removesuffix(" in a tar") for name, form in forms.FORMS.items()
    }
    assert met == {layout.name for layout in LAYOUTS} - {"folders 0 to 999", "PASCAL VOC"}


@pytest.mark.parametrize("form", forms.ELSEWHERE)
def test_the_same_files_elsewhere_are_the_same_images(
    form: str, flat: Path, expected: tuple[str, np.ndarray], tmp_path: Path
) -> None:
    """Ids, labels, order and bytes decide a run; these are compared, and no network runs."""
    data = open_data(forms.ELSEWHERE[form](flat, tmp_path / "data"))
    assert [image.id for image in data.images] == list(forms.IDS)
    assert data.labels(wnids(), 1000).tolist() == list(forms.LABELS)
    assert (data.name, data.total, data.fingerprint) == ("ilsvrc12-val", 50_000, expected[0])
    assert all(image.read() == (flat / f"{image.id}.JPEG").read_bytes() for image in data.images[::13])


def _encoded(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_imagenetv2s_folders_are_read_as_numbers(tmp_path: Path) -> None:
    data = open_data(_encoded(tmp_path, *(f"{number}/{number:040x}.jpeg" for number in range(1000))))
    assert data.layout == "folders 0 to 999"
    assert data.labels(wnids(), 1000).tolist() == [int(image.id, 16) for image in data.images]
    assert not data.is_full_ilsvrc_val
    (tmp_path / "999" / f"{999:040x}.jpeg").unlink()
    (tmp_path / "999").rmdir()
    with pytest.raises(DataError, match=r"999 classes .'0', '1', '2', ...."):
        open_data(tmp_path).labels(wnids(), 1000)


def test_a_training_set_is_read_through_the_same_layouts(flat: Path, tmp_path: Path) -> None:
    kaggle = forms.kaggle(flat, tmp_path / "kaggle") / "ILSVRC" / "Data" / "CLS-LOC" / "train"
    names = [f"{wnid}/{wnid}_{i}.JPEG" for wnid in sorted(set(forms.WNIDS)) for i in range(2)]
    _encoded(kaggle, *names)
    archives = tmp_path / "archives"
    forms.plain_tar(flat, archives)
    _encoded(tmp_path / "train", *names)
    for wnid in sorted(set(forms.WNIDS)):
        subprocess.run(["tar", "-cf", archives / f"{wnid}.tar", "-C", tmp_path / "train" / wnid, "."], check=True)
    inner = [path.name for path in sorted(archives.glob("n*.tar"))]
    subprocess.run(["tar", "-cf", "ILSVRC2012_img_train.tar", *inner], cwd=archives, check=True)
    for name in inner:
        (archives / name).unlink()
    from_kaggle, from_archives = open_training_data(tmp_path / "kaggle"), open_training_data(archives)
    for one, other in zip(from_kaggle, from_archives, strict=True):
        assert one.fingerprint == other.fingerprint
        assert [image.class_name for image in one.images] == [image.class_name for image in other.images]
        assert [image.read() for image in one.images] == [image.read() for image in other.images]
    assert (len(from_kaggle[0]), len(from_kaggle[1])) == (len(names), forms.COUNT)


def test_validation_images_do_not_train(flat: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="validation images of ILSVRC-2012: expected to train on others"):
        open_training_data(forms.plain_tar(flat, tmp_path / "data"))


def test_the_archive_within_val_is_the_set(flat: Path, tmp_path: Path) -> None:
    forms.plain_tar(flat, tmp_path / "val")
    data = open_data(tmp_path)
    assert [image.id for image in data.images] == list(forms.IDS)
    assert data.layout == "flat folder in a tar"


@pytest.mark.parametrize("inner", ["", "val", "val/images"])
def test_tiny_imagenets_own_tree(inner: str, tmp_path: Path) -> None:
    root = forms.tiny_imagenet(tmp_path / "tiny-imagenet-200") / inner
    data = open_data(root)
    assert len(data) == 12
    assert [image.class_name for image in data.images] == [image.read().decode() for image in data.images]
    assert data.labelled_by == "val_annotations.txt"
    assert any("are of 3 of ILSVRC's 1,000 classes, and nets choose among all 1,000" in note for note in data.notes)
    with pytest.raises(DataError, match="has no class"):
        open_data(root, "none")


def test_tiny_imagenet_trains(tmp_path: Path) -> None:
    train, val = open_training_data(forms.tiny_imagenet(tmp_path / "tiny-imagenet-200"))
    assert train.class_names == val.class_names == ("n01443537", "n01629819", "n01641577")
    for part in (train, val):
        assert [image.class_name for image in part.images] == [image.read().decode() for image in part.images]


def test_tiny_imagenet_without_one_of_its_annotations_is_refused(tmp_path: Path) -> None:
    root = forms.tiny_imagenet(tmp_path / "tiny-imagenet-200")
    annotations = root / "val" / "val_annotations.txt"
    annotations.write_text(annotations.read_text().partition("\n")[2])
    with pytest.raises(DataError, match=r"val_annotations.txt has 11 labels and none for .*val_\d+.JPEG, one of 12"):
        open_data(root)


def test_an_empty_class_folder_is_said(tmp_path: Path) -> None:
    """It keeps its place among the outputs of a net without names, and is no class to train."""
    for folder in ("train", "val"):
        _encoded(tmp_path / folder, *(f"{name}/{folder}{name}{i}.jpg" for name in "acd" for i in range(2)))
        (tmp_path / folder / "b").mkdir()
    data = open_data(tmp_path)
    assert data.notes == ("class b has no image, so that no error counts it",)
    assert data.labels(None, 4).tolist() == [0, 0, 2, 2, 3, 3]
    assert data.labels(("d", "c", "a"), 3).tolist() == [2, 2, 1, 1, 0, 0]
    assert data.subset(2).labels(("d", "c", "a"), 3).tolist() == [2, 1]
    with pytest.raises(DataError, match=r"has 3 classes without names and .* 4 classes, 1 of them without an image"):
        data.labels(None, 3)
    train, _ = open_training_data(tmp_path)
    assert train.class_names == ("a", "c", "d")
    with pytest.raises(DataError, match="holds no image, nor does any other"):
        open_data(_encoded(tmp_path / "none", "a/x.txt", "b/y.txt"))


def test_an_empty_folder_of_imagenetv2_is_said(tmp_path: Path) -> None:
    _encoded(tmp_path, *(f"{number}/{number:040x}.jpeg" for number in range(999)))
    (tmp_path / "999").mkdir()
    data = open_data(tmp_path)
    assert data.labels(wnids(), 1000).tolist() == list(range(999))
    assert "class n15075141 has no image, so that no error counts it" in data.notes


def test_what_was_not_asked_did_not_label(tmp_path: Path) -> None:
    """Images of one's own that are called as ILSVRC's, and one of ILSVRC's among others."""
    own = open_data(_encoded(tmp_path / "own", f"cat/{forms.IDS[0]}.JPEG", "dog/2.JPEG"))
    assert own.labelled_by == "where the images lie"
    some = open_data(_encoded(tmp_path / "some", f"{forms.WNIDS[0]}/{forms.IDS[0]}.JPEG", "n01440764/2.JPEG"))
    shipped = "the labels of ILSVRC-2012 val that vggbench ships"
    assert some.labelled_by == f"where the images lie, {shipped} (1 of 2 images)"


def test_sets_of_fewer_classes_say_so(flat: Path, tmp_path: Path) -> None:
    few = open_data(_encoded(tmp_path / "imagenet-r", *(f"{wnid}/{wnid}.jpg" for wnid in wnids()[:200])))
    (note,) = few.notes
    assert note.startswith("the images are of 200 of ILSVRC's 1,000 classes, and nets choose among all 1,000")
    assert open_data(_encoded(tmp_path / "own", "cat/1.jpg")).notes == ()
    all_of_them = _encoded(tmp_path / "all", *(f"{wnid}/{wnid}_1.jpg" for wnid in wnids()))
    assert open_data(all_of_them).notes == ()


def test_numbered_folders_say_in_which_order_they_count(tmp_path: Path) -> None:
    """A net that torchvision's ImageFolder trained has 10 before 2: without names nothing else would tell."""
    (note,) = open_data(_encoded(tmp_path / "11", *(f"{i}/{i}.jpg" for i in range(11)))).notes
    assert "count in their order, 2 before 10; torchvision's ImageFolder sorts them as text" in note
    assert open_data(_encoded(tmp_path / "10", *(f"{i}/{i}.jpg" for i in range(10)))).notes == ()


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("ILSVRC2012_val_00000001.JPEG.jpg", True),
        ("ilsvrc2012_val_00000001.jpeg", True),
        ("ilsvrc2012_val_00000001_n01751748.jpeg.webp", True),
        ("ILSVRC2012_VAL_00000001.JPG", True),
        ("ILSVRC2012_val_00000001.jfif", True),
        ("ILSVRC2012_val_00000001_256.JPEG", False),
        ("ILSVRC2012_val_000000011.JPEG", False),
        ("ILSVRC2012_val_0000001.JPEG", False),
        ("xILSVRC2012_val_00000001.JPEG", False),
    ],
)
def test_a_renamed_validation_image_is_known_and_no_other(name: str, known: bool, tmp_path: Path) -> None:
    _encoded(tmp_path, name)
    if known:
        (image,) = open_data(tmp_path).images
        assert (image.id, image.class_name) == (forms.IDS[0], forms.WNIDS[0])
    else:
        with pytest.raises(DataError, match="has no class"):
            open_data(tmp_path)


def test_an_image_under_two_of_its_names_stands_twice(tmp_path: Path) -> None:
    _encoded(tmp_path, "ILSVRC2012_val_00000001.JPEG", "ilsvrc2012_val_00000001.jpeg.jpg")
    with pytest.raises(DataError, match="ILSVRC2012_val_00000001, occurs twice"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["n01440764_1.JPEG.jpg", "N01440764_1.jpeg", "ilsvrc2012_val_00000009_n01440764.jpeg.jpg", "x_n01440764.JPEG.webp"],
)
def test_a_renamed_image_still_states_its_class(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is n01443537 by its place and n01440764 by its own name"):
        open_data(_encoded(tmp_path, f"n01443537/{name}", "n01484850/n01484850_1.JPEG"))

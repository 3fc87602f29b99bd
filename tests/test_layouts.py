"""One validation set in every form people hold it: the same images, labels, fingerprint and posteriors."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import forms
import numpy as np
import pytest
import torch
from torch import Tensor

from vggbench import Job, LoadOptions, Model, ModelSpec, Protocol, Settings, evaluate, load_model, open_data, posteriors
from vggbench.data import open_training_data
from vggbench.data.imagenet import wnids
from vggbench.data.layouts import LAYOUTS
from vggbench.errors import DataError


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


@pytest.mark.parametrize("form", forms.FORMS)
def test_every_form_gives_the_same_to_the_last_bit(
    form: str, flat: Path, model: Model, expected: tuple[str, np.ndarray], tmp_path: Path
) -> None:
    path = forms.FORMS[form](flat, tmp_path / "data")
    data = open_data(path)
    assert [image.id for image in data.images] == list(forms.IDS)
    assert data.labels(model.class_names, 1000).tolist() == list(forms.LABELS)
    assert (data.name, data.total) == ("ilsvrc12-val", 50_000)
    fingerprint, found = _measured(path, model, tmp_path)
    assert fingerprint == expected[0]
    np.testing.assert_array_equal(found, expected[1])
    assert found.max(1).mean() > 0.05, "peaked enough for a wrong image or label to show"


def test_every_layout_of_the_table_is_one_of_those_forms(flat: Path, tmp_path: Path) -> None:
    met = {
        open_data(form(flat, tmp_path / name)).layout.removesuffix(" in a tar") for name, form in forms.FORMS.items()
    }
    assert met == {layout.name for layout in LAYOUTS} - {"folders 0 to 999"}


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

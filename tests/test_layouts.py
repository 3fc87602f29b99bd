"""One validation set in every form people hold it: the same images, labels, fingerprint and posteriors."""

from collections.abc import Callable
from pathlib import Path

import forms
import numpy as np
import pytest
import torch
from torch import Tensor

from vggbench import Job, LoadOptions, Model, ModelSpec, Protocol, Settings, evaluate, load_model, open_data, posteriors
from vggbench.data.layouts import LAYOUTS


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

"""A training from Python, without the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from vggbench.data import DataSet
from vggbench.errors import UsageError, WeightsError
from vggbench.evaluation.processes import World
from vggbench.paper.configs import CONFIGS
from vggbench.train.recipe import Epoch, Recipe, TrainWatch
from vggbench.train.session import TrainListener, TrainRequest, conduct
from vggbench.weights.load import save_model

RECIPE = Recipe(epochs=1, batch_size=4)


class Heard(TrainListener):
    """Writes down what it is told, in order."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def note(self, sentence: str) -> None:
        self.all.append(f"Note: {sentence}")

    def say(self, sentence: str) -> None:
        self.all.append(sentence.partition(" ")[0])

    def opened(self, recipe: Recipe, train_data: DataSet, val_data: DataSet, world: World) -> None:
        self.all.append(f"opened {len(train_data)} and {len(val_data)} for {world.size}")

    @contextmanager
    def training(self) -> Iterator[TrainWatch]:
        self.all.append("training")
        yield _Epochs(self.all)
        self.all.append("trained")


class _Epochs(TrainWatch):
    def __init__(self, told: list[str]) -> None:
        self._told = told

    def epoch(self, epoch: Epoch) -> None:
        self._told.append(f"epoch {epoch.number}")


@pytest.fixture
def folder(pictures: Path, tmp_path: Path) -> Path:
    """The four pictures, to train on and to validate on."""
    for split in ("train", "val"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / split).symlink_to(pictures)
    return tmp_path / "data"


def test_a_training_by_one_call(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = TrainRequest(
        config=CONFIGS["A"], data=str(folder), recipe=RECIPE, width=1 / 64, device="cpu", workers=0
    )  # fmt: skip
    heard = Heard()
    with monkeypatch.context() as patched:
        patched.setattr("vggbench.train.session.fallen_back", lambda asked, device: f"{asked} is a {device}.")
        found = conduct(request, heard)
    assert found
    trained, val_data = found
    assert len(val_data) == 4
    assert len(trained.log) == 1
    assert heard.all == ["Note: cpu is a cpu.", "opened 4 and 4 for 1", "You", "training", "epoch 1", "trained"]
    silent = conduct(request)
    assert silent
    assert silent[0].log[0].loss == trained.log[0].loss, "who listens changes nothing"
    assert capfd.readouterr() == ("", ""), "a library prints nothing"


def test_what_fits_of_a_start_with_other_kernels_is_said(folder: Path, tmp_path: Path) -> None:
    request = TrainRequest(
        config=CONFIGS["A"], data=str(folder), recipe=RECIPE, width=1 / 64, device="cpu", workers=0
    )  # fmt: skip
    trained, start = conduct(request), tmp_path / "a.safetensors"
    assert trained
    save_model(trained[0].model, start, recipe=trained[0].record)
    heard = Heard()
    assert conduct(replace(request, config=CONFIGS["B-5x5"], start=f"A@{start}"), heard)
    assert heard.all[:2] == ["No", "opened 4 and 4 for 1"]
    assert conduct(replace(request, config=CONFIGS["B"], start=f"A@{start}"), heard := Heard())
    assert heard.all[0] == "opened 4 and 4 for 1"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": None}, "No images to train on"),
        ({"config": CONFIGS["A-BN"]}, "A-BN has batch normalisation"),
        ({"width": 0.0}, "--width 0"),
        ({"precision": "fp8"}, "--precision fp8: expected one of fp32"),
        ({"workers": -1}, "--workers -1"),
        ({"accumulate": 0}, "--accumulate 0"),
        ({"input": "jpeg"}, "--input jpeg"),
        ({"start": "A@nowhere.pth"}, "There is no readable weights file"),
        ({"runs": Path(__file__)}, "--runs .*: expected a folder"),
    ],
)
def test_what_cannot_be_is_refused_before_images_are_listed(
    changes: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opens(path: str) -> tuple[DataSet, DataSet]:
        raise AssertionError("images were listed")

    monkeypatch.setattr("vggbench.train.session.open_training_data", opens)
    usual = {"config": CONFIGS["A"], "data": "sample", "recipe": RECIPE, "device": "cpu"}
    with pytest.raises((UsageError, WeightsError), match=said):
        conduct(TrainRequest(**usual | changes))  # type: ignore[arg-type]

"""The trainer: how nets start, the schedule, what a step sees, and that a killed training ends in the same bits."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vggbench import INPUTS, VGG, Model, Settings, open_data
from vggbench.cli.options import TrainOptions
from vggbench.configs import CONFIGS
from vggbench.data import DataSet, ImageFile, open_training_data
from vggbench.errors import DataError, NumericsError, StoreError, UnreadableImages, UsageError
from vggbench.train import Epoch, Recipe, TrainWatch, loop, statistics, train
from vggbench.train.crops import Crops, batches
from vggbench.train.start import begin

FC = {f"classifier.{index}.{kind}" for index in (0, 3, 6) for kind in ("weight", "bias")}
FROM_A = {
    "B": {0: 0, 5: 3, 10: 6, 12: 8},
    "C": {0: 0, 5: 3, 10: 6, 12: 8},
    "D": {0: 0, 5: 3, 10: 6, 12: 8},
    "E": {0: 0, 5: 3, 10: 6, 12: 8},
}
"""features.N of each net, and of A, for conv1_1, conv2_1, conv3_1 and conv3_2."""


def _model(config: str, weights: dict[str, Tensor]) -> Model:
    net = VGG(CONFIGS[config], 4, 1 / 16)
    net.load_state_dict(weights)
    return Model(config, net.eval(), INPUTS["caffe"], 4, None, "")


# ---------------------------------------------------------------- how nets start


@pytest.mark.parametrize("config", ["B", "C", "D", "E"])
def test_deeper_nets_take_exactly_what_the_paper_says(config: str, peaked: Callable[..., dict[str, Tensor]]) -> None:
    source = peaked("A")
    fresh, net = VGG(CONFIGS[config], 4, 1 / 16), VGG(CONFIGS[config], 4, 1 / 16)
    begin(fresh, Recipe(), None)
    taken = begin(net, Recipe(), _model("A", source))
    convs = {f"features.{n}.{kind}" for n in FROM_A[config] for kind in ("weight", "bias")}
    assert set(taken) == convs | FC
    for name, tensor in net.state_dict().items():
        if name in taken:
            _, number, kind = name.split(".")
            origin = name if name in FC else f"features.{FROM_A[config][int(number)]}.{kind}"
            assert tensor.equal(source[origin])
        else:
            assert tensor.equal(fresh.state_dict()[name])


@pytest.mark.parametrize("config", ["A", "A-LRN"])
def test_nets_of_the_same_layers_take_all(config: str, peaked: Callable[..., dict[str, Tensor]]) -> None:
    net = VGG(CONFIGS[config], 4, 1 / 16)
    begin(net, Recipe(), _model("A", peaked("A")))
    assert all(tensor.equal(peaked("A")[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("config", ["B", "C", "D", "E"])
def test_identity_starts_as_the_trained_net(config: str, peaked: Callable[..., dict[str, Tensor]]) -> None:
    start = _model("A", peaked("A"))
    net = VGG(CONFIGS[config], 4, 1 / 16).eval()
    begin(net, Recipe(init="identity"), start)
    images = torch.rand(2, 3, 224, 224) * 4 - 2
    with torch.inference_mode():
        torch.testing.assert_close(net(images), start.network(images), rtol=1e-5, atol=1e-5)


def test_what_cannot_start_a_net_is_refused(peaked: Callable[..., dict[str, Tensor]]) -> None:
    net = VGG(CONFIGS["A"], 4, 1 / 16)
    with pytest.raises(UsageError, match="expected --from"):
        begin(net, Recipe(init="identity"), None)
    with pytest.raises(UsageError, match="D has conv1_2 and A has not"):
        begin(net, Recipe(init="identity"), _model("D", peaked("D")))
    with pytest.raises(UsageError, match=r"features.0.weight of shape \(4, 3, 3, 3\): expected \(8, 3, 3, 3\)"):
        begin(VGG(CONFIGS["D"], 4, 1 / 8), Recipe(), _model("A", peaked("A")))


# ---------------------------------------------------------------- the recipe


def test_the_rate_drops_when_the_error_has_stopped_improving() -> None:
    recipe = Recipe(epochs=30, patience=2, drops=2, rate=1.0)
    errors = [9.0, 8, 8, 8, 7, 7, 7, 7, 7]
    rates = [recipe.rate_after(errors[:count]) for count in range(len(errors) + 1)]
    assert rates[:-1] == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])
    assert rates[-1] is None
    assert Recipe(epochs=3).rate_after([3, 2, 1]) is None


def test_the_command_lines_defaults_are_the_recipes() -> None:
    recipe, options = Recipe(), TrainOptions()
    for item in fields(Recipe):
        assert str(getattr(options, item.name)) == str(getattr(recipe, item.name)), item.name


def test_a_recipe_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--dropout 1\.5: expected 0 to 0.95"):
        Recipe(dropout=1.5)
    with pytest.raises(UsageError, match="--init best: expected one of glorot, he, identity"):
        Recipe(init="best")  # type: ignore[arg-type]


# ---------------------------------------------------------------- what a step sees


def test_statistics_are_the_pixels(pictures: Path) -> None:
    found = statistics(open_data(pictures))
    assert all(0.2 < mean < 0.8 for mean in found.mean)
    assert found.input("std").mean == found.mean
    np.testing.assert_allclose(found.input("mean").mean, np.array(found.mean) * 255, atol=0.01)
    components = np.array(found.components)
    assert components.shape == (3, 3)
    np.testing.assert_allclose(components @ components.T, np.diag(np.diag(components @ components.T)), atol=1e-12)


def test_an_epoch_shows_every_image_once_whatever_is_skipped(many_pictures: Path) -> None:
    data, recipe = open_data(many_pictures), Recipe(batch_size=8)
    labels = np.arange(len(data), dtype=np.int32)  # each image its own label, to know it again
    crops = Crops(data, labels, np.zeros((3, 3)), recipe)
    whole = [batch.labels.tolist() for batch in batches(crops, 0)]
    assert sorted(itertools.chain.from_iterable(whole)) == list(range(len(data)))
    assert [batch.labels.tolist() for batch in batches(crops, 0, skip=3)] == whole[3:]
    assert [batch.labels.tolist() for batch in batches(crops, 1)] != whole


def test_jitter_is_uniform_and_the_shift_has_krizhevskys_covariance(pictures: Path) -> None:
    data = open_data(pictures)
    one = DataSet("one", data.images[:1] * 4000, 4000)
    components = np.diag([0.2, 0.02, 0.01])
    crops = Crops(one, np.zeros(4000, dtype=np.int32), components, Recipe())
    shifts = np.array([crops._shift(np.random.default_rng(i)).numpy() for i in range(4000)])
    np.testing.assert_allclose(shifts.mean(0), 0, atol=1.5e-3)
    np.testing.assert_allclose(np.cov(shifts.T), 0.01 * components @ components.T, atol=3e-5)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named(tmp_path: Path, many_pictures: Path, workers: int) -> None:
    data = open_data(many_pictures)
    broken = tmp_path / "broken.JPEG"
    broken.write_text("text")
    images = (*data.images, ImageFile("z", broken, 4, data.folders[0]))
    crops = Crops(DataSet("d", images, len(images)), np.zeros(len(images), np.int32), np.zeros((3, 3)), Recipe())
    with pytest.raises(UnreadableImages, match=r"^\S*broken.JPEG is no image: expected an image"):
        list(batches(crops, 0, workers=workers))


# ---------------------------------------------------------------- training

QUICK = Recipe(batch_size=10, epochs=2, rate=0.001, dropout=0.3)
SETTINGS = Settings(device="cpu", workers=0)


class _StoppedError(Exception):
    pass


class _StopAt(TrainWatch):
    """Stops a training before its `step`-th step is stored."""

    def __init__(self, step: int) -> None:
        self.left, self.carried = step, 0

    def begun(self, epochs: Sequence[Epoch], images: int, epoch_images: int) -> None:
        self.carried = len(epochs) * epoch_images + images

    def step(self, images: int, loss: float) -> None:
        self.left -= 1
        if not self.left:
            raise _StoppedError


def test_a_killed_training_ends_in_the_same_bits(
    many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    data = open_data(many_pictures)
    whole = train(CONFIGS["A"], data, data, QUICK, width=1 / 16, settings=SETTINGS)
    for step in (3, 4, 6):
        with pytest.raises(_StoppedError):
            train(CONFIGS["A"], data, data, QUICK, width=1 / 16, runs=tmp_path, settings=SETTINGS, watch=_StopAt(step))
    watch = _StopAt(0)
    again = train(CONFIGS["A"], data, data, QUICK, width=1 / 16, runs=tmp_path, settings=SETTINGS, watch=watch)
    assert watch.carried == 100  # 2 + 3 + 5 steps of ten
    assert again.model.weights_hash == whole.model.weights_hash
    assert [epoch.loss for epoch in again.log] == [epoch.loss for epoch in whole.log]
    (log,) = tmp_path.glob("train-A-*/log.csv")
    assert log.read_text().count("\n") == 3
    other = replace(QUICK, seed=1)
    third = train(CONFIGS["A"], data, data, other, width=1 / 16, runs=tmp_path, settings=SETTINGS)
    assert third.model.weights_hash != whole.model.weights_hash


def test_a_damaged_checkpoint_is_named(many_pictures: Path, tmp_path: Path) -> None:
    data, recipe = open_data(many_pictures), replace(QUICK, epochs=1)
    train(CONFIGS["A"], data, data, recipe, width=1 / 16, runs=tmp_path, settings=SETTINGS)
    (path,) = tmp_path.glob("*/checkpoint.safetensors")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StoreError, match=r"cannot be carried on .* Remove it to train from the beginning"):
        train(CONFIGS["A"], data, data, recipe, width=1 / 16, runs=tmp_path, settings=SETTINGS)


def test_a_loss_that_is_not_finite_stops_with_a_sentence(many_pictures: Path) -> None:
    data = open_data(many_pictures)
    with pytest.raises(NumericsError, match=r"The loss is (nan|inf) .* at rate 100: expected a finite one"):
        train(CONFIGS["A"], data, data, replace(QUICK, rate=100.0), width=1 / 16, settings=SETTINGS)


def test_other_classes_are_refused_before_any_work(many_pictures: Path, peaked: Callable[..., object]) -> None:
    data = open_data(many_pictures)
    start = replace(_model("A", peaked("A")), class_names=("a", "b", "c", "d"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="A was trained on other classes than many"):
        train(CONFIGS["B"], data, data, QUICK, width=1 / 16, start=start, settings=SETTINGS)


# ---------------------------------------------------------------- the data of a training


def test_train_and_val_stand_side_by_side(tmp_path: Path, many_pictures: Path) -> None:
    (tmp_path / "train").symlink_to(many_pictures)
    with pytest.raises(DataError, match=r"only one of train/ and val/"):
        open_training_data(tmp_path)
    (tmp_path / "val").symlink_to(many_pictures)
    train_data, val_data = open_training_data(tmp_path)
    assert (len(train_data), len(val_data), train_data.folders) == (70, 70, val_data.folders)


def test_one_image_of_ten_is_held_out_of_a_single_set(many_pictures: Path) -> None:
    data = open_data(many_pictures)
    train_data, val_data = open_training_data(many_pictures)
    assert {image.id for image in train_data.images} | {image.id for image in val_data.images} == {
        image.id for image in data.images
    }
    assert (len(train_data), len(val_data)) == (62, 8)
    assert train_data.folders == val_data.folders == data.folders
    assert "one image of ten in each class, 8, is held out" in train_data.notes[-1]

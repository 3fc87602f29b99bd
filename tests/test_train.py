"""The trainer: how nets start, the schedule, what a step sees, and that a killed training ends in the same bits."""

import itertools
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Result
from torch import Tensor

from vggbench import INPUTS, VGG, Model, Settings, open_data
from vggbench.cli.train_options import TrainOptions
from vggbench.data import DataSet, ImageFile, open_training_data
from vggbench.errors import DataError, NumericsError, StoreError, UnreadableImages, UsageError, VggbenchError
from vggbench.evaluation.processes import World
from vggbench.images.pixels import decode, rescale
from vggbench.images.preprocessing import Rescale
from vggbench.paper.configs import CONFIGS
from vggbench.paper.protocols import TrainScale
from vggbench.store.identity import Identity
from vggbench.train.crops import Crops, batches
from vggbench.train.loop import train
from vggbench.train.recipe import Epoch, Recipe, TrainWatch
from vggbench.train.start import begin
from vggbench.train.statistics import ILSVRC, Kept, measure
from vggbench.train.step import Running
from vggbench.weights.files import read_tensors, write_tensors

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
    return Model(Identity(config, INPUTS["caffe"], 4, None, ""), net.eval())


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


@pytest.mark.parametrize(("source", "config"), [("A", "B-5x5"), ("B-5x5", "B")])
def test_between_5x5_and_3x3_layers_only_fc_layers_are_taken(
    source: str, config: str, peaked: Callable[..., dict[str, Tensor]]
) -> None:
    fresh, net = VGG(CONFIGS[config], 4, 1 / 16), VGG(CONFIGS[config], 4, 1 / 16)
    begin(fresh, Recipe(), None)
    assert set(begin(net, Recipe(), _model(source, peaked(source)))) == FC
    for name, tensor in net.state_dict().items():
        assert tensor.equal((peaked(source) if name in FC else fresh.state_dict())[name])


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
        torch.testing.assert_close(net(images), start.module(images), rtol=1e-5, atol=1e-5)


def test_the_shallow_control_starts_from_random_weights_as_a_does() -> None:
    assert begin(VGG(CONFIGS["B-5x5"], 4, 1 / 16), Recipe(init="paper"), None) == []
    with pytest.raises(UsageError, match="starts nets deeper than A from a trained A"):
        begin(VGG(CONFIGS["B"], 4, 1 / 16), Recipe(init="paper"), None)


def test_what_cannot_start_a_net_is_refused(peaked: Callable[..., dict[str, Tensor]]) -> None:
    net = VGG(CONFIGS["A"], 4, 1 / 16)
    with pytest.raises(UsageError, match="expected --from"):
        begin(net, Recipe(init="identity"), None)
    with pytest.raises(UsageError, match="D has conv1_2 and A has not"):
        begin(net, Recipe(init="identity"), _model("D", peaked("D")))
    with pytest.raises(UsageError, match="all convolutions of A, and none fits B-5x5"):
        begin(VGG(CONFIGS["B-5x5"], 4, 1 / 16), Recipe(init="identity"), _model("A", peaked("A")))
    with pytest.raises(UsageError, match=r"features.0.weight is not in A: expected a trained B-5x5"):
        begin(VGG(CONFIGS["B-5x5"], 4, 1 / 16), Recipe(train_layers="fc"), _model("A", peaked("A")))
    with pytest.raises(UsageError, match=r"features.2.weight is not in A: expected a trained D"):
        begin(VGG(CONFIGS["D"], 4, 1 / 16), Recipe(train_layers="fc"), _model("A", peaked("A")))
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
        if item.name != "train_scale":  # of the net to start from, where it states one
            assert str(getattr(options, item.name)) == str(getattr(recipe, item.name)), item.name
    assert options.recipe() == recipe


def test_the_input_is_the_papers_with_its_inits_and_of_unit_variance_with_the_others() -> None:
    assert {init: Recipe(init=init).as_dict()["normalise"] for init in ("glorot", "he", "paper", "paper-literal")} == {
        "glorot": "std", "he": "std", "paper": "mean", "paper-literal": "mean",
    }  # fmt: skip
    assert Recipe(normalise="mean").as_dict()["normalise"] == "mean"


def test_a_recipe_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--dropout 1\.5: expected 0 to 0.95"):
        Recipe(dropout=1.5)
    with pytest.raises(UsageError, match="--normalise best: expected one of auto, mean, std"):
        Recipe(normalise="best")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--init best: expected one of glorot, paper"):
        Recipe(init="best")  # type: ignore[arg-type]


# ---------------------------------------------------------------- what a step sees


@pytest.mark.parametrize("workers", [0, 2])
def test_statistics_are_those_of_all_pixels(many_pictures: Path, workers: int) -> None:
    data, told = open_data(many_pictures), list[int]()
    found = measure(data, workers=workers, tell=told.append)
    pixels = [rescale(decode(image.read()), 224, Rescale()).flatten(1).double() / 255 for image in data.images]
    values = torch.cat(pixels, 1).numpy()
    np.testing.assert_allclose(found.mean, values.mean(1), atol=5e-5)
    np.testing.assert_allclose(found.std, values.std(1), atol=5e-5)
    components = np.array(found.components)  # each eigenvector times its eigenvalue
    for component in components:
        size = np.linalg.norm(component)
        np.testing.assert_allclose(np.cov(values) @ component, size * component, atol=1e-6)
    assert told == list(range(1, len(data) + 1))
    assert found.input(standardised=True).mean == found.mean
    np.testing.assert_allclose(found.input(standardised=False).mean, np.array(found.mean) * 255, atol=0.01)


def test_statistics_are_measured_once(many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGGBENCH_CACHE", str(tmp_path))
    data = open_data(many_pictures)

    class Measured(TrainWatch):
        images = 0

        def measured(self, images: int, of: int) -> None:
            self.images += 1

    def of_a_training() -> int:
        watch, recipe = Measured(), replace(QUICK, epochs=1, batch_size=70)
        train(CONFIGS["A"], data, data, recipe, width=1 / 16, running=ALONE, watch=watch)
        return watch.images

    assert [of_a_training(), of_a_training()] == [len(data), 0]
    (file,) = tmp_path.glob("statistics-*/*.json")
    assert Kept(tmp_path, data).read() == measure(data)
    for damaged in ("", "{}", '{"mean": [0, 0], "std": [0, 0, 0], "components": []}', file.read_text()[:-9]):
        file.write_text(damaged)
        assert Kept(tmp_path, data).read() is None


def test_ilsvrcs_colour_shift_is_a_few_grey_levels() -> None:
    first = 255 * 0.1 * float(np.linalg.norm(ILSVRC.components[0]))
    assert 2 < first < 15


def test_the_jitter_is_uniform_and_ends_at_both_ends(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def note(pixels: Tensor, scale: int, how: object) -> Tensor:
        drawn.append(scale)
        return torch.zeros(3, 224, 224, dtype=torch.uint8)

    monkeypatch.setattr("vggbench.train.crops.rescale", note)
    monkeypatch.setattr(
        "vggbench.train.crops.decode_listening", lambda data: (torch.zeros(3, 224, 224, dtype=torch.uint8), None)
    )
    images = open_data(pictures).images[:1] * 4000
    recipe = Recipe(train_scale=TrainScale(256, 512))
    crops = Crops(DataSet("d", images, 4000), np.zeros(4000, np.int32), np.zeros((3, 3)), recipe)
    for index in range(4000):
        crops.one(index)
    assert (min(drawn), max(drawn)) == (256, 512)
    assert abs(np.mean(drawn) - 384) < 5
    assert abs(np.std(drawn) - 257 / 12**0.5) < 2


def test_an_epoch_shows_every_image_once_whatever_is_skipped(many_pictures: Path) -> None:
    data, recipe = open_data(many_pictures), Recipe(batch_size=8)
    labels = np.arange(len(data), dtype=np.int32)  # each image its own label, to know it again
    crops = Crops(data, labels, np.zeros((3, 3)), recipe)
    whole = [batch.labels.tolist() for batch in batches(crops, 0)]
    assert sorted(itertools.chain.from_iterable(whole)) == list(range(len(data)))
    assert [batch.labels.tolist() for batch in batches(crops, 0, skip=3)] == whole[3:]
    assert [batch.labels.tolist() for batch in batches(crops, 1)] != whole


def test_the_colour_shift_has_krizhevskys_covariance(pictures: Path) -> None:
    data = open_data(pictures)
    one = DataSet("one", data.images[:1] * 10_000, 10_000)
    components = np.diag([0.2, 0.02, 0.01])
    crops = Crops(one, np.zeros(10_000, dtype=np.int32), components, Recipe())
    shifts = np.array([crops._shift(np.random.default_rng(i)).numpy() for i in range(10_000)])
    np.testing.assert_allclose(shifts.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(shifts.T), 0.01 * components @ components.T, atol=3e-5)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named(tmp_path: Path, many_pictures: Path, workers: int) -> None:
    data = open_data(many_pictures)
    broken = tmp_path / "broken.JPEG"
    broken.write_text("text")
    images = (*data.images, ImageFile("z", broken, 4, data.class_names[0]))
    crops = Crops(DataSet("d", images, len(images)), np.zeros(len(images), np.int32), np.zeros((3, 3)), Recipe())
    with pytest.raises(UnreadableImages, match=r"^\S*broken.JPEG is no image: expected an image"):
        list(batches(crops, 0, workers=workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_complaint_of_libjpeg_goes_with_the_batch(
    tmp_path: Path, many_pictures: Path, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    data = open_data(many_pictures)
    content = bytearray(data.images[0].read())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    (tmp_path / "damaged.JPEG").write_bytes(content)
    images = (*data.images[:5], ImageFile("z", tmp_path / "damaged.JPEG", len(content), data.class_names[0]))
    few = DataSet("d", images, len(images))
    crops = Crops(few, np.zeros(len(images), np.int32), np.zeros((3, 3)), Recipe(batch_size=3))
    first, second = batches(crops, 0, workers=workers)
    assert [*first.doubt, *second.doubt] == [
        f"{tmp_path / 'damaged.JPEG'} (Corrupt JPEG data: premature end of data segment)"
    ]
    measure(few)
    assert capfd.readouterr().err == ""


# ---------------------------------------------------------------- training

QUICK = Recipe(batch_size=10, epochs=2, rate=0.001, dropout=0.3)
ALONE = Running(Settings(device="cpu", workers=0))


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


def test_a_killed_training_ends_in_the_same_bits(many_pictures: Path, tmp_path: Path) -> None:
    data, few, running = (
        open_data(many_pictures),
        open_data(many_pictures).subset(8),
        replace(ALONE, checkpoint_minutes=0),
    )
    whole = train(CONFIGS["A"], data, few, QUICK, width=1 / 16, running=ALONE)
    for step in (3, 4, 6):
        with pytest.raises(_StoppedError):
            train(CONFIGS["A"], data, few, QUICK, width=1 / 16, runs=tmp_path, running=running, watch=_StopAt(step))
    watch = _StopAt(0)
    again = train(CONFIGS["A"], data, few, QUICK, width=1 / 16, runs=tmp_path, running=ALONE, watch=watch)
    assert watch.carried == 100  # 2 + 3 + 5 steps of ten
    assert again.model.identity.weights_hash == whole.model.identity.weights_hash
    assert [epoch.loss for epoch in again.log] == [epoch.loss for epoch in whole.log]
    (log,) = tmp_path.glob("train-A-*/log.csv")
    assert log.read_text().count("\n") == 3
    other = replace(QUICK, seed=1)
    third = train(CONFIGS["A"], data, few, other, width=1 / 16, runs=tmp_path, running=ALONE)
    assert third.model.identity.weights_hash != whole.model.identity.weights_hash


class _Losses(TrainWatch):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def step(self, images: int, loss: float) -> None:
        self.losses.append(loss)


def _losses(data: DataSet, recipe: Recipe, running: Running) -> list[float]:
    watch = _Losses()
    train(CONFIGS["A"], data, data.subset(8), recipe, width=1 / 16, running=running, watch=watch)
    return watch.losses


@pytest.mark.thorough
def test_accumulated_gradients_are_those_of_the_whole_batch(many_pictures: Path) -> None:
    data, recipe = open_data(many_pictures), Recipe(batch_size=32, epochs=4, dropout=0.0, rate=3e-4, normalise="std")
    whole = _losses(data, recipe, ALONE)
    parts = _losses(data, recipe, replace(ALONE, accumulate=4))
    assert len(whole) == 12
    np.testing.assert_allclose(parts, whole, atol=1e-5)


@pytest.mark.thorough
def test_two_processes_see_the_same_images_and_losses_as_one(many_pictures: Path, tmp_path: Path) -> None:
    # 70 images at 23 a step: 23, 23, 23 and 1, so that the shares differ and one process has none at the end.
    recipe = Recipe(batch_size=23, epochs=5, dropout=0.0, rate=3e-4, normalise="std")
    alone = _losses(open_data(many_pictures), recipe, ALONE)
    script = tmp_path / "two.py"
    script.write_text(_TWO)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", _free_port()]
    subprocess.run([*torchrun, script, many_pictures, tmp_path], check=True, capture_output=True)
    told = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert len(alone) == 20
    assert told[0]["losses"] == told[1]["losses"]
    np.testing.assert_allclose(told[0]["losses"], alone, atol=1e-5)
    assert told[0]["hash"] == told[1]["hash"]
    assert told[0]["error"] == told[1]["error"]


_TWO = """
import json, sys
from pathlib import Path
import torch
from vggbench import Settings, open_data
from vggbench.paper.configs import CONFIGS
from vggbench.train.loop import train
from vggbench.train.recipe import TrainWatch
from vggbench.train.recipe import Recipe
from vggbench.train.step import Running
from vggbench.evaluation.processes import joined

class Losses(TrainWatch):
    losses = []
    def step(self, images, loss):
        self.losses.append(loss)

data = open_data(sys.argv[1])
with joined(torch.device("cpu")) as world:
    recipe = Recipe(batch_size=23, epochs=5, dropout=0.0, rate=3e-4, normalise="std")
    running = Running(Settings(device="cpu", workers=0), world=world)
    trained = train(CONFIGS["A"], data, data.subset(8), recipe, width=1 / 16, running=running, watch=Losses())
    told = {"losses": Losses.losses, "hash": trained.model.identity.weights_hash, "error": trained.top1_error}
    Path(sys.argv[2], f"{world.rank}.json").write_text(json.dumps(told))
"""


class _Pair(World):
    """The first of two processes, of which the other trains with another seed."""

    def gather(self, own: object) -> list[object]:  # type: ignore[override]
        return [own, ["train-A-1f2e3d4c"]]


def test_processes_that_train_different_nets_are_refused(many_pictures: Path, tmp_path: Path) -> None:
    data, recipe = open_data(many_pictures), Recipe(epochs=1, statistics="ilsvrc")
    running = replace(ALONE, world=_Pair(0, 2))
    with pytest.raises(VggbenchError, match=r"^Process 0 would compute train-A-.*, and Process 1 train-A-1f2e3d4c"):
        train(CONFIGS["A"], data, data.subset(8), recipe, width=1 / 64, runs=tmp_path, running=running)
    assert list(tmp_path.iterdir()) == [], "before anything is written"


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_every_batch_without_loss_or_repetition(many_pictures: Path, processes: int) -> None:
    data = open_data(many_pictures)
    crops = Crops(data, np.arange(len(data), dtype=np.int32), np.zeros((3, 3)), Recipe(batch_size=23))
    whole = [batch.labels.tolist() for batch in batches(crops, 0)]
    shares = [list(batches(crops, 0, rank=rank, processes=processes)) for rank in range(processes)]
    for place, expected in enumerate(whole):
        counted = [share[place].labels.tolist()[: share[place].own] for share in shares]
        assert sorted(itertools.chain.from_iterable(counted)) == sorted(expected)
        assert {share[place].whole for share in shares} == {len(expected)}


def test_a_net_that_continues_another_keeps_its_input(many_pictures: Path, peaked: Callable[..., object]) -> None:
    data, recipe = open_data(many_pictures), replace(QUICK, epochs=1, rate=1e-9, train_layers="fc")
    start = _model("A", peaked("A")).with_identity(class_names=data.class_names)  # type: ignore[arg-type]
    trained = train(CONFIGS["A"], data, data, recipe, width=1 / 16, start=start, running=ALONE).model
    assert trained.identity.input == INPUTS["caffe"]


@pytest.mark.thorough
def test_a_table_of_images_that_training_saw_says_so(
    many_pictures: Path, tmp_path: Path, vggbench: Callable[..., Result]
) -> None:
    for place in ("train/apple", "train/boat", "val/boat"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).symlink_to(many_pictures / Path(place).name)
    file = tmp_path / "a.safetensors"
    run = vggbench("train", "A", "--data", tmp_path, "--width", 1 / 16, "--epochs", 1, "--output", file)
    assert run.code == 0, run.err
    assert "center, Q=256), its only epoch's; " in run.out
    assert "left" not in run.err, "nothing is, after the last epoch"
    seen = vggbench("eval", f"A@{file}", "--data", tmp_path / "train", "--center").out
    chosen = vggbench("eval", f"A@{file}", "--data", tmp_path, "--center").out
    assert "was trained on these images" in seen
    assert "was selected by its error on these images" in chosen


def test_train_layers_fc_leaves_the_convolutions_alone(many_pictures: Path, peaked: Callable[..., object]) -> None:
    data, recipe = open_data(many_pictures), replace(QUICK, epochs=1, train_layers="fc")
    weights: dict[str, Tensor] = peaked("A")  # type: ignore[assignment]
    start = _model("A", weights).with_identity(class_names=data.class_names)
    trained = train(CONFIGS["A"], data, data, recipe, width=1 / 16, start=start, running=ALONE).model.module
    assert isinstance(trained, VGG)
    changed = {name for name, tensor in trained.state_dict().items() if not tensor.equal(weights[name])}
    assert changed == FC


@pytest.mark.slow
@pytest.mark.parametrize("init", ["glorot", "paper", "paper-literal"])
def test_the_printed_variance_cannot_be_trained_and_the_others_can(init: str, tmp_path: Path) -> None:
    data = open_data(Path(__file__).parents[2] / "shared" / "ilsvrc-sample")
    images = data.images[:160]
    data = DataSet("real", images, len(images), of_classes=data.class_names)
    few = DataSet("few", images[:2], 2, of_classes=data.class_names)
    recipe = Recipe(batch_size=8, epochs=1, init=init)  # type: ignore[arg-type]
    if init == "paper-literal":
        with pytest.raises(NumericsError, match="The paper prints this variance, and it cannot be trained"):
            train(CONFIGS["A"], data, few, recipe, running=ALONE)
    else:
        watch = _Losses()
        train(CONFIGS["A"], data, few, recipe, running=ALONE, watch=watch)
        assert len(watch.losses) == 20
        assert np.isfinite(watch.losses).all()


ONCE = replace(QUICK, epochs=1, batch_size=70)


@pytest.fixture(scope="module")
def trained_once(many_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a training by the recipe ONCE has ended."""
    data, folder = open_data(many_pictures), tmp_path_factory.mktemp("trained")
    train(CONFIGS["A"], data, data, ONCE, width=1 / 16, runs=folder, running=ALONE)
    return folder


@pytest.fixture
def checkpoint(trained_once: Path, tmp_path: Path) -> Path:
    """Its checkpoint, in the test's own folder."""
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    (path,) = tmp_path.glob("*/checkpoint.safetensors")
    return path


def test_a_damaged_checkpoint_is_named(many_pictures: Path, tmp_path: Path, checkpoint: Path) -> None:
    data, path = open_data(many_pictures), checkpoint
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StoreError, match=r"cannot be resumed .* Remove it to train from the beginning"):
        train(CONFIGS["A"], data, data, ONCE, width=1 / 16, runs=tmp_path, running=ALONE)


@pytest.mark.parametrize(
    "spoil",
    [
        {"steps": -3},
        {"steps": float("inf")},
        {"loss": float("inf")},
        {"log": [{"number": 1, "rate": 0.1, "loss": 1.0, "top1_error": "x", "seconds": 1.0}]},
        {"log": "text"},
    ],
)
def test_a_checkpoint_that_cannot_be_is_refused(
    spoil: dict[str, object], many_pictures: Path, tmp_path: Path, checkpoint: Path
) -> None:
    data = open_data(many_pictures)
    tensors, description = read_tensors(checkpoint)
    write_tensors(checkpoint, tensors, description | {"counts": description["counts"] | spoil})
    with pytest.raises(StoreError, match="cannot be resumed"):
        train(CONFIGS["A"], data, data, ONCE, width=1 / 16, runs=tmp_path, running=ALONE)


def test_another_input_is_another_training(
    many_pictures: Path, tmp_path: Path, peaked: Callable[..., dict[str, Tensor]]
) -> None:
    data, recipe = open_data(many_pictures), replace(QUICK, epochs=1, batch_size=70)
    for name in ("caffe", "torchvision"):
        start = _model("A", peaked("A")).with_identity(class_names=data.class_names, input=INPUTS[name])
        train(CONFIGS["A"], data, data, recipe, width=1 / 16, start=start, runs=tmp_path, running=ALONE)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_interrupt_after_a_step_keeps_the_step(many_pictures: Path, tmp_path: Path) -> None:
    class Interrupts(TrainWatch):
        def step(self, images: int, loss: float) -> None:
            raise KeyboardInterrupt

    data = open_data(many_pictures)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIGS["A"], data, data, QUICK, width=1 / 16, runs=tmp_path, running=ALONE, watch=Interrupts())
    watch = _StopAt(1)
    with pytest.raises(_StoppedError):
        train(CONFIGS["A"], data, data, QUICK, width=1 / 16, runs=tmp_path, running=ALONE, watch=watch)
    assert watch.carried == 20, "the step under way is taken to its end"


def test_a_validation_image_that_cannot_be_read_is_named(many_pictures: Path, tmp_path: Path) -> None:
    data, recipe = open_data(many_pictures), replace(QUICK, epochs=1, batch_size=70)
    (tmp_path / "broken.JPEG").write_text("text")
    val = DataSet("val", (ImageFile("z", tmp_path / "broken.JPEG", 4, data.class_names[0]), *data.images[:3]), 4)
    with pytest.raises(
        UnreadableImages, match=r"val cannot validate: .*broken.JPEG.* the same command resumes"
    ) as caught:
        train(CONFIGS["A"], data, val, recipe, width=1 / 16, running=ALONE)
    assert "--skip-bad-images" not in str(caught.value), "which train does not have"


def test_what_does_not_fit_in_memory_gets_a_sentence(many_pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, part: object) -> Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("vggbench.train.step.Stepper._loss", full)
    data = open_data(many_pictures)
    with pytest.raises(VggbenchError, match=r"Single images do not fit in the memory of cpu: .* resumes"):
        train(CONFIGS["A"], data, data, QUICK, width=1 / 16, running=ALONE)


def test_a_loss_that_is_not_finite_stops_with_a_sentence(many_pictures: Path) -> None:
    data = open_data(many_pictures)
    with pytest.raises(NumericsError, match=r"The loss is (nan|inf) .* at rate 100 from --init glorot: "):
        train(CONFIGS["A"], data, data, replace(QUICK, rate=100.0), width=1 / 16, running=ALONE)


# ---------------------------------------------------------------- the data of a training


def test_train_and_val_stand_side_by_side(tmp_path: Path, many_pictures: Path) -> None:
    (tmp_path / "train").symlink_to(many_pictures)
    with pytest.raises(DataError, match=r"only one of train/ and val/"):
        open_training_data(tmp_path)
    (tmp_path / "val").symlink_to(many_pictures)
    train_data, val_data = open_training_data(tmp_path)
    assert (len(train_data), len(val_data), train_data.class_names) == (70, 70, val_data.class_names)


def test_one_image_of_ten_is_held_out_of_a_single_set(many_pictures: Path) -> None:
    data = open_data(many_pictures)
    train_data, val_data = open_training_data(many_pictures)
    assert {image.id for image in train_data.images} | {image.id for image in val_data.images} == {
        image.id for image in data.images
    }
    assert (len(train_data), len(val_data)) == (62, 8)
    assert train_data.class_names == val_data.class_names == data.class_names
    assert "one image in ten of each class, 8 in all, is held out" in train_data.notes[-1]

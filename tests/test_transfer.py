"""Transfer to other classes: what is taken over, and layers that stay see each fixed crop but once."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CLASSES, Result, blurred
from small_nets import write_onnx
from torch import Tensor

from vggbench import INPUTS, VGG, Model, Settings, open_data
from vggbench.cli.progress import TrainProgress
from vggbench.data import DataSet, ImageFile
from vggbench.errors import StoreError, UnreadableImages, UsageError, VggbenchError, WeightsError
from vggbench.images.pixels import decode, rescale, take
from vggbench.images.preprocessing import Input, Rescale
from vggbench.nets.cost import Architecture
from vggbench.paper.configs import CONFIGS
from vggbench.paper.protocols import Protocol, TrainScale
from vggbench.store.identity import Identity
from vggbench.train.crops import Crops, fixed_view
from vggbench.train.frozen import Halves
from vggbench.train.loop import Trained, train
from vggbench.train.recipe import Recipe, TrainWatch
from vggbench.train.start import STEADY_RATE, begin, convolutions_alone, on_last_layer, on_rate
from vggbench.train.step import Running, Stepper
from vggbench.train.trend import Trend
from vggbench.weights.description import StatedInput
from vggbench.weights.files import read_tensors
from vggbench.weights.load import save_model
from vggbench.weights.parts import LayerShape, PartOfNetError, part_of

A = CONFIGS["A"]
ALONE = Running(Settings(device="cpu", workers=0))
FIXED = Recipe(batch_size=10, epochs=3, rate=0.001, dropout=0.3, crops="fixed", train_layers="fc")
Peaked = Callable[..., dict[str, Tensor]]


def _start(weights: dict[str, Tensor], names: Sequence[str] | None = CLASSES, scale: str | None = "384") -> Model:
    classes = len(weights["classifier.6.bias"])
    net = VGG(A, classes, 1 / 16)
    net.load_state_dict(weights)
    known, own = tuple(names) if names else None, Architecture(A, classes, 1 / 16)
    trained = TrainScale.parse(scale) if scale else None
    return Model(Identity("A@old", INPUTS["caffe"], classes, known, "", trained, own), net.eval())


def _few(pictures: Path, count: int = 24) -> DataSet:
    return open_data(pictures).subset(count)


@pytest.fixture(scope="module")
def few_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve small JPEGs, three of each class."""
    return blurred(12, tmp_path_factory.mktemp("few"))


# ---------------------------------------------------------------- what is taken over


def _begun(start: Model, names: Sequence[str], **changes: str) -> tuple[VGG, list[str]]:
    net = VGG(A, len(names), 1 / 16)
    return net, begin(net, Recipe(**changes), start, tuple(names))  # type: ignore[arg-type]


def test_on_other_classes_every_layer_stays_but_the_last(peaked: Peaked) -> None:
    weights, names = peaked("A", 6), ("u", "v", "w")
    net, taken = _begun(_start(weights, "abcdef"), names)
    drawn = VGG(A, 3, 1 / 16)
    begin(drawn, Recipe(), None)
    last = {"classifier.6.weight", "classifier.6.bias"}
    assert set(taken) == net.state_dict().keys() - last
    for name, tensor in net.state_dict().items():
        assert tensor.equal(drawn.state_dict()[name] if name in last else weights[name]), name
    said = on_last_layer(_start(weights, "abcdef"), names, "glorot")
    assert said == (
        "A@old was trained on other classes, 6 of them: its last layer starts anew (--init glorot), all others as they "
        "are there."
    )


def test_as_many_other_classes_start_anew_too(peaked: Peaked) -> None:
    """Shapes alone would fit."""
    net, taken = _begun(_start(peaked("A"), "wxyz"), CLASSES)
    assert "classifier.6.weight" not in taken
    assert not net.state_dict()["classifier.6.weight"].equal(peaked("A")["classifier.6.weight"])


def test_the_same_classes_keep_the_last_layer_by_their_names(peaked: Peaked) -> None:
    weights = peaked("A")
    net, taken = _begun(_start(weights), CLASSES)
    assert len(taken) == len(weights)
    assert on_last_layer(_start(weights), CLASSES, "glorot") is None
    turned = CLASSES[::-1]
    net, _ = _begun(_start(weights, turned), CLASSES)
    assert net.state_dict()["classifier.6.weight"].equal(weights["classifier.6.weight"].flip(0))
    assert net.state_dict()["classifier.6.bias"].equal(weights["classifier.6.bias"].flip(0))
    assert "in another order: its last layer is kept, by their names" in str(
        on_last_layer(_start(weights, turned), CLASSES, "glorot")
    )


def test_a_net_without_class_names_keeps_its_last_layer_where_the_number_fits_and_says_so(peaked: Peaked) -> None:
    start = _start(peaked("A"), None)
    net, _ = _begun(start, CLASSES)
    assert net.state_dict()["classifier.6.weight"].equal(peaked("A")["classifier.6.weight"])
    assert on_last_layer(start, CLASSES, "glorot") == (
        "A@old names no classes: its 4 outputs are taken for the 4 classes in their order, as in an evaluation, and "
        "its last layer is kept."
    )
    assert "classes that it does not name, 4 of them: its last layer starts anew (--init he)" in str(
        on_last_layer(start, CLASSES[:3], "he")
    )
    assert "classifier.6.weight" not in _begun(start, CLASSES[:3])[1]


@pytest.mark.parametrize(("layers", "stays"), [("fc", 0), ("last", 5)])
def test_layers_that_are_not_trained_must_be_there(layers: str, stays: int, peaked: Peaked) -> None:
    net, _ = _begun(_start(peaked("A"), "wxyz"), CLASSES, train_layers=layers)
    trained = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    expected = {f"classifier.{n}.{kind}" for n in (0, 3, 6) if n >= stays for kind in ("weight", "bias")}
    assert trained == expected
    with pytest.raises(UsageError, match=f"--train-layers {layers} leaves .* expected a trained net in --from"):
        begin(VGG(A, 4, 1 / 16), Recipe(train_layers=layers), None)  # type: ignore[arg-type]


def _part(weights: dict[str, Tensor], **said: object) -> PartOfNetError:
    convolutions = {name: tensor for name, tensor in weights.items() if name.startswith("features.")}
    part = part_of([LayerShape(n, tuple(t.shape)) for n, t in convolutions.items() if t.ndim > 1])
    assert part
    return PartOfNetError(Path("x.pth"), part, convolutions, **said)  # type: ignore[arg-type]


def test_last_alone_needs_the_fc_layers(peaked: Peaked) -> None:
    start = convolutions_alone(_part(peaked("A")), "A@x.pth", "caffe", CLASSES)
    with pytest.raises(UsageError, match=r"--train-layers last .* classifier\.0\.weight is not in A@x\.pth"):
        _begun(start, CLASSES, train_layers="last")
    assert on_last_layer(start, CLASSES, "glorot") is None, "which another sentence tells"


def test_input_and_pooling_travel_on_as_the_file_says_them(peaked: Peaked) -> None:
    def kept(asked: str | None, **said: object) -> tuple[Input, bool]:
        start = convolutions_alone(_part(peaked("A"), **said), "A@x.pth", asked, CLASSES)
        assert start.identity.architecture
        assert isinstance(start.module, VGG)
        assert start.module.ceil_pool == start.identity.architecture.ceil_pool
        return start.input, start.identity.architecture.ceil_pool

    assert kept("caffe") == (INPUTS["caffe"], True)
    assert kept("caffe", ceil_pool=False) == (INPUTS["caffe"], False), "as Keras and tf2onnx have Oxford's"
    assert kept("torchvision", ceil_pool=True) == (INPUTS["torchvision"], True)
    assert kept("RGB,1,0.5,0.5") == (Input("RGB", 1, (0.5,) * 3, (0.5,) * 3), False)
    own = StatedInput("BGR", (103.939, 116.779, 123.68))
    assert kept(None, input=own) == (INPUTS["caffe"], False)
    with pytest.raises(WeightsError, match="says that its input is"):
        kept("torchvision", input=own)
    with pytest.raises(UsageError, match="expected --input torchvision"):
        kept("BGR")


# ---------------------------------------------------------------- fixed crops


def test_fixed_crops_are_the_ten_of_an_image_and_an_epoch_takes_one_of_them(many_pictures: Path) -> None:
    data, recipe = _few(many_pictures, 5), replace(FIXED, train_scale=TrainScale(256, 512))
    crops = Crops(data, np.arange(5, dtype=np.int32), np.eye(3), recipe)
    drawn = set()
    for epoch in range(40):
        crops.epoch = epoch
        one = crops.one(3)
        image = rescale(decode(data.images[3].read()), 384, Rescale())
        view = fixed_view(recipe, epoch, 3)
        assert one.crops.equal(take(image, Protocol("tencrop").views(*image.shape[1:])[view]))
        assert not one.shifts.any(), "no colour shift"
        assert int(one.labels) == 3
        drawn.add(view)
    assert drawn == set(range(10))


def test_what_is_fixed_stands_in_the_record_and_nothing_new_in_that_of_others() -> None:
    assert "crops" not in Recipe().as_dict(), "so that checkpoints of before carry on"
    record = replace(FIXED, train_scale=TrainScale(256, 512)).as_dict()
    assert (record["crops"], record["scale"], record["colour_std"]) == ("fixed", 384, 0)
    with pytest.raises(UsageError, match="--crops some: expected one of random, fixed"):
        Recipe(crops="some")  # type: ignore[arg-type]


class _Stopped(Exception):  # noqa: N818 - not an error
    pass


class _Watch(TrainWatch):
    """Counts what it is told, and stops once so many crops are kept or steps taken."""

    def __init__(self, kept: float = math.inf, steps: int = -1) -> None:
        self.most, self.left, self.told = kept, steps, list[tuple[int, int]]()

    def kept(self, crops: int, of: int) -> None:
        self.told.append((crops, of))
        if crops >= self.most:
            raise _Stopped

    def step(self, images: int, loss: float) -> None:
        self.left -= 1
        if not self.left:
            raise _Stopped


def _trained(
    start: Model, data: DataSet, runs: Path | None = None, watch: TrainWatch | None = None, **changes: Any
) -> Trained:
    recipe, running = replace(FIXED, **changes), replace(ALONE, checkpoint_minutes=0)
    return train(
        A, data, data.subset(8), recipe, width=1 / 16, start=start, runs=runs, running=running, watch=watch
    )  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("layers", ["fc", "last"])
def test_kept_outputs_give_the_numbers_of_the_plain_way(
    layers: str, peaked: Peaked, many_pictures: Path, tmp_path: Path
) -> None:
    data, start, watch = _few(many_pictures), _start(peaked("A"), "wxyz"), _Watch()
    plain = _trained(start, data, train_layers=layers)
    kept = _trained(start, data, tmp_path, watch, train_layers=layers)
    assert [epoch.top1_error for epoch in kept.log] == [epoch.top1_error for epoch in plain.log]
    np.testing.assert_allclose([e.loss for e in kept.log], [e.loss for e in plain.log], rtol=1e-6)
    assert isinstance(kept.model.module, VGG)
    assert isinstance(plain.model.module, VGG)
    others = plain.model.module.state_dict()
    for name, tensor in kept.model.module.state_dict().items():
        torch.testing.assert_close(tensor, others[name], rtol=0, atol=1e-6)
        stays = name.startswith("features") or (layers == "last" and not name.startswith("classifier.6"))
        assert tensor.equal(peaked("A")[name]) == stays, name
    assert watch.told[-1] == (24 * 10 + 8, 24 * 10 + 8)
    assert kept.record["anew"] == ["classifier.6"]
    again = _Watch()
    assert _trained(start, data, tmp_path, again, train_layers=layers, seed=1).log != kept.log
    assert again.told == [], "another training of the same layers computes them no more"


@pytest.mark.thorough
def test_kept_and_killed_anywhere_it_ends_in_the_same_bits(peaked: Peaked, many_pictures: Path, tmp_path: Path) -> None:
    data, start = open_data(many_pictures), _start(peaked("A"), "wxyz")
    whole = _trained(start, data, tmp_path / "whole")
    for crops in (100, 325, 355):
        with pytest.raises(_Stopped):
            _trained(start, data, tmp_path, _Watch(kept=crops))
    for step in (3, 4, 6):
        with pytest.raises(_Stopped):
            _trained(start, data, tmp_path, _Watch(steps=step))
    again = _trained(start, data, tmp_path)
    assert again.model.identity.weights_hash == whole.model.identity.weights_hash
    assert [epoch.loss for epoch in again.log] == [epoch.loss for epoch in whole.log]
    files = {path.name for path in (tmp_path / "whole").glob("frozen-A-*/*.npy")}
    assert {path.name for path in tmp_path.glob("frozen-A-*/*.npy")} == files, "the same bits"
    assert len(files) == 4, "three blocks of training, one of the held-out"


@pytest.mark.thorough
def test_what_was_kept_by_others_or_is_damaged_is_not_taken(
    peaked: Peaked, many_pictures: Path, tmp_path: Path
) -> None:
    data, start = _few(many_pictures), _start(peaked("A"), "wxyz")
    whole = _trained(start, data, tmp_path, epochs=1)
    folder = next(path.parent for path in tmp_path.glob("frozen-A-*/*.npy") if path.stat().st_size > 2**20)
    (file,) = folder.glob("*.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    (folder / ".left.partial").touch()
    watch = _Watch()
    again = _trained(start, data, tmp_path, watch, epochs=1, patience=4)
    assert watch.told[0] == (8 + 20, 248), "those of the damaged file alone"
    assert not (folder / ".left.partial").exists()
    assert again.log[0].loss == whole.log[0].loss
    others = {path.name for path in tmp_path.glob("frozen-*")}
    _trained(replace(start, identity=replace(start.identity, input=INPUTS["matconvnet"])), data, tmp_path, epochs=1)
    assert len({path.name for path in tmp_path.glob("frozen-*")} - others) == 2, "another input, other outputs"
    (folder / "signature.json").write_text("{}")
    with pytest.raises(StoreError, match=r"signature\.json cannot be trusted .* Remove"):
        _trained(start, data, tmp_path, epochs=1, patience=3)


def test_too_little_room_is_told_before_any_work(
    peaked: Peaked, many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**6}))
    watch = _Watch()
    with pytest.raises(StoreError, match=r"for 240 crops takes 0\.0 GB, and .* expected room\. Name another folder"):
        _trained(_start(peaked("A"), "wxyz"), _few(many_pictures), tmp_path, watch)
    assert watch.told == []


def test_an_unreadable_image_is_named_with_kept_outputs(peaked: Peaked, many_pictures: Path, tmp_path: Path) -> None:
    data, broken = _few(many_pictures), tmp_path / "broken.JPEG"
    broken.write_text("text")
    images = (*data.images, ImageFile("z", broken, 4, CLASSES[0]))
    with pytest.raises(UnreadableImages, match=r"broken\.JPEG is no image: expected an image"):
        _trained(_start(peaked("A"), "wxyz"), DataSet("d", images, len(images)), tmp_path)


def test_memory_that_runs_out_splits_the_crops(
    peaked: Peaked, many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, start, computed, most = _few(many_pictures, 12), _start(peaked("A"), "wxyz"), Halves.computed, [7]
    whole = _trained(start, data, tmp_path / "whole", epochs=1)

    def small(self: Halves, pixels: Tensor) -> Tensor:
        if len(pixels) > most[0]:
            raise torch.OutOfMemoryError
        return computed(self, pixels)

    monkeypatch.setattr(Halves, "computed", small)
    assert _trained(start, data, tmp_path / "small", epochs=1).log[0].loss == whole.log[0].loss
    most[0] = 0
    with pytest.raises(VggbenchError, match="Single images do not fit in the memory of cpu"):
        _trained(start, data, tmp_path / "none", epochs=1)


def test_frozen_layers_keep_no_activations_and_no_gradients(
    peaked: Peaked, many_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, was = list[Tensor](), Stepper._shown

    def noting(self: Stepper, part: object) -> Tensor:
        shown.append(was(self, part))  # type: ignore[arg-type]
        return shown[-1]

    monkeypatch.setattr(Stepper, "_shown", noting)
    start = _start(peaked("A"), "wxyz")
    start.module.requires_grad_(True)  # type: ignore[attr-defined]
    for layers, crops in (("fc", "random"), ("last", "fixed")):
        found = _trained(start, _few(many_pictures, 10), train_layers=layers, crops=crops, epochs=1)
        assert isinstance(found.model.module, VGG)
        assert all(parameter.grad is None for parameter in found.model.module.features.parameters())
    assert [tensor.shape[1] for tensor in shown] == [32 * 49, 256]
    assert all(tensor.grad_fn is None and not tensor.requires_grad for tensor in shown)


def test_dropout_between_frozen_layers_draws_nothing(peaked: Peaked) -> None:
    net = VGG(A, 4, 1 / 16)
    net.load_state_dict(peaked("A"))
    halves = Halves.of(net, "last")
    assert halves
    halves.train()
    pixels = torch.rand(2, 3, 224, 224)
    assert halves.computed(pixels).equal(halves.computed(pixels))
    assert (halves.computed(pixels) >= 0).all(), "after the ReLU"
    assert not halves.trained(torch.ones(1, 256)).equal(halves.trained(torch.ones(1, 256)))
    halves.trained.eval()
    torch.testing.assert_close(halves.trained(halves.computed(pixels)), net.eval()(pixels)[:, :, 0, 0])
    assert Halves.of(net, "all") is None


# ---------------------------------------------------------------- what is said


def _told(losses: Sequence[float], classes: int = 12) -> list[int]:
    trend = Trend(classes)
    return [place for place, loss in enumerate(losses) if trend.grows(loss)]


def test_a_loss_that_grows_is_told_of_and_again_ten_times_higher() -> None:
    assert _told([2.5, 1.0, 0.5, 0.6, 0.4, 30, 90, 400, 1000, 1356, 9000, 90_000, 90_000]) == [6, 8, 11]
    assert _told([3, 400, 900, 1000, 1200, 1300]) == [4], "from the first steps on"
    assert _told([900, 700, 500, 300, 90, 40, 20, 7, 3]) == [], "falling from new layers on large activations"
    assert _told([0.01] * 6 + [0.9, 2, 3, 4, 2, 1]) == [], "no worse than guessing"
    assert _told([2.5, 2.6, 2.4] * 9) == []


def test_a_training_whose_loss_grows_says_what_to_change(
    peaked: Peaked, few_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, said, data = list[tuple[float, float, float]](), list[str](), open_data(few_pictures)
    monkeypatch.setattr("vggbench.cli.progress.warn", said.append)

    class Hears(TrainProgress):
        def grows(self, now: float, lowest: float, rate: float) -> None:
            told.append((now, lowest, rate))
            super().grows(now, lowest, rate)

    changes: dict[str, Any] = {"train_layers": "last", "batch_size": 2, "epochs": 1, "momentum": 0.9}
    _trained(_start(peaked("A"), "wxyz"), data, watch=Hears(FIXED), rate=0.5, **changes)
    assert told
    assert told[0][0] > 3 * max(math.log(4), told[0][1])
    assert told[0][2] == 0.5
    assert "--rate 0.5 is too high. Interrupt it, and start again with --rate 0.05." in said[0]
    told.clear()
    _trained(_start(peaked("A"), "wxyz"), data, watch=Hears(FIXED), rate=1e-6, **changes)
    assert not told


def test_a_rate_is_proposed_for_new_layers_on_an_input_that_is_not_standardised(peaked: Peaked) -> None:
    part = convolutions_alone(_part(peaked("A")), "A@x.pth", "caffe", CLASSES)
    assert on_rate(part, Recipe()) == (
        "A@x.pth takes BGR 0-255 minus mean, so that what its convolutions give reaches hundreds, and fc6 starts anew "
        "on it: at --rate 0.01 the loss may grow. --rate 0.0005 is proposed."
    )
    assert on_rate(part, Recipe(rate=STEADY_RATE)) is None
    assert on_rate(_start(peaked("A"), "wxyz"), Recipe()) is None, "its fc layers are used to it"
    assert on_rate(convolutions_alone(_part(peaked("A")), "A@x.pth", "torchvision", CLASSES), Recipe()) is None


def _other_classes(pictures: Path, folder: Path) -> Path:
    for split in ("train", "val"):
        (folder / split).mkdir(parents=True)
        for place, name in enumerate(CLASSES[:3]):
            (folder / split / f"new{place}").symlink_to(pictures / name)
    return folder


def test_by_the_command_line(
    peaked: Peaked, few_pictures: Path, vggbench: Callable[..., Result], tmp_path: Path
) -> None:
    """From a net of other classes, and from that one on: S, input and pooling travel."""
    data, file = _other_classes(few_pictures, tmp_path / "d"), tmp_path / "a.safetensors"
    output = tmp_path / "b.safetensors"
    save_model(_start(peaked("A"), "wxyz", "384"), file)
    shared = ("train", "A", "--data", data, "--width", 1 / 16, "--batch-size", 8, "--workers", 0, "--epochs", 1)
    told = vggbench(*shared, "--from", f"A@{file}", "--train-layers", "last", "--crops", "fixed", "--output", output)
    assert told.code == 0, told.err
    assert "A@a.safetensors was trained on other classes, 4 of them: its last layer starts anew" in told.err
    assert "Training A at S=384, fixed crops at 384, on " in told.err
    assert "Computing what the frozen layers give for 99 crops, once for all epochs." in told.err
    assert "is proposed" not in told.err
    tensors, own = read_tensors(output)
    assert (own["train_scale"], own["input"]["channels"], own["ceil_pool"]) == ("384", "BGR", False)
    assert own["classes"] == ["new0", "new1", "new2"]
    recipe = own["recipe"]
    assert {name: recipe[name] for name in ("train_layers", "crops", "scale", "anew", "from_train_scale")} == {
        "train_layers": "last", "crops": "fixed", "scale": 384, "anew": ["classifier.6"], "from_train_scale": "384",
    }  # fmt: skip
    assert tensors["classifier.3.weight"].equal(peaked("A")["classifier.3.weight"])
    told = vggbench(*shared, "--from", f"A@{output}", "--train-scale", 256, "--output", tmp_path / "c.safetensors")
    assert told.code == 0, told.err
    assert "starts anew" not in told.err
    assert "Training A at S=256 on " in told.err
    told = vggbench("eval", f"A@{output}", "--data", data / "val", "--center", "--scales", "single", "--format", "json")
    assert told.code == 0, told.err
    error = json.loads(told.out)[0]["top1_error"]
    assert error == pytest.approx(recipe["validation_top1_error"], abs=6e-4)


def test_a_graph_with_another_head_starts_it_with_its_own_pooling(
    peaked: Peaked, few_pictures: Path, vggbench: Callable[..., Result], tmp_path: Path
) -> None:
    net = VGG(A, 4, 1 / 16)
    net.load_state_dict(peaked("A"))
    headed = torch.nn.Sequential(net.features, torch.nn.Flatten(), torch.nn.Linear(32 * 49, 7)).eval()
    file = write_onnx(headed, tmp_path / "x.onnx", batch=1, side=224)
    told = vggbench(
        "train", "A", "--from", f"A@{file}", "--input", "caffe", "--data", few_pictures, "--width", 1 / 16,
        "--train-layers", "fc", "--epochs", 1, "--workers", 0, "--output", tmp_path / "y.safetensors",
    )  # fmt: skip
    assert told.code == 0, told.err
    assert "Its convolutions start the training; --init draws the fc layers." in told.err
    assert "--rate 0.0005 is proposed." in told.err
    tensors, own = read_tensors(tmp_path / "y.safetensors")
    assert own["ceil_pool"] is False, "as the graph says, though Caffe's rounds up"
    assert tensors["features.0.weight"].equal(peaked("A")["features.0.weight"])

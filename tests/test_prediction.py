"""`predict` says of an image what an evaluation stores, and its map's mean is the dense score."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import CLASSES, WIDTH, Result
from PIL import Image
from torch import Tensor

from vggbench.data import open_data
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.loop import evaluate
from vggbench.images.pixels import rescale
from vggbench.images.preprocessing import INPUTS, Rescale
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CONFIGS
from vggbench.paper.protocols import Protocol
from vggbench.render.plots.score_map import score_map
from vggbench.sample.drawing import KINDS, draw
from vggbench.store.posteriors import fuse, posteriors
from vggbench.studies.prediction import ClassMap, Prediction, Predictor, _on_pixels, name_of
from vggbench.weights.load import Model

SETTINGS = Settings(device="cpu", workers=0)
DENSE, CROPS = Protocol("dense"), Protocol("multicrop")


@pytest.fixture
def model(peaked: Callable[..., dict[str, Tensor]]) -> Model:
    net = VGG(CONFIGS["A"], len(CLASSES), WIDTH).eval()
    net.load_state_dict(peaked("A"))
    return Model.wrap("A", net, INPUTS["torchvision"], CLASSES)


def test_the_posteriors_are_those_of_an_evaluation(model: Model, pictures: Path, tmp_path: Path) -> None:
    data = open_data(pictures)
    scales = (256, 288)
    jobs = [Job(model, p, q) for p in (DENSE, CROPS) for q in scales]
    runs = evaluate(data, jobs, tmp_path, SETTINGS)
    expected = posteriors(fuse(fuse(*runs[:2]), fuse(*runs[2:])))
    found = list(Predictor(model, jobs, SETTINGS).predictions(data.images))
    assert [prediction.image for prediction in found] == list(data.images)
    np.testing.assert_array_equal([prediction.posterior for prediction in found], expected)
    assert found[0].top(2) == np.argsort(-expected[0], kind="stable")[:2].tolist()


def test_of_equal_classes_the_lower_index_is_first(pictures: Path) -> None:
    image = open_data(pictures).images[0]
    assert Prediction(image, np.array([0.1, 0.4, 0.1, 0.4])).top(4) == [1, 3, 0, 2]


def test_the_maps_mean_is_the_dense_score(model: Model, pictures: Path) -> None:
    data = open_data(pictures)
    predictor = Predictor(model, [Job(model, DENSE, 320)], SETTINGS)
    for prediction in predictor.predictions(data.images):
        encoded = prediction.image.read()
        pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(encoded)).convert("RGB"))).permute(2, 0, 1)
        image = rescale(pixels, 320, Rescale())
        assert prediction.posterior is not None
        for place in range(len(CLASSES)):
            found = predictor.class_map(image, place)
            assert found.dense == pytest.approx(prediction.posterior[place], abs=1e-6)


def test_a_position_stands_at_its_windows_middle(model: Model) -> None:
    """What the map says at the middle of a window is the probability that the network gives at that position."""
    image = torch.from_numpy(np.array(draw(KINDS[0], (5, 5))[0])).permute(2, 0, 1)
    image = rescale(image, 320, Rescale())
    assert isinstance(model.module, VGG)
    with torch.inference_mode():
        maps = [model.module(model.input.normalise(view[None]))[0].softmax(0)[1] for view in (image, image.flip(2))]
    height, width = image.shape[1:]
    found = Predictor(model, [Job(model, DENSE, 320)], SETTINGS).class_map(image, 1)
    assert found.positions == tuple(maps[0].shape)
    assert divmod(int(maps[0].argmax()), maps[0].shape[1]) == (found.window[0] // 32, found.window[1] // 32)
    spread = [_on_pixels(map_.double().numpy(), height, width) for map_ in maps]
    for i in range(maps[0].shape[0]):
        for j in range(maps[0].shape[1]):
            around = spread[0][32 * i + 111 : 32 * i + 113, 32 * j + 111 : 32 * j + 113]  # the middle lies between
            assert around.mean() == pytest.approx(float(maps[0][i, j]), abs=2e-2)
    mirrored = spread[1][:, ::-1]
    both = np.where(np.isnan(spread[0]), mirrored, np.where(np.isnan(mirrored), spread[0], (spread[0] + mirrored) / 2))
    np.testing.assert_allclose(found.probability, both, atol=1e-5)


def test_nothing_is_said_where_no_window_is_centred() -> None:
    found = _on_pixels(np.full((2, 3), 0.5), 256, 288)
    rows, columns = np.nonzero(np.isfinite(found))
    assert (rows.min(), rows.max()) == (96, 159)
    assert (columns.min(), columns.max()) == (96, 191)
    assert found[100, 100] == 0.5


def test_of_one_position() -> None:
    found = _on_pixels(np.array([[0.25]]), 224, 230)
    assert np.nanmax(found) == np.nanmin(found) == 0.25


def test_the_picture_shows_the_map() -> None:
    """The right half is warm where the class is, and grey where it is not."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    probability = np.full((320, 320), np.nan)
    probability[96:224, 96:160], probability[96:224, 160:224] = 0.0, 1.0
    grey = np.full((320, 320, 3), 128, np.uint8)
    figure = score_map(grey, ClassMap(probability, (0, 0), (4, 4), 0.5), "class", "how")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    drawn = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)  # type: ignore[no-untyped-call]
    box = figure.axes[1].get_window_extent()
    down, middle = drawn.shape[0] - int(box.y0 + box.height / 2), int(box.x0 + box.width / 2)
    outside, none, sure = (drawn[down, middle + int(box.width * share)] for share in (-0.4, -0.1, 0.1))
    assert outside.max() - outside.min() <= 2
    assert none.sum() < outside.sum() < sure.sum()
    assert sure[0] > sure[2] + 20


def test_classes_of_ilsvrc_have_names() -> None:
    model = SimpleNamespace(identity=SimpleNamespace(class_names=("n01440764", "boat")))
    assert name_of(model, 0) == ("n01440764", "tench")  # type: ignore[arg-type]
    assert name_of(model, 1) == ("boat", "boat")  # type: ignore[arg-type]
    assert name_of(SimpleNamespace(identity=SimpleNamespace(class_names=None)), 7) == ("7", "7")  # type: ignore[arg-type]


# ---------------------------------------------------------------- the command


def test_files_and_folders(vggbench: Callable[..., Result], pictures: Path) -> None:
    one = next((pictures / "fish").iterdir())
    out = json.loads(vggbench("predict", "D@sample", one, pictures, "--top", 2, "--format", "json").out)
    assert len(out) == 2 * 4, "the same file is asked about once"
    assert (out[0]["image"], out[0]["rank"]) == (str(one), 1)
    assert {row["protocol"] for row in out} == {"dense"}
    assert out[0]["test_scales"] == [384]
    assert "SAMPLE" in vggbench("predict", "D@sample", one).out


def test_what_is_no_image_is_named_and_the_rest_is_said(
    vggbench: Callable[..., Result], pictures: Path, tmp_path: Path
) -> None:
    good = next((pictures / "boat").iterdir())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "bad.jpg").write_bytes(b"no image")
    (tmp_path / "folder" / "good.jpg").write_bytes(good.read_bytes())
    (tmp_path / "folder" / "notes.txt").touch()
    done = vggbench("predict", "A@sample", tmp_path / "folder", "--center", "--format", "csv")
    assert done.code == 1
    assert "1 of 2 images could not be read" in done.err
    assert "bad.jpg is no image" in done.err
    assert "1 other file, left alone" in done.err
    assert done.out.count("good.jpg") == 5


def test_standard_input(vggbench: Callable[..., Result], pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = next((pictures / "fish").iterdir())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(one.read_bytes())))
    given = json.loads(vggbench("predict", "A@sample", "-", "--center", "--format", "json").out)
    file = json.loads(vggbench("predict", "A@sample", one, "--center", "--format", "json").out)
    assert [row["probability"] for row in given] == [row["probability"] for row in file]
    assert given[0]["image"] == "standard input"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    assert "Standard input is empty" in vggbench("predict", "A@sample", "-").err


def test_a_map_is_the_same_bytes_again(vggbench: Callable[..., Result], pictures: Path, tmp_path: Path) -> None:
    one = next((pictures / "fish").iterdir())
    for name in ("a.png", "b.png", "a.svg", "b.svg"):
        done = vggbench("predict", "A@sample", one, "--scales", 256, "--map", tmp_path / name, "--class", "boat")
        assert done.code == 0, done.err
    for ending in ("png", "svg"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4, "nothing half-written stays"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--map", "x.png", "--center"], "expected --dense at one Q"),
        (["--map", "x.png", "--scales", "256", "384"], "expected --dense at one Q"),
        (["--map", "x.gif", "--scales", "256"], "expected a name that ends in .png"),
        (["--map", "x.png", "--scales", "256", "--class", "cow"], "expected a class of A@sample, such as apple"),
        (["--top", "0"], "expected 1 or more"),
        (["--top", "13"], "expected 1 to 12"),
        (["--center", "--scales", "256", "288"], "does not combine several Qs"),
        (["--center", "--dense"], "combine with no other protocol"),
        (["--format", "xml"], "expected one of table, md, csv, json"),
    ],
)
def test_what_cannot_be(arguments: list[str], said: str, vggbench: Callable[..., Result], pictures: Path) -> None:
    done = vggbench("predict", "A@sample", next((pictures / "fish").iterdir()), *arguments)
    assert done.code == 2
    assert said in done.err
    assert not Path("x.png").exists()


def test_a_file_that_is_not_there(vggbench: Callable[..., Result]) -> None:
    done = vggbench("predict", "A@sample", "nowhere.jpg")
    assert (done.code, done.out) == (1, "")
    assert "expected an image, or a folder of images" in done.err

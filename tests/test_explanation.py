"""Every row of `explain` against a pipeline that is written out here for that row: Pillow, interpolate, plain loops."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
import simplejpeg
import torch
import torch.nn.functional as F
from conftest import CLASSES, WIDTH, Result
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vggbench.data import DataSet, open_data
from vggbench.data.imagenet import wnids
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.loop import evaluate
from vggbench.images.pixels import decode, signature_of
from vggbench.images.preprocessing import INPUTS, Input, Rescale
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import VGG, initialise
from vggbench.paper.configs import CONFIGS
from vggbench.paper.protocols import TrainScale
from vggbench.results.rows import Reference
from vggbench.store.posteriors import posteriors
from vggbench.store.runs import Run
from vggbench.studies.explanation import (
    CHANGES,
    DENSE,
    RECIPES,
    _mean_reversed,
    _other_range,
    _published,
    _swapped,
    jobs_of,
)
from vggbench.weights.load import LoadOptions, Model, load_model, save_model
from vggbench.weights.released import released
from vggbench.weights.spec import ModelSpec

Q = 256


@dataclass(frozen=True)
class Pipeline:
    """One row, step by step; all defaults are the recipe of a Caffe net: BGR, 0-255, ceil pooling, dense."""

    side: int = Q
    square: bool = False
    mode: str = "bilinear"
    antialias: bool = True
    crop: str | None = None
    mirror: bool = True
    rgb: bool = False
    mean: tuple[float, float, float] = (103.939, 116.779, 123.68)
    divisor: float = 1
    ceil: bool = True
    softmax_first: bool = False
    jpeg: dict[str, bool] = field(default_factory=dict)

    def posterior(self, path: Path, weights: dict[str, Tensor], config: str) -> NDArray[np.float64]:
        with Image.open(path) as file:
            decoded = np.array(file.convert("RGB"))
        if self.jpeg:
            decoded = simplejpeg.decode_jpeg(path.read_bytes(), **self.jpeg)
        pixels = torch.from_numpy(decoded).permute(2, 0, 1)
        image = self._rescaled(pixels)
        views = self._crops(image)
        if self.mirror:
            views = views + [view.flip(2) for view in views]
        found: NDArray[np.float64] = np.mean([self._scored(view, weights, config) for view in views], axis=0)
        return found

    def _rescaled(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[1:]
        if self.square:
            size = [self.side, self.side]
        elif height < width:
            size = [self.side, self.side * width // height]
        else:
            size = [self.side * height // width, self.side]
        picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        resized = picture.resize((size[1], size[0]), Image.Resampling[self.mode.upper()])
        by_pillow = torch.from_numpy(np.array(resized)).permute(2, 0, 1)
        if self.mode == "nearest":
            return by_pillow
        how: dict[str, Any] = {"size": size, "mode": self.mode, "align_corners": False, "antialias": self.antialias}
        found = F.interpolate(pixels[None], **how)[0]
        expected = by_pillow.double() if self.antialias else F.interpolate(pixels[None].double(), **how)[0]
        assert (found.double() - expected).abs().max() <= 2, "it rounds, in two passes"
        return found

    def _crops(self, image: Tensor) -> list[Tensor]:
        return [image] if self.crop is None else naive.crops(image, self.crop)

    def _scored(self, view: Tensor, weights: dict[str, Tensor], config: str) -> NDArray[np.float64]:
        channels = view if self.rgb else view.flip(0)
        pixels = (channels.float() - torch.tensor(self.mean).view(3, 1, 1)) / self.divisor
        scores = naive.score_map(config, weights, pixels[None], ceil=self.ceil)[0].double()
        found = scores.softmax(0).mean((1, 2)) if self.softmax_first else scores.mean((1, 2)).softmax(0)
        return found.numpy()


ROWS = {
    "paper's recipe": Pipeline(),
    "centre, Q=256": Pipeline(crop="center", mirror=False),
    "centre crop": Pipeline(crop="center", mirror=False),
    "ten crops": Pipeline(crop="tencrop"),
    "multi-crop": Pipeline(crop="multicrop"),
    "Q=256": Pipeline(),
    "Q=384": Pipeline(side=384),
    "Q=512": Pipeline(side=512),
    "no mirror": Pipeline(mirror=False),
    "bicubic": Pipeline(mode="bicubic"),
    "no antialias": Pipeline(antialias=False),
    "fast DCT": Pipeline(jpeg={"fastdct": True}),
    "plain upsampling": Pipeline(jpeg={"fastupsample": True}),
    "warped": Pipeline(square=True),
    "227, centre 224": Pipeline(side=227, crop="center", mirror=False),
    "channels swapped": Pipeline(rgb=True),
    "mean reversed": Pipeline(mean=(123.68, 116.779, 103.939)),
    "scale of 255": Pipeline(divisor=255),
    "pooling": Pipeline(ceil=False),
    "softmax first": Pipeline(softmax_first=True),
    "torchvision": Pipeline(crop="center", mirror=False),
    "timm": Pipeline(crop="center", mirror=False),
    "MatConvNet": Pipeline(crop="center", mirror=False),
    "Keras": Pipeline(side=224, square=True, mode="nearest", mirror=False),
    "Caffe": Pipeline(square=True, antialias=False, crop="center", mirror=False),
}
"""Each Change and Recipe of a net of S=256 by its name."""


def caffe_net(weights: dict[str, Tensor], config: str) -> Model:
    network = VGG(CONFIGS[config], len(CLASSES), WIDTH, ceil_pool=True).eval()
    network.load_state_dict(weights)
    model = Model.wrap("net", network, INPUTS["caffe"], CLASSES, train_scale=TrainScale(256, 256))
    return model.with_identity(architecture=Architecture(CONFIGS[config], len(CLASSES), WIDTH, ceil_pool=True))


def all_rows(model: Model) -> dict[str, Job]:
    rows = jobs_of(model, costly=True) + jobs_of(model, recipes=True)[1:]
    return {name: job for name, _, job in rows}


def differences(model: Model, weights: dict[str, Tensor], folder: Path, runs: Path, config: str) -> dict[str, float]:
    """The largest difference of a posterior, by row, one pass over the images for all rows."""
    data, rows = open_data(folder), all_rows(model)
    found = evaluate(data, list(rows.values()), runs, Settings(device="cpu", workers=0, backend="pytorch"))
    with torch.inference_mode():
        return {
            name: float(
                np.abs(
                    posteriors(run) - [ROWS[name].posterior(image.path, weights, config) for image in data.images]
                ).max()
            )
            for name, run in zip(rows, found, strict=True)
        }


@pytest.mark.thorough
def test_every_row_is_its_pipeline(peaked: Callable[..., dict[str, Tensor]], pictures: Path, tmp_path: Path) -> None:
    weights = _at_caffes_range(peaked("A"))
    apart = differences(caffe_net(weights, "A"), weights, pictures, tmp_path, "A")
    assert set(apart) == set(ROWS) - {"Q=256", "centre crop"}, "what is the same job stands there once"
    assert {name: value for name, value in apart.items() if value > 2e-5} == {}


def _at_caffes_range(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """For pixels of 0 to 255 rather than over their deviation: the first convolution's weights are smaller."""
    return weights | {"features.0.weight": weights["features.0.weight"] / 58}


def test_the_rows_differ(peaked: Callable[..., dict[str, Tensor]], pictures: Path, tmp_path: Path) -> None:
    """Were all pipelines one, the test above would say nothing."""
    weights = _at_caffes_range(peaked("A"))
    model, data = caffe_net(weights, "A"), open_data(pictures)
    rows = all_rows(model)
    runs = evaluate(data, list(rows.values()), tmp_path, Settings(device="cpu", workers=0, backend="pytorch"))
    found = dict(zip(rows, map(posteriors, runs), strict=True))
    same = {"centre, Q=256", "torchvision", "timm", "MatConvNet"}
    for name, values in found.items():
        if name not in same and name != "paper's recipe":
            assert np.abs(values - found["paper's recipe"]).max() > 1e-4, name
    assert all(np.array_equal(found[name], found["timm"]) for name in same)


@pytest.mark.slow
def test_every_row_at_full_width_over_real_images(tmp_path: Path) -> None:
    """From a file, by each of three real JPEGs."""
    folder = Path(__file__).parents[2] / "shared" / "ilsvrc-sample" / "val"
    network = VGG(CONFIGS["A"], ceil_pool=True).eval()
    initialise(network, 0)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for index in (0, 3, 6):
        weights[f"classifier.{index}.weight"] *= 2
    weights = _at_caffes_range(weights)
    network.load_state_dict(weights)
    model = Model.wrap("A", network, INPUTS["caffe"], wnids(), train_scale=TrainScale(256, 256))
    model = model.with_identity(architecture=Architecture(CONFIGS["A"], 1000, 1.0, ceil_pool=True))
    save_model(model, tmp_path / "a.safetensors")
    loaded = load_model(ModelSpec.parse(f"A@{tmp_path / 'a.safetensors'}"), LoadOptions(), ())
    for image in sorted(folder.glob("*/*.JPEG"))[::100]:
        target = tmp_path / "val" / image.parent.name
        target.mkdir(parents=True)
        (target / image.name).symlink_to(image)
    apart = differences(loaded, weights, tmp_path / "val", tmp_path / "runs", "A")
    assert {name: value for name, value in apart.items() if value > 2e-5} == {}


def test_one_decode_an_image_for_the_whole_table(
    peaked: Callable[..., dict[str, Tensor]], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []

    def counting(encoded: bytes) -> Tensor:
        decoded.append(len(encoded))
        return decode(encoded)

    monkeypatch.setattr("vggbench.images.pixels.decode", counting)
    model = caffe_net(peaked("A"), "A")
    jobs = [job for _, _, job in jobs_of(model)]
    evaluate(open_data(pictures), jobs, tmp_path, Settings(device="cpu", workers=0, backend="pytorch"))
    assert len(decoded) == len(CLASSES)


def test_no_second_copy_of_the_weights(peaked: Callable[..., dict[str, Tensor]]) -> None:
    model = caffe_net(peaked("A"), "A")
    (pooling,) = (job.model for name, _, job in jobs_of(model) if name == "pooling")
    assert isinstance(pooling.module, VGG)
    assert isinstance(model.module, VGG)
    assert not pooling.module.ceil_pool
    own = dict(model.module.named_parameters())
    assert all(own[name].data_ptr() == p.data_ptr() for name, p in pooling.module.named_parameters())


def test_names_are_rows_once() -> None:
    names = [change.name for change in CHANGES] + [recipe.name for recipe in RECIPES]
    assert len(set(names)) == len(names)
    of_others = {"bilinear", "tensor resize", "whole image"}
    """Rows that only networks other than VGGs have: their publishers use a crop, other filters and Pillow."""
    assert set(names) == set(ROWS) - {"paper's recipe"} | of_others


@pytest.mark.parametrize("name", ["torchvision", "caffe"])
def test_the_input_rows_undo_themselves(name: str) -> None:
    """Each is its own inverse, so that it is a single change whatever a net needs."""
    given = INPUTS[name]
    for change in (_swapped, _mean_reversed, _other_range):
        once = change(given)
        assert once != given
        again = change(once)
        assert (again.channels, again.range, again.std) == (given.channels, given.range, given.std)
        assert again.mean == pytest.approx(given.mean)
        assert Input.from_dict(once.as_dict()) == once


# ---------------------------------------------------------------- the command


@pytest.fixture
def explained(few_drawn: Path, stored: Callable[..., Path]) -> Path:
    """A store of all that the table needs."""
    return stored(("explain", "A", "--data", "sample"))


def rows_of(vggbench: Callable[..., Result], *arguments: object) -> list[dict[str, Any]]:
    done = vggbench("explain", "A", "--data", "sample", *arguments, "--format", "json")
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)
    return found


@pytest.mark.thorough
def test_the_table_from_the_command_line(vggbench: Callable[..., Result], explained: Path) -> None:
    rows = {row["change"]: row for row in rows_of(vggbench)}
    base = rows["paper's recipe"]
    assert base["against"] is None
    assert base["protocol"] == "dense"
    assert rows["warped"]["rescale"] == "bilinear antialiased, warped to a square"
    assert rows["no mirror"]["protocol"] == "dense-unmirrored"
    assert rows["softmax first"]["protocol"] == "dense-softmaxed"
    assert "multi-crop" not in rows
    for row in list(rows.values())[1:]:
        assert row["against_points"] == pytest.approx(row["top1_error"] - base["top1_error"])
        assert 0 <= row["against_p"] <= 1
    assert all(row["reference_top1"] is None and row["published_top1"] is None for row in rows.values())
    said = vggbench("explain", "A", "--data", "sample", "--format", "table")
    assert "SAMPLE" in said.out
    assert "Nothing is left" not in said.err, "a finished table says nothing of work"


@pytest.mark.thorough
def test_a_published_figure_is_of_nothing_altered(
    vggbench: Callable[..., Result], explained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the sample were ILSVRC: only rows that are the paper's or a publisher's own way may have one."""
    monkeypatch.setattr(DataSet, "is_full_ilsvrc_val", True)
    monkeypatch.setattr(
        "vggbench.results.rows.paper_reference", lambda *whatever: Reference(1.0, 1.0, "paper, Table 0")
    )
    monkeypatch.setattr("vggbench.results.rows._is_the_papers", lambda net: True)
    beside = {row["change"] for row in rows_of(vggbench) if row["reference_top1"] is not None}
    assert beside == {"paper's recipe", "centre, Q=256", "centre crop", "ten crops", "Q=256", "Q=512", "no mirror",
                      "227, centre 224", "softmax first"}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "source", "expected"),
    [
        ("D", "oxford", {"MatConvNet": 28.5}),
        ("E", "keras", {"MatConvNet": 28.7}),
        ("D", "torchvision", {"torchvision": 28.408}),
        ("A", "torchvision", {"torchvision": 30.98}),
    ],
)
def test_a_toolkits_figure_is_of_the_same_weights(config: str, source: str, expected: dict[str, float]) -> None:
    """And by its recipe; timm's files have no hash on record, and how Keras measured it does not say."""
    network = VGG(CONFIGS[config], 2, WIDTH)
    row = released(CONFIGS[config], source)
    wrapped = Model.wrap("x", network, INPUTS["caffe"], ("a", "b"))
    model = wrapped.with_identity(released=row.name if row else None)
    job = Job(model, DENSE, Q)
    found = {recipe.name: _published(recipe.name, changed) for recipe in RECIPES if (changed := recipe.apply(job))}
    figures = {name: figure[0].top1 for name, figure in found.items() if figure and name != "timm"}
    assert figures == expected
    assert _published("MatConvNet", Job(model.with_identity(released=None), DENSE, Q)) is None


def test_recipes_share_the_baselines_run(vggbench: Callable[..., Result], explained: Path) -> None:
    before = len(list(explained.iterdir()))
    rows = rows_of(vggbench, "--recipes")
    assert [row["change"] for row in rows] == ["paper's recipe", *(recipe.name for recipe in RECIPES)]
    assert len(list(explained.iterdir())) == before + 2, "Keras's and Caffe's are new"


def test_at_80_columns(vggbench: Callable[..., Result], explained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = vggbench("explain", "A", "--data", "sample", "--format", "table").out
    (heading,) = (line for line in out.splitlines() if "Points" in line and "Change" in line)
    assert "Top-5" in heading
    assert all(len(line) <= 80 for line in out.splitlines())


def test_decoders_are_rows_only_where_they_can_be_asked_for(
    few_drawn: Path, vggbench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without simplejpeg the table says what brings it."""
    monkeypatch.setattr("vggbench.images.pixels.has_other_decoders", lambda: False)
    monkeypatch.setattr("vggbench.studies.explanation.has_other_decoders", lambda: False)
    done = vggbench("explain", "A@sample", "--data", "sample", "--limit", "2", "--format", "md")
    assert done.code == 0, done.err
    assert "| fast DCT |" not in done.out
    assert "pip install 'vggbench[decoders]'" in done.out


def test_a_decoder_is_of_the_signature_and_comes_back_from_a_record() -> None:
    usual = {"filter", "antialias", "rounding", "decoder", "uint8"}
    assert set(signature_of(Rescale())) == usual
    assert signature_of(Rescale())["decoder"] == "torchvision JPEG, else Pillow"
    how = Rescale(decoder="fast DCT")
    assert set(signature_of(how)) == usual
    assert signature_of(how)["decoder"] != signature_of(Rescale())["decoder"]
    run = Run(Path("x"), {"rescale": signature_of(how)}, {}, 1, 1)
    assert run.rescale == how

"""`locate`: each seeded fault is named, and no other correct pipeline raises an alarm."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import Result
from locating_dumps import Theirs, resized_by
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vggbench.errors import DataError
from vggbench.images.preprocessing import Rescale
from vggbench.studies.locating import resizers
from vggbench.studies.locating.candidates import VOCABULARY, candidates
from vggbench.studies.locating.recipe import RESIZERS

CLI = Callable[..., Result]
Array = NDArray[Any]
CLASSES = 20
SIZES = [(375, 500), (500, 333), (240, 320), (401, 300)]
EVERY = ("decoded", "resized", "cropped", "input", "logits", "posterior")


@pytest.fixture(scope="session")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """JPEGs full of detail: noise over shapes."""
    root, rng, paths = tmp_path_factory.mktemp("jpegs"), np.random.default_rng(0), []
    for number, (height, width) in enumerate(SIZES):
        coarse = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8))
        fine = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
        noise = rng.integers(-40, 41, fine.shape)
        paths.append(root / f"{number}.jpg")
        Image.fromarray((fine + noise).clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


@pytest.fixture(scope="session")
def nets(peaked: Callable[..., dict[str, Tensor]], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Weights of a config, and the file of them, for torchvision's input or Caffe's."""
    root = tmp_path_factory.mktemp("nets")

    def made(config: str, caffe: bool) -> tuple[dict[str, Tensor], Path]:
        weights = peaked(config, CLASSES)
        generator = torch.Generator().manual_seed(3)
        for name, tensor in weights.items():
            if name.endswith("running_var"):
                tensor.uniform_(0.3, 1.7, generator=generator)
        if caffe:
            weights["features.0.weight"] /= 58
        path = root / f"{config}-{caffe}.pth"
        torch.save(weights, path)
        return weights, path

    return made


def located(
    cli: CLI, net: Path, config: str, image: Path, dump: Path, *more: object, caffe: bool = False
) -> tuple[int, Any]:
    words = ("locate", f"{config}@{net}", image, "--theirs", dump, "--input", "caffe" if caffe else "torchvision")
    done = cli(*words, "--format", "json", *more)
    assert done.out, done.err
    return done.code, json.loads(done.out)


FAULTS: list[tuple[list[str], str, Theirs, Sequence[str], str]] = [
    (["decoder-fast-dct"], "decoded", Theirs("fast"), EVERY, "A"),
    (["decoder-plain-upsampling"], "input", Theirs("plain"), ("input",), "A"),
    (["bgr"], "input", Theirs(bgr=True), EVERY, "A"),
    (["bgr"], "posterior", Theirs(bgr=True), ("posterior",), "A caffe"),
    (["range-0-1"], "input", Theirs(times=1 / 255), EVERY, "A caffe"),
    (["range-0-255"], "logits", Theirs(times=255), ("logits", "posterior"), "A"),
    (["mean-order"], "input", Theirs(mean="reversed"), ("input",), "A caffe"),
    (["no-mean"], "logits", Theirs(mean="none"), ("logits",), "A"),
    (["no-std"], "input", Theirs(std=False), EVERY, "A"),
    (["chw-as-hwc"], "input", Theirs(misread=True), EVERY, "A"),
    (["resize-pillow"], "resized", Theirs(resize="pillow"), EVERY, "A"),
    (["resize-opencv"], "resized", Theirs("cv2", resize="cv2"), EVERY, "A"),
    (["resize-opencv"], "posterior", Theirs("cv2", resize="cv2"), ("posterior",), "D"),
    (["resize-opencv-area"], "resized", Theirs(resize="cv2 area"), EVERY, "A"),
    (["resize-tensorflow"], "input", Theirs(resize="tf v2"), ("input", "posterior"), "A"),
    (["resize-tensorflow-v1"], "resized", Theirs(resize="tf v1"), EVERY, "A"),
    (["resize-align-corners"], "resized", Theirs(resize="torch aligned"), EVERY, "A"),
    (["resize-nearest"], "posterior", Theirs(resize="cv2 nearest"), ("posterior",), "A"),
    (["resize-nearest"], "resized", Theirs(resize="pillow nearest"), EVERY, "A"),
    (["resize-bicubic"], "resized", Theirs(resize="pillow bicubic"), EVERY, "A"),
    (["no-antialias"], "resized", Theirs(resize="torch plain"), EVERY, "A"),
    (["side-rounded"], "resized", Theirs(side="rounded"), EVERY, "A"),
    (["square"], "resized", Theirs(side="square"), EVERY, "A"),
    (["crop-offset"], "posterior", Theirs(offset=(0, 1)), ("posterior",), "A"),
    (["crop-offset"], "cropped", Theirs(offset=(-1, 0)), EVERY, "A"),
    (["mirror"], "cropped", Theirs(mirror=True), EVERY, "A"),
    (["flatten-order"], "classifier.0", Theirs(flatten="HWC"), ("input", "features.20", "classifier.0", "logits"), "A"),
    (["bn-epsilon"], "features.1", Theirs(epsilon=1e-3), ("features.0", "features.1", "features.5", "logits"), "A-BN"),
    (["bn-epsilon"], "logits", Theirs(epsilon=1e-3), ("logits",), "D-BN"),
    (["padding"], "features.0", Theirs(padding="reflect"), ("input", "features.0", "features.3", "logits"), "B"),
    (["softmax-twice"], "posterior", Theirs(ending="twice"), ("posterior",), "A"),
    (["no-softmax"], "posterior", Theirs(ending="none"), EVERY, "A"),
    (["log-softmax"], "posterior", Theirs(ending="log"), ("posterior",), "A"),
    (["class-shift"], "logits", Theirs(classes="shift"), EVERY, "A"),
    (["class-shift"], "posterior", Theirs(classes="background"), ("posterior",), "A"),
    (["class-order"], "posterior", Theirs(classes="order"), ("posterior",), "A"),
    (["square", "resize-nearest"], "resized", Theirs(resize="pillow nearest", side="crop"), EVERY, "A caffe"),
    (["resize-opencv", "bgr"], "input", Theirs("cv2", resize="cv2", bgr=True), ("input",), "A"),
    (["resize-opencv", "bgr"], "posterior", Theirs("cv2", resize="cv2", bgr=True), ("posterior",), "A"),
    (["crop-offset", "softmax-twice"], "posterior", Theirs(offset=(1, 0), ending="twice"), ("posterior",), "A"),
    (["no-antialias", "mirror"], "logits", Theirs(resize="torch plain", mirror=True), ("logits",), "C"),
    (["resize-tensorflow", "mean-order"], "resized", Theirs(resize="tf v2", mean="reversed"), EVERY, "A caffe"),
    (["range-0-1", "class-order"], "input", Theirs(times=1 / 255, classes="order"), EVERY, "A caffe"),
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(FAULTS)))
def test_a_seeded_fault_is_named(place: int, jpegs: list[Path], nets: Any, vggbench: CLI, tmp_path: Path) -> None:
    causes, first, pipeline, names, which = FAULTS[place]
    config, _, caffe = which.partition(" ")
    weights, net = nets(config, bool(caffe))
    image = jpegs[0 if "side-rounded" in causes else place % len(jpegs)]
    stages = pipeline.of(image.read_bytes(), weights, config, caffe=bool(caffe))
    np.savez(tmp_path / "dump.npz", **{name: stages[name] for name in names})
    code, found = located(vggbench, net, config, image, tmp_path / "dump.npz", caffe=bool(caffe))
    assert sorted(found["causes"]) == sorted(causes), found
    assert (code, found["first_difference"]) == (1, first), found


def test_every_word_is_seeded() -> None:
    """All but what needs another network, and what the paper's recipe cannot be mistaken for."""
    elsewhere = {"ceil-pooling", "floor-pooling", "resize-pytorch", "resize-bilinear", "not-square", "unknown"}
    assert {cause for causes, *_ in FAULTS for cause in causes} == set(VOCABULARY) - elsewhere

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

from vggbench.studies.locating import resizers
from vggbench.studies.locating.candidates import VOCABULARY, candidates
from vggbench.studies.locating.recipe import RESIZERS

CLI = Callable[..., Result]
Array = NDArray[Any]
CLASSES = 20
SIZES = [(375, 500), (500, 333), (240, 320), (401, 300), (427, 640)]
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


def dump(folder: Path, stages: Any) -> None:
    np.savez(folder / "dump.npz", **stages)


def located(
    cli: CLI, net: Path, config: str, image: Path, theirs: Path, *more: object, caffe: bool = False
) -> tuple[int, Any]:
    words = ("locate", f"{config}@{net}", image, "--theirs", theirs, "--input", "caffe" if caffe else "torchvision")
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


@pytest.mark.thorough
@pytest.mark.parametrize("place", range(len(FAULTS)))
def test_a_seeded_fault_is_named(place: int, jpegs: list[Path], nets: Any, vggbench: CLI, tmp_path: Path) -> None:
    causes, first, pipeline, names, which = FAULTS[place]
    config, _, caffe = which.partition(" ")
    weights, net = nets(config, bool(caffe))
    image = [jpegs[place] for place in (4, 0, 1, 3)][0 if "side-rounded" in causes else place % 4]
    stages = pipeline.of(image.read_bytes(), weights, config, caffe=bool(caffe))
    dump(tmp_path, {name: stages[name] for name in names})
    code, found = located(vggbench, net, config, image, tmp_path / "dump.npz", caffe=bool(caffe))
    assert sorted(found["causes"]) == sorted(causes), found
    assert (code, found["first_difference"]) == (1, first), found


def test_every_word_is_seeded() -> None:
    """All but what needs another network, and what the paper's recipe cannot be mistaken for."""
    elsewhere = {"ceil-pooling", "floor-pooling", "resize-pytorch", "resize-bilinear", "not-square", "unknown"}
    assert {cause for causes, *_ in FAULTS for cause in causes} == set(VOCABULARY) - elsewhere


# ---------------------------------------------------------------- no alarm

Stages = dict[str, Array]
LAYERS = ("features.0", "features.1", "features.2", "features.20", "classifier.0", "classifier.3", "classifier.6")


def only(*names: str) -> Callable[[Stages], Stages]:
    return lambda stages: {name: stages[name] for name in names}


def pixels_as(change: Callable[[Array], Array], *more: str) -> Callable[[Stages], Stages]:
    def changed(stages: Stages) -> Stages:
        pixels = {name: change(stages[name]) for name in ("decoded", "resized", "cropped")}
        return pixels | {name: stages[name] for name in more or ("input", "logits", "posterior")}

    return changed


def all_as(dtype: Any) -> Callable[[Stages], Stages]:
    return lambda stages: {name: stages[name].astype(dtype) for name in (*EVERY, *LAYERS) if name in stages}


def channels_last(stages: Stages) -> Stages:
    return {
        name: np.moveaxis(stages[name], 1, -1) if stages[name].ndim == 4 else stages[name] for name in (*EVERY, *LAYERS)
    }


def overwritten(stages: Stages) -> Stages:
    """As hooks that copy nothing leave it, where the ReLU behind works in place."""
    return {
        "input": stages["input"],
        "features.0": stages["features.1"],
        "classifier.0": stages["classifier.0"].clip(0),
    }


def flat(stages: Stages) -> Stages:
    return {"features.20": stages["features.20"].reshape(-1), "logits": stages["logits"]}


def flat_channels_last(stages: Stages) -> Stages:
    return {"features.20": stages["features.20"][0].transpose(1, 2, 0).reshape(1, -1), "logits": stages["logits"]}


def unrounded(stages: Stages) -> Stages:
    """Resized as floats, which nobody rounds, and all that follows."""
    maps = torch.from_numpy(stages["decoded"]).permute(2, 0, 1)[None].float()
    size = stages["resized"].shape[:2]
    resized = torch.nn.functional.interpolate(maps, size=size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    return {"decoded": stages["decoded"], "resized": resized.numpy()}


def in_another_order(stages: Stages) -> Stages:
    mean, std = (255 * np.array(values) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return {"cropped": stages["cropped"], "input": ((stages["cropped"] - mean) / std).astype(np.float32)}


CLEAN: dict[str, tuple[Callable[[Stages], Stages], str, Theirs]] = {
    "as it is": (only(*EVERY), "A", Theirs()),
    "every layer": (only(*EVERY, *LAYERS), "A", Theirs()),
    "by OpenCV's decoder": (only(*EVERY), "A", Theirs("cv2")),
    "by simplejpeg": (only(*EVERY), "A", Theirs("slow")),
    "0-1": (pixels_as(lambda pixels: pixels.astype(np.float32) / 255), "A", Theirs()),
    "0-1 in half precision": (pixels_as(lambda pixels: (pixels / 255).astype(np.float16)), "A", Theirs()),
    "CHW": (pixels_as(lambda pixels: pixels.transpose(2, 0, 1)), "A", Theirs()),
    "a batch of one": (pixels_as(lambda pixels: pixels[None]), "A", Theirs()),
    "a batch of CHW in 0-1": (pixels_as(lambda p: p.transpose(2, 0, 1)[None] / 255), "A", Theirs()),
    "BGR until the input": (pixels_as(lambda pixels: pixels[..., ::-1]), "A", Theirs()),
    "int64": (pixels_as(lambda pixels: pixels.astype(np.int64)), "A", Theirs()),
    "float64": (all_as(np.float64), "A", Theirs()),
    "float16": (all_as(np.float16), "A", Theirs()),
    "channels last": (channels_last, "A", Theirs()),
    "overwritten by ReLU": (overwritten, "A", Theirs()),
    "flat": (flat, "A", Theirs()),
    "flat, channels last": (flat_channels_last, "A", Theirs()),
    "unrounded": (unrounded, "A", Theirs()),
    "normalised at once": (in_another_order, "A", Theirs()),
    "the posterior alone": (only("posterior"), "A", Theirs()),
    "the input in half precision": (lambda s: {"input": s["input"].astype(np.float16)}, "A caffe", Theirs()),
    "a map of logits": (lambda s: {"logits": s["logits"].reshape(1, -1, 1, 1)}, "C", Theirs()),
    "Caffe's": (only(*EVERY, "features.0"), "A caffe", Theirs()),
    "batch normalisation": (only(*EVERY, "features.1", "features.5"), "A-BN", Theirs()),
}


@pytest.mark.parametrize("name", CLEAN)
def test_another_correct_pipeline_raises_no_alarm(
    name: str, jpegs: list[Path], nets: Any, vggbench: CLI, tmp_path: Path
) -> None:
    change, which, pipeline = CLEAN[name]
    config, _, caffe = which.partition(" ")
    weights, net = nets(config, bool(caffe))
    image = jpegs[list(CLEAN).index(name) % len(jpegs)]
    stages = pipeline.of(image.read_bytes(), weights, config, caffe=bool(caffe))
    dump(tmp_path, change(stages))
    code, found = located(vggbench, net, config, image, tmp_path / "dump.npz", caffe=bool(caffe))
    assert (code, found["first_difference"], found["causes"]) == (0, None, []), found
    assert all(stage["verdict"].startswith("equal") for stage in found["stages"])


# ---------------------------------------------------------------- other networks


@pytest.mark.parametrize(
    ("network", "ceil", "layer", "cause"),
    [("squeezenet1_0", False, "features.6", "floor-pooling"), ("resnet18", True, "maxpool", "ceil-pooling")],
)
def test_pooling_of_other_networks(
    network: str, ceil: bool, layer: str, cause: str, jpegs: list[Path], vggbench: CLI, tmp_path: Path
) -> None:
    """At 224 the paper's nets pool even sides alone, so that only others can tell."""
    from torchvision import models

    torch.manual_seed(0)
    theirs = models.get_model(network, num_classes=CLASSES).eval()
    torch.save(theirs.state_dict(), tmp_path / "net.pth")
    for module in theirs.modules():
        if isinstance(module, nn.MaxPool2d):
            module.ceil_mode = ceil
    kept: Stages = {}
    dict(theirs.named_modules())[layer].register_forward_hook(lambda m, i, out: kept.update({layer: out.numpy()}))
    stages = Theirs(resize="pillow").of(jpegs[0].read_bytes(), *_none())
    with torch.inference_mode():
        logits = theirs(torch.from_numpy(stages["input"])).numpy()
    dump(tmp_path, {"input": stages["input"], "logits": logits} | kept)
    model = f"torchvision:{network}@{tmp_path / 'net.pth'}"
    done = vggbench("locate", model, jpegs[0], "--theirs", tmp_path / "dump.npz", "--own", "--format", "json")
    found = json.loads(done.out)
    assert (done.code, found["first_difference"], found["causes"]) == (1, layer, [cause]), found


def _none() -> tuple[dict[str, Tensor], str]:
    """A net whose layers nobody looks at."""
    from vggbench.nets.vgg import VGG, initialise
    from vggbench.paper.configs import CONFIGS

    net = VGG(CONFIGS["A"], CLASSES, 1 / 16)
    initialise(net, 0)
    return dict(net.eval().requires_grad_(False).state_dict()), "A"


# ---------------------------------------------------------------- rules of other libraries


@pytest.mark.parametrize("size", [(256, 341), (224, 224), (300, 420), (500, 700)])
def test_opencvs_rules_are_opencvs(size: tuple[int, int]) -> None:
    """To the last bit but where its vector code rounds otherwise, once in a thousand."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (375, 500, 3), dtype=np.uint8)
    for ours, flag in (
        (resizers.opencv, cv2.INTER_LINEAR),
        (resizers.opencv_area, cv2.INTER_AREA),
        (resizers.nearest_corner, cv2.INTER_NEAREST),
    ):
        expected = cv2.resize(pixels, (size[1], size[0]), interpolation=flag)
        apart = np.abs(ours(pixels.astype(float), size) - expected)
        assert apart.max() <= 1
        assert (apart > 0).mean() < 2e-3, flag


@pytest.mark.parametrize(("rule", "what"), [(resizers.half_pixel, "v2"), (resizers.corner, "v1")])
def test_tensorflows_rules_are_the_closed_formulas(rule: resizers.Rule, what: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (75, 100, 3), dtype=np.uint8)
    for size in ((51, 68), (90, 120)):
        found = resizers.linear(pixels.astype(float), size, rule)
        np.testing.assert_allclose(found, resized_by(f"tf {what}", pixels, size), atol=1e-3)
    aligned = resizers.linear(pixels.astype(float), (51, 68), resizers.aligned)
    np.testing.assert_allclose(aligned, resized_by("torch aligned", pixels, (51, 68)), atol=1e-2)


# ---------------------------------------------------------------- what is understood


def test_every_cause_is_documented() -> None:
    """In the vocabulary, and in docs/howto/locate.md."""
    text = (Path(__file__).parent.parent / "docs" / "howto" / "locate.md").read_text()
    rows = [row for name in ("bilinear", "bicubic") for row in candidates(name)]
    assert {row.name for row in rows} | {"unknown"} == set(VOCABULARY)
    assert all(f"| `{word}` |" in text for word in VOCABULARY)
    assert {row.value for row in rows if row.field == "resizer"} == set(RESIZERS)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"pixels": np.zeros((3, 4, 4))}, "holds 'pixels': expected arrays named decoded, resized, cropped"),
        ({"features.99": np.zeros(3)}, "or after a layer: features.0 ... classifier."),
        ({}, "holds nothing: expected arrays named"),
        ({"decoded": np.zeros((4, 4))}, "expected H x W x 3 or 3 x H x W"),
        ({"input": np.zeros((1, 3, 227, 227))}, "expected 1 x 3 x 224 x 224"),
        ({"logits": np.zeros(7)}, f"expected {CLASSES} values, one a class"),
        ({"features.0": np.zeros((5, 5))}, "expected 1 x 4 x 224 x 224, or channels last"),
        ({"input": np.array([None, {}])}, "objects are never unpickled here"),
        ({"input": np.array(["x"])}, "expected plain numbers"),
    ],
)
def test_what_is_not_understood_is_told_in_a_sentence(
    arrays: Stages, sentence: str, jpegs: list[Path], nets: Any, vggbench: CLI, tmp_path: Path
) -> None:
    _, net = nets("A", False)
    dump(tmp_path, arrays)
    words = ("locate", f"A@{net}", jpegs[0], "--theirs", tmp_path / "dump.npz", "--input", "torchvision")
    done = vggbench(*words)
    assert (done.code, done.out) == (1, "")
    assert sentence in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "code", "sentence"),
    [
        ((), 2, "expected --theirs DUMP.npz"),
        (("--theirs", "{nowhere}"), 1, "expected an .npz of their values"),
        (("--theirs", "{image}"), 1, "expected what numpy.savez writes"),
        (("--theirs", "{image}", "--scales", "256", "--own"), 2, "expected one of them"),
        (("--theirs", "{image}", "--scales", "256", "288"), 2, "expected one Q"),
        (("--theirs", "{image}", "--scales", "multi"), 2, ""),
    ],
)
def test_what_cannot_be_asked_for(
    more: Sequence[str], code: int, sentence: str, jpegs: list[Path], nets: Any, vggbench: CLI, tmp_path: Path
) -> None:
    _, net = nets("A", False)
    words = [word.format(nowhere=tmp_path / "none.npz", image=jpegs[0]) for word in more]
    done = vggbench("locate", f"A@{net}", jpegs[0], "--input", "torchvision", *words)
    assert done.code == code
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_the_table_says_it_in_words(jpegs: list[Path], nets: Any, vggbench: CLI, tmp_path: Path) -> None:
    weights, net = nets("A", False)
    stages = Theirs(resize="pillow nearest", mirror=True).of(jpegs[0].read_bytes(), weights, "A")
    dump(tmp_path, {name: stages[name] for name in EVERY})
    words = ("locate", f"A@{net}", jpegs[0], "--theirs", tmp_path / "dump.npz", "--input", "torchvision")
    done = vggbench(*words, "--format", "md")
    assert done.code == 1
    assert "| resized | different |" in done.out
    assert "| resize-nearest |" in done.out
    assert "First difference: resized." in done.out
    done = vggbench(*words, "--format", "csv")
    assert done.out.splitlines()[0].startswith("stage,verdict,largest_difference,unit")
    done = vggbench(*words, "--output", tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text())["causes"] == ["resize-nearest", "mirror"]


def test_a_second_look_finds_the_network_as_it_was(nets: Any) -> None:
    """What candidates change of it is undone."""
    from vggbench.studies.locating.network import Altered, Network
    from vggbench.weights.loading import load_file

    _, net = nets("A-BN", False)
    module = load_file(f"A-BN@{net}", None, "torchvision").module
    network, pixels = Network(module, 224), np.random.default_rng(0).normal(size=(3, 224, 224))
    before = network.run(pixels, Altered(), {}, [])["logits"][0]
    for altered in (Altered("HWC"), Altered(epsilon=1e-3), Altered(padding="same"), Altered(padding="reflect")):
        network.run(pixels, altered, {"features.0": np.zeros((4, 224, 224))}, ["features.1"])
    assert np.array_equal(network.run(pixels, Altered(), {}, [])["logits"][0], before)

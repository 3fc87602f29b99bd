"""Nets with peaked posteriors, drawn pictures, and the command line: what most tests need.

Heavy imports stand inside the functions: the process that only hands out tests does without.
"""

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from children import Child

if TYPE_CHECKING:
    from torch import Tensor

    from vggbench.inference.choices import BackendName
    from vggbench.paper.protocols import Protocol
    from vggbench.weights.load import Model

CLASSES = ("apple", "boat", "fish", "house")
WIDTH = 1 / 16

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported: processes share the cores, not threads


def pytest_collection_finish() -> None:
    """What is imported stays: nobody need look through it for garbage again, as statsmodels does in every call."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Before hypothesis, where no test needed it, looks for who refers to what as it is imported for its summary."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the processes that share the tests: the sample is drawn once."""
    own = tmp_path_factory.getbasetemp()
    cache = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "cache"
    cache.mkdir(exist_ok=True)
    return cache


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, _cache: Path) -> None:
    for name in ("VGGBENCH_DATA", "VGGBENCH_RUNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VGGBENCH_CACHE", str(_cache))


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_timed() -> Iterator[None]:
    """No answer hangs on how fast this machine is at the moment: `auto` goes by the rule, and probes are short."""

    def by_rule(model: "Model", protocol: "Protocol") -> "BackendName":
        from vggbench.inference.choice import by_width

        return by_width(model, protocol)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vggbench.inference.measured.quicker", by_rule)
        patch.setattr("vggbench.inference.timing.LEAST", 1e-6)
        yield


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def vggbench(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Result]:
    """Run the command line in this process; the store is a folder of the test's own."""
    from vggbench.cli.main import main

    monkeypatch.setenv("VGGBENCH_RUNS", str(tmp_path / "runs"))

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["vggbench", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Callable[[], object]], Child]]:
    """Start functions in children of this process, which end with the test at the latest."""
    children: list[Child] = []

    def start(do: Callable[[], object]) -> Child:
        children.append(Child(tmp_path_factory.mktemp("child"), do))
        return children[-1]

    yield start
    for child in children:
        child.end()


@pytest.fixture(scope="session")
def _stores(tmp_path_factory: pytest.TempPathFactory) -> Callable[[object], Path]:
    root = tmp_path_factory.mktemp("stores")
    places: dict[object, Path] = {}
    return lambda commands: places.setdefault(commands, root / str(len(places)))


@pytest.fixture
def stored(vggbench: Callable[..., Result], tmp_path: Path, _stores: Callable[[object], Path]) -> Callable[..., Path]:
    """Fill the test's own store with what commands compute: once a session, then by copying."""

    def put(*commands: tuple[object, ...]) -> Path:
        own, kept = tmp_path / "runs", _stores(commands)
        if not kept.exists():
            for command in commands:
                done = vggbench(*command)
                assert done.code == 0, done.err
            shutil.copytree(own, kept)
        else:
            shutil.copytree(kept, own)
        return own

    return put


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn JPEGs in four class folders, of several sizes, one of them grey."""
    from vggbench.sample.drawing import KINDS, draw

    root = tmp_path_factory.mktemp("pictures")
    for place, name in enumerate(CLASSES):
        (root / name).mkdir()
        kind = next(kind for kind in KINDS if kind.name == name)
        picture, quality = draw(kind, (7, place))
        if place == 2:
            picture = picture.convert("L")
        picture.save(root / name / f"picture_{place}.JPEG", quality=quality)
    return root


@pytest.fixture(scope="session")
def _few_drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def few_drawn(_few_drawn: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of a sample that has only one picture of each class in each split."""
    from vggbench.sample.pictures import SPLITS

    monkeypatch.setenv("VGGBENCH_CACHE", str(_few_drawn))
    monkeypatch.setattr("vggbench.sample.pictures.SPLITS", dict.fromkeys(SPLITS, 1))
    return _few_drawn


@pytest.fixture(scope="session")
def many_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy small JPEGs in four class folders: three blocks."""
    return blurred(70, tmp_path_factory.mktemp("many"))


def blurred(count: int, root: Path) -> Path:
    """Fill a folder with small JPEGs of blurred noise, of five sizes, in four class folders."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        folder = root / CLASSES[number % len(CLASSES)]
        folder.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
        size = (240 + number % 5 * 8, 230)
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / f"many_{number:03d}.JPEG")
    return root


@pytest.fixture(scope="session")
def peaked() -> Callable[..., "dict[str, Tensor]"]:
    """Random weights whose posteriors differ from image to image and from view to view."""
    import torch
    from torchvision.transforms.v2 import functional as F

    from vggbench.nets.vgg import VGG, initialise
    from vggbench.paper.configs import CONFIGS
    from vggbench.sample.drawing import KINDS, draw

    crops = [F.center_crop(F.pil_to_tensor(draw(kind, (8, i))[0]), [224, 224]) for i, kind in enumerate(KINDS[:8])]
    images = (torch.stack(crops).float() / 255 - 0.45) / 0.225
    made: dict[tuple[str, int, float, int], dict[str, Tensor]] = {}

    def make(config: str, classes: int, width: float, seed: int) -> "dict[str, Tensor]":
        net = VGG(CONFIGS[config], classes, width)
        initialise(net, seed)
        generator = torch.Generator().manual_seed(seed)
        weights = net.eval().state_dict()
        with torch.inference_mode():
            for index in (0, 3, 6):
                torch.nn.init.kaiming_normal_(weights[f"classifier.{index}.weight"], generator=generator)
            scores = net(images)[:, :, 0, 0]
            gain = 2 / scores.std(0).mean()
            weights["classifier.6.weight"] *= gain
            weights["classifier.6.bias"] -= gain * scores.mean(0)
        return dict(weights)

    def copied(config: str, classes: int = len(CLASSES), width: float = WIDTH, seed: int = 0) -> "dict[str, Tensor]":
        key = config, classes, width, seed
        if key not in made:
            made[key] = make(*key)
        return {name: tensor.clone() for name, tensor in made[key].items()}

    return copied

"""Before weights are read: commands that only tell fetch nothing, and what cannot be is refused first."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import WIDTH, Result
from torch import Tensor, nn

from vggbench.data import open_data
from vggbench.errors import UsageError, WeightsError
from vggbench.evaluation.forecast import forecast
from vggbench.evaluation.jobs import Job
from vggbench.evaluation.plan import prepare
from vggbench.images.reading import fitting_workers
from vggbench.inference.devices import pick_device
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CONFIGS
from vggbench.paper.protocols import Protocol
from vggbench.store.recording import Store
from vggbench.weights.released import RELEASED, Released, released
from vggbench.weights.spec import ModelSpec
from vggbench.weights.unfetched import by_shape, filled, require_source, unfetched

CLI = Callable[..., Result]


class _FetchedError(AssertionError):
    """Something large was fetched."""


@pytest.fixture
def ilsvrc(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One picture of a class of ILSVRC, no weights on this machine, and none that may be fetched."""
    folder = tmp_path / "ilsvrc" / "n01440764"
    folder.mkdir(parents=True)
    shutil.copy(next((pictures / "fish").iterdir()), folder)

    def fetch(row: Released, watch: object = None) -> Path:
        raise _FetchedError(row.name)

    monkeypatch.setattr("vggbench.weights.load.fetch", fetch)
    monkeypatch.setattr("vggbench.weights.unfetched.find", lambda row: None)
    return folder.parent


@pytest.mark.parametrize(
    "command",
    [
        "eval D@oxford --dry-run",
        "eval D --dry-run --multicrop",
        "eval D-BN --weights torchvision --dry-run",
        "compare D@torchvision D@timm C --dry-run",
        "explain E@keras --dry-run",
        "fuse two-net --dry-run",
        "fuse D@matconvnet E@onnx --dry-run",
        "report D@oxford --dry-run",
        "reproduce --plan",
        "reproduce 3 --plan",
        "reproduce torchvision --plan",
        "reproduce oxford --plan",
    ],
)
def test_a_command_that_only_tells_fetches_nothing(
    command: str, vggbench: CLI, ilsvrc: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("vggbench.evaluation.forecast._Probes._probed", lambda *whatever: 1e-10)
    monkeypatch.chdir(tmp_path)
    done = vggbench(*command.split(), "--data", ilsvrc)
    assert (done.code, done.out) == (0, "")
    assert "are not on this machine, and a plan fetches nothing" in done.err
    assert "MB) are" in done.err or "(size not on record)" in done.err
    assert "GMACs per image" in done.err
    assert not (tmp_path / "runs").exists()
    assert command.startswith("reproduce") == ("can be measured." in done.err)


@pytest.mark.parametrize("command", ["weights", "params", "data", "runs", "train D --plan", "reproduce 3 --published"])
def test_nor_does_one_that_has_no_plan(
    command: str, vggbench: CLI, ilsvrc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGGBENCH_DATA", str(ilsvrc))
    monkeypatch.setattr("vggbench.train.plan.seconds_per_image", lambda *whatever: 0.01)
    assert vggbench(*command.split()).code == 0


def test_the_guard_bites(vggbench: CLI, ilsvrc: Path) -> None:
    with pytest.raises(_FetchedError):
        vggbench("eval", "D@oxford", "--data", ilsvrc)


def test_a_plan_without_any_net_says_what_lacks(vggbench: CLI, ilsvrc: Path) -> None:
    """It divided by no bytes."""
    done = vggbench("compare", "C", "A-LRN", "--data", ilsvrc, "--dry-run")
    assert (done.code, done.out) == (0, "")
    assert "C has no released weights anywhere" in done.err
    assert "Nothing is left to compute" not in done.err
    assert fitting_workers(0.0, held=64, ahead=16) == float("inf")


def test_a_dry_run_fails_where_the_run_would(vggbench: CLI, ilsvrc: Path, tmp_path: Path) -> None:
    done = vggbench("compare", f"D@{tmp_path}/none.pth", "C", "--data", ilsvrc, "--dry-run")
    assert done.code == 1
    assert "There is no readable weights file" in done.err.splitlines()[-1]


@pytest.mark.parametrize("row", [row for row in RELEASED if not row.refused], ids=lambda row: row.name)
def test_a_net_by_shape_is_what_its_file_would_be(row: Released) -> None:
    model = by_shape(row)
    assert model.identity.architecture
    assert (model.identity.architecture.config, model.identity.architecture.ceil_pool, model.identity.classes) == (
        row.config,
        row.ceil_pool,
        1000,
    )
    assert (model.identity.input, model.identity.train_scale, model.identity.released) == (
        row.input,
        row.train_scale,
        row.name,
    )
    assert isinstance(model.module, nn.Module)
    assert all(tensor.is_meta for tensor in model.module.state_dict().values())


def test_a_forecast_by_shape_counts_as_one_with_weights(
    pictures: Path, tmp_path: Path, peaked: Callable[..., dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = released(CONFIGS["D"], "oxford")
    assert row
    weights = peaked("D")
    real = VGG(CONFIGS["D"], 4, WIDTH)
    real.load_state_dict(weights)
    with torch.device("meta"):
        shapes = VGG(CONFIGS["D"], 4, WIDTH).eval()
    model = by_shape(row).with_identity(class_names=("apple", "boat", "fish", "house"), classes=4)
    assert model.identity.architecture
    model = model.with_identity(architecture=replace(model.identity.architecture, width=WIDTH, classes=4))
    found = []
    for network in (shapes, real.eval()):
        job = Job(replace(model, module=network), Protocol("dense"), 256)
        found.append(forecast(prepare(open_data(pictures), [job], Store(tmp_path))))
    assert (found[0].views, found[0].gmacs, found[0].images) == (found[1].views, found[1].gmacs, found[1].images)
    assert found[0].seconds > 0


def test_numbers_of_no_meaning_are_plain_ones() -> None:
    with torch.device("meta"):
        network = VGG(CONFIGS["A-BN"], 4, WIDTH).eval()
    row = released(CONFIGS["A-BN"], "torchvision")
    assert row
    model = filled(replace(by_shape(row), module=network))
    assert model.module(torch.zeros(1, 3, 224, 224, device=pick_device("cpu"))).isfinite().all()
    assert filled(model) is model, "real weights stay as they are"


def test_a_file_that_is_there_is_not_unfetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("vggbench.weights.unfetched.find", lambda row: tmp_path)
    assert unfetched(ModelSpec.parse("D@oxford")) is None
    assert unfetched(ModelSpec.parse("D@random")) is None
    assert unfetched(ModelSpec.parse("D@features")) is None, "refused before anything is fetched"


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (
            "D@nosuch",
            WeightsError,
            "There is no readable weights file nosuch, and no source of that name: expected D@",
        ),
        ("D@torchvison", WeightsError, "Did you mean D@torchvision?"),
        ("D@~nobody/d.pth", WeightsError, "no readable weights file"),
        ("C@oxford", UsageError, "oxford has released no C"),
    ],
)
def test_what_has_no_weights_is_refused_at_once(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said.replace("?", r"\?")):
        require_source(ModelSpec.parse(text))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("eval D@nosuch", "There is no readable weights file nosuch"),
        ("eval D --weights nosuch", "There is no readable weights file nosuch"),
        ("explain D@nosuch", "There is no readable weights file nosuch"),
        ("report D@nosuch", "There is no readable weights file nosuch"),
        ("fuse D@nosuch E", "There is no readable weights file nosuch"),
        ("speed D@nosuch", "There is no readable weights file nosuch"),
        ("weights D@nosuch", "There is no readable weights file nosuch"),
        ("export D@nosuch --to onnx --output x.onnx", "There is no readable weights file nosuch"),
        ("train D --from A@nosuch --data sample --output x.safetensors", "There is no readable weights file nosuch"),
        ("predict D@nosuch nothere.jpg", "There is no readable weights file nosuch"),
        ("compare C@oxford", "oxford has released no C"),
        ("predict D nothere.jpg", "nothere.jpg cannot be read"),
        ("predict D text.jpg", "text.jpg is no image"),
        ("predict D one.jpg --map x.gif", "expected a name that ends in .png"),
        ("predict D one.jpg --map nothere.jpg/x.png --class x --center", "expected --dense at one Q"),
        ("predict D one.jpg --class boat", "--class boat is for --map"),
        ("predict D one.jpg --top 0", "--top 0: expected 1 or more"),
        ("predict D one.jpg --scales 7", "--scales 7"),
        ("predict D one.jpg --output x.html", "expected a name that ends in .md"),
        ("eval D --scales 7", "--scales 7"),
        ("eval D --limit 0", "--limit 0: expected 1 or more"),
        ("eval D --train-scale 7", "not a training scale"),
        ("eval D --ground-truth nosuch", "There is no nosuch"),
        ("eval D --runs text.jpg", "expected a folder, found the file"),
        ("eval D --plot text.jpg", "expected a folder, found the file"),
        ("compare D --plot text.jpg/x", "expected a folder, found the file"),
        ("export D@oxford --to onnx --output x.pth", "expected a file that ends in .onnx"),
        ("export D@random --to onnx --output x.onnx", "is no file"),
        ("weights D@oxford --output x.html", "expected a name that ends in .md"),
    ],
)
def test_cheap_checks_come_before_weights_and_images(
    command: str, said: str, vggbench: CLI, ilsvrc: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("text")
    shutil.copy(next((ilsvrc / "n01440764").iterdir()), tmp_path / "one.jpg")

    def opens(*whatever: object) -> object:
        raise AssertionError("images were listed")

    for name in ("data.open_data", "evaluation.session.open_data", "train.session.open_training_data"):
        monkeypatch.setattr(f"vggbench.{name}", opens)
    monkeypatch.setenv("VGGBENCH_DATA", str(ilsvrc))
    done = vggbench(*command.split())
    assert done.code in (1, 2)
    assert said in done.err
    assert done.out == ""

"""Networks of torchvision and timm: by their own recipe as by the library's own transforms, and by the paper's."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Result
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vggbench.data import DataSet, ImageFile
from vggbench.data.imagenet import wnids
from vggbench.errors import UsageError, WeightsError
from vggbench.evaluation.jobs import Job, Settings, own_job
from vggbench.evaluation.loop import evaluate
from vggbench.front import params as vggbench_params
from vggbench.images.pixels import decode, rescale, take
from vggbench.images.preprocessing import Rescale
from vggbench.nets.recount import count
from vggbench.paper.protocols import OWN, Protocol
from vggbench.store.posteriors import posteriors
from vggbench.weights.classifiers import timm_nets, torchvision_nets
from vggbench.weights.load import LoadOptions, Model
from vggbench.weights.loading import load_any, require_model
from vggbench.weights.spec import OtherSpec, parse_model

SETTINGS = Settings(workers=0, device="cpu")
QUICK = ("torchvision:squeezenet1_1", "torchvision:efficientnet_b0", "timm:test_vit", "timm:mobilenetv3_small_050")
"""Bilinear and bicubic, crop_pct 0.875 to 0.95, convolutions and attention."""
ARCHITECTURES = (
    "torchvision:alexnet", "torchvision:resnet18", "torchvision:resnet50", "torchvision:googlenet",
    "torchvision:inception_v3", "torchvision:densenet121", "torchvision:mobilenet_v2",
    "torchvision:mobilenet_v3_small", "torchvision:shufflenet_v2_x0_5", "torchvision:mnasnet0_5",
    "torchvision:regnet_y_400mf", "torchvision:efficientnet_b1", "torchvision:swin_t", "torchvision:convnext_tiny",
    "torchvision:vit_b_32", "torchvision:maxvit_t",
    "timm:vit_tiny_patch16_224", "timm:deit_tiny_patch16_224", "timm:swin_tiny_patch4_window7_224",
    "timm:convnext_atto", "timm:inception_v4", "timm:legacy_xception", "timm:mobilevit_xxs", "timm:levit_128s",
    "timm:xcit_nano_12_p16_224", "timm:mixer_b16_224", "timm:resnet26t", "timm:repvgg_a0", "timm:tf_efficientnet_lite0",
    "timm:gernet_l", "timm:tf_efficientnetv2_b3.in21k_ft_in1k", "timm:coat_lite_tiny",
)  # fmt: skip
"""Convolutional, of attention, mixed; 160 to 299; bilinear and bicubic; crop_pct 0.875 to 1; one is warped."""


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Five JPEGs full of detail, of several shapes; those of a folder named in $VGGBENCH_TEST_IMAGES if it is set."""
    given = os.environ.get("VGGBENCH_TEST_IMAGES")
    if given:
        paths = sorted(Path(given).rglob("*.JPEG"))[::37][:5]
    else:
        root, rng, paths = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0), []
        for number, (height, width) in enumerate([(375, 500), (500, 333), (240, 320), (401, 300), (333, 333)]):
            coarse = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8))
            fine = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
            noise = rng.integers(-40, 41, fine.shape)
            paths.append(root / f"{number}.jpg")
            Image.fromarray((fine + noise).clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    images = tuple(ImageFile(path.stem, path, path.stat().st_size, "n01440764") for path in paths)
    return DataSet("photographs", images, len(images))


@pytest.fixture
def two(tmp_path: Path, pictures: Path) -> Path:
    """A picture in each of two class folders of ILSVRC."""
    files = sorted(path for path in pictures.rglob("*") if path.is_file())
    for name, file in zip(wnids()[:2], files, strict=False):
        (tmp_path / "two" / name).mkdir(parents=True)
        (tmp_path / "two" / name / f"{name}.jpg").write_bytes(file.read_bytes())
    return tmp_path / "two"


class Spread(nn.Module):
    """Random weights give any image nearly the same scores: of these, what differs from image to image, made large."""

    def __init__(self, network: nn.Module, given: Tensor) -> None:
        super().__init__()
        self.network = network
        norms = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
        for layer in network.modules():
            if isinstance(layer, nn.Linear) and not layer.weight.any():  # heads that begin as zeros
                nn.init.normal_(layer.weight, std=0.02, generator=torch.Generator().manual_seed(0))
        for norm in norms:  # so that activations neither vanish nor explode
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        with torch.no_grad():
            network(given)
            network.eval()
            scores = network(given)
        self.mean = nn.Parameter(scores.mean(0), requires_grad=False)
        self.times = 6 / float((scores - self.mean).std())

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = (self.network(images) - self.mean) * self.times
        return scores


def peaked(model: Model, data: DataSet) -> Model:
    """With posteriors between 0 and 1, not all near 1/K, on these images as the library prepares them."""
    assert isinstance(model.module, nn.Module)
    given = torch.stack([_prepared(model, image) for image in data.images])
    return replace(model, module=Spread(model.module, given).eval())


def _prepared(model: Model, image: ImageFile) -> Tensor:
    with Image.open(image.path) as opened:
        return transform_of(model)(opened.convert("RGB"))


def loaded(text: str) -> Model:
    """With random weights."""
    return load_any(parse_model(f"{text}@random"), LoadOptions(), ())


def transform_of(model: Model) -> Callable[[Image.Image], Tensor]:
    """The library's own, on what Pillow opened."""
    kind, _, name = str(model.identity.kind).partition(":")
    if kind == "torchvision":
        from torchvision.models import get_model_weights

        preset: Callable[[Image.Image], Tensor] = get_model_weights(name).DEFAULT.transforms()
        return preset
    import timm.data

    made: Callable[[Image.Image], Tensor] = timm.data.create_transform(
        **timm.data.resolve_model_data_config(getattr(model.module, "network", model.module)), is_training=False
    )
    return made


def by_the_library(model: Model, data: DataSet) -> NDArray[np.floating]:
    """In one batch, as ours is: what another batch moves in the last bits is multiplied with all else by `Spread`."""
    with torch.inference_mode():
        found: Tensor = model.module(torch.stack([_prepared(model, image) for image in data.images]))
    return found.softmax(1).numpy()


def evaluated(data: DataSet, job: Job, tmp_path: Path, settings: Settings = SETTINGS) -> NDArray[np.floating]:
    (run,) = evaluate(data, [job], tmp_path / "runs", settings)
    return posteriors(run)


def _require_own(text: str, data: DataSet, tmp_path: Path) -> None:
    model = peaked(loaded(text), data)
    expected = by_the_library(model, data)
    assert expected.max() > 0.05  # peaked enough for a difference to show
    found = evaluated(data, own_job(model), tmp_path)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("text", QUICK)
def test_own_is_what_the_library_does(text: str, photographs: DataSet, tmp_path: Path) -> None:
    _require_own(text, photographs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("text", ARCHITECTURES)
def test_own_is_what_the_library_does_of_thirty(text: str, photographs: DataSet, tmp_path: Path) -> None:
    _require_own(text, photographs, tmp_path)


def test_pillow_and_tensors_differ_and_own_is_pillows(photographs: DataSet, tmp_path: Path) -> None:
    """So that the test above can fail: by PyTorch's own rescaling the posteriors are others."""
    model = peaked(loaded("timm:test_vit"), photographs)
    job = own_job(model)
    assert job.rescale
    other = replace(job, rescale=replace(job.rescale, library="PyTorch", antialias=False))
    found = evaluated(photographs, other, tmp_path)
    assert np.abs(found - by_the_library(model, photographs)).max() > 1e-3


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["dense", "multicrop", "tencrop", "center"])
def test_the_papers_protocols_equal_a_naive_loop(name: str, photographs: DataSet, tmp_path: Path) -> None:
    model = peaked(loaded("torchvision:resnet18"), photographs)
    data, scale = photographs.subset(1 if name == "multicrop" else 2), 256
    found = evaluated(data, Job(model, Protocol.parse(name), scale), tmp_path)
    np.testing.assert_allclose(found, _naive(model, data, name, scale, 224), rtol=0, atol=1e-5)


def test_crops_are_as_large_as_the_network_takes(photographs: DataSet, tmp_path: Path) -> None:
    model = peaked(loaded("timm:test_resnet"), photographs)
    side = model.identity.side
    assert side == 160
    job = Job(model, Protocol("multicrop", crop=side), 192)
    found = evaluated(photographs.subset(2), job, tmp_path)
    np.testing.assert_allclose(found, _naive(model, photographs.subset(2), "multicrop", 192, side), rtol=0, atol=1e-5)


def _naive(model: Model, data: DataSet, name: str, scale: int, side: int) -> NDArray[np.floating]:
    """Plain loops: every view cut, mirrored and normalised by itself, in batches of one."""
    means, stds = (torch.tensor(values).view(3, 1, 1) for values in (model.input.mean, model.input.std))
    found = []
    for image in data.images:
        pixels = rescale(decode(image.path.read_bytes()), scale, Rescale())
        views = Protocol.parse(name)
        views = replace(views, crop=side)
        total = np.zeros(model.identity.classes)
        boxes = views.views(pixels.shape[1], pixels.shape[2])
        for view in boxes:
            given = (take(pixels, view).float() / 255 - means) / stds
            with torch.inference_mode():
                total += model.module(given[None])[0].softmax(0).numpy()
        found.append(total / len(boxes))
    return np.array(found)


def test_torchvisions_vggs_are_our_own() -> None:
    """All eight by name, so that every protocol of the paper is exact of them."""
    from torchvision import models

    names = [name for name in models.list_models(module=models) if name.startswith("vgg")]
    configs = [torchvision_nets.config_of(OtherSpec("torchvision", name)) for name in names]
    known = [str(config.known_as).lower().replace("vgg-", "vgg").replace("-", "_") for config in configs if config]
    assert known == names
    assert len(names) == 8


@pytest.mark.slow
def test_the_same_vgg_by_two_names(photographs: DataSet, tmp_path: Path) -> None:
    """torchvision:vgg11 and A@torchvision are one net: the same file gives the same bits."""
    from torchvision.models import vgg11

    torch.manual_seed(0)
    path = tmp_path / "vgg11.pth"
    torch.save({name: 1.3 * tensor for name, tensor in vgg11(num_classes=1000).state_dict().items()}, path)
    options = LoadOptions(input="torchvision")
    one = load_any(parse_model(f"torchvision:vgg11@{path}"), options, ())
    other = load_any(parse_model(f"A@{path}"), options, ())
    assert one.identity.weights_hash == other.identity.weights_hash
    assert any("A@vgg11.pth" in sentence for sentence in one.identity.said)
    data = photographs.subset(2)
    for protocol in (Protocol("center"), Protocol("dense")):
        first = evaluated(data, Job(one, protocol, 256), tmp_path / "one")
        second = evaluated(data, Job(other, protocol, 256), tmp_path / "other")
        assert np.array_equal(first, second)


def test_dense_of_what_takes_one_size_is_refused(vggbench: Callable[..., Result], two: Path) -> None:
    done = vggbench("eval", "timm:test_vit3@random", "--data", two, "--dense")
    assert done.code == 2
    assert "does not take images of" in done.err
    assert "--center" in done.err
    assert "Traceback" not in done.err


def test_near_names_are_suggested(vggbench: Callable[..., Result], two: Path) -> None:
    done = vggbench("eval", "torchvision:resnet51", "--data", two)
    assert done.code == 2
    assert "torchvision:resnet50" in done.err
    done = vggbench("compare", "D@sample", "timm:resnet50.a9_in1k", "--data", two)
    assert done.code == 2
    assert "timm has no network" in done.err


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("change", "word"),
    [({"crop_mode": "border"}, "border"), ({"interpolation": "random"}, "random"), ({"crop_pct": 1.2}, "crop_pct")],
)
def test_what_cannot_be_done_exactly_is_refused_by_name(
    change: dict[str, Any], word: str, vggbench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, two: Path
) -> None:
    import timm

    original = timm.create_model

    def made(name: str, **given: Any) -> nn.Module:
        network: nn.Module = original(name, **given)
        network.pretrained_cfg = dict(network.pretrained_cfg) | change  # type: ignore[assignment, arg-type]
        return network

    monkeypatch.setattr(timm, "create_model", made)
    done = vggbench("eval", "timm:test_resnet@random", "--data", two)
    assert done.code == 2
    assert word in done.err
    assert "cannot be taken exactly" in done.err
    done = vggbench("eval", "timm:test_resnet@random", "--data", two, "--center")
    assert done.code == 0, done.err


def test_own_takes_no_scales(vggbench: Callable[..., Result], two: Path) -> None:
    for more in (["--scales", 384], ["--filter", "bicubic"], ["--no-antialias"]):
        done = vggbench("eval", "timm:test_resnet@random", "--data", two, *more)
        assert done.code == 2
        assert "own" in done.err


def test_a_q_smaller_than_the_crop_is_refused(vggbench: Callable[..., Result], two: Path) -> None:
    done = vggbench("eval", "torchvision:inception_v3@random", "--data", two, "--center", "--scales", 256)
    assert done.code == 2
    assert "299" in done.err
    assert "341" in done.err


def test_a_table_tells_the_recipe(vggbench: Callable[..., Result], two: Path) -> None:
    done = vggbench("eval", "timm:test_resnet@random", "--data", two, "--format", "table")
    assert done.code == 0, done.err
    words = " ".join(done.out.split())
    assert "own" in words
    assert "timm's data config: bilinear antialiased by Pillow, Q=168, centre 160" in words
    assert "Random weights" in words


def test_weights_of_a_file(tmp_path: Path, vggbench: Callable[..., Result], two: Path) -> None:
    """Its own classes, wrapped names; what does not fit is refused."""
    import timm

    torch.manual_seed(1)
    network = timm.create_model("test_resnet", num_classes=2)
    wrapped = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    path = tmp_path / "two.pth"
    torch.save({"state_dict": wrapped, "epoch": 3}, path)
    model = load_any(parse_model(f"timm:test_resnet@{path}"), LoadOptions(), ())
    assert model.identity.classes == 2
    assert model.identity.class_names is None
    image = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        assert torch.equal(model.module(image), network.eval()(image))
    done = vggbench("eval", f"timm:test_resnet@{path}", "--data", two)
    assert done.code == 0, done.err
    done = vggbench("eval", f"timm:test_vit@{path}", "--data", two)
    assert done.code == 1
    assert "does not fit timm:test_vit" in done.err
    del wrapped["module.fc.bias"]
    torch.save(wrapped, path)
    with pytest.raises(WeightsError, match=r"without fc\.bias"):
        load_any(parse_model(f"timm:test_resnet@{path}"), LoadOptions(), ())


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "densenet121"])
def test_torchvisions_own_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With auxiliary outputs, with names of old: as torchvision's own loader takes them, into the same network."""
    from torchvision import models
    from torchvision.models._api import WeightsEnum

    extra = {} if name == "densenet121" else {"init_weights": False, "transform_input": True}
    torch.manual_seed(0)
    state = models.get_model(name, weights=None, **extra).state_dict()
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    if name == "densenet121":
        import re

        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value for key, value in state.items()}
    path = tmp_path / "theirs.pth"
    torch.save(state, path)
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: torch.load(path, weights_only=True))
    monkeypatch.setattr("torchvision.models.densenet.load_state_dict_from_url", None, raising=False)
    theirs = models.get_model(name, weights="DEFAULT").eval()
    ours = load_any(parse_model(f"torchvision:{name}@{path}"), LoadOptions(), ())
    image = torch.randn(2, 3, ours.identity.side, ours.identity.side)
    with torch.inference_mode():
        assert torch.equal(ours.module(image), theirs(image))


def test_the_librarys_loader_unpickles_tensors_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poisoned file in torch.hub's cache does no harm."""
    import torchvision

    entry = torchvision.models.get_model_weights("resnet18").DEFAULT
    place = tmp_path / "hub" / "checkpoints" / Path(entry.url).name
    place.parent.mkdir(parents=True)
    touched = tmp_path / "touched"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (touched,))

    torch.save({"fc.weight": Evil()}, place)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(WeightsError, match="could not give its weights"):
        load_any(parse_model("torchvision:resnet18"), LoadOptions(), ())
    assert not touched.exists()
    torch.load(place, weights_only=False)
    assert touched.exists()  # so it would have


def test_weights_in_torch_hubs_cache_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photographs: DataSet
) -> None:
    import torchvision

    entry = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT
    place = tmp_path / "hub" / "checkpoints" / Path(entry.url).name
    place.parent.mkdir(parents=True)
    torch.manual_seed(5)
    theirs = torchvision.models.squeezenet1_1()
    torch.save(theirs.state_dict(), place)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    model = load_any(parse_model("torchvision:squeezenet1_1"), LoadOptions(), ())
    assert model.identity.is_published
    assert model.identity.preset
    assert model.identity.preset.top1 == pytest.approx(41.822)
    image = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(model.module(image), theirs.eval()(image))


def test_macs_are_those_that_torchvision_states() -> None:
    """Its meta data has them, in units of 10^9, to three digits."""
    from torchvision import models

    for name in ("resnet18", "swin_t", "mobilenet_v3_small", "vit_b_32"):
        meta = models.get_model_weights(name).DEFAULT.meta
        network = models.get_model(name, weights=None).eval()
        side = meta["min_size"][0] if name.startswith("vit") else 224
        found = count(network, side, side)
        assert found.parameters == meta["num_params"]
        assert round(found.macs / 1e9, 3) == meta["_ops"]
        assert found.uncounted == ()


def test_operators_that_cannot_be_counted_are_named(vggbench: Callable[..., Result]) -> None:
    class Odd(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.cdist(images.flatten(1), images.flatten(1))

    assert count(Odd(), 32, 32).uncounted == ("cdist",)


def test_params_of_any_network(vggbench: Callable[..., Result]) -> None:
    done = vggbench("params", "D", "torchvision:vgg16", "timm:test_resnet", "--format", "json")
    assert done.code == 0, done.err

    one, same, other = json.loads(done.out)
    assert one["macs"] == same["macs"] == 15470264320
    assert one["parameters"] == same["parameters"] == 138357544
    assert other["input"] == 160
    assert vggbench("params", "timm:test_vit3", "--scales", 256).code == 2
    assert vggbench("params", "timm:test_vit", "--layers").code == 2


def test_a_library_that_lacks_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'vggbench\[timm\]'"):
        require_model(OtherSpec("timm", "resnet50"))


def test_the_size_that_timm_validates_at_is_told() -> None:
    model = loaded("timm:convnext_atto")
    assert model.identity.preset
    assert "288 x 288" in str(model.identity.preset.remark)
    assert timm_nets.knows("resnet50.a1_in1k")


def test_every_protocol_is_said_in_the_signature(photographs: DataSet, tmp_path: Path) -> None:
    """Another crop, another rescaling or another library is another run."""
    model = loaded("timm:test_resnet")
    own = own_job(model)
    assert own.rescale
    jobs = [
        own,
        Job(model, Protocol("center", crop=160), own.scale),
        replace(own, rescale=replace(own.rescale, square=True)),
        replace(own, protocol=Protocol(OWN, crop=128)),
    ]
    runs = evaluate(photographs.subset(2), jobs, tmp_path / "runs", SETTINGS)
    assert len({run.title for run in runs}) == 4
    for run, job in zip(runs, jobs, strict=True):
        again = type(run).read(run.folder)
        assert again.protocol == job.protocol
        assert again.identity.preset == model.identity.preset
        assert again.rescale == (job.rescale or Rescale())


@pytest.mark.thorough
def test_explain_departs_from_the_publishers_recipe(vggbench: Callable[..., Result], two: Path) -> None:
    """A network that is not a VGG has the changes that it can take, each against its own recipe."""
    done = vggbench("explain", "timm:test_resnet@random", "--data", two, "--format", "json")
    assert done.code == 0, done.err
    rows = {row["change"]: row for row in json.loads(done.out)}
    assert next(iter(rows)) == "own recipe"
    assert {"whole image", "ten crops", "tensor resize", "bicubic", "channels swapped", "warped"} <= set(rows)
    assert not {"no mirror", "pooling", "softmax first", "bilinear", "centre crop", "227, centre 224"} & set(rows)
    assert rows["ten crops"]["rescale"] == "bilinear antialiased by Pillow"
    assert {row["against"] for name, row in rows.items() if name != "own recipe"} == {"own recipe"}
    assert rows["own recipe"]["protocol"] == OWN
    assert rows["tensor resize"]["rescale"] == "bilinear antialiased"


def test_predict_takes_the_publishers_recipe(vggbench: Callable[..., Result], pictures: Path, tmp_path: Path) -> None:
    image = next((pictures / "fish").iterdir())
    done = vggbench("predict", "timm:test_resnet@random", image, "--format", "json")
    assert done.code == 0, done.err
    first = json.loads(done.out)[0]
    assert (first["protocol"], first["test_scales"]) == (OWN, [168])
    assert first["rescale"] == "bilinear antialiased by Pillow"
    done = vggbench("predict", "timm:test_resnet@random", image, "--dense", "--map", tmp_path / "x.png")
    assert done.code == 2
    assert "score map" in done.err


@pytest.mark.thorough
def test_speed_of_any_network(vggbench: Callable[..., Result]) -> None:
    asked = ("speed", "timm:test_resnet", "--batch-size", 2, "--iterations", 1, "--seconds", 0, "--format", "json")
    done = vggbench(*asked)
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    assert (row["network"], row["size"], row["backend"]) == ("timm:test_resnet@random", 160, "pytorch")
    assert row["gmacs_per_second"] > 0
    assert "is not a VGG" in done.err
    done = vggbench("speed", "timm:test_vit3", "--scales", 256, *asked[2:])
    assert done.code == 2
    assert "does not take images of 256" in done.err


@pytest.mark.thorough
@pytest.mark.parametrize("text", ["torchvision:squeezenet1_1@random", "timm:test_vit3@random"])
def test_an_export_gives_the_same_posteriors(
    text: str, vggbench: Callable[..., Result], tmp_path: Path, two: Path
) -> None:
    """As tensors and as ONNX, which says what it expects; images of any size where the network takes any."""
    kind = text.partition("@")[0]
    for to, ending in (("safetensors", ".safetensors"), ("onnx", ".onnx")):
        done = vggbench("export", text, "--to", to, "--output", tmp_path / f"x{ending}")
        assert done.code == 0, done.err
    asked = ("--data", two, "--center", "--format", "json")
    names = (text, f"{kind}@{tmp_path / 'x.safetensors'}", f"onnx:{tmp_path / 'x.onnx'}")
    hashes = [json.loads(vggbench("eval", name, *asked).out)[0]["weights_hash"] for name in names[:2]]
    assert hashes[0] == hashes[1]
    done = vggbench("compare", text, names[2], *asked)
    assert done.code == 0, done.err
    first, second = json.loads(done.out)
    assert first["top1_error"] == second["top1_error"]
    assert second["input"] == first["input"]
    dense = vggbench("eval", names[2], "--data", two, "--dense")
    assert dense.code == (0 if "squeezenet" in text else 2)
    refused = vggbench("eval", names[2], *asked, "--input", "caffe")
    assert refused.code == 2
    assert "contradicts" in refused.err


@pytest.mark.thorough
def test_table_seven_with_neighbours(vggbench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggbench.studies.reproduction.PAPER", {})  # whose nets take a minute, and are tried elsewhere
    asked = ("reproduce", 7, "--with", "timm:test_resnet@random", "--data", "sample", "--limit", 2)
    done = vggbench(*asked, "--format", "json")
    assert done.code == 0, done.err
    rows = [row for row in json.loads(done.out) if row["training"] == "its publisher's"]
    assert [row["protocol"] for row in rows] == [OWN, "dense+multicrop"]
    assert rows[1]["test_scales"] == [182, 274, 365]
    assert rows[1]["views"] == 156
    assert rows[0]["method"] == "timm:test_resnet@random*, own"
    words = " ".join(vggbench(*asked, "--format", "table").out.split())
    assert "* trained by later recipes: networks as released, not architectures." in words
    assert vggbench("reproduce", 3, "--with", "timm:test_resnet@random", "--data", "sample").code == 2


def test_a_run_of_another_network_is_finished_from_its_record(
    vggbench: Callable[..., Result], tmp_path: Path, two: Path
) -> None:
    """The network, its crops and its rescaling are in it."""
    asked = ("eval", "timm:test_resnet@random", "--data", two, "--own", "--tencrop", "--format", "csv")
    whole = vggbench(*asked).out
    runs = sorted((tmp_path / "runs").iterdir())
    for run in runs:
        for block in (run / "posteriors").iterdir():
            block.unlink()
    assert len(runs) == 2
    done = vggbench("runs", "--finish")
    assert done.code == 0, done.err
    again = vggbench(*asked)
    assert "Read and decoded" not in again.err
    assert [line.split(",")[:28] for line in again.out.splitlines()] == [
        line.split(",")[:28] for line in whole.splitlines()
    ]


def test_dry_run_fetches_nothing(vggbench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, two: Path) -> None:
    monkeypatch.setattr(timm_nets, "pretrained", None)
    done = vggbench("eval", "timm:test_resnet", "--data", two, "--dry-run")
    assert done.code == 0, done.err
    assert "a plan fetches nothing" in done.err


@pytest.mark.thorough
def test_the_published_accuracy_stands_beside_torchvisions_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vggbench: Callable[..., Result], two: Path
) -> None:
    """Beside `own` of a full ILSVRC run, and nothing else: not `center`, not other weights, not a part of the set."""
    import torchvision

    entry = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT
    place = tmp_path / "hub" / "checkpoints" / Path(entry.url).name
    place.parent.mkdir(parents=True)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), place)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    asked = ("--data", two, "--own", "--center", "--format", "json")
    assert all(
        row["reference_top1"] is None for row in json.loads(vggbench("eval", "torchvision:squeezenet1_1", *asked).out)
    )
    monkeypatch.setattr(DataSet, "is_full_ilsvrc_val", True)
    own, centre = sorted(
        json.loads(vggbench("eval", "torchvision:squeezenet1_1", *asked).out), key=lambda row: row["protocol"] != OWN
    )
    assert (own["reference_top1"], own["reference_top5"]) == (41.822, 19.376)
    assert own["reference_source"] == "torchvision's weights.transforms() of IMAGENET1K_V1"
    assert centre["reference_top1"] is None
    for other in ("torchvision:squeezenet1_1@random", f"torchvision:squeezenet1_1@{place}"):
        rows = json.loads(vggbench("eval", other, *asked).out)
        assert all(row["reference_top1"] is None for row in rows)


def test_params_from_python() -> None:
    found = vggbench_params("D", "timm:test_resnet")
    assert list(found.input) == [224, 160]
    assert list(vggbench_params("timm:test_convnext", scales=[160, 192]).input) == [160, 192]

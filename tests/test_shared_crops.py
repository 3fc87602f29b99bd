"""Crops that share stages equal plain crops, for every net, pooling, size and offset; and the sharing is real."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vggbench import INPUTS, VGG, Job, Model, Protocol, Settings, open_data, posteriors
from vggbench.evaluation.loop import evaluate
from vggbench.images.pixels import take
from vggbench.inference.choices import Asked
from vggbench.inference.onnxruntime_layers import OnnxRuntimeLayers
from vggbench.inference.pytorch_layers import quickest_on_cpu
from vggbench.inference.shared_crops import (
    Stage,
    Through,
    before_pooling,
    crop_maps,
    crop_maps_anywhere,
    in_stages,
    is_grid,
    is_worth_sharing,
    quickest,
)
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import initialise
from vggbench.paper.configs import CONFIGS, CROP
from vggbench.paper.protocols import View
from vggbench.store.identity import Identity

GRID = Protocol("multicrop", 8)


def _features(config: str, *, ceil: bool = False, width: float = 1 / 16) -> nn.Sequential:
    net = VGG(CONFIGS[config], 4, width, ceil_pool=ceil).eval()
    initialise(net, 0)
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            nn.init.uniform_(module.bias, -0.5, 0.5, generator)  # padding is zero, not what a bias gives of zero
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            nn.init.uniform_(module.running_mean, -0.5, 0.5, generator)
    return net.features


def _stages(features: nn.Sequential) -> list[Stage]:
    return in_stages(features, lambda layers: layers)


def _plain(features: nn.Sequential, image: Tensor, views: Sequence[View]) -> Tensor:
    crops = [image[0, :, view.top : view.top + CROP, view.left : view.left + CROP] for view in views]
    flipped = [crop.flip(2) if view.mirror else crop for crop, view in zip(crops, views, strict=True)]
    plain: Tensor = features(torch.stack(flipped))
    return plain


def _require_equal(features: nn.Sequential, image: Tensor, views: Sequence[View], *shared: int) -> None:
    with torch.inference_mode():
        expected = _plain(features, image, views)
        found = [crop_maps(_stages(features), image, views, stages) for stages in shared]
    assert expected.abs().max() > 0.1
    assert all((one - expected).abs().max() <= 3e-6 * expected.abs().max() for one in found)


NETS = [*((config, False) for config in CONFIGS), ("C", True), ("E-BN", True)]
"""With their pooling, rounded down or up."""


@pytest.mark.thorough
@pytest.mark.parametrize(("config", "ceil"), NETS)
def test_every_net_and_pooling(config: str, ceil: bool) -> None:
    image = torch.randn(1, 3, 256, 341, generator=torch.Generator().manual_seed(1))
    _require_equal(_features(config, ceil=ceil, width=1 / 32), image, GRID.views(256, 341), 3, 4)


SIDES = st.one_of(st.integers(224, 300), st.sampled_from([256, 384, 512, 683]))


@pytest.mark.thorough
@settings(max_examples=15, deadline=None)
@given(height=SIDES, width=SIDES, config=st.sampled_from(["A", "C", "E", "A-LRN", "B-5x5"]), shared=st.integers(0, 4))
def test_every_size(height: int, width: int, config: str, shared: int) -> None:
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height * width))
    _require_equal(_features(config, width=1 / 32), image, GRID.views(height, width), shared)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), shared=st.integers(1, 4))
def test_any_grid_of_offsets(data: st.DataObject, shared: int) -> None:
    """Coinciding, touching the image's sides or not, close together or far apart."""
    offsets = st.lists(st.integers(0, 12).map(lambda i: 8 * i), min_size=1, max_size=3)
    tops, lefts = data.draw(offsets), data.draw(offsets)
    height, width = (CROP + max(o) + data.draw(st.integers(0, 20)) for o in (tops, lefts))
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    windows = [View(CROP, CROP, top, left) for top in tops for left in lefts]
    views = windows + [replace(view, mirror=True) for view in windows]
    _require_equal(_features("D", width=1 / 32), image, views, shared)


@pytest.mark.thorough
@pytest.mark.parametrize(("config", "ceil"), NETS)
def test_at_any_offsets_what_precedes_the_pooling_is_shared(config: str, ceil: bool) -> None:
    """To the last bit, by either backend; of LRN's powers PyTorch's last bit hangs on where a value lies in memory."""
    height, width, most = 259, 345, 1e-6 if "LRN" in config else 0.0
    features, views = _features(config, ceil=ceil, width=1 / 32), Protocol("multicrop").views(height, width)
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    ways: tuple[Through, ...] = (quickest_on_cpu, partial(OnnxRuntimeLayers, device=torch.device("cpu")))
    with torch.inference_mode():
        expected = _plain(features, image, views)
        for through in ways:
            before, rest = stages = before_pooling(features, through)
            crops = torch.cat([take(image[0], view)[None] for view in views])
            plain = torch.cat([rest.run(before.run(some)) for some in torch.split(crops, 8)])
            shared = crop_maps_anywhere(stages, image, views)
            assert (plain - shared).abs().max() <= most * expected.abs().max()
            assert (plain - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["pytorch", "onnxruntime"])
def test_an_evaluation_gives_the_same_bits_where_crops_share(
    backend: Asked, pictures: Path, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    net = VGG(CONFIGS["D"], 4, 1 / 16)
    net.load_state_dict(peaked("D"))
    names = ("apple", "boat", "fish", "house")
    network = Architecture(CONFIGS["D"], 4, 1 / 16)
    model = Model(Identity("D@x", INPUTS["torchvision"], 4, names, "x", architecture=network), net.eval())
    jobs, settings = [Job(model, Protocol("multicrop"), q) for q in (224, 256, 800)], Settings(device="cpu", workers=0)
    asked, right, found = list[bool](), is_worth_sharing, []
    for shares in (True, False):

        def worth(height: int, width: int, views: Sequence[View], shares: bool = shares) -> bool:
            asked.append(right(height, width, views))
            return shares and asked[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vggbench.inference.scorer.is_worth_sharing", worth)
            two = open_data(pictures).subset(2)
            runs = evaluate(two, jobs, tmp_path / str(shares), replace(settings, backend=backend))
        found.append([posteriors(run) for run in runs])
    assert set(asked) == {True, False}, "not of images much larger than crops"
    for shared, plain in zip(*found, strict=True):
        assert plain.max() > 0.4
        np.testing.assert_array_equal(shared, plain)


def test_other_views_are_no_grid() -> None:
    assert is_grid(GRID.views(384, 511))
    assert not is_grid(Protocol("multicrop").views(300, 411))
    assert not is_grid(Protocol("dense").views(256, 320))


def test_what_is_shared_is_three_stages_and_the_convolutions_of_the_fourth() -> None:
    *stages, rest = _stages(_features("D"))
    assert [(stage.reach, stage.step) for stage in stages] == [(2, 2), (2, 2), (3, 2), (3, 1)]
    assert isinstance(rest.run, nn.Sequential)
    assert isinstance(rest.run[0], nn.MaxPool2d)
    assert [(stage.reach, stage.step) for stage in _stages(_features("B-5x5"))[:4]] == [(2, 2), (2, 2), (2, 2), (2, 1)]


@pytest.mark.parametrize("side", [(256, 341), (384, 512), (512, 683)])
def test_sharing_saves_work(side: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in output pixels of all convolutions, by hooks."""
    features, pixels = _features("D", width=1 / 32), [0]
    for module in features:
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, given, found: pixels.__setitem__(0, pixels[0] + found.numel()))
    work = []
    for shared in (0, 3, 4):
        pixels[0] = 0
        with torch.inference_mode():
            crop_maps(_stages(features), torch.zeros(1, 3, *side), GRID.views(*side), shared)
        work.append(pixels[0])
    assert work[1] < 0.75 * work[0]
    assert (work[2] < work[1]) == (side[0] < 512)


@pytest.mark.thorough
@pytest.mark.parametrize("config", ["D", "B-5x5"])
def test_an_evaluation_gives_the_same_whatever_is_shared(
    config: str, pictures: Path, peaked: Callable[..., dict[str, Tensor]], tmp_path: Path
) -> None:
    net = VGG(CONFIGS[config], 4, 1 / 32)
    net.load_state_dict(peaked(config, width=1 / 32))
    names = ("apple", "boat", "fish", "house")
    model = Model(
        Identity("x", INPUTS["torchvision"], 4, names, "x", architecture=Architecture(CONFIGS[config], 4, 1 / 32)),
        net.eval(),
    )
    jobs = [Job(model, GRID, scale) for scale in (224, 256, 300)]
    found = []
    for shared in (0, 3, 4):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vggbench.inference.backend.quickest", lambda *_, shared=shared: shared)
            runs = evaluate(open_data(pictures), jobs, tmp_path / str(shared), Settings(device="cpu", workers=0))
        assert {entry["shared_stages"] for run in runs for entry in run.provenance} == {shared}
        found.append([posteriors(run) for run in runs])
    for plain, *others in zip(*found, strict=True):
        assert plain.max() > 0.4
        for other in others:
            np.testing.assert_allclose(plain, other, atol=1e-6)


def test_a_run_that_goes_on_shares_as_it_began(many_pictures: Path, tmp_path: Path) -> None:
    """The probe may decide otherwise the next time; another number of stages may move the last bits."""
    names = ("apple", "boat", "fish", "house")
    model = Model(Identity("D@x", INPUTS["torchvision"], 4, names, "x"), VGG(CONFIGS["D"], 4, 1 / 64).eval())
    data, alone = open_data(many_pictures), Settings(device="cpu", workers=0)
    for probed, share in ((3, (0, 2)), (4, (1, 2))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vggbench.inference.backend.quickest", lambda *_, probed=probed: probed)
            (run,) = evaluate(data, [Job(model, GRID, 230)], tmp_path, replace(alone, share=share))
    assert not run.missing()
    assert {entry["shared_stages"] for entry in run.provenance} == {3}


def test_the_choices_are_tried_warm_and_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tried = [0.0], list[int]()
    took = {0: [1.9, 0.25, 0.25], 3: [0.9, 0.125, 0.5]}  # the first runs say the contrary, the last was disturbed

    def crop_maps_of(stages: object, image: object, views: object, shared: int) -> None:
        tried.append(shared)
        clock[0] += took[shared][min(tried.count(shared), 3) - 1]

    monkeypatch.setattr("vggbench.inference.shared_crops.crop_maps", crop_maps_of)
    monkeypatch.setattr("vggbench.inference.timing.LEAST", 0.3)
    monkeypatch.setattr("vggbench.inference.timing._LONG", 2.0)
    monkeypatch.setattr("vggbench.inference.timing.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    assert quickest([], torch.zeros(1), []) == 3
    assert tried == [0, 3, 0, 3, 0, 3]

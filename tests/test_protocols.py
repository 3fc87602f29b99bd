"""Views, protocols and scales: specs that parse back, and geometry against naive formulas and torchvision."""

import itertools
import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2

from vggbench.errors import UsageError
from vggbench.paper.protocols import Protocol, TrainScale, View, is_scale, rescaled_size, resolve_scales

patient = settings(deadline=None)

CENTER, TENCROP, DENSE = Protocol("center"), Protocol("tencrop"), Protocol("dense")
MULTICROP, MULTICROP8 = Protocol("multicrop"), Protocol("multicrop", 8)
ALL = (CENTER, TENCROP, DENSE, MULTICROP, MULTICROP8)
FIXED, JITTERED = TrainScale(384, 384), TrainScale(256, 512)

protocols = st.sampled_from(ALL)
numbers = st.integers(0, 10_000)
sides = st.integers(224, 1200)
small_sides = st.integers(224, 320)


def naive_offsets(side: int, grid: int) -> list[int]:
    """DESIGN.md's two formulas, in exact fractions."""
    half = Fraction(1, 2)
    if grid == 1:
        return [math.floor(Fraction(i * (side - 224), 4) + half) for i in range(5)]
    return [8 * math.floor(Fraction(i * math.floor(Fraction(side - 224, 8)), 4) + half) for i in range(5)]


def numbered(height: int, width: int) -> torch.Tensor:
    """An image (1, H, W) whose pixels are all different."""
    return torch.arange(height * width, dtype=torch.int32).view(1, height, width)


def cut(image: torch.Tensor, view: View) -> torch.Tensor:
    window = image[:, view.top : view.top + view.height, view.left : view.left + view.width]
    return window.flip(-1) if view.mirror else window


# ---------------------------------------------------------------- specs


@patient
@given(st.builds(View, numbers, numbers, numbers, numbers, st.booleans()))
def test_a_view_reads_back_what_it_prints(view: View) -> None:
    assert View.parse(str(view)) == view


def test_how_views_print() -> None:
    assert str(View(224, 300)) == "224x300+0+0"
    assert str(View(224, 224, 8, 16, mirror=True)) == "224x224+8+16m"


@pytest.mark.parametrize(
    "spec", ["", "224", "224x224", "224x224+8", "224x224+-8+0", "224x224+8+16mm", "224x224+8+16 ", "m"]
)
def test_what_is_no_view_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match=r"is not a view: expected HEIGHTxWIDTH\+TOP\+LEFT"):
        View.parse(spec)


@patient
@given(protocols)
def test_a_protocol_reads_back_what_it_prints(protocol: Protocol) -> None:
    assert Protocol.parse(str(protocol)) == protocol


def test_how_protocols_print() -> None:
    assert [str(protocol) for protocol in ALL] == ["center", "tencrop", "dense", "multicrop", "multicrop8"]


@pytest.mark.parametrize(
    "spec", ["", "Dense", "multicrop1", "multicrop16", "multi-crop", "dense+multicrop", "center8", "tencrop8", "dense8"]
)
def test_what_is_no_protocol_is_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        Protocol.parse(spec)


@pytest.mark.parametrize(("name", "grid"), [("multicrop", 4), ("multicrop", 0), ("dense", 8), ("fivecrop", 1)])
def test_protocols_that_cannot_be_are_refused(name: Any, grid: Any) -> None:
    with pytest.raises(UsageError):
        Protocol(name, grid)


@patient
@given(st.tuples(st.integers(224, 2048), st.integers(224, 2048)).map(lambda pair: TrainScale(min(pair), max(pair))))
def test_a_train_scale_reads_back_what_it_prints(scale: TrainScale) -> None:
    assert TrainScale.parse(str(scale)) == scale
    assert TrainScale.parse(f"[{scale.low};{scale.high}]") == scale


@pytest.mark.parametrize(
    ("spec", "scale"),
    [("256", TrainScale(256, 256)), ("256-512", JITTERED), ("[256;512]", JITTERED), (" 384 ", FIXED)],
)
def test_ways_to_write_a_train_scale(spec: str, scale: TrainScale) -> None:
    assert TrainScale.parse(spec) == scale
    assert str(scale) in ("256", "256-512", "384")


@pytest.mark.parametrize("spec", ["", "223", "2049", "512-256", "256-512-768", "256,512", "-256", "256-", "S", "1e3"])
def test_what_is_no_train_scale_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match=r"is not a training scale: expected 256, 384 or 256-512"):
        TrainScale.parse(spec)


def test_the_papers_test_scales() -> None:
    """Section 4.1: Q = S, or 0.5 (Smin + Smax); section 4.2: S - 32, S, S + 32, or Smin, the middle, Smax."""
    assert (TrainScale(256, 256).single, FIXED.single, JITTERED.single) == (256, 384, 384)
    assert TrainScale(256, 256).multi == (224, 256, 288)
    assert FIXED.multi == (352, 384, 416)
    assert JITTERED.multi == (256, 384, 512)


# ---------------------------------------------------------------- views


@patient
@given(protocols, sides, sides)
def test_views_lie_inside_the_image_and_are_as_many_as_said(protocol: Protocol, height: int, width: int) -> None:
    views = protocol.views(height, width)
    assert len(views) == protocol.view_count
    for view in views:
        assert view.top >= 0
        assert view.left >= 0
        assert view.top + view.height <= height
        assert view.left + view.width <= width


def test_numbers_of_views() -> None:
    assert [protocol.view_count for protocol in ALL] == [1, 10, 2, 50, 50]
    assert [protocol.combines for protocol in ALL] == [False, False, True, True, True]


@patient
@given(protocols.filter(lambda protocol: protocol != CENTER), sides, sides)
def test_every_mirror_follows_the_unmirrored_views_in_the_same_order(
    protocol: Protocol, height: int, width: int
) -> None:
    views = protocol.views(height, width)
    plain, mirrors = views[: len(views) // 2], views[len(views) // 2 :]
    assert not any(view.mirror for view in plain)
    assert list(mirrors) == [View(view.height, view.width, view.top, view.left, mirror=True) for view in plain]


@patient
@given(sides, sides)
def test_dense_takes_the_whole_image_and_its_mirror(height: int, width: int) -> None:
    assert DENSE.views(height, width) == (View(height, width), View(height, width, mirror=True))


@patient
@given(sides, sides, st.sampled_from([1, 8]))
@example(224, 224, 1)
@example(256, 341, 8)
@example(226, 230, 1)
@example(239, 240, 8)
def test_the_grid_is_the_formula_in_exact_fractions(height: int, width: int, grid: int) -> None:
    plain = Protocol("multicrop", 8 if grid == 8 else 1).views(height, width)[:25]
    tops, lefts = naive_offsets(height, grid), naive_offsets(width, grid)
    assert [(view.top, view.left) for view in plain] == [(top, left) for top in tops for left in lefts]
    assert {(view.height, view.width) for view in plain} == {(224, 224)}


@pytest.mark.parametrize(
    ("side", "grid", "offsets"),
    [
        (224, 1, [0, 0, 0, 0, 0]),
        (225, 1, [0, 0, 1, 1, 1]),
        (226, 1, [0, 1, 1, 2, 2]),
        (256, 1, [0, 8, 16, 24, 32]),
        (341, 1, [0, 29, 59, 88, 117]),
        (256, 8, [0, 8, 16, 24, 32]),
        (341, 8, [0, 32, 56, 88, 112]),
        (231, 8, [0, 0, 0, 0, 0]),
        (232, 8, [0, 0, 8, 8, 8]),
    ],
)
def test_offsets_worked_by_hand(side: int, grid: int, offsets: list[int]) -> None:
    views = Protocol("multicrop", 8 if grid == 8 else 1).views(side, 224)
    assert [view.top for view in views[:25:5]] == offsets
    assert [view.left for view in Protocol("multicrop", 8 if grid == 8 else 1).views(224, side)[:5]] == offsets


def test_at_q_224_the_views_coincide_and_are_kept() -> None:
    for protocol in (MULTICROP, MULTICROP8):
        views = protocol.views(224, 224)
        assert (len(views), len(set(views))) == (50, 2)
        assert (len(protocol.views(224, 336)), len(set(protocol.views(224, 336)))) == (50, 10)


@patient
@given(sides)
def test_the_whole_pixel_grid_reaches_both_ends_and_is_even(side: int) -> None:
    offsets = [view.left for view in MULTICROP.views(224, side)[:5]]
    assert (offsets[0], offsets[-1]) == (0, side - 224)
    steps = [right - left for left, right in itertools.pairwise(offsets)]
    assert max(steps) - min(steps) <= 1


@patient
@given(st.integers(224, 2048))
def test_grid_8_moves_a_crop_by_at_most_7_pixels(side: int) -> None:
    whole, coarse = ([view.left for view in protocol.views(224, side)[:5]] for protocol in (MULTICROP, MULTICROP8))
    assert all(offset % 8 == 0 for offset in coarse)
    assert max(abs(a - b) for a, b in zip(whole, coarse, strict=True)) <= 7


@pytest.mark.parametrize("scale", [256, 384, 512])
def test_grid_8_moves_nothing_along_the_shorter_side_of_the_papers_scales(scale: int) -> None:
    assert MULTICROP8.views(scale, scale) == MULTICROP.views(scale, scale)


# ---------------------------------------------------------------- against torchvision


@patient
@given(sides, sides)
@example(225, 227)
@example(229, 231)
def test_center_is_torchvisions_center_crop(height: int, width: int) -> None:
    image = numbered(height, width)
    (view,) = CENTER.views(height, width)
    assert torch.equal(cut(image, view), v2.functional.center_crop(image, [224, 224]))


@settings(deadline=None, max_examples=25)
@given(small_sides, st.integers(112, 160).map(lambda half: 2 * half), st.integers(0, 2**31))
def test_tencrop_is_torchvisions_ten_crop(height: int, width: int, seed: int) -> None:
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    ours = {cut(image, view).contiguous().numpy().tobytes() for view in TENCROP.views(height, width)}
    theirs = {crop.contiguous().numpy().tobytes() for crop in v2.functional.ten_crop(image, [224, 224])}
    assert ours == theirs


@settings(deadline=None, max_examples=25)
@given(small_sides, st.integers(112, 160).map(lambda half: 2 * half + 1))
def test_at_an_odd_width_tencrop_mirrors_the_centre_crop_itself(height: int, width: int) -> None:
    """torchvision centres the mirrored image anew, one pixel beside the mirror of the central crop."""
    image = numbered(height, width)
    ours = [cut(image, view).contiguous().numpy().tobytes() for view in TENCROP.views(height, width)]
    theirs = [crop.contiguous().numpy().tobytes() for crop in v2.functional.ten_crop(image, [224, 224])]
    assert set(ours[:9]) == set(theirs[:9])
    assert ours[9] != theirs[9]
    (centre,) = CENTER.views(height, width)
    assert ours[9] == cut(image, centre).flip(-1).contiguous().numpy().tobytes()


@patient
@given(st.integers(1, 6000), st.integers(1, 6000), st.integers(224, 2048))
@example(375, 500, 256)
@example(500, 375, 256)
@example(333, 333, 224)
def test_rescaled_size_is_torchvisions(height: int, width: int, scale: int) -> None:
    image = torch.empty(1, height, width, dtype=torch.uint8, device="meta")
    assert rescaled_size(height, width, scale) == tuple(v2.functional.resize(image, [scale]).shape[1:])


@patient
@given(st.integers(1, 6000), st.integers(1, 6000), st.integers(224, 2048))
def test_rescaling_brings_the_shorter_side_to_q_exactly(height: int, width: int, scale: int) -> None:
    rescaled = rescaled_size(height, width, scale)
    assert min(rescaled) == scale
    assert (rescaled[0] <= rescaled[1]) == (height <= width) or rescaled[0] == rescaled[1]
    assert rescaled_size(width, height, scale) == rescaled[::-1]


# ---------------------------------------------------------------- --scales


@pytest.mark.parametrize(
    ("specs", "train_scale", "scales"),
    [
        ([], None, (256,)),
        ([], FIXED, (384,)),
        (["single"], None, (256,)),
        (["single"], FIXED, (384,)),
        (["single"], JITTERED, (384,)),
        (["multi"], TrainScale(256, 256), (224, 256, 288)),
        (["multi"], FIXED, (352, 384, 416)),
        (["multi"], JITTERED, (256, 384, 512)),
        (["512", "256", "384"], None, (256, 384, 512)),
        (["256", "256"], JITTERED, (256,)),
        (["single", "multi", "300"], JITTERED, (256, 300, 384, 512)),
        (["224:512:32"], None, (224, 256, 288, 320, 352, 384, 416, 448, 480, 512)),
        (["224:255:32"], None, (224,)),
        (["224:256:32"], None, (224, 256)),
        (["256:256:1"], None, (256,)),
        (["224:288:32", "256", "500"], None, (224, 256, 288, 500)),
        (["2048"], None, (2048,)),
    ],
)
def test_scales(specs: list[str], train_scale: TrainScale | None, scales: tuple[int, ...]) -> None:
    assert resolve_scales(specs, train_scale) == scales


@pytest.mark.parametrize(
    ("spec", "train_scale", "sentence"),
    [
        ("multi", None, "multi needs S"),
        ("multi", TrainScale(224, 224), "--scales 192: Q must lie between 224"),
        ("223", None, "--scales 223: Q must lie between 224"),
        ("2049", None, "--scales 2049: Q must lie between 224, the crop's side, and 2048"),
        ("100:300:50", None, "Q must lie between 224"),
        ("2000:9000:100", None, "Q must lie between 224"),
        ("224:999999999999:1", None, "expected single, multi, numbers"),
        ("512:224:32", None, "a sweep is FIRST:LAST:STEP"),
        ("224:512:0", None, "a sweep is FIRST:LAST:STEP"),
        ("224:512", None, "expected single, multi, numbers"),
        ("-256", None, "expected single, multi, numbers"),
        ("256.0", None, "expected single, multi, numbers"),
        ("", None, "expected single, multi, numbers"),
        ("Single", None, "expected single, multi, numbers"),
    ],
)
def test_scales_that_cannot_be(spec: str, train_scale: TrainScale | None, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_scales([spec], train_scale)
    assert sentence in str(caught.value)


def test_multi_without_s_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"--train-scale"):
        resolve_scales(["multi"], None)


@patient
@given(st.lists(st.integers(224, 2048), min_size=1))
def test_scales_ascend_each_once(scales: list[int]) -> None:
    found = resolve_scales([str(scale) for scale in scales], None)
    assert list(found) == sorted(set(scales))


@pytest.mark.parametrize("text", ["single", "multi", "256", "224:512:32", "7"])
def test_written_like_a_scale(text: str) -> None:
    assert is_scale(text)


@pytest.mark.parametrize("text", ["D", "vgg16", "", "-256", "256x", "224:512", "1:2:3:4", "--dense", "e", "singles"])
def test_not_written_like_a_scale(text: str) -> None:
    assert not is_scale(text)

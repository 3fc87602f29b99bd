"""`check`: a claim is refuted if it is wrong, rarely if it is true, and what was computed is not computed again."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CLASSES, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vggbench import INPUTS
from vggbench.data import open_data
from vggbench.errors import UsageError
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.loop import evaluate
from vggbench.paper.protocols import Protocol
from vggbench.store.posteriors import posteriors
from vggbench.store.recording import Recording, Store
from vggbench.store.runs import stored_runs
from vggbench.studies.checking.check import check
from vggbench.studies.checking.claim import LEVEL, Claim, Judged
from vggbench.studies.checking.sequence import Sequence
from vggbench.weights.load import LoadOptions, Model, load_model, save_model
from vggbench.weights.spec import ModelSpec

Vggbench = Callable[..., Result]
POPULATIONS = int(os.environ.get("VGGBENCH_POPULATIONS", "600"))
IMAGES, BLOCK = 50_000, 32
CENTER = Protocol("center")
QUICK = Settings(device="cpu", workers=0)


def stops(true: float, claimed: float, populations: int, most: int = IMAGES) -> np.ndarray[Any, Any]:
    """For each population, after how many images the claim is refuted at half the level; infinite where it never is."""
    rng = np.random.default_rng(0)
    sequence, wanted = Sequence.against(claimed, IMAGES), round(claimed * IMAGES)
    found = np.full(populations, np.inf)
    wrong, all_wrong = np.zeros(populations, int), round(true * IMAGES)
    for seen in range(0, most, BLOCK):
        count = min(BLOCK, IMAGES - seen)
        wrong += rng.hypergeometric(all_wrong - wrong, IMAGES - all_wrong - (seen - wrong), count)
        if seen + count == IMAGES:
            break
        for value in np.unique(wrong[np.isinf(found)]):
            if sequence.is_refuted(wanted, seen + count, int(value), LEVEL / 2):
                found[np.isinf(found) & (wrong == value)] = seen + count
    return found


def test_a_true_claim_is_rarely_refuted() -> None:
    """At each of top-1 and top-5 at most half of 1%, whenever one looks."""
    most = IMAGES if POPULATIONS >= 10_000 else 8_000
    for error in (0.28, 0.096):
        assert (
            np.isfinite(stops(error, error, POPULATIONS, most)).mean() <= LEVEL / 2 + 2 * (0.005 / POPULATIONS) ** 0.5
        )


@pytest.mark.parametrize(("fault", "median"), [(0.04, 1_600), (0.10, 400), (0.02, 7_000)])
def test_a_wrong_claim_falls_soon(fault: float, median: int) -> None:
    assert np.median(stops(0.28 + fault, 0.28, min(POPULATIONS, 2_000), 12_000)) <= median


@given(st.integers(1, 300), st.data())
@settings(max_examples=60, deadline=None)
def test_the_ratio_never_grows_in_the_mean(images: int, data: st.DataObject) -> None:
    """Its mean over the next image, by the true number of wrong ones that are left: the same where either can come."""
    sequence = Sequence.against(0.28, images)
    wrong_ones = data.draw(st.integers(0, images))
    seen = data.draw(st.integers(0, images - 1))
    wrong = data.draw(st.integers(max(0, seen - (images - wrong_ones)), min(seen, wrong_ones)))
    chance = (wrong_ones - wrong) / (images - seen)
    now = np.exp(sequence.log_ratio(wrong_ones, seen, wrong))
    after = sum(
        share * np.exp(sequence.log_ratio(wrong_ones, seen + 1, wrong + more))
        for more, share in ((1, chance), (0, 1 - chance))
        if share > 0
    )
    assert after <= now * (1 + 1e-6)
    if 0 < chance < 1:
        assert after == pytest.approx(now, rel=1e-6)
    assert sequence.log_ratio(wrong_ones, 0, 0) == pytest.approx(0)


def test_an_interval_ends_on_the_count_itself() -> None:
    sequence = Sequence.against(0.3, 200)
    assert sequence.interval(200, 57, 0.005) == (57, 57)
    low, high = sequence.interval(100, 30, 0.005)
    assert low < 60 < high


def test_a_claim_is_all_that_rounds_to_its_digits() -> None:
    """Over all images the error of 28.414% is what 28.41 says, and not what 28.40 says."""
    ranks = np.where(np.arange(IMAGES) < 14_207, 9, 0).astype(np.int32)
    assert Judged(Claim.parse("28.41"), IMAGES, ranks, 1000).refuted == ()
    assert Judged(Claim.parse("28.40"), IMAGES, ranks, 1000).refuted == (1,)
    assert Judged(Claim.parse("28.4"), IMAGES, ranks, 1000).refuted == ()
    assert Judged(Claim.parse("28.41/27"), IMAGES, ranks, 1000).refuted == (5,)
    for text in ("", "x", "101", "5/9", "-1", "28,41", "nan/1"):
        with pytest.raises(UsageError, match="--expect"):
            Claim.parse(text)


def test_an_order_is_the_images_own(few_drawn: Path) -> None:
    data = open_data("sample")
    shuffled = data.shuffled()
    assert sorted(image.id for image in shuffled.images) == sorted(image.id for image in data.images)
    assert shuffled.images != data.images
    turned = replace(data, images=data.images[::-1])
    assert turned.shuffled().images == shuffled.images
    assert data.shuffled(1).images != shuffled.images
    assert shuffled.fingerprint != data.fingerprint


# ---------------------------------------------------------------- on the sample


@pytest.fixture
def net() -> Model:
    return load_model(ModelSpec.parse("D@sample"), LoadOptions(), ())


def test_its_own_error_is_not_refuted_and_nothing_is_computed_twice(
    vggbench: Vggbench, few_drawn: Path, tmp_path: Path
) -> None:
    asked = ("D@sample", "--data", "sample", "--center", "--format", "json")
    data = len(open_data("sample"))
    first = vggbench("check", *asked, "--expect", "8/0", "--images", 5)
    assert first.code in (0, 1)
    seen = json.loads(first.out)[0]["images"]
    again = vggbench("check", *asked, "--expect", "8/0", "--images", 5)
    assert (again.code, again.out) == (first.code, first.out)
    done = vggbench("eval", *asked)
    assert done.code == 0, done.err
    if seen < data:
        assert f"Read and decoded {data - seen} image" in done.err
    (row,) = json.loads(done.out)
    own = vggbench("check", *asked, "--expect", f"{row['top1_error']:.3f}/{row['top5_error']:.3f}")
    (found,) = json.loads(own.out)
    assert own.code == 0
    assert (found["verdict"], found["culprit"]) == ("not refuted", None)
    assert {"top1_low", "top1_high", "top5_low", "top5_high", "images"} <= set(found)


def test_a_killed_check_computes_nothing_twice(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while the third block is written: the same verdict as without, from the two that were."""
    data, claim = open_data(pictures), Claim.parse("50")
    monkeypatch.setattr(Settings, "block_for", lambda self, images: 1)
    computed: list[int] = []

    def asked(images: Tensor) -> Tensor:
        computed.append(len(images))
        return images.flatten(1)[:, :4].float()

    model = Model.wrap("asked", asked, INPUTS["torchvision"], CLASSES, identity="asked")
    job, write, written = Job(model, CENTER, 256), Recording.write, list[int]()
    whole = check(job, data, Store(tmp_path / "whole"), QUICK, claim=claim)
    assert sum(computed) == len(data)

    def dying(self: Recording, number: int, *given: Any) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(number)
        write(self, number, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Recording, "write", dying)
        with pytest.raises(KeyboardInterrupt):
            check(job, data, Store(tmp_path / "killed"), QUICK, claim=claim)
    computed.clear()
    resumed = check(job, data, Store(tmp_path / "killed"), QUICK, claim=claim)
    assert sum(computed) == len(data) - 2
    assert (resumed.judged.seen, resumed.judged.refuted) == (whole.judged.seen, whole.judged.refuted)
    assert np.array_equal(resumed.judged.ranks, whole.judged.ranks)


def test_an_evaluation_goes_on_from_a_check(net: Model, pictures: Path, tmp_path: Path) -> None:
    """With the same bits as without, whatever images the check has seen."""
    data, job = open_data(pictures), None
    names = ("apple", "boat", "fish", "house")
    model = replace(net, identity=replace(net.identity, classes=12, class_names=(*names, *map(str, range(8)))))
    job = Job(model, CENTER, 256)
    (plain,) = evaluate(data, [job], tmp_path / "plain", QUICK)
    shuffled = data.shuffled()
    (part,) = evaluate(shuffled, [job], tmp_path / "both", QUICK)
    block = next((part.folder / "posteriors").glob("*.parquet"))
    assert block.exists()
    (whole,) = evaluate(data, [job], tmp_path / "both", QUICK)
    assert np.array_equal(posteriors(whole), posteriors(plain))
    assert whole.images == plain.images
    assert whole.sizes() == plain.sizes()


def test_runs_finish_completes_what_a_check_began(
    vggbench: Vggbench, few_drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "block_for", lambda self, images: 1)
    asked = ("D@sample", "--data", "sample", "--center", "--format", "json")
    vggbench("check", *asked, "--expect", "8/0", "--images", 5)
    done = vggbench("runs", "--finish")
    assert done.code == 0, done.err
    assert "images to compute." in done.err
    assert "Read and decoded" not in vggbench("eval", *asked).err, "the evaluation takes them all"


@pytest.mark.slow
def test_the_right_culprit_is_named(net: Model, tmp_path: Path, vggbench: Vggbench) -> None:
    """One net has its channels swapped, another its classes shifted by one."""
    data, store = open_data("sample"), Store(tmp_path / "runs")
    (run,) = evaluate(data, [Job(net, CENTER, 256)], store, QUICK)
    assert run.errors
    assert run.errors.top5
    claim = Claim(round(run.errors.top1.percent, 2), round(run.errors.top5.percent, 2), "here", 2)
    right = check(Job(net, CENTER, 256), data, store, QUICK, claim=claim)
    assert not right.is_refuted
    swapped = net.with_identity(input=replace(net.input, channels="BGR"))
    found = check(Job(swapped, CENTER, 256), data, store, QUICK, claim=claim)
    assert found.is_refuted
    assert found.culprit == "channels swapped"
    names = net.identity.names_of_classes
    path = tmp_path / "shifted.safetensors"
    save_model(net.with_identity(class_names=(*names[1:], names[0])), path)
    shifted = load_model(ModelSpec.parse(f"D@{path}"), LoadOptions(), ())
    found = check(Job(shifted, CENTER, 256), data, store, QUICK, claim=claim)
    assert found.is_refuted
    assert found.culprit == "classes shifted by one"


def test_what_cannot_be_checked_is_one_sentence(vggbench: Vggbench, few_drawn: Path) -> None:
    done = vggbench("check", "D@sample", "--data", "sample", "--center")
    assert done.code == 2
    assert "--expect" in done.err
    done = vggbench("check", "D@sample", "--data", "sample", "--center", "--dense", "--expect", "1/1")
    assert done.code == 2
    assert "one protocol at one Q" in done.err
    assert stored_runs(Path("nowhere")) == ([], [])

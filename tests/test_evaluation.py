"""The loop: one pass, each image once, resume to the last bit, and what changes a run's identity."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from vggbench import INPUTS, Job, Model, Protocol, Rescale, Run, Settings, error_rates, open_data, posteriors
from vggbench.data import DataSet
from vggbench.errors import NumericsError, UnreadableImages, UsageError
from vggbench.evaluation import loop
from vggbench.evaluation.jobs import Watch
from vggbench.evaluation.loop import evaluate
from vggbench.evaluation.plan import prepare, signature
from vggbench.images import pixels
from vggbench.store.recording import Store

NAMES = ("apple", "boat", "fish", "house")
QUICK = Settings(device="cpu", workers=0)
CENTER = Protocol("center")


def _mean_colours(images: Tensor) -> Tensor:
    """A network that is quick and whose output tells images and views apart."""
    return torch.cat([images.mean((2, 3)), images[:, :1].amax((2, 3))], dim=1) * 3


MODEL = Model.wrap("colours", _mean_colours, INPUTS["torchvision"], NAMES, identity="colours 1")


def _run(data: DataSet, store: Path, protocol: str = "center", **changes: object) -> Run:
    (run,) = evaluate(data, [Job(MODEL, Protocol.parse(protocol), 224)], store, replace(QUICK, **changes))  # type: ignore[arg-type]
    return run


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each image that is decoded."""
    count: list[int] = []
    original = pixels.decode

    def counting(data: bytes) -> Tensor:
        count.append(len(data))
        return original(data)

    monkeypatch.setattr("vggbench.images.pixels.decode", counting)
    return count


def test_one_pass_serves_every_job(pictures: Path, tmp_path: Path, decoded: list[int]) -> None:
    data = open_data(pictures)
    jobs = [Job(MODEL, Protocol.parse(name), q) for name in ("center", "dense", "multicrop") for q in (224, 256)]
    runs = evaluate(data, jobs, tmp_path, QUICK)
    assert len(decoded) == len(data)
    evaluate(data, jobs, tmp_path, QUICK)
    assert len(decoded) == len(data), "everything was stored"
    shutil.rmtree(runs[3].folder)
    evaluate(data, jobs, tmp_path, QUICK)
    assert len(decoded) == 2 * len(data), "and only what is missing is computed"


@pytest.mark.thorough
@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_workers_and_batches_change_nothing(many_pictures: Path, tmp_path: Path, workers: int, batch_size: int) -> None:
    data = open_data(many_pictures)
    expected = posteriors(_run(data, tmp_path / "one", "dense"))
    found = posteriors(_run(data, tmp_path / "two", "dense", workers=workers, batch_size=batch_size))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lost=st.sets(st.integers(0, 2)), extra=st.booleans())
def test_resume_computes_what_is_missing_to_the_last_bit(
    lost: set[int], extra: bool, many_pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data, store = open_data(many_pictures), tmp_path_factory.mktemp("store")
    job = Job(MODEL, Protocol("dense"), 240)
    plan = prepare(data, [job], Store(store), QUICK)
    loop._compute(plan, Watch())
    expected = posteriors(plan.runs[0])
    for block in lost:
        positions = plan.runs[0].block_range(block)
        (plan.runs[0].folder / "posteriors" / f"{positions[0]:06d}-{positions[-1]:06d}.parquet").unlink()
    if extra:
        (plan.runs[0].folder / ".000000-000031.parquet.1.partial").write_bytes(b"half")
    again = prepare(data, [job], Store(store), QUICK)
    assert again.missing == [sorted(lost)]
    loop.execute(again)
    assert again.images_read == sum(len(plan.runs[0].block_range(block)) for block in lost)
    np.testing.assert_array_equal(posteriors(again.runs[0]), expected)
    assert again.runs[0].images == tuple(image.id for image in data.images)


def test_whatever_changes_a_number_changes_the_signature(pictures: Path) -> None:
    data = open_data(pictures)
    job, signed = Job(MODEL, Protocol("multicrop"), 256), partial(signature, backend="pytorch")
    others = [
        signature(job, data, QUICK, "onnxruntime"),
        signed(replace(job, scale=257), data, QUICK),
        signed(replace(job, protocol=Protocol("multicrop", 8)), data, QUICK),
        signed(replace(job, model=MODEL.with_identity(weights_hash="colours 2")), data, QUICK),
        signed(replace(job, model=MODEL.with_identity(input=INPUTS["caffe"])), data, QUICK),
        signed(job, data, replace(QUICK, precision="bf16")),
        signed(job, data, replace(QUICK, rescale=Rescale("bicubic"))),
        signed(job, data, replace(QUICK, rescale=Rescale(antialias=False))),
        signed(job, data.subset(3), QUICK),
    ]
    texts = {str(other) for other in [signed(job, data, QUICK), *others]}
    assert len(texts) == len(others) + 1
    unchanged = signed(job, data, replace(QUICK, batch_size=3, workers=2))
    assert unchanged == signed(job, data, QUICK)


def test_bf16_and_bicubic_do_not_answer_from_fp32s_blocks(
    peaked: Callable[..., dict[str, Tensor]], pictures: Path, tmp_path: Path
) -> None:
    from vggbench import LoadOptions, ModelSpec, load_model

    torch.save(peaked("A"), tmp_path / "a.pth")
    model = load_model(ModelSpec.parse(f"A@{tmp_path / 'a.pth'}"), LoadOptions(input="torchvision"), ())
    data, job = open_data(pictures), Job(model, CENTER, 256)
    changes: tuple[dict[str, object], ...] = (
        {},
        {"precision": "bf16"},
        {"rescale": Rescale("bicubic")},
        {"rescale": Rescale(antialias=False)},
    )
    found = [
        posteriors(evaluate(data, [job], tmp_path / "runs", replace(QUICK, **change))[0])  # type: ignore[arg-type]
        for change in changes
    ]
    assert len(list((tmp_path / "runs").iterdir())) == len(changes)
    for other in found[1:]:
        assert 1e-4 < np.abs(other - found[0]).max() < 0.6


def _spoiled(pictures: Path, folder: Path, *names: str) -> DataSet:
    shutil.copytree(pictures, folder)
    for name in names:
        (folder / name).write_text("this is a text file")
    return open_data(folder)


def test_bad_images_are_named_at_the_end_and_the_rest_is_kept(
    many_pictures: Path, tmp_path: Path, decoded: list[int]
) -> None:
    data = _spoiled(many_pictures, tmp_path / "data", "apple/many_004.JPEG", "boat/many_065.JPEG")
    with pytest.raises(UnreadableImages, match=r"2 of 70 .*many_004.JPEG is no image; .*many_065.JPEG is no image"):
        _run(data, tmp_path / "runs")
    assert len(decoded) == 70
    run = _run(data, tmp_path / "runs", skip_unreadable=True)
    assert len(decoded) == 70, "nothing is computed again"
    assert len(run.images) == 68
    assert error_rates(run, data, MODEL).top1.images == 68
    with pytest.raises(UnreadableImages):
        _run(data, tmp_path / "runs")
    assert len(decoded) == 70 + 32 + 6, "the two blocks are tried again"


def test_only_bad_images_is_an_error_even_when_they_may_be_skipped(pictures: Path, tmp_path: Path) -> None:
    data = _spoiled(pictures, tmp_path / "d", *(f"{n}/picture_{i}.JPEG" for i, n in enumerate(NAMES)))
    with pytest.raises(UnreadableImages, match="4 of 4") as caught:
        _run(data, tmp_path / "runs", skip_unreadable=True)
    assert "skip" not in str(caught.value)


def test_an_image_that_cannot_be_opened_may_be_skipped_and_is_tried_again(many_pictures: Path, tmp_path: Path) -> None:
    data = _spoiled(many_pictures, tmp_path / "d")
    path = tmp_path / "d" / "apple" / "many_004.JPEG"
    content = path.read_bytes()
    path.unlink()
    run = _run(data, tmp_path / "runs", skip_unreadable=True)
    assert len(run.images) == 69
    assert [why.partition(" (")[0] for why in run.unreadable.values()] == ["cannot be read"]
    path.write_bytes(content)
    assert len(_run(data, tmp_path / "runs", skip_unreadable=True).images) == 70


def test_an_image_that_changes_while_we_look_is_not_counted(pictures: Path, tmp_path: Path) -> None:
    data = _spoiled(pictures, tmp_path / "d")
    (tmp_path / "d" / "boat" / "picture_1.JPEG").write_bytes(b"other")
    with pytest.raises(UnreadableImages, match=r"changed since it was listed with [0-9,]+ bytes"):
        _run(data, tmp_path / "runs")


def test_nan_is_an_error_and_is_not_stored(pictures: Path, tmp_path: Path) -> None:
    broken = Model.wrap("nan", lambda x: _mean_colours(x) * float("nan"), INPUTS["caffe"], NAMES, identity="nan")
    with pytest.raises(NumericsError, match="nan by center gives NaN"):
        evaluate(open_data(pictures), [Job(broken, CENTER, 256)], tmp_path, QUICK)
    assert list(tmp_path.glob("*/posteriors/*")) == []


def test_a_network_with_another_number_of_outputs_is_refused(pictures: Path, tmp_path: Path) -> None:
    odd = Model.wrap("odd", _mean_colours, INPUTS["caffe"], (*NAMES, "tree"), identity="odd")
    with pytest.raises(UsageError, match="gives 4 scores per image: expected 5"):
        evaluate(open_data(pictures), [Job(odd, CENTER, 256)], tmp_path, QUICK)


def test_new_labels_cost_no_forward_pass(pictures: Path, tmp_path: Path, decoded: list[int]) -> None:
    data = _spoiled(pictures, tmp_path / "d")
    before = error_rates(_run(data, tmp_path / "runs"), data, MODEL).top1
    for number in range(4):  # every image one class further
        old = tmp_path / "d" / NAMES[number] / f"picture_{number}.JPEG"
        old.rename(tmp_path / "d" / NAMES[(number + 1) % 4] / old.name)
    moved = open_data(tmp_path / "d")
    run = _run(moved, tmp_path / "runs")
    assert len(decoded) == 4
    ranked = posteriors(run).argmax(1)
    truth = np.array([(int(image.id[-1]) + 1) % 4 for image in moved.images])
    assert error_rates(run, moved, MODEL).top1.wrong == int((ranked != truth).sum())
    assert before.images == 4


@pytest.mark.parametrize(("free", "fits"), [(None, 2), (10**9, 2), (36 * 10**6, 1), (30 * 10**6, 0)])
def test_a_container_without_shared_memory_is_noticed_beforehand(
    free: int | None, fits: int, many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that runs out of /dev/shm dies by a bus error; 400 kB an image, 16 ahead a worker."""
    monkeypatch.setattr("vggbench.images.reading.shared_memory", lambda: free)
    data, jobs = open_data(many_pictures), [Job(MODEL, CENTER, 240), Job(MODEL, CENTER, 256)]
    monkeypatch.setattr("vggbench.images.threads.cores", lambda: 2)
    assert prepare(data, jobs, Store(tmp_path), replace(QUICK, workers=None)).workers == fits
    asked = prepare(data, jobs, Store(tmp_path), replace(QUICK, workers=2))
    if fits < 2:
        with pytest.raises(
            UsageError, match=r"--workers 2: /dev/shm has .* room for \d process(es)? to read .*--shm-size=1g"
        ):
            loop.execute(asked)
    else:
        assert asked.workers == 2
    assert prepare(data, jobs, Store(tmp_path), replace(QUICK, workers=0)).workers == 0


def test_a_part_is_answered_from_a_run_of_the_whole(many_pictures: Path, tmp_path: Path, decoded: list[int]) -> None:
    """To the same posteriors, without an image being read, and with what is on record of them."""
    data = open_data(many_pictures)
    whole = _run(data, tmp_path / "a")
    part = data.subset(9)
    computed = _run(part, tmp_path / "b")
    decoded.clear()
    taken = _run(part, tmp_path / "a")
    assert decoded == []
    assert (taken.title, taken.images, taken.sizes()) == (computed.title, computed.images, computed.sizes())
    np.testing.assert_array_equal(posteriors(taken), posteriors(computed))
    np.testing.assert_array_equal(taken.labels(), computed.labels())
    (made,), (before,) = taken.provenance, whole.provenance
    assert made["seconds"] == pytest.approx(before["seconds"] * 9 / len(data))
    _run(replace(part, whole="another"), tmp_path / "c")
    assert len(decoded) == 9, "a run of another set is none of the whole"


def test_what_the_whole_could_not_read_the_part_cannot_either(pictures: Path, tmp_path: Path) -> None:
    place = shutil.copytree(pictures, tmp_path / "pictures")
    broken = sorted(place.rglob("*.JPEG"))[1]
    broken.write_bytes(b"no image")
    data = open_data(place)
    whole = _run(data, tmp_path / "a", skip_unreadable=True)
    part = replace(data.subset(2), images=data.images[:2])
    taken = _run(part, tmp_path / "a", skip_unreadable=True)
    assert list(taken.unreadable) == [image for image in whole.unreadable if image in {i.id for i in part.images}]
    assert len(taken.images) + len(taken.unreadable) == 2


def test_a_plan_takes_nothing_over_and_a_damaged_whole_is_none(many_pictures: Path, tmp_path: Path) -> None:
    data = open_data(many_pictures)
    whole = _run(data, tmp_path)
    part, job = data.subset(9), Job(MODEL, Protocol("center"), 224)
    assert prepare(part, [job], Store(tmp_path), QUICK, reads_only=True).missing == [[0]]
    (whole.folder / "run.json").write_text("{}")
    assert prepare(part, [job], Store(tmp_path), QUICK).missing == [[0]]

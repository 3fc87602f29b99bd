"""`auto`: measured once for each kind of work and kept; a store that has the run answers before that."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import pytest
import torch
from conftest import Result

from vggbench import INPUTS, VGG, DataSet, Job, Model, Protocol, Settings, open_data
from vggbench.cache import NotKeptError, answer, answers_file
from vggbench.evaluation.loop import evaluate
from vggbench.evaluation.plan import Plan, prepare
from vggbench.files import sealed
from vggbench.inference import measured
from vggbench.inference.choices import BackendName
from vggbench.inference.measured import kept_answer, kept_answers, measure, quicker
from vggbench.nets.cost import Architecture
from vggbench.paper.configs import CONFIGS
from vggbench.store.identity import Identity
from vggbench.store.recording import Store
from vggbench.studies.prediction import Predictor

NAMES = ("apple", "boat", "fish", "house")
QUICK = Settings(device="cpu", workers=0)
DENSE, CENTER, CROPS, GRID = Protocol("dense"), Protocol("center"), Protocol("multicrop"), Protocol("multicrop", 8)


def _model(width: float = 1 / 64, config: str = "A") -> Model:
    net = VGG(CONFIGS[config], 4, 1 / 64).eval().requires_grad_(False)
    architecture = Architecture(CONFIGS[config], 4, width)
    return Model(Identity(f"{config}@x", INPUTS["caffe"], 4, NAMES, "x", architecture=architecture), net)


class Stopwatch:
    """In place of the measurement: what it says, and what it was asked."""

    def __init__(self) -> None:
        self.seconds: dict[BackendName, float] = {"pytorch": 2.0, "onnxruntime": 1.0}
        self.asked: list[str] = []

    def __call__(self, model: Model, views: str) -> dict[BackendName, float]:
        self.asked.append(views)
        return self.seconds


@pytest.fixture
def stopwatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    """`auto` measures, by this, and finds an empty cache."""
    monkeypatch.setenv("VGGBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measured, "quicker", quicker)  # which the suite replaces by the rule
    found = Stopwatch()
    monkeypatch.setattr(measured, "measure", found)
    return found


# ---------------------------------------------------------------- the measurement


@pytest.mark.parametrize("views", ["dense", "crops", "crops on the grid of 8"])
def test_both_compute_the_same_few_views(views: str) -> None:
    found = measure(_model(), views)
    assert list(found) == ["pytorch", "onnxruntime"]
    assert all(0 < seconds < 5 for seconds in found.values())


@pytest.mark.parametrize(
    ("pytorch", "onnxruntime", "taken"), [(2, 1, "onnxruntime"), (1, 0.92, "pytorch"), (1, 0.88, "onnxruntime")]
)
def test_a_tie_goes_to_pytorch(pytorch: float, onnxruntime: float, taken: str, stopwatch: Stopwatch) -> None:
    stopwatch.seconds = {"pytorch": pytorch, "onnxruntime": onnxruntime}
    assert QUICK.backend_for(Job(_model(), DENSE, 256)) == taken


def test_each_kind_of_work_is_measured_once_and_kept(stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job(_model(), protocol, scale) for protocol in (DENSE, CENTER, CROPS, GRID) for scale in (256, 384)]
    assert {QUICK.backend_for(job) for job in jobs} == {"onnxruntime"}
    assert stopwatch.asked == ["dense", "crops", "crops on the grid of 8"]
    stopwatch.seconds = {"pytorch": 1.0, "onnxruntime": 2.0}
    assert {QUICK.backend_for(job) for job in jobs} == {"onnxruntime"}, "the same question has the same answer"
    others = [Job(_model(1 / 32), DENSE, 256), Job(_model(config="B"), DENSE, 256)]
    assert {QUICK.backend_for(job) for job in others} == {"pytorch"}
    monkeypatch.setattr("torch.get_num_threads", lambda: 77)
    assert QUICK.backend_for(jobs[0]) == "pytorch"
    monkeypatch.setattr(measured, "cpu_name", lambda: "Another CPU")
    assert QUICK.backend_for(jobs[0]) == "pytorch"
    assert len(stopwatch.asked) == 7
    assert [kept.kind.threads for kept in kept_answers()].count(77) == 2
    assert kept_answers()[0].seconds == {"pytorch": 2.0, "onnxruntime": 1.0}


def test_an_answer_that_was_changed_is_none(stopwatch: Stopwatch) -> None:
    job = Job(_model(), DENSE, 256)
    QUICK.backend_for(job)
    file = answers_file("backends")
    file.write_text(file.read_text().replace('"backend": "onnxruntime"', '"backend": "pytorch"'))
    assert kept_answers() == []
    assert QUICK.backend_for(job) == "onnxruntime"
    assert len(stopwatch.asked) == 2


def test_what_cannot_be_kept_is_not_measured(
    stopwatch: Stopwatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VGGBENCH_CACHE", str(tmp_path / "file" / "cache"))
    assert QUICK.backend_for(Job(_model(), DENSE, 256)) == "pytorch"
    assert QUICK.backend_for(Job(_model(1.0), DENSE, 256)) == "onnxruntime", "as the rule has it"
    assert stopwatch.asked == []


def test_a_file_system_without_locks_keeps_nothing(stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", fails)
    with pytest.raises(NotKeptError, match=r"cannot be written \(FileSystem does not .*: expected a folder"):
        answer("backends", "x", lambda: 1)
    assert QUICK.backend_for(Job(_model(), DENSE, 256)) == "pytorch"


def test_of_two_processes_one_measures(stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """While this one waits for the lock, the other writes its answer."""

    class Waits(filelock.FileLock):
        def acquire(self, *given: Any, **named: Any) -> Any:
            answers_file("backends").write_text(sealed({"x": "theirs"}))
            return super().acquire(*given, **named)

    monkeypatch.setattr(filelock, "FileLock", Waits)
    assert answer("backends", "x", lambda: pytest.fail("measured once more")) == "theirs"
    assert answer("backends", "y", lambda: "ours") == "ours"
    assert answer("backends", "x", lambda: pytest.fail("an answer was lost")) == "theirs"


@pytest.mark.parametrize(("width", "by_rule"), [(1 / 64, "pytorch"), (1.0, "onnxruntime")])
def test_processes_that_share_a_store_go_by_the_rule(width: float, by_rule: str, stopwatch: Stopwatch) -> None:
    """Whatever each of them has measured before: all must answer alike."""
    job, other = Job(_model(width), DENSE, 256), "onnxruntime" if by_rule == "pytorch" else "pytorch"
    stopwatch.seconds = {"pytorch": 2.0, "onnxruntime": 1.0 if other == "onnxruntime" else 3.0}
    assert QUICK.backend_for(job) == other
    assert replace(QUICK, share=(0, 2)).backend_for(job) == by_rule
    assert len(stopwatch.asked) == 1


def test_a_prediction_takes_what_is_kept_and_measures_nothing(stopwatch: Stopwatch) -> None:
    job = Job(_model(), CENTER, 256)
    predictor = Predictor(job.model, [job], QUICK)
    assert predictor._backend(job).name == "PyTorch"
    assert stopwatch.asked == []
    QUICK.backend_for(job)
    assert predictor._backend(job).name == "ONNX Runtime"


def test_where_there_is_no_choice_nothing_is_measured(stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped = Model.wrap("mean", lambda images: images.mean((2, 3)), INPUTS["torchvision"], NAMES[:3], identity="x")
    assert QUICK.backend_for(Job(wrapped, DENSE, 256)) == "pytorch"
    assert replace(QUICK, precision="bf16").backend_for(Job(_model(), DENSE, 256)) == "pytorch"
    assert replace(QUICK, backend="onnxruntime").backend_for(Job(_model(), DENSE, 256)) == "onnxruntime"
    assert replace(QUICK, compile=True).backend_for(Job(_model(), CENTER, 256)) == "pytorch+compile"
    monkeypatch.setattr(Settings, "torch_device", torch.device("cuda"))
    assert replace(QUICK).backend_for(Job(_model(1.0), DENSE, 256)) == "pytorch"
    assert stopwatch.asked == []


def test_the_answer_is_a_sentence(stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "cpu_name", lambda: "A CPU")
    QUICK.backend_for(Job(_model(), DENSE, 256))
    said = str(kept_answer(_model(), DENSE))
    assert said.startswith("A at width 0.015625, dense: onnxruntime; for the same views PyTorch 2e+03 ms and ONNX")
    assert "on A CPU, " in said


def test_verbose_says_what_auto_went_by(
    vggbench: Callable[..., Result], few_drawn: Path, stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGGBENCH_CACHE", str(few_drawn))
    common = ("eval", "A@sample", "--data", "sample", "--center", "-v", "--device", "cpu", "--workers", 0)
    try:
        done = vggbench(*common)
        assert "Measuring which backend is quicker here for A at width 0.0625, crops, once." in done.err
        assert "--backend auto: A at width 0.0625, crops: onnxruntime; for the same views" in done.err
        assert "A@sample center Q=256: ONNX Runtime 1." in done.err
    finally:
        answers_file("backends").unlink()
    again = vggbench(*common)
    assert "Measuring" not in again.err
    assert "--backend auto: A@sample center Q=256: onnxruntime, with which its stored run began." in again.err
    assert len(stopwatch.asked) == 1


# ---------------------------------------------------------------- the store first


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks what is quicker fails."""

    def asked(model: Model, protocol: Protocol) -> BackendName:
        raise AssertionError("measured")

    monkeypatch.setattr(measured, "quicker", asked)


def _begin(data: DataSet, job: Job, store: Path, backend: Any, *, finished: bool) -> None:
    share = (0, 1) if finished else (0, 2)
    evaluate(data, [job], store, replace(QUICK, backend=backend, share=share))


def _planned(data: DataSet, job: Job, store: Path, **changes: Any) -> Plan:
    return prepare(data, [job], Store(store), replace(QUICK, **changes))


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize(
    ("pytorch", "onnxruntime", "taken"),
    [
        (None, False, "onnxruntime"),
        (None, True, "onnxruntime"),
        (False, True, "onnxruntime"),
        (True, False, "pytorch"),
        (False, False, "pytorch"),
        (True, True, "pytorch"),
    ],
    ids=str,
)
def test_a_stored_run_is_what_auto_means(
    pytorch: bool | None, onnxruntime: bool, taken: str, many_pictures: Path, tmp_path: Path
) -> None:
    """Begun or finished (None: neither)."""
    data, job = open_data(many_pictures), Job(_model(), CENTER, 224)
    for backend, finished in (("pytorch", pytorch), ("onnxruntime", onnxruntime)):
        if finished is not None:
            _begin(data, job, tmp_path, backend, finished=finished)
    plan = _planned(data, job, tmp_path)
    assert plan.backends == [taken]
    assert plan.runs[0].signature["backend"] == taken
    assert plan.run_of(job) is plan.runs[0]


@pytest.mark.usefixtures("never")
def test_a_run_goes_on_with_what_began_it(many_pictures: Path, tmp_path: Path) -> None:
    data, job = open_data(many_pictures), Job(_model(), CENTER, 224)
    _begin(data, job, tmp_path, "onnxruntime", finished=False)
    (run,) = evaluate(data, [job], tmp_path, QUICK)
    assert run.is_finished
    assert {entry["backend"] for entry in run.provenance} == {"ONNX Runtime"}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.usefixtures("never")
def test_a_run_of_the_whole_answers_for_a_part(many_pictures: Path, tmp_path: Path) -> None:
    data, job = open_data(many_pictures), Job(_model(), CENTER, 224)
    _begin(data, job, tmp_path, "onnxruntime", finished=True)
    plan = _planned(data.subset(10), job, tmp_path)
    assert (plan.backends, plan.missing) == (["onnxruntime"], [[]])


def test_what_cannot_run_here_is_finished_or_not_taken(
    many_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, begun, finished = open_data(many_pictures), Job(_model(), CENTER, 224), Job(_model(), CENTER, 232)
    _begin(data, begun, tmp_path, "onnxruntime", finished=False)
    _begin(data, finished, tmp_path, "onnxruntime", finished=True)
    monkeypatch.setattr("vggbench.inference.choice.find_spec", lambda name: None)
    assert _planned(data, begun, tmp_path).backends == ["pytorch"]
    assert _planned(data, finished, tmp_path).backends == ["onnxruntime"], "nothing is to be computed"


def test_who_names_a_backend_gets_it(many_pictures: Path, tmp_path: Path, stopwatch: Stopwatch) -> None:
    data, job = open_data(many_pictures), Job(_model(), CENTER, 224)
    _begin(data, job, tmp_path, "onnxruntime", finished=True)
    assert _planned(data, job, tmp_path, backend="pytorch").backends == ["pytorch"]
    assert _planned(data, replace(job, scale=232), tmp_path).backends == ["onnxruntime"]
    assert stopwatch.asked == ["crops"], "of what the store has not, it is measured"
    assert json.loads(answers_file("backends").read_text())

"""`vggbench doctor`: right on a right machine; each of some seeded faults is named by the check that must see it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Result
from torch import Tensor

from vggbench.data import DataSet, open_data
from vggbench.errors import UsageError, VggbenchError
from vggbench.evaluation.jobs import Settings
from vggbench.evaluation.listening import Listener
from vggbench.images.preprocessing import INPUTS, Input
from vggbench.nets.onnxruntime_session import open_session
from vggbench.paper.protocols import Protocol, View
from vggbench.store.posteriors import posteriors
from vggbench.store.runs import Run
from vggbench.studies.doctor import checks, environment, examination, pace, stores
from vggbench.studies.doctor.checks import (
    Bench,
    Way,
    evaluated,
    halved,
    posterior_checks,
    repeat_checks,
    training_checks,
    ways,
)
from vggbench.studies.doctor.examination import Examination
from vggbench.studies.doctor.finding import Check, Finding, Seen, compared
from vggbench.studies.doctor.pace import Pace, host_milliseconds
from vggbench.studies.doctor.stores import resumed, shared
from vggbench.studies.doctor.subject import Subject, draw_few, draw_many, repeated, subject
from vggbench.studies.speed import Reading, Setup, Timings

CENTER, TENCROP, DENSE = checks.PROTOCOLS[:3]
PYTORCH, ONNXRUNTIME = Way("fp32", "pytorch"), Way("fp32", "onnxruntime")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return draw_few(tmp_path_factory.mktemp("doctor") / "few", 3)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return draw_many(tmp_path_factory.mktemp("doctor") / "many", 40)


@pytest.fixture(scope="module")
def net(few: DataSet) -> Subject:
    """What is expected of it is computed here, before any fault is seeded."""
    found = subject("D", INPUTS["torchvision"], 1 / 16, few)
    for protocol in (CENTER, TENCROP, DENSE):
        found.reference(protocol)
    return found


@pytest.fixture
def bench(net: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(Settings, "loader_workers", 0)  # processes take a second to start
    return Bench(net, "cpu", tmp_path / "stores")


def verdicts(some: Iterator[Check]) -> dict[str, str]:
    return {check.name: check.run().seen.verdict for check in some}


def looked(bench: Bench, *protocols: Protocol) -> dict[str, str]:
    return verdicts(posterior_checks(bench, "Posteriors", [PYTORCH, ONNXRUNTIME], protocols))


# What is right


def test_both_backends_are_right_here(bench: Bench) -> None:
    assert set(looked(bench, CENTER, DENSE).values()) == {"right"}
    assert verdicts(repeat_checks(bench, "Same bits", [PYTORCH])) == {"twice, fp32, pytorch": "right"}


def test_low_precisions_differ_and_are_right_within_their_tolerance(bench: Bench) -> None:
    found = [check.run().seen for check in posterior_checks(bench, "P", [Way("bf16", "pytorch")], (CENTER,))]
    assert [seen.verdict for seen in found] == ["right"]
    assert found[0].difference
    assert checks.TOLERANCES["fp32"] < found[0].difference < checks.TOLERANCES["bf16"]


def test_the_pictures_are_told_apart(net: Subject) -> None:
    """Else every check would pass whatever is wrong."""
    found = net.reference(CENTER)
    assert np.ptp(found, axis=0).max() > 0.5
    assert np.abs(net.reference(TENCROP) - found).max() > 0.1


def test_the_reference_is_that_of_the_tests(net: Subject) -> None:
    """Two implementations that share no code: tests/naive.py and the doctor's."""
    import naive

    weights = net.model.module.state_dict()  # type: ignore[attr-defined]
    for protocol in (CENTER, DENSE):
        for image, expected in zip(net.data.images, net.reference(protocol), strict=True):
            found = naive.posterior("D", weights, image.path, str(protocol), 256)
            np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_caffes_input_is_the_tests_too(few: DataSet) -> None:
    import naive

    own = subject("A-LRN", INPUTS["caffe"], 1 / 16, few)
    weights = own.model.module.state_dict()  # type: ignore[attr-defined]
    for image, expected in zip(few.images, own.reference(CENTER), strict=True):
        found = naive.posterior("A-LRN", weights, image.path, "center", 256, caffe=True)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_lrn_meets_activations_whose_squares_fp16_lacks(few: DataSet) -> None:
    own = subject("A-LRN", INPUTS["caffe"], 1 / 16, few)
    met: list[float] = []
    assert isinstance(own.model.module, torch.nn.Module)
    own.model.module.features[0].register_forward_hook(lambda *given: met.append(float(given[2].abs().max())))  # type: ignore[union-attr,index]
    own.reference(CENTER)
    assert max(met) > 256


def test_batches_are_halved(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = halved(bench)
    assert (seen.verdict, seen.found) == ("right", "halved 4 times")
    monkeypatch.setattr(checks.Cramped, "forward", lambda self, images: self.network(images))
    assert halved(bench).said == "No batch had two views: expected larger ones, which are halved."


def test_resumed_to_the_same_bits(bench: Bench, many: DataSet) -> None:
    seen = resumed(bench, many)
    assert (seen.verdict, seen.difference, seen.found) == ("right", 0.0, "40 images")


def test_training_in_each_precision_that_trains(bench: Bench) -> None:
    found = verdicts(training_checks(bench, "Training"))
    assert found == {"two steps, fp32": "right", "two steps, bf16": "right"}


def test_which_ways_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cuda = [str(way) for way in ways(torch.device("cuda"), compiled=True)]
    assert {"tf32, pytorch", "fp16, pytorch", "fp32, onnxruntime", "bf16, pytorch+compile"} <= set(on_cuda)
    assert [str(way) for way in ways(torch.device("mps"), compiled=False)] == [
        "fp32, pytorch", "bf16, pytorch", "fp16, pytorch"
    ]  # fmt: skip
    compiled = Way("fp32", "pytorch+compile")
    assert [compiled.takes(protocol) for protocol in checks.PROTOCOLS] == [True, True, False, True, False]
    assert compiled.settings("cpu").compile
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert ONNXRUNTIME not in ways(CPU, compiled=False)


# What is wrong: five seeded faults


def test_a_weight_changed_on_one_backend(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(model: bytes, device: torch.device, weights: dict[str, Tensor]) -> Any:
        name = next(iter(weights))
        weights[name] = weights[name] * 1.01
        return open_session(model, device, weights)

    monkeypatch.setattr("vggbench.inference.onnxruntime_layers.open_session", wrong)
    assert looked(bench, CENTER) == {"D center, fp32, pytorch": "right", "D center, fp32, onnxruntime": "wrong"}


def test_a_normalisation_constant_that_is_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Input.normalise

    def wrong(self: Input, images: Tensor, *others: Any) -> Tensor:
        return right(self, images, *others) + 0.01

    monkeypatch.setattr(Input, "normalise", wrong)
    assert set(looked(bench, CENTER, DENSE).values()) == {"wrong"}


def test_tf32_left_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faked: 10 bits of mantissa in what enters the layers, while fp32 is claimed."""
    convolve = torch.nn.Conv2d._conv_forward

    def wrong(self: torch.nn.Conv2d, given: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        found: Tensor = convolve(self, in_tf32(given), in_tf32(weight), bias)
        return found

    monkeypatch.setattr(torch.nn.Conv2d, "_conv_forward", wrong)
    found = verdicts(posterior_checks(bench, "Posteriors", [PYTORCH], (CENTER, DENSE)))
    assert found == {"D center, fp32, pytorch": "wrong", "D dense, fp32, pytorch": "wrong"}
    as_tf32 = compared(bench.posteriors(PYTORCH, CENTER), bench.subject.reference(CENTER), checks.TOLERANCES["tf32"], [
        "a", "b", "c"])  # fmt: skip
    assert as_tf32.verdict == "right", "where TF32 is asked for"


def in_tf32(values: Tensor) -> Tensor:
    """Rounded to 10 bits behind the leading one."""
    bits = values.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def test_a_crop_that_is_a_pixel_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Protocol.views

    def wrong(self: Protocol, height: int, width: int) -> tuple[View, ...]:
        return tuple(replace(view, left=max(0, view.left - 1)) for view in right(self, height, width))

    monkeypatch.setattr(Protocol, "views", wrong)
    assert set(looked(bench, CENTER, TENCROP).values()) == {"wrong"}
    assert set(looked(bench, DENSE).values()) == {"right"}, "which has no crop"


@pytest.mark.parametrize("lost", [True, False], ids=["lost", "cut"])
def test_a_block_that_was_not_kept(bench: Bench, many: DataSet, monkeypatch: pytest.MonkeyPatch, lost: bool) -> None:
    right = stores.interrupt

    def then_the_power_failed(bench: Bench, many: DataSet, store: Path, settings: Settings) -> int:
        told = right(bench, many, store, settings)
        for block in store.rglob("*.parquet"):
            block.unlink() if lost else block.write_bytes(block.read_bytes()[:-100])
        return told

    monkeypatch.setattr(stores, "interrupt", then_the_power_failed)
    seen = resumed(bench, many)
    assert seen.verdict == "wrong"
    assert seen.said.startswith("32 images were reported as stored, and 0 are")
    assert ("000000-000031.parquet is damaged" in seen.said) is not lost


# What else would be wrong


def test_blocks_that_are_computed_again(bench: Bench, many: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    right = stores._only_run

    def then_emptied(store: Path) -> Run:
        run = right(store)
        monkeypatch.setattr(stores, "posteriors", lambda run: np.zeros((32, 12)))
        for block in store.rglob("*.parquet"):
            block.unlink()
        return run

    monkeypatch.setattr(stores, "_only_run", then_emptied)
    assert "40 of 40 images were computed after 32 were stored" in resumed(bench, many).said


def test_bits_that_change(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench.posteriors(PYTORCH, DENSE)
    right = posteriors
    monkeypatch.setattr(checks, "posteriors", lambda run: np.nextafter(right(run), np.float32(2), dtype=np.float32))
    (seen,) = (check.run().seen for check in repeat_checks(bench, "Same bits", [PYTORCH]))
    assert (seen.verdict, seen.tolerance) == ("wrong", 0)
    assert "the same bits." in seen.said
    assert len(first) == 3


def test_halved_batches_of_other_posteriors(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = checks.Cramped.forward
    monkeypatch.setattr(checks.Cramped, "forward", lambda self, images: kept(self, images).flip(1))
    assert halved(bench).verdict == "wrong"


def test_a_loss_that_is_not_finite(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([[2.4, float("nan")], [2.4, 2.3]])
    monkeypatch.setattr(checks, "_losses", lambda *given: next(losses))
    seen = next(training_checks(bench, "Training")).run().seen
    assert seen.verdict == "wrong"
    assert seen.said == "The losses are 2.4000, nan: expected 2.4000, 2.3000 as on the CPU, at most 0.0001 apart."


def test_what_raises_is_wrong_and_what_is_refused_absent() -> None:
    def fails() -> Seen:
        raise RuntimeError("CUDA error: an illegal memory access\nmore")

    def refused() -> Seen:
        raise UsageError("--compile: no compiler.")

    wrong, absent = Check("P", "a", fails).run().seen, Check("P", "b", refused).run().seen
    assert (wrong.verdict, wrong.said) == ("wrong", "RuntimeError: CUDA error: an illegal memory access.")
    assert "in fails" in wrong.details["traceback"]
    assert (absent.verdict, absent.said) == ("absent", "--compile: no compiler.")


def test_posteriors_that_lack_or_are_none() -> None:
    expected = np.full((2, 3), 1 / 3)
    broken = expected.copy()
    broken[1, 2] = np.nan
    assert compared(broken, expected, 1.0, ["a", "b"]).said == (
        "Class 2 of b has nan: expected 0.3333333, at most 1 apart."
    )
    assert compared(broken, expected, 1.0, ["a", "b"]).difference is None, "which JSON lacks a number for"
    assert compared(expected[:1], expected, 1.0, ["a", "b"]).said == "There are 1 x 3 posteriors: expected 2 x 3."


# Two processes


def test_two_processes_are_compared_with_one(bench: Bench, many: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def computed(command: list[str], threads: int, faint: float = 1.0) -> None:
        """As two processes would, in this one."""
        store = Path(command[command.index("--runs") + 1])
        fresh = bench.subject.fresh()
        fresh.module.classifier[6].weight.data *= faint  # type: ignore[attr-defined]
        evaluated(many, replace(stores._job(bench), model=fresh), store, Settings("cpu", backend="pytorch"))

    monkeypatch.setattr(stores, "two_processes", computed)
    right = shared(bench, many)
    assert (right.verdict, right.details["connected_by"]) == ("right", "gloo")
    monkeypatch.setattr(stores, "two_processes", lambda command, threads: computed(command, threads, 1.0001))
    assert shared(bench, many).verdict == "wrong"
    monkeypatch.setattr(stores, "two_processes", lambda command, threads: None)
    with pytest.raises(VggbenchError, match="No run was stored: expected one"):
        shared(bench, many)


def test_processes_that_fail_or_hang(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'vggbench: no such thing.' >&2\necho more >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    with pytest.raises(VggbenchError, match=r"ended with status 3: vggbench: no such thing\.$"):
        stores.two_processes([], 1)
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(stores, "_SECONDS", 0.05)
    with pytest.raises(VggbenchError, match="not done after"):
        stores.two_processes([], 1)


# The machine


def machine(monkeypatch: pytest.MonkeyPatch, net: Subject, tmp_path: Path, device: str = "cpu") -> dict[str, Seen]:
    paper = examination._paper(net, CPU, tmp_path)
    found = [check.run() for check in environment.environment(torch.device(device), tmp_path / "runs", paper)]
    return {finding.name: finding.seen for finding in found}


def test_a_machine_that_lacks_nothing(monkeypatch: pytest.MonkeyPatch, net: Subject, tmp_path: Path) -> None:
    found = machine(monkeypatch, net, tmp_path)
    assert {seen.verdict for seen in found.values()} == {""}
    assert torch.__version__ in found["PyTorch"].found
    assert "CPU" in found["ONNX Runtime"].details["providers"]
    assert found["Disk of the store"].found.endswith(f"free for {tmp_path / 'runs'}")


def test_a_machine_that_is_short_of_things(monkeypatch: pytest.MonkeyPatch, net: Subject, tmp_path: Path) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    monkeypatch.setattr("vggbench.images.reading.shared_memory", lambda: 2**20)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=5 * 10**8))
    monkeypatch.setattr(environment, "_nvidia_smi", lambda: "470.1, Tesla K80, 11441 MiB")
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libcudnn.so.9: no such file')")
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    found = machine(monkeypatch, net, tmp_path)
    said = {name: seen.said for name, seen in found.items() if seen.verdict == "short"}
    assert said["Open files"] == "256 files may be open: expected 1,024 or more. Run `ulimit -n 4096` before vggbench."
    assert "start the container with --shm-size=1g" in said["Shared memory"]
    assert said["Disk of the store"].startswith("0.5 GB are free: expected 1.0 GB or more.")
    assert "finds no GPU: expected one" in said["GPU"]
    assert said["ONNX Runtime"].startswith("libcudnn.so.9: no such file: expected a package that works.")
    assert len(said) == 6


def test_what_nvidias_tool_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    said = "580.95, NVIDIA H100, 81559 MiB\n580.95, NVIDIA H100, 81559 MiB\n"
    monkeypatch.setattr("subprocess.run", lambda *given, **named: subprocess.CompletedProcess([], 0, stdout=said))
    assert environment._nvidia_smi() == "580.95, NVIDIA H100, 81559 MiB; 580.95, NVIDIA H100, 81559 MiB"

    def fails(*given: object, **named: object) -> None:
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    monkeypatch.setattr("subprocess.run", fails)
    assert environment._nvidia_smi() is None


# How fast it is


def test_what_the_main_process_costs(few: DataSet, tmp_path: Path) -> None:
    found = host_milliseconds(repeated(few, 70), tmp_path)
    assert found is not None
    assert 0 < found < 100


def paced(few: DataSet, device: str, reading: float, host: float, network: float) -> Pace:
    """Rates in images a second of D at full width."""
    from vggbench.nets.cost import Architecture
    from vggbench.paper.configs import CONFIGS

    own = Architecture(CONFIGS["D"], 1000)
    timed = [
        Timings("D", own, 1000, setup, (8 / rate,), 1e12, None, "x", "y", 1)
        for setup, rate in (
            (Setup("pytorch", "fp32", 8), network),
            (Setup("pytorch", "bf16", 8), 8 * network),
        )
    ]
    readings = [Reading(few, (256,), workers, 32, 32 / reading, (reading,)) for workers in (0, 1)]
    return Pace(few, torch.device(device), readings, 1000 / host, timed)


@pytest.mark.parametrize(
    ("device", "reading", "host", "network", "says"),
    [
        ("cuda", 900, 4000, 1000, "reading: 900 images/s of D by center"),
        ("cuda", 9000, 700, 1000, "main process: 700 images/s of D by center"),
        ("cuda", 9000, 7000, 1000, "network: 1,000 images/s of D by center"),
        ("cpu", 900, 4000, 5, "network: 5.0 images/s of D by center"),
    ],
)
def test_what_limits_an_evaluation(
    few: DataSet, device: str, reading: float, host: float, network: float, says: str
) -> None:
    seen = paced(few, device, reading, host, network).limit()
    assert seen.found == says
    remedy = {"reading": "--workers", "main process": "torchrun", "network": "--precision bf16 takes 8,000 a second"}
    assert ("--grid 8" if device == "cpu" else remedy[says.partition(":")[0]]) in seen.said


def test_a_limit_needs_all_three(few: DataSet) -> None:
    assert Pace(few, CPU).limit().found == "unknown: not everything could be measured"


def test_everything_is_timed(few: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_SECONDS", 0.0)
    monkeypatch.setattr(pace, "_NARROW", 1 / 64)
    monkeypatch.setattr(pace, "worker_counts", lambda: [0])
    monkeypatch.setattr(pace, "host_milliseconds", lambda *given: 2.0)
    monkeypatch.setattr("vggbench.studies.speed._PRODUCT_SIZE", 128)
    found = {check.name: check.run().seen for check in Pace(few, CPU).checks(few, tmp_path, full=False)}
    assert list(found) == [
        "Reading by the main process", "Main process", "D, width 0.015625, fp32, pytorch", "Limit",
    ]  # fmt: skip
    assert all(seen.verdict == "" for seen in found.values()), found
    assert found["Main process"].found == "2.00 ms per image"
    assert set(found["Limit"].details["images_per_second"]) == {"reading", "main process", "network"}


# The command

FOUND = [
    Check("Machine", "System", lambda: Seen("Linux", verdict="", details={"providers": ["CUDA", "CPU"]})),
    Check("Posteriors", "D center, fp32, pytorch", lambda: Seen("5 images", 2e-6, 1e-4)),
    Check("Posteriors", "D dense, fp32, pytorch", lambda: Seen("5 images", 0.3, 1e-4, "wrong", "Class 1 of p has 0.")),
]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Check]], None]:
    def tell(found: list[Check]) -> None:
        monkeypatch.setattr(Examination, "_checks", lambda *given: iter(found))

    return tell


def test_wrong_is_exit_1_and_all_of_it_stands_in_json(
    vggbench: Callable[..., Result], told: Callable[[list[Check]], None]
) -> None:
    told(FOUND)
    done = vggbench("doctor", "--format", "json")
    rows = json.loads(done.out)
    assert done.code == 1
    assert [row["verdict"] for row in rows] == [None, "right", "wrong"]
    assert rows[2] == {
        "part": "Posteriors", "check": "D dense, fp32, pytorch", "verdict": "wrong", "found": "5 images",
        "said": "Class 1 of p has 0.", "difference": 0.3, "tolerance": 1e-4, "details": {},
    }  # fmt: skip
    assert "1 check wrong, expected none. Posteriors, D dense, fp32, pytorch: Class 1 of p has 0." in done.err
    assert "Posteriors: D center, fp32, pytorch (2 of 3)." in done.err
    table = vggbench("doctor", "--format", "md").out
    assert "1 of 2 checks wrong" in table
    assert "5 images. Class 1 of p has 0." in table


def test_right_is_exit_0(vggbench: Callable[..., Result], told: Callable[[list[Check]], None]) -> None:
    told(FOUND[:2])
    done = vggbench("doctor", "--format", "csv", "-q")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("part,check,verdict,found,said,difference,tolerance,details\n")


def test_interrupted_it_shows_what_was_found(
    vggbench: Callable[..., Result], told: Callable[[list[Check]], None]
) -> None:
    def stops() -> Seen:
        raise KeyboardInterrupt

    told([*FOUND[:1], Check("Posteriors", "slow", stops)])
    done = vggbench("doctor", "--format", "json")
    assert (done.code, len(json.loads(done.out))) == (130, 1)


def test_refusals(vggbench: Callable[..., Result]) -> None:
    assert vggbench("doctor", "--device", "cuda:77").code == 2
    assert vggbench("doctor", "--data", "nothere").code in (1, 2)
    assert vggbench("doctor", "--device", "tpu").code == 2


def test_every_part_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, few: DataSet, net: Subject) -> None:
    """The list of checks alone: what they see is tested above, and all together by `pytest -m slow`."""
    monkeypatch.setattr(examination, "draw_few", lambda folder, count: few)
    monkeypatch.setattr(examination, "draw_many", lambda folder, count: repeated(few, count))
    monkeypatch.setattr(examination, "subject", lambda *given: net)
    quick = list(Examination()._checks(CPU, None, tmp_path / "a"))
    full = list(Examination(full=True)._checks(CPU, None, tmp_path / "b"))
    names = {check.name for check in quick}
    for protocol in checks.PROTOCOLS:
        assert {f"D {protocol}, {way}" for way in ways(CPU, compiled=False)} <= names
    assert list(dict.fromkeys(check.part for check in quick)) == [
        "Machine", "Posteriors", "Same bits", "Memory", "Store", "Training", "Pace",
    ]  # fmt: skip
    more = {check.name for check in full if check.part == "Full width"}
    assert "D multicrop, fp32, onnxruntime" in more
    assert "D center, fp32, pytorch+compile" in more
    assert "D multicrop, fp16, pytorch" not in more, "for minutes on a CPU"


@pytest.mark.slow
def test_all_is_right_here(tmp_path: Path) -> None:
    found = list(Examination("cpu", store=tmp_path / "runs").findings(Listener()))
    assert [finding for finding in found if finding.seen.verdict in ("wrong", "absent")] == []
    assert not (tmp_path / "runs").exists(), "nothing is written into the user's store"


def test_pictures_of_ones_own_are_read(few: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[DataSet] = []

    def checks(self: Pace, many: DataSet, folder: Path, full: bool) -> Iterator[Check]:
        read.extend([self.data, many])
        yield from ()

    monkeypatch.setattr(examination, "draw_few", lambda folder, count: few)
    monkeypatch.setattr(examination, "draw_many", lambda folder, count: repeated(few, 32))
    monkeypatch.setattr(Pace, "checks", checks)
    draw_many(tmp_path / "own", 12)
    own = open_data(tmp_path / "own")
    list(Examination()._checks(CPU, own, tmp_path))
    assert read[0] is own
    assert {image.path for image in read[1].images} == {image.path for image in own.images}
    assert isinstance(next(iter(Examination(data=str(tmp_path / "own")).findings())), Finding)

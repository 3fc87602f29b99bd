"""The benchmark of speed: its arithmetic, its combinations, and what it says where it cannot run."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Result

from vggbench import LoadOptions, Model, ModelSpec, load_model, open_data
from vggbench.errors import UnreadableImages, UsageError
from vggbench.nets.cost import cost
from vggbench.render.tables.speed import reading_table, speed_table
from vggbench.render.tables.table import render
from vggbench.studies.speed import Effort, Setup, Timings, _product_rate, measure, product_rates, read

QUICK = ("--width", 0.0625, "--iterations", 1, "--seconds", 0)


@pytest.fixture(autouse=True)
def _small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggbench.studies.speed._PRODUCT_SIZE", 128)


def _model(config: str = "A") -> Model:
    return load_model(ModelSpec.parse(f"{config}@random"), LoadOptions(width=1 / 16), ())


def _random(config: str = "A") -> Timings:
    own = _model(config).identity
    return Timings(
        own.name, own.architecture, own.classes, Setup("pytorch", "fp32", 8, 256), (0.4, 0.2, 0.3, 0.1), 1e9, 5_000_000,
        "cpu", "PyTorch 2", 2,
    )  # fmt: skip


def test_rates_are_those_of_the_median() -> None:
    found = _random()
    assert found.architecture
    assert found.quantiles == pytest.approx((0.13, 0.25, 0.37))
    assert found.images_per_second == 8 / 0.25
    assert found.macs_per_second == 32 * cost(found.architecture, 256, 256).macs
    record = speed_table([found], product_rates([found])).record(found)
    assert record["share_of_product"] == found.macs_per_second / 1e9
    assert record["iterations"] == 4


def test_it_measures_at_least_as_much_as_asked() -> None:
    model = _model()
    found = measure(model, Setup("pytorch", "fp32", 1), torch.device("cpu"), Effort(3, 0))
    assert len(found.seconds) == 3
    assert found.product_rate > 0
    assert sum(measure(model, Setup("pytorch", "fp32", 1), torch.device("cpu"), Effort(1, 0.3)).seconds) >= 0.3


def test_the_matrix_product_is_warm_and_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows first; then the whole product, for as long as it needs to be measured."""
    rows, right = list[int](), torch.Tensor.__matmul__

    def multiply(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        rows.append(len(one))
        return right(one, other)

    monkeypatch.setattr(torch.Tensor, "__matmul__", multiply)
    monkeypatch.setattr("vggbench.studies.speed._PRODUCT_SIZE", 512)
    monkeypatch.setattr("vggbench.inference.timing.LEAST", 0.01)
    assert _product_rate(torch.device("cpu"), "bf16") > 0
    assert (rows[0], set(rows[1:])) == (256, {512})


def test_every_combination_has_a_row(vggbench: Callable[..., Result]) -> None:
    done = vggbench("speed", "A", "C", *QUICK, "--batch-size", 1, 2, "--scales", 224, 240, "--format", "json")
    rows = json.loads(done.out)
    assert done.code == 0
    assert len({(r["network"], r["backend"], r["batch_size"], r["size"]) for r in rows}) == len(rows) == 16
    assert {row["network"] for row in rows} == {"A@random", "C@random"}
    assert all(row["images_per_second"] > 0 and row["peak_bytes"] > 1e7 for row in rows)
    assert "C@random: onnxruntime, fp32, 2 x 240 x 240 (16 of 16)" in done.err


def test_what_cannot_run_is_left_out_and_said(vggbench: Callable[..., Result]) -> None:
    done = vggbench("speed", "A", *QUICK, "--batch-size", 1, "--precision", "fp32", "bf16", "--format", "csv")
    assert done.out.count("\n") == 4
    assert "Left out: --backend onnxruntime: it runs in fp32 alone" in done.err
    refused = vggbench("speed", "A", *QUICK, "--backend", "onnxruntime", "--precision", "bf16")
    assert (refused.code, refused.out) == (2, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "expected one or more, such as D; or --data-only"),
        (("D", "--backend", "caffe"), "--backend caffe: expected one of pytorch, pytorch+compile, onnxruntime"),
        (("D", "--precision", "fp8"), "--precision fp8: expected one of fp32"),
        (("D", "--precision", "tf32"), "exists on CUDA only"),
        (("D", "--batch-size", 0), "--batch-size 0: expected 1 to 65,536."),
        (("D", "--batch-size", 1, 10**20), f"--batch-size {10**20}: expected 1 to 65,536."),
        (("--data-only", "D"), "--data-only takes no model and found D: expected --data PATH"),
        (("D", "--scales", 9999), "Q must lie between 1 and 2048"),
        (("D", "--iterations", 0), "--iterations 0: expected 1 or more."),
        (("D", "--device", "cuda:77"), "PyTorch finds no such device"),
        (("--data-only", "--workers", -1, "--data", "sample"), "--workers -1: expected 0 or more"),
    ],
)
def test_refusals(arguments: tuple[object, ...], says: str, vggbench: Callable[..., Result], few_drawn: Path) -> None:
    done = vggbench("speed", *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err


def test_memory_that_does_not_suffice_leaves_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **options: object) -> torch.Tensor:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    monkeypatch.setattr("vggbench.inference.backend.Backend.__call__", fails)
    found = measure(_model(), Setup("pytorch", "fp32", 4), torch.device("cpu"), Effort(1, 0))
    assert found.seconds == ()
    assert "-: not enough memory." in render(speed_table([found], product_rates([found])), "md")
    assert speed_table([found], product_rates([found])).record(found)["images_per_second"] is None


@pytest.mark.thorough
def test_reading(vggbench: Callable[..., Result], few_drawn: Path, many_pictures: Path, tmp_path: Path) -> None:
    found = read(open_data(many_pictures), (240, 256), 0, 1.0)
    assert found.images % 32 == 0
    assert len(found.rates) == found.images // 32
    assert found.images > 70, "over and over"
    assert f"| 0 | {found.images:,} |" in render(reading_table([found]), "md")
    done = vggbench("speed", "--data-only", "--data", "sample", "--seconds", 0.01, "--format", "json")
    assert [row["workers"] for row in json.loads(done.out)][:2] == [0, 1]
    (tmp_path / "apple").mkdir()
    (tmp_path / "apple" / "x.JPEG").write_bytes(b"no image")
    with pytest.raises(UnreadableImages, match=r"x.JPEG is no image: expected an image"):
        read(open_data(tmp_path), (256,), 0, 0.01)


def test_a_setup_that_fails_leaves_the_others(vggbench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    right = measure

    def fails(model: Model, setup: Setup, device: torch.device, effort: Effort) -> Timings:
        if setup.backend == "onnxruntime":
            raise UsageError("no CUDA library")
        if setup.batch == 3:
            raise KeyboardInterrupt
        return right(model, setup, device, effort)

    monkeypatch.setattr("vggbench.studies.speed.measure", fails)
    quick = ("--width", 1 / 64, "--seconds", 0, "--iterations", 1, "--format", "json")
    done = vggbench("speed", "A", *quick, "--batch-size", 1)
    assert ([row["backend"] for row in json.loads(done.out)], done.code) == (["pytorch"], 0)
    assert "Left out: no CUDA library" in done.err
    alone = vggbench("speed", "A", *quick, "--backend", "onnxruntime")
    assert (alone.code, alone.out) == (2, "")
    stopped = vggbench("speed", "A", *quick, "--backend", "pytorch", "--batch-size", 1, 3, 4)
    assert ([row["batch_size"] for row in json.loads(stopped.out)], stopped.code) == ([1], 130)
    assert "resumes" not in stopped.err
